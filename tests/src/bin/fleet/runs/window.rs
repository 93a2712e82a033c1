//! A rate under continuous load: never over in any window, and nearly all of it used.

use std::time::Duration;

use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::quota::to_u64;
use super::{CONNECTIONS, tally};
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Callers, Load};
use crate::report::Report;
use crate::stage::{GATEWAYS, Stage, Subscription};
use crate::time::{self, Ns};
use crate::window::{Reached, most_arrived, most_certain, time_for};

pub(super) const FLEET: &str = "
currency: USD
apis:
  - id: weather
    path: /weather
    operations:
      - { id: now, path: /now }
      - { id: probe, path: /probe, open: true }
products:
  - id: a-thousand
    apis: [weather]
    price: free
    limits: [{ id: window, rate: { calls: 1000, period: 10s }, scope: fleet }]
";
pub(super) const GATEWAY: &str = "
currency: USD
apis:
  - id: weather
    path: /weather
    operations:
      - { id: now, path: /now }
      - { id: probe, path: /probe, open: true }
products:
  - id: a-thousand
    apis: [weather]
    price: free
    limits: [{ id: window, rate: { calls: 1000, period: 10s }, scope: gateway }]
";
const WINDOW: Duration = Duration::from_secs(10);
const CALLS: u64 = 1_000;
/// Thousands of calls a second over both gateways, many times what the windows let through; not as
/// many as possible, because the callers must not be what is measured.
const EVERY: Duration = Duration::from_millis(40);
/// Calls of an open operation, which wait for nobody: how long the way to the API takes.
const PROBE: &str = "/weather/probe";
const PROBE_EVERY: Duration = Duration::from_millis(10);

pub(super) fn fleet(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let played = play(stage, how)?;
    let reached = stage.reached(&played.calls);
    never_over("over both gateways", &reached, &played, report);
    used("over both gateways", &reached, &played, 900, report);
    played.tell(report);
    Ok(())
}

pub(super) fn gateway(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let played = play(stage, how)?;
    for (place, name) in GATEWAYS.iter().enumerate() {
        let its = played.calls.iter().filter(|call| call.gateway == place);
        let reached = stage.reached(its);
        never_over(name, &reached, &played, report);
        used(name, &reached, &played, 980, report);
    }
    played.tell(report);
    Ok(())
}

/// What came of a load.
struct Played {
    /// Without the probes.
    calls: Vec<Call>,
    /// The longest way of a call that nothing holds up, from its caller to the API.
    transit: Ns,
    begun: Ns,
    /// Whole windows, one after the other.
    windows: u32,
}

fn play(stage: &Stage, how: How) -> Result<Played, Failure> {
    let owner = stage.subscribe("a-thousand")?;
    let windows = if how.quick { 3 } else { 6 };
    let mut callers = stage.callers_everywhere(&owner, CONNECTIONS, EVERY)?;
    let load = callers.len();
    callers.extend(probes(stage, &owner)?);
    let begun = time::now();
    let running = Load::start(&callers)?;
    signals::pause(WINDOW * windows)?;
    let (calls, probes): (Vec<Call>, Vec<Call>) =
        running.stop().into_iter().partition(|call| call.callers < load);
    let ways = stage.reached(&probes);
    let transit = ways.iter().map(|way| way.arrived - way.sent).max().unwrap_or(0);
    if ways.len() != probes.len() || ways.is_empty() {
        let (came, sent) = (ways.len(), probes.len());
        return Err(Failure::Unexpected(format!("{came} of {sent} open calls reached the API")));
    }
    Ok(Played { calls, transit, begun, windows })
}

fn probes(stage: &Stage, owner: &Subscription) -> Result<Vec<Callers>, Failure> {
    let mut probes = stage.callers_everywhere(owner, 1, PROBE_EVERY)?;
    for probe in &mut probes {
        probe.path = PROBE;
        "probe".clone_into(&mut probe.label);
    }
    Ok(probes)
}

/// Never more than the limit in a window: certainly not, and not by arrival either.
///
/// The second is strict but for the way to the API: calls admitted within a window may arrive up to
/// `transit` closer together. So it is counted in windows that much shorter.
fn never_over(whose: &str, reached: &[Reached], played: &Played, report: &mut Report) {
    let window = time::span(WINDOW);
    let certain = most_certain(reached, window);
    report.at_most(format!("{whose}: most calls certainly in one 10 s window"), CALLS, certain);
    let arrived = most_arrived(reached, window.saturating_sub(played.transit));
    let what = format!("{whose}: most arrived in 10 s less {}", time::show(played.transit));
    report.at_most(what, CALLS, arrived);
    let arrived = most_arrived(reached, window).to_string();
    report.tell(format!("{whose}: most arrived in 10 s"), arrived);
}

/// At least so many thousandths of what the window allows, counted and by the pace of the calls.
fn used(whose: &str, reached: &[Reached], played: &Played, must: u64, report: &mut Report) {
    let percent = |it: u64| format!("{}.{} %", it / 10, it % 10);
    let mut check = |what: String, found: Option<u64>| {
        let shown = found.map_or_else(|| "unknown".to_owned(), percent);
        let holds = found.is_some_and(|it| it >= must);
        report.check(what, format!(">= {}", percent(must)), shown, holds);
    };
    let end = played.begun + time::span(WINDOW * played.windows);
    let within = to_u64(reached.iter().filter(|call| call.arrived < end).count());
    let allowed = CALLS * u64::from(played.windows);
    let what = format!("{whose}: used of {allowed} in {} windows", played.windows);
    check(what, (within * 1_000).checked_div(allowed));

    let calls = usize::try_from(CALLS).unwrap_or(usize::MAX);
    let needed = time_for(reached, calls);
    let shown = needed.map_or_else(|| "more than all".to_owned(), time::show);
    let pace = needed.and_then(|it| (time::span(WINDOW) * 1_000).checked_div(it));
    check(format!("{whose}: used by the pace of the calls, {CALLS} in {shown}"), pace);
}

impl Played {
    fn tell(&self, report: &mut Report) {
        let known = |call: &&Call| {
            matches!(call.answer, Answer::Api(200) | Answer::Gate(_, Reason::RateLimited))
        };
        let other = self.calls.iter().filter(|call| !known(call));
        report.none("answers that are neither 200 nor rate_limited", &tally(other));
        report.tell("answers", tally(&self.calls));
        let admitted = self.calls.iter().filter(|call| call.answer == Answer::Api(200));
        let longest = admitted.map(|call| call.answered - call.sent).max().unwrap_or(0);
        report.tell("the longest that a call took which was admitted", time::show(longest));
    }
}
