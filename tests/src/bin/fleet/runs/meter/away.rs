//! The host is away for a minute under load, and one gateway does not live to see it come back:
//! it ends without a drain, and what it had to say is in its log.

use std::time::Duration;

use tollgate_tests::signals;

use super::super::quota::to_u64;
use super::killed::{SHOWN_WITHIN, unaccounted};
use super::{WARM_UP, check_unnoticed};
use crate::How;
use crate::books::{self, Counts};
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::Load;
use crate::report::Report;
use crate::stage::{Stage, wait_until};

const AWAY: Duration = Duration::from_mins(1);
/// A gateway writes into its log what was not acknowledged for 30 s.
const AWAY_QUICK: Duration = Duration::from_secs(36);
/// The gateway that ends, and the one that lives.
const ENDS: usize = 0;
const LIVES: usize = 1;

pub(super) fn play(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let ends = Load::start(&cast.callers_at(stage, ENDS)?)?;
    let lives = Load::start(&cast.callers_at(stage, LIVES)?)?;
    signals::pause(WARM_UP)?;
    stage.host.process().kill();
    signals::pause(if how.quick { AWAY_QUICK } else { AWAY })?;
    // Its callers go first: whether a call that is cut off on its way has reached the API, nobody
    // could tell.
    let mut calls = ends.stop();
    let log = stop_gateway(stage, ENDS)?;
    stage.restart_host()?;
    signals::pause(WARM_UP)?;
    calls.extend(lives.stop());
    check_unnoticed(&calls, report);
    let unknown = unknown_to_ledger(stage, &cast)?;
    report.at_least("calls that only the log of the one that ended knows", 1, unknown);

    if !how.quick {
        // It is, after a minute of silence.
        wait_until("a process to be missed", SHOWN_WITHIN, || Ok(unaccounted(stage)? > 0))?;
    }
    let first = stage.host.run(&["ingest-spill", &log])?;
    report.tell("`tollgate ingest-spill LOG` says", first.lines().next().unwrap_or_default());
    cast.check_exact(stage, &calls, report)?;
    let silent = to_u64(unaccounted(stage)?);
    report.equal("processes not accounted for, once the log was read", 0, silent);
    stage.host.run(&["ingest-spill", &log])?;
    for (product, owner) in cast.owners() {
        let (api, ledger) = (books::upstream(stage, owner), books::ledger(stage, owner)?);
        let what = format!("{product}: the ledger after the same log again");
        report.check(what, api.show(), ledger.show(), api == ledger);
    }
    Ok(())
}

/// Ends it by SIGTERM: its log's path.
fn stop_gateway(stage: &mut Stage, gateway: usize) -> Result<String, Failure> {
    let nobody = || Failure::Unexpected("no such gateway".to_owned());
    let gateway = stage.gateways.get_mut(gateway).ok_or_else(nobody)?;
    gateway.envoy.process().stop();
    Ok(gateway.log())
}

/// How many calls the ledger lacks once everybody who lives has reported.
fn unknown_to_ledger(stage: &Stage, cast: &Cast) -> Result<u64, Failure> {
    let sum = || -> Result<(u64, u64), Failure> {
        let mut sum = (0, 0);
        for (_, owner) in cast.owners() {
            let Counts { admitted, .. } = books::ledger(stage, owner)?;
            sum = (sum.0 + admitted, sum.1 + books::upstream(stage, owner).admitted);
        }
        Ok(sum)
    };
    // Nothing new for two seconds, and more than a tick.
    let mut last = sum()?;
    loop {
        signals::pause(Duration::from_secs(2))?;
        let now = sum()?;
        if now == last {
            return Ok(now.1.saturating_sub(now.0));
        }
        last = now;
    }
}
