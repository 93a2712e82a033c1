//! Both gateways are killed under load, one with the host up and one with it down: what they had
//! not said is lost, and shown, as a number where a lease bounds it, else as a span of time.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tollgate_tests::signals;

use super::super::quota::to_u64;
use super::under_load;
use crate::How;
use crate::books::{self, Counts};
use crate::cast::{Cast, calls_of};
use crate::failure::Failure;
use crate::load::{Call, Load};
use crate::report::Report;
use crate::stage::{Filter, GATEWAYS, Stage, Subscription, wait_until};
use crate::time;

/// Of these only the first has a lease that every call needs.
const PRODUCTS: [&str; 3] = ["hard", "soft", "unlimited"];
/// There is a number only for a subscription that the process has known for some sweeps.
const STEADY: Duration = Duration::from_secs(15);
/// What the second gateway cannot say.
const DOWN_SECONDS: u64 = 5;
/// A process is taken for gone after a minute of silence.
pub(super) const SHOWN_WITHIN: Duration = Duration::from_secs(90);

#[derive(Deserialize)]
struct Unaccounted {
    boots: Vec<Boot>,
}

#[derive(Deserialize)]
struct Boot {
    gateway: String,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    subscriptions: Vec<Calls>,
}

#[derive(Deserialize)]
struct Calls {
    subscription: String,
    at_most: Option<u64>,
}

impl Unaccounted {
    fn read(stage: &Stage) -> Result<Self, Failure> {
        Ok(stage.host.ask(&["usage", "--unaccounted"])?)
    }
}

/// How many processes the host shows as not accounted for.
pub(super) fn unaccounted(stage: &Stage) -> Result<usize, Failure> {
    Ok(Unaccounted::read(stage)?.boots.len())
}

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    drain_another(stage)?;
    // A cast for each gateway, so that what one of them lost is known by itself.
    let casts = [Cast::subscribe(stage, &PRODUCTS)?, Cast::subscribe(stage, &PRODUCTS)?];
    let mut loads = Vec::new();
    for (gateway, cast) in casts.iter().enumerate() {
        loads.push(Load::start(&cast.callers_at(stage, gateway)?)?);
    }
    signals::pause(STEADY)?;
    kill(stage, 0);
    under_load(2)?;
    stage.host.process().kill();
    under_load(DOWN_SECONDS)?;
    kill(stage, 1);
    let calls: Vec<Vec<Call>> = loads.into_iter().map(Load::stop).collect();
    stage.restart_host()?;

    let mut unaccounted = Unaccounted { boots: Vec::new() };
    wait_until("both dead processes to be shown", SHOWN_WITHIN, || {
        unaccounted = Unaccounted::read(stage)?;
        Ok(unaccounted.boots.len() >= GATEWAYS.len())
    })?;
    let boots = to_u64(unaccounted.boots.len());
    report.equal("processes shown as not accounted for: not the one that was drained", 2, boots);
    for ((name, cast), calls) in GATEWAYS.iter().zip(&casts).zip(&calls) {
        let boot = unaccounted.boots.iter().find(|boot| boot.gateway == *name);
        let absent = || Failure::Unexpected(format!("no process of {name} is shown"));
        let boot = boot.ok_or_else(absent)?;
        for (place, (product, owner)) in cast.owners().enumerate() {
            let calls: Vec<Call> = calls_of(calls, place).copied().collect();
            let what = format!("{product}, at {name}");
            check(stage, &what, owner, &calls, boot, report)?;
        }
    }
    Ok(())
}

/// A process that ends in good order before the others die.
fn drain_another(stage: &mut Stage) -> Result<(), Failure> {
    let place = stage.add_gateway("drained", Filter::Released)?;
    let owner = stage.subscribe("soft")?;
    let load = Load::start(&[stage.callers(place, &owner, 1, Duration::from_millis(50))?])?;
    under_load(1)?;
    load.stop();
    let gateway = stage.gateways.pop();
    let admin = gateway.as_ref().map(|it| it.envoy.admin().to_string()).unwrap_or_default();
    stage.host.run(&["drain", "--admin", &admin])?;
    Ok(())
}

fn kill(stage: &mut Stage, gateway: usize) {
    if let Some(gateway) = stage.gateways.get_mut(gateway) {
        gateway.envoy.process().kill();
    }
}

/// What a subscription lost, against what is shown of it.
fn check(
    stage: &Stage,
    what: &str,
    owner: &Subscription,
    calls: &[Call],
    boot: &Boot,
    report: &mut Report,
) -> Result<(), Failure> {
    let api = books::upstream(stage, owner);
    let Counts { billable, admitted, .. } = books::ledger(stage, owner)?;
    report.at_most(format!("{what}: billable in the ledger"), api.billable, billable);
    let missing = api.billable.saturating_sub(billable);
    let shown = boot.subscriptions.iter().find(|it| it.subscription == owner.id);
    let at_most = shown.and_then(|it| it.at_most);
    if what.starts_with("hard") {
        let found = at_most.map_or_else(|| "no number".to_owned(), |it| it.to_string());
        let holds = at_most.is_some_and(|it| it >= missing);
        report.check(
            format!("{what}: lost {missing}, shown"),
            format!(">= {missing}"),
            found,
            holds,
        );
    } else {
        let found = at_most.map_or_else(|| "a span".to_owned(), |it| it.to_string());
        report.check(format!("{what}: lost {missing}, shown"), "a span", found, at_most.is_none());
    }
    // What is missing is the last that arrived: counters are reported in the order of the calls.
    let unsaid = usize::try_from(api.admitted.saturating_sub(admitted)).unwrap_or(usize::MAX);
    let mut arrived: Vec<_> = stage.reached(calls).iter().map(|call| call.arrived).collect();
    arrived.sort_unstable();
    let unsaid = arrived.split_off(arrived.len().saturating_sub(unsaid));
    let (Some(first), Some(last)) = (unsaid.first(), unsaid.last()) else {
        report.tell(format!("{what}: calls that the ledger does not know"), "none");
        return Ok(());
    };
    let (first, last) = (time::wall(*first), time::wall(*last));
    let show = |time: Option<Timestamp>| time.map_or_else(|| "?".to_owned(), |it| it.to_string());
    report.check(
        format!("{what}: the span, of {} calls that the ledger does not know", unsaid.len()),
        format!("{first} to {last}"),
        format!("{} to {}", show(boot.since), show(boot.until)),
        boot.since.is_none_or(|it| it <= first) && boot.until.is_none_or(|it| it >= last),
    );
    Ok(())
}
