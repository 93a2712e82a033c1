//! `tollgate backup`: a copy of the ledger, from a host that serves or from its directory.

use std::path::{self, PathBuf};

use super::error::Error;
use super::output::Output;
use super::remote::Remote;
use crate::client::ClientError;
use crate::clock;
use crate::serve::body::Backup;
use crate::store::{Birth, DATABASE_FILE, OpenError, Store};

/// Copy the ledger into a new file, while it is served or not
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate backup /backups/ledger-$(date +%F).db

The copy is whole and of one moment. A host that serves makes it between two answers, on its own
machine, and answers nobody meanwhile. It holds what was used and billed, and no secret: keep the
file `secret` of the data directory with it, apart. The sandbox's `sandbox.db` is not in it.")]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
    /// Where to; nothing is overwritten
    file: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let file = path::absolute(&args.file)
        .map_err(|error| Error::Read { path: args.file.clone(), error })?;
    let body = Backup { file };
    match args.remote.client().and_then(|client| Ok(client.post("/v1/backup", &body)?)) {
        Ok(Backup { .. }) => {}
        // Nobody serves: the ledger is ours to open.
        Err(Error::Client(ClientError::Unreachable { .. })) if args.remote.is_here() => {
            let directory = args.remote.data();
            if !directory.join(DATABASE_FILE).exists() {
                return Err(OpenError::LedgerMissing(directory.to_owned()).into());
            }
            Store::open(directory, birth()?)?.backup(&body.file)?;
        }
        Err(error) => return Err(error),
    }
    output.print(&body, |body| format!("Copied to {}\n", body.file.display()))
}

/// Chance for a ledger that has everything already, but perhaps its operator's token.
pub(super) fn birth() -> Result<Birth, Error> {
    Ok(Birth {
        ledger: clock::random().map_err(Error::Chance)?,
        secret: clock::random().map_err(Error::Chance)?,
        operator: clock::random().map_err(Error::Chance)?,
    })
}
