//! Options of the commands that ask a running `tollgate serve`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::client::{self, Client, HostUrl};
use crate::store::OPERATOR_TOKEN_FILE;

/// Overrides the file in the data directory, for an operator on another machine.
const TOKEN_VARIABLE: &str = "TOLLGATE_OPERATOR_TOKEN";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which host")]
pub(super) struct Remote {
    /// Where `tollgate serve` answers
    #[arg(
        long,
        global = true,
        env = "TOLLGATE_HOST",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8430",
        value_name = "URL"
    )]
    host: HostUrl,
    /// Its data directory with the operator's token; `TOLLGATE_OPERATOR_TOKEN` goes first
    #[arg(long, global = true, default_value = "tollgate-data", value_name = "DIR")]
    data: PathBuf,
}

impl Remote {
    pub(super) fn client(&self) -> Result<Client, Error> {
        let token = self.token(std::env::var_os(TOKEN_VARIABLE))?;
        Ok(Client::new(self.host.clone(), token))
    }

    /// The data directory.
    pub(super) fn data(&self) -> &Path {
        &self.data
    }

    /// Whether the host would be on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.host.is_loopback()
    }

    /// The variable's, or what is in the file.
    fn token(&self, variable: Option<OsString>) -> Result<String, Error> {
        let variable = variable.map(|token| token.to_string_lossy().into_owned());
        // Set to nothing is how some launchers write unset.
        let variable = variable.filter(|token| !token.trim().is_empty());
        let (token, source) = if let Some(token) = variable {
            (token, TOKEN_VARIABLE.to_owned())
        } else {
            let path = self.data.join(OPERATOR_TOKEN_FILE);
            match std::fs::read_to_string(&path) {
                Ok(token) => (token, path.display().to_string()),
                Err(error) => {
                    // Most often nothing was started yet; then that is what to say.
                    client::probe(&self.host)?;
                    return Err(Error::NoToken { path, error });
                }
            }
        };
        let token = token.trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::BadToken(source));
        }
        Ok(token.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_goes_first_unless_it_is_empty() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(OPERATOR_TOKEN_FILE), "tgo_file\n").unwrap();
        let host = "http://127.0.0.1:8430".parse().unwrap();
        let remote = Remote { host, data: data.path().to_owned() };
        let token = |variable: Option<&str>| {
            let token = remote.token(variable.map(OsString::from));
            token.unwrap_or_else(|error| error.to_string())
        };
        let bad = "the operator token of TOLLGATE_OPERATOR_TOKEN is not one line of visible ASCII";
        for (variable, expected) in [
            (None, "tgo_file"),
            (Some(""), "tgo_file"),
            (Some(" \n"), "tgo_file"),
            (Some("tgo_variable\n"), "tgo_variable"),
            (Some("tgo_a tgo_b"), bad),
            (Some("tgo_\u{fffd}"), bad),
        ] {
            assert_eq!(token(variable), expected, "{variable:?}");
        }
    }
}
