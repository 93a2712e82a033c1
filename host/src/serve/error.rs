//! Why the service cannot start or go on, in one sentence that says what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::core::{Kind, Refusal};
use crate::store::OpenError;

/// Why the service cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// No catalog to read.
    #[error("the catalog {} cannot be read: {error}", path.display())]
    CatalogUnreadable { path: PathBuf, error: io::Error },
    /// A catalog with mistakes, one a line.
    #[error("the catalog has mistakes; nothing was started:\n{}", .0.trim_end())]
    CatalogMistakes(String),
    /// A good catalog, but not one that can follow the one in force.
    #[error("the catalog cannot follow the one this ledger has: {0}")]
    CatalogRefused(Refusal),
    /// No fault of the catalog's.
    #[error("the catalog is good, but it could not be put in force: {0}")]
    CatalogNotStored(Refusal),
    /// Another program has the port.
    #[error("{0} is in use by another program: stop it, or choose another with --listen")]
    InUse(SocketAddr),
    /// An address that is not this machine's, or a port that needs rights.
    #[error("cannot listen on {address}: {error}; choose another with --listen")]
    Listen { address: SocketAddr, error: io::Error },
    /// The ledger.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No random bytes.
    #[error("the system gives no random bytes to make secrets from: {0}")]
    Chance(io::Error),
    /// Threads, signals, sockets.
    #[error("the service cannot start: {0}")]
    Start(io::Error),
    /// A fault in the one thread that may not have any.
    #[error(
        "the ledger's thread ended by a fault; what was answered is stored, so start again and \
         report what stands above"
    )]
    LedgerLost,
}

impl ServeError {
    pub(super) fn catalog(refusal: Refusal) -> Self {
        match refusal.kind() {
            Kind::Unavailable | Kind::Damaged => Self::CatalogNotStored(refusal),
            _ => Self::CatalogRefused(refusal),
        }
    }

    pub(super) fn listen(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address),
            _ => Self::Listen { address, error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_blamed_for_what_is_its_fault() {
        let in_use = Refusal::ProductInUse { product: "basic".to_owned(), live: 2 };
        let full = Refusal::Unavailable("database or disk is full".to_owned());
        for (refusal, blamed) in [
            (in_use, "the catalog cannot follow the one this ledger has: product \"basic\""),
            (full, "the catalog is good, but it could not be put in force: the ledger's database"),
        ] {
            let said = ServeError::catalog(refusal).to_string();
            assert!(said.starts_with(blamed), "{said}");
        }
    }
}
