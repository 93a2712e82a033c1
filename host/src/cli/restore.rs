//! `tollgate restore`: puts a copy of a ledger in its place.

use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use tollgate_pricing::id::{BootId, LedgerId};

use super::backup::birth;
use super::error::Error;
use super::output::{Output, or_dash, time};
use crate::clock;
use crate::core::restore::Restored;
use crate::store::{DATABASE_FILE, Store};

/// Put a copy of the ledger in its place
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate restore /backups/ledger-2026-11-22.db --data tollgate-data

The directory needs the ledger's own file `secret`. What was sold since the copy was made is not in
it: gateways that live report again what they counted. Until they have, nothing is granted of quota
periods that had begun; `tollgate gateways release` ends that wait. A file that is just copied into
the directory does not wait, so do not.")]
pub(super) struct Args {
    /// What `tollgate backup` wrote
    file: PathBuf,
    /// The ledger's directory, with its `secret`
    #[arg(long, value_name = "DIR", default_value = "tollgate-data")]
    data: PathBuf,
    /// Move a ledger that is there aside
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Answer {
    ledger: LedgerId,
    epoch: u32,
    last_sight: Option<Timestamp>,
    awaited: Vec<BootId>,
    moved_aside: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let now = clock::now();
    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let aside = args.data.join(format!("{DATABASE_FILE}.before-{stamp}"));
    let was_there = args.data.join(DATABASE_FILE).exists();
    let aside = args.force.then_some(aside);
    let restored = Store::restore(&args.file, &args.data, aside.as_deref(), birth()?, now)?;
    let Restored { ledger, epoch, last_sight, awaited } = restored;
    let moved_aside = aside.filter(|_| was_there);
    output.print(&Answer { ledger, epoch, last_sight, awaited, moved_aside }, text)
}

fn text(answer: &Answer) -> String {
    let mut text = format!(
        "Ledger {} is restored as of {}, epoch {}.\n",
        answer.ledger,
        or_dash(answer.last_sight.map(time)),
        answer.epoch
    );
    if let Some(aside) = &answer.moved_aside {
        let _ = writeln!(text, "The ledger that was there is now {}.", aside.display());
    }
    let awaited = match answer.awaited.len() {
        0 => String::new(),
        1 => "the process that lived then has reported, and ".to_owned(),
        more => format!("the {more} processes that lived then have reported, and "),
    };
    let _ = write!(
        text,
        "\nNow start `tollgate serve`. Nothing is granted of what had begun until\n{awaited}a minute \
         has passed; `tollgate gateways release` ends that.\n"
    );
    text
}
