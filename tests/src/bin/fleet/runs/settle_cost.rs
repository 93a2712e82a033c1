//! What a call costs a gateway's workers, with and without its settlement: told, and not judged.
//!
//! Settling is a second compare-and-swap at the call's end. It is left out by a build with faults,
//! and what that build itself makes slower is told too. The three gateways take turns in rounds,
//! so that what else the machine does falls on all of them; only differences within a round count.
//! Envoy answers by itself: what an API's answer costs it would be most of the noise.

use std::fs;
use std::time::Duration;

use tollgate_tests::signals;

use super::quota::to_u64;
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Load};
use crate::report::Report;
use crate::stage::{Filter, Gateway, Stage, Subscription};

pub(super) const CATALOG: &str = "
currency: USD
apis: [{ id: weather, path: /weather }]
products: [{ id: unlimited, apis: [weather], price: free }]
";
const ROUNDS: usize = 151;
const ROUNDS_QUICK: usize = 25;
/// Of load on one gateway: short, so that a round has the same of everything.
const TURN: Duration = Duration::from_millis(200);
const CONNECTIONS: u32 = 32;
/// The first gateway has the filter with faults, and is told to make none.
const FAULTLESS: usize = 0;
/// Envoy's threads that carry calls.
const WORKER: &str = "wrk:worker";

pub(super) fn play(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let released = stage.add_gateway("released", Filter::Released)?;
    let unsettled = stage.add_gateway("unsettled", Filter::Faulty("no_settle"))?;
    let owner = stage.subscribe("unlimited")?;
    let gateways = [released, FAULTLESS, unsettled];
    for gateway in gateways {
        turn(stage, gateway, &owner)?;
    }
    let (mut settling, mut build, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..if how.quick { ROUNDS_QUICK } else { ROUNDS } {
        let mut cost = [0.0; 3];
        // Whoever comes first in a round does not in the next.
        for step in 0..gateways.len() {
            let place = (round + step) % gateways.len();
            if let (Some(gateway), Some(cost)) = (gateways.get(place), cost.get_mut(place)) {
                *cost = turn(stage, *gateway, &owner)?;
            }
        }
        let [released, faultless, unsettled] = cost;
        whole.push(released);
        build.push(faultless - released);
        settling.push(faultless - unsettled);
    }
    report.tell("workers' CPU a call, with the released filter", show(whole));
    report.tell("what the build with faults adds by itself", show(build));
    report.tell("what settling costs a call", show(settling));
    Ok(())
}

/// Microseconds of CPU that a gateway's workers took for each of the calls of a turn.
fn turn(stage: &Stage, gateway: usize, owner: &Subscription) -> Result<f64, Failure> {
    let callers = [stage.callers(gateway, owner, CONNECTIONS, Duration::ZERO)?];
    let nobody = || Failure::Unexpected("no such gateway".to_owned());
    let gateway = stage.gateways.get(gateway).ok_or_else(nobody)?;
    let before = workers_ns(gateway)?;
    let load = Load::start(&callers)?;
    signals::pause(TURN)?;
    let calls = load.stop();
    let took = workers_ns(gateway)?.saturating_sub(before);
    let answered = calls.iter().filter(|call| call.answer == Answer::Envoy(200)).count();
    if answered == 0 || answered < calls.len() {
        let found = format!("{answered} of {} calls were answered", calls.len());
        return Err(Failure::Unexpected(found));
    }
    Ok(lossy(took) / 1_000.0 / lossy(to_u64(answered)))
}

/// Nanoseconds that the workers of a gateway have run so far.
fn workers_ns(gateway: &Gateway) -> Result<u64, Failure> {
    let tasks = format!("/proc/{}/task", gateway.envoy.id());
    let failed = || Failure::io("read how long Envoy's threads have run");
    let mut sum = 0;
    for task in fs::read_dir(tasks).map_err(failed())? {
        let task = task.map_err(failed())?.path();
        let name = fs::read_to_string(task.join("comm")).map_err(failed())?;
        if name.starts_with(WORKER) {
            let stat = fs::read_to_string(task.join("schedstat")).map_err(failed())?;
            let ran = stat.split_whitespace().next().and_then(|it| it.parse::<u64>().ok());
            let strange = || Failure::Unexpected(format!("schedstat says {stat:?}"));
            sum += ran.ok_or_else(strange)?;
        }
    }
    Ok(sum)
}

/// The median, and between what it is with a probability of 95 % (by the ranks of a sign test).
fn show(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let rounds = values.len();
    let at = |rank: usize| values.get(rank).copied().unwrap_or(f64::NAN);
    let spread = rounds.isqrt().min(rounds.saturating_sub(1) / 2);
    let (median, last) = (rounds / 2, rounds.saturating_sub(1));
    let (from, to) = (at(median - spread), at((median + spread).min(last)));
    format!("{:.2} µs ({from:.2} to {to:.2}, {rounds} rounds)", at(median))
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53, and a measurement")]
fn lossy(count: u64) -> f64 {
    count as f64
}
