//! What can end the demo early, each in one sentence.

use std::io;

use tollgate_tests::build::BuildError;
use tollgate_tests::client::CallError;
use tollgate_tests::envoy::FindError;
use tollgate_tests::host::HostError;
use tollgate_tests::process::ProcessError;
use tollgate_tests::signals::Interrupted;

/// Why the demo ended early.
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
    #[error("Envoy has ended by itself; the end of its log:\n{0}")]
    EnvoyEnded(String),
    #[error("{} of the checks failed: {}", .0.len(), .0.join("; "))]
    Checks(Vec<String>),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Failure {
    /// For `map_err`: what could not be done.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |cause| Self::Io { what, cause }
    }
}
