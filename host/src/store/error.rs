//! What can go wrong with a database.

use rusqlite::ErrorCode;

use crate::core::Refusal;

/// The database did not do its work, or holds what it cannot hold.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full, the file is read-only, an IO error: later it may work.
    #[error("{0}")]
    Unavailable(String),
    /// A broken invariant, a value out of range, a corrupt file.
    #[error("{0}")]
    Damaged(String),
}

impl StoreError {
    /// A stored value that cannot be.
    pub(crate) fn damaged(what: &str, found: impl std::fmt::Display) -> Self {
        Self::Damaged(format!("{what} cannot be {found}"))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        let damaged = match &error {
            E::SqliteFailure(failure, _) => !matches!(
                failure.code,
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::DiskFull
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::FileLockingProtocolFailed
                    | ErrorCode::OperationInterrupted
                    | ErrorCode::PermissionDenied
            ),
            _ => true,
        };
        let message = format!("{error}{}", advice(error.sqlite_error_code()));
        if damaged { Self::Damaged(message) } else { Self::Unavailable(message) }
    }
}

/// What to do about a database's error, to put behind it.
fn advice(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            "; make it and its directory writable for this user"
        }
        Some(ErrorCode::DiskFull) => "; make room on the disk",
        Some(ErrorCode::SystemIoFailure) => "; look after the disk",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "; put a backup of it back",
        _ => "",
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(message) => Self::Unavailable(message),
            StoreError::Damaged(message) => Self::Damaged(message),
        }
    }
}

/// Whether a statement failed because what it adds is there already.
pub(crate) fn is_duplicate(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error().map(|failure| failure.extended_code),
        Some(rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE | rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_does_not_work_says_what_to_do() {
        use rusqlite::ffi;
        for (code, expected) in [
            (ffi::SQLITE_READONLY, "no; make it and its directory writable for this user"),
            (ffi::SQLITE_FULL, "no; make room on the disk"),
            (ffi::SQLITE_CORRUPT, "no; put a backup of it back"),
            (ffi::SQLITE_CONSTRAINT, "no"),
        ] {
            let no = Some("no".to_owned());
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), no);
            assert_eq!(StoreError::from(error).to_string(), expected);
        }
    }
}
