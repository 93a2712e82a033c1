//! What can end a run early, each in one sentence.

use std::io;

use tollgate_tests::build::BuildError;
use tollgate_tests::client::CallError;
use tollgate_tests::envoy::FindError;
use tollgate_tests::host::HostError;
use tollgate_tests::process::ProcessError;
use tollgate_tests::signals::Interrupted;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    NoEnvoy(#[from] FindError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("cannot {what}: {cause}")]
    Io { what: &'static str, cause: io::Error },
    #[error("{what} did not happen within {seconds} s")]
    TooLate { what: &'static str, seconds: u64 },
    #[error("{0}")]
    Unexpected(String),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Failure {
    /// For `map_err`: what could not be done.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Io { what, cause }
    }
}
