//! A running `tollgate serve`, and the command line against it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use serde::de::DeserializeOwned;

use crate::process::{Process, ProcessError};

/// What `serve` says first when it is ready.
const READY: &str = "tollgate serves on http://";
/// Where `serve` leaves the operator's token, in its data directory.
pub const OPERATOR_TOKEN_FILE: &str = "operator.token";
const START_WITHIN: Duration = Duration::from_secs(15);

/// What went wrong with the host or a command.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The program `serve`.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// It serves, but left no token for its operator.
    #[error("tollgate serves but its file {OPERATOR_TOKEN_FILE} cannot be read: {0}")]
    Token(io::Error),
    /// A command could not be run.
    #[error("cannot run tollgate: {0}")]
    Run(io::Error),
    /// A command was refused.
    #[error("`tollgate {command}` says: {said}")]
    Refused {
        /// Its arguments.
        command: String,
        /// Its standard error.
        said: String,
    },
    /// A command answered something else than expected.
    #[error("`tollgate {command}` answered other JSON than expected ({cause}): {said}")]
    OtherJson {
        /// Its arguments.
        command: String,
        /// What does not fit.
        cause: serde_json::Error,
        /// Its standard output.
        said: String,
    },
}

/// A running host. Dropping it stops it.
#[derive(Debug)]
pub struct Host {
    process: Process,
    program: PathBuf,
    operator_token: String,
    address: SocketAddr,
}

impl Host {
    /// Starts `tollgate serve` and waits until it is ready.
    ///
    /// Port 0 in `listen` means a free one. `data` is the ledger's directory; the log is written
    /// beside it, to `host.log` in `directory`.
    pub fn start(
        program: &Path,
        catalog: &Path,
        data: &Path,
        listen: SocketAddr,
        directory: &Path,
    ) -> Result<Self, HostError> {
        let mut process = Process::spawn(
            "tollgate",
            Command::new(program)
                .arg("serve")
                .arg("--catalog")
                .arg(catalog)
                .arg("--data")
                .arg(data)
                .arg("--listen")
                .arg(listen.to_string()),
            &directory.join("host.log"),
        )?;
        let address = process.wait_for_line("say where it serves", START_WITHIN, |line| {
            line.strip_prefix(READY)?.trim().parse().ok()
        })?;
        let operator_token = fs::read_to_string(data.join(OPERATOR_TOKEN_FILE))
            .map_err(HostError::Token)?
            .trim()
            .to_owned();
        Ok(Self { process, program: program.to_owned(), operator_token, address })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The program, to stop it or to look at its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Runs a command against it: its answer, read from JSON.
    pub fn ask<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T, HostError> {
        let said = self.run(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&said).map_err(|cause| HostError::OtherJson {
            command: args.join(" "),
            cause,
            said,
        })
    }

    /// Runs a command against it: what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String, HostError> {
        let output = Command::new(&self.program)
            .args(args)
            .env("TOLLGATE_HOST", format!("http://{}", self.address))
            .env("TOLLGATE_OPERATOR_TOKEN", &self.operator_token)
            .stdin(Stdio::null())
            .output()
            .map_err(HostError::Run)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(HostError::Refused {
            command: args.join(" "),
            said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}
