//! Why a command failed, in one sentence for the person who gave it.

use std::io;
use std::path::PathBuf;

use tollgate_pricing::money::MoneyError;
use tollgate_pricing::quote::QuoteError;

use super::drain::DrainError;
use crate::client::ClientError;
use crate::envoy::{GeoipError, PluginError};
use crate::serve::ServeError;
use crate::store::OpenError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// A file named on the command line.
    #[error("{} cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    /// A catalog with mistakes, one a line.
    #[error("the catalog has mistakes:\n{0}")]
    Catalog(String),
    /// What `check` found: its report, for stdout.
    #[error("{0}")]
    Found(String),
    /// A product that is not in the catalog.
    #[error("{} has no product {product:?}; it has {known}", path.display())]
    NoProduct { path: PathBuf, product: String, known: String },
    /// A bill past every bound.
    #[error(transparent)]
    Quote(#[from] QuoteError),
    /// A sum past every bound.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// No token to ask with.
    #[error(
        "no operator token at {} ({error}): name the data directory of `tollgate serve` with \
         --data, or set TOLLGATE_OPERATOR_TOKEN", path.display()
    )]
    NoToken { path: PathBuf, error: io::Error },
    /// A token that cannot stand in a header.
    #[error("the operator token of {0} is not one line of visible ASCII")]
    BadToken(String),
    /// No host, or it refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A ledger's directory.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No random bytes.
    #[error("the system gives no random bytes to make secrets from: {0}")]
    Chance(io::Error),
    /// No plugin.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// An Envoy that was to be stopped.
    #[error(transparent)]
    Drain(#[from] DrainError),
    /// `--geoip` names no database of addresses.
    #[error(transparent)]
    Geoip(#[from] GeoipError),
    /// The service.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Another form of what has one of its own.
    #[error("an Envoy configuration is YAML: leave out `--output`")]
    NotJson,
    /// CSV of what is no list.
    #[error("this answer is no list: leave out `--output csv`")]
    NotCsv,
    /// Keys that cannot be read; nothing of them is told.
    #[error("the keys cannot be read from {from}: {problem}")]
    Keys { from: String, problem: String },
    /// An answer that JSON cannot hold.
    #[error("the answer cannot be written as JSON: {0}")]
    Json(serde_json::Error),
}
