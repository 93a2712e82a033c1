//! The ledger's disk takes no more, or nothing at all: what is acknowledged is stored all the same.
//!
//! No small file system can be mounted without rights, so the host's files may not grow: what it
//! writes past the bound fails, as on a full disk, and with a bound of nothing as on a read-only
//! one. It is killed while nothing is stored: what it had acknowledged would be lost now.

use tollgate_tests::signals;

use super::{WARM_UP, check_unnoticed, under_load};
use crate::How;
use crate::books;
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

/// The journal's first pages still fit.
const FULL_BYTES: u64 = 64 * 1024;
const READ_ONLY_BYTES: u64 = 0;
const SECONDS: u64 = 3;

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let load = Load::start(&cast.callers(stage)?)?;
    signals::pause(WARM_UP)?;
    for (what, bytes) in [("full", FULL_BYTES), ("read-only", READ_ONLY_BYTES)] {
        limit(stage, Some(bytes))?;
        under_load(SECONDS)?;
        let refused = stage.host.run(&["gateways", "add", what]).err();
        let refused = refused.map(|it| it.to_string());
        let told = refused.as_deref().and_then(|it| it.lines().next()).unwrap_or("it is stored");
        report.check(
            format!("{what}: what an operator adds"),
            "is refused",
            told,
            // By a host that goes on and knows why.
            told.contains("database is not available"),
        );
        if bytes == READ_ONLY_BYTES {
            stage.host.process().kill();
            stage.restart_host()?;
        } else {
            limit(stage, None)?;
        }
        under_load(SECONDS)?;
        let before = total(stage, &cast)?;
        under_load(SECONDS)?;
        let after = total(stage, &cast)?;
        report.check(
            format!("{what}: with room again, calls come into the ledger by themselves"),
            "> 0",
            (after - before).to_string(),
            after > before,
        );
    }
    let calls = load.stop();
    check_unnoticed(&calls, report);
    cast.check_exact(stage, &calls, report)
}

fn limit(stage: &mut Stage, bytes: Option<u64>) -> Result<(), Failure> {
    stage.host.process().limit_files(bytes).map_err(Failure::io("limit the host's files"))
}

fn total(stage: &Stage, cast: &Cast) -> Result<u64, Failure> {
    let admitted = |owner| Ok(books::ledger(stage, owner)?.admitted);
    cast.owners().map(|(_, owner)| admitted(owner)).sum()
}
