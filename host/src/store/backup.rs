//! Copies of a ledger, and putting one back.
//!
//! A copy holds no secret. Nothing is overwritten, and a ledger is in its place whole or not at
//! all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::Connection;

use super::open::{
    DATABASE_FILE, SECRET_FILE, check_version, file_error, private, read_operator_token,
    read_secret, secret_check,
};
use super::{Birth, OPERATOR_TOKEN_FILE, OpenError, Store, StoreError, connect, schema};
use crate::core::apply;
use crate::core::restore::{Restore, Restored};

/// A ledger on its way to its place.
const DRAFT_FILE: &str = "ledger.db.restoring";
/// What follows the name of a database in those of its files: itself, its log, the log's index.
const FILES: [&str; 3] = ["", "-wal", "-shm"];

impl Store {
    /// Writes a consistent copy into a new file that only its owner reads.
    pub fn backup(&self, path: &Path) -> Result<(), OpenError> {
        match private().create_new(true).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OpenError::Exists(path.to_owned()));
            }
            Err(error) => return Err(file_error(path, error)),
        }
        let copied = self.copy_into(path).and_then(|()| sync(path));
        if copied.is_err() {
            // What is there is no copy; where it cannot be removed, that is said anyway.
            let _ = fs::remove_file(path);
        }
        copied
    }

    fn copy_into(&self, path: &Path) -> Result<(), OpenError> {
        let Some(name) = path.to_str() else {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8");
            return Err(file_error(path, error));
        };
        // An empty file may be there, and keeps its mode.
        let copied = self.connection.execute("VACUUM INTO ?1", [name]);
        copied.map(drop).map_err(|error| database(path, error.into()))
    }

    /// Puts a copy in a ledger's place, whose directory has the ledger's secret. `aside` says
    /// where a ledger that is there goes; without it, it stays and this is refused.
    pub fn restore(
        backup: &Path,
        directory: &Path,
        aside: Option<&Path>,
        birth: Birth,
        now: Timestamp,
    ) -> Result<Restored, OpenError> {
        let place = directory.join(DATABASE_FILE);
        let secret_file = directory.join(SECRET_FILE);
        let secret = read_secret(&secret_file)?
            .ok_or_else(|| OpenError::SecretMissing(directory.to_owned()))?;
        // Refused while a host runs on it; and none begins to before it is aside.
        let held = match place.exists().then(|| connect(&place)).transpose() {
            // What cannot be read any more is what another is put in the place of.
            Err(OpenError::Database { .. }) => None,
            held => held?,
        };
        // A log alone counts: it would be written into whatever ledger comes to stand beside it.
        let there = FILES.iter().any(|suffix| with_suffix(&place, suffix).exists());
        if there && aside.is_none() {
            return Err(OpenError::LedgerThere(directory.to_owned()));
        }
        has_no_log(backup)?;
        let draft = directory.join(DRAFT_FILE);
        remove(&draft)?;
        copy(backup, &draft)?;
        let done = make_ready(backup, &draft, &secret, (directory, birth), now).and_then(|done| {
            // Closing it writes its log into it, if it can be.
            drop(held);
            if let Some(aside) = aside.filter(|_| there) {
                move_aside(&place, aside)?;
            }
            fs::rename(&draft, &place).map_err(|error| file_error(&place, error))?;
            sync(&place)?;
            Ok(done)
        });
        if done.is_err() {
            remove(&draft)?;
        }
        done
    }
}

/// Checks a copy, and makes of it a ledger that knows it was restored.
fn make_ready(
    backup: &Path,
    draft: &Path,
    secret: &[u8; 32],
    (directory, birth): (&Path, Birth),
    now: Timestamp,
) -> Result<Restored, OpenError> {
    let not_backup = |why: String| OpenError::NotBackup { path: backup.to_owned(), why };
    let connection = connect(draft).map_err(|error| not_backup(error.to_string()))?;
    let row = check(&connection, backup)?;
    if row.secret_check != secret_check(secret) {
        return Err(OpenError::SecretWrong(directory.join(SECRET_FILE)));
    }
    let token = read_operator_token(&directory.join(OPERATOR_TOKEN_FILE), birth)?;
    let mut store = Store::with(connection, &row, secret, &token);
    let restored = apply(&mut store, now, Restore);
    // Its log is written into it, so that the file alone is the ledger.
    drop(store);
    let restored = restored.map_err(|refusal| OpenError::NotRestored {
        path: backup.to_owned(),
        why: refusal.to_string(),
    })?;
    let log = with_suffix(draft, "-wal");
    if log.exists() {
        return Err(OpenError::NotRestored {
            path: backup.to_owned(),
            why: format!("{} is still needed", log.display()),
        });
    }
    Ok(restored)
}

fn check(connection: &Connection, backup: &Path) -> Result<schema::LedgerRow, OpenError> {
    let not_backup = |why: &dyn std::fmt::Display| OpenError::NotBackup {
        path: backup.to_owned(),
        why: why.to_string(),
    };
    let version = schema::version(connection).map_err(|error| not_backup(&error))?;
    if version == 0 {
        return Err(not_backup(&"it is empty"));
    }
    check_version(backup, version)?;
    let sound: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| not_backup(&error))?;
    if sound != "ok" {
        return Err(not_backup(&sound));
    }
    schema::read(connection).map_err(|error| not_backup(&error))
}

fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let mut source = File::open(from).map_err(|error| file_error(from, error))?;
    let mut draft = private().create_new(true).open(to).map_err(|error| file_error(to, error))?;
    io::copy(&mut source, &mut draft).map_err(|error| file_error(to, error))?;
    Ok(())
}

/// A database that was not closed is only whole with its log, which is not copied.
fn has_no_log(backup: &Path) -> Result<(), OpenError> {
    let log = with_suffix(backup, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(OpenError::NotBackup {
            path: backup.to_owned(),
            why: format!("a part of it is in {}; copy it with `tollgate backup`", log.display()),
        });
    }
    Ok(())
}

fn move_aside(place: &Path, aside: &Path) -> Result<(), OpenError> {
    for suffix in FILES {
        let (place, aside) = (with_suffix(place, suffix), with_suffix(aside, suffix));
        if !place.exists() {
            continue;
        }
        // Reserved first: a rename would take the place of what is there.
        private().create_new(true).open(&aside).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => OpenError::Exists(aside.clone()),
            _ => file_error(&aside, error),
        })?;
        fs::rename(&place, &aside).map_err(|error| file_error(&aside, error))?;
    }
    Ok(())
}

/// A file and its directory on the disk.
fn sync(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    };
    for path in [path, directory] {
        let synced = File::open(path).and_then(|file| file.sync_all());
        synced.map_err(|error| file_error(path, error))?;
    }
    Ok(())
}

fn remove(draft: &Path) -> Result<(), OpenError> {
    for path in FILES.map(|suffix| with_suffix(draft, suffix)) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(&path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn database(path: &Path, error: StoreError) -> OpenError {
    OpenError::Database { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests;
