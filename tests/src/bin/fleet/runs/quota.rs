//! A quota over two gateways: exact, and nobody refused for long while units are left.

use std::time::Duration;

use serde::Deserialize;
use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::{CONNECTIONS, tally};
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Load};
use crate::report::Report;
use crate::stage::{Stage, Subscription, wait_until};
use crate::time::{self, Ns};
use crate::window::{Reached, longest_gap};

pub(super) const QUOTA: u64 = 10_000;
pub(super) const CATALOG: &str = "
currency: USD
apis: [{ id: weather, path: /weather }]
products:
  - id: ten-thousand
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 10000, period: 30d } }]
";
pub(super) const PRODUCT: &str = "ten-thousand";
/// Nothing was admitted for so long: nothing is left, or whoever holds it keeps it too long.
const QUIET: Duration = Duration::from_secs(4);
const USED_UP_WITHIN: Duration = Duration::from_mins(2);
/// While a live gateway holds units, none is refused for longer.
const REFUSED_FOR: Duration = Duration::from_secs(2);
const REPORTED_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn together(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let owner = stage.subscribe(PRODUCT)?;
    let callers = stage.callers_everywhere(&owner, CONNECTIONS, Duration::ZERO)?;
    let load = Load::start(&callers)?;
    wait_until_used_up(&load)?;
    let calls = load.stop();
    check_exact(stage, &owner, &calls, QUOTA, report)?;
    check_refusals(stage, &calls, report);
    for (place, gateway) in stage.gateways.iter().enumerate() {
        let its = calls.iter().filter(|call| call.gateway == place);
        report.tell(format!("answers at {}", gateway.name), tally(its));
    }
    Ok(())
}

pub(super) fn one_sided(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    /// Enough for the idle gateway to be trusted with more than it will ever use.
    const FIRST: u64 = 500;
    let owner = stage.subscribe(PRODUCT)?;
    let idle = Load::start(&[stage.callers(0, &owner, CONNECTIONS, Duration::ZERO)?])?;
    wait_until(
        "the first gateway's calls",
        USED_UP_WITHIN,
        || Ok(idle.answered_by_api() >= FIRST),
    )?;
    let first = idle.stop();
    report.tell("used by the gateway that is idle then", tally(&first));
    // Demand is measured over time: what it wants next must be the idleness of now.
    signals::pause(Duration::from_secs(3))?;

    let busy = Load::start(&[stage.callers(1, &owner, CONNECTIONS, Duration::ZERO)?])?;
    wait_until_used_up(&busy)?;
    let second = busy.stop();
    check_refusals(stage, &second, report);
    let calls = [first, second].concat();
    check_exact(stage, &owner, &calls, QUOTA, report)
}

/// Lets the callers go on until nothing was admitted for a while, and something was refused.
pub(super) fn wait_until_used_up(load: &Load) -> Result<(), Failure> {
    wait_until("the end of the quota", USED_UP_WITHIN, || {
        let quiet = load.quiet_for().is_some_and(|it| it >= QUIET);
        Ok(quiet && load.not_by_api() > 0)
    })
}

fn check_exact(
    stage: &Stage,
    owner: &Subscription,
    calls: &[Call],
    quota: u64,
    report: &mut Report,
) -> Result<(), Failure> {
    report.equal("calls that reached the API", quota, stage.counted(owner));
    let answered = calls.iter().filter(|call| call.answer == Answer::Api(200)).count();
    report.equal("calls that the callers saw answered", quota, to_u64(answered));
    let mut ledger = 0;
    let reported = wait_until("the report of all calls", REPORTED_WITHIN, || {
        ledger = billable(stage, owner)?;
        Ok(ledger == quota)
    });
    if let Err(failure @ (Failure::Host(_) | Failure::Interrupted(_))) = reported {
        return Err(failure);
    }
    report.equal("billable calls in the ledger", quota, ledger);
    Ok(())
}

/// How long calls were refused while others still were admitted, and for which reasons.
fn check_refusals(stage: &Stage, calls: &[Call], report: &mut Report) {
    let reached = stage.reached(calls);
    let last_admitted = reached.iter().map(|call| call.arrived).max().unwrap_or(0);
    let is_refusal = |call: &&Call| matches!(call.answer, Answer::Gate(..) | Answer::Envoy(_));
    let first_refused = calls.iter().filter(is_refusal).map(|call| call.answered).min();
    let refused_for = first_refused.map_or(0, |first| last_admitted.saturating_sub(first));
    report.check(
        "from the first refusal to the last call admitted",
        format!("<= {}", time::show(time::span(REFUSED_FOR))),
        time::show(refused_for),
        refused_for <= time::span(REFUSED_FOR),
    );
    check_droughts(&reached, report);
    let known = |call: &&Call| {
        matches!(call.answer, Answer::Api(200) | Answer::Gate(_, Reason::QuotaExceeded))
    };
    let other = calls.iter().filter(|call| !known(call));
    report.none("answers that are neither 200 nor quota_exceeded", &tally(other));
    let waited = calls.iter().filter(|call| call.answer == Answer::Api(200));
    let waited: Option<Ns> = waited.map(|call| call.answered - call.sent).max();
    report.tell("the longest that a call took which was admitted", time::show(waited.unwrap_or(0)));
}

fn check_droughts(reached: &[Reached], report: &mut Report) {
    let gap = longest_gap(reached);
    let bound = time::span(REFUSED_FOR);
    let must = format!("<= {}", time::show(bound));
    report.check(
        "the longest time without a call admitted, before the last",
        must,
        time::show(gap),
        gap <= bound,
    );
    let times = || reached.iter().map(|call| call.arrived);
    let (Some(first), Some(last)) = (times().min(), times().max()) else {
        return;
    };
    let all = to_u64(reached.len());
    let per_second = (all * 1_000).checked_div((last - first) / 1_000_000).unwrap_or(0);
    report.tell("calls admitted per second", per_second.to_string());
}

/// What the ledger bills.
pub(super) fn billable(stage: &Stage, owner: &Subscription) -> Result<u64, Failure> {
    #[derive(Deserialize)]
    struct Usage {
        periods: Vec<Period>,
    }
    #[derive(Deserialize)]
    struct Period {
        billable: u64,
    }
    let usage: Usage = stage.host.ask(&["usage", &owner.id])?;
    Ok(usage.periods.iter().map(|period| period.billable).sum())
}

pub(super) fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
