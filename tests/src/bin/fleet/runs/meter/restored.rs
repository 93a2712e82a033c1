//! A backup is put back: what was sold since is not in it, and every process that lives says it
//! again.

use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::super::tally;
use super::{WARM_UP, under_load};
use crate::How;
use crate::books::{self, Health};
use crate::cast::Cast;
use crate::failure::Failure;
use crate::load::{Answer, Load};
use crate::report::Report;
use crate::stage::Stage;

/// Without the one billed by the minute: what was acknowledged of a period that is over is no
/// longer with its process.
const LONG: [&str; 3] = ["hard", "soft", "unlimited"];
const SECONDS: u64 = 4;

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &LONG)?;
    let load = Load::start(&cast.callers(stage)?)?;
    signals::pause(WARM_UP)?;
    let copy = stage.directory.join("yesterday.db");
    let copy = copy.to_string_lossy();
    stage.host.run(&["backup", &copy])?;
    let mut then = Vec::new();
    for (_, owner) in cast.owners() {
        then.push(books::ledger(stage, owner)?.admitted);
    }
    under_load(SECONDS)?;
    stage.host.process().kill();
    let data = stage.data();
    stage.host.run(&["restore", &copy, "--data", &data.to_string_lossy(), "--force"])?;
    stage.restart_host()?;
    under_load(SECONDS)?;
    let calls = load.stop();
    for ((product, owner), then) in cast.owners().zip(then) {
        let lost = books::upstream(stage, owner).admitted - then;
        report.tell(format!("{product}: calls that were not in the backup"), lost.to_string());
    }
    // A restored ledger grants nothing for a minute: a lease may end before.
    let known = [Reason::QuotaExceeded, Reason::HostUnavailable];
    let other = calls.iter().filter(|call| match call.answer {
        Answer::Api(_) => false,
        Answer::Gate(_, reason) => !known.contains(&reason),
        Answer::Envoy(_) | Answer::Nobody => true,
    });
    report.none("answers by neither the API nor a lease that ended", &tally(other));
    cast.check_counts(stage, &calls, report)?;
    let Health { conflicts, missing_batches } = books::health(stage)?;
    report.equal("reports that contradict the ledger", 0, conflicts);
    // Detail that was acknowledged is gone from where it was made. It is missed, not guessed.
    report.at_least("batches of rows shown as missing", 1, missing_batches);
    Ok(())
}
