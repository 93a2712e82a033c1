//! Requests trap the filter's VMs under load: what was under way in them stays open and is shown,
//! and all else is exact.

use std::time::Duration;

use tollgate_tests::sample_api::WAIT;
use tollgate_tests::signals;

use super::super::quota::to_u64;
use super::super::tally;
use super::{WARM_UP, under_load};
use crate::How;
use crate::books::{self, Counts};
use crate::cast::{self, Cast, PRODUCTS, calls_of};
use crate::failure::Failure;
use crate::load::{Answer, Call, Callers, Load};
use crate::report::Report;
use crate::stage::{GATEWAYS, Stage, Subscription};

const SECONDS: u64 = 20;
const SECONDS_QUICK: u64 = 8;
/// Whose calls trap what they meet, at each gateway.
const EVERY: Duration = Duration::from_secs(3);

pub(super) fn play(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let slow = |it: Callers| Callers { headers: slow_mix, ..it };
    let mut callers: Vec<Callers> = cast.callers(stage)?.into_iter().map(slow).collect();
    let load = Load::start(&callers)?;
    signals::pause(WARM_UP)?;
    let (_, owner) = cast.owners().next().ok_or_else(nobody)?;
    callers = stage.callers_everywhere(owner, 1, EVERY)?;
    let label = "trap".to_owned();
    let traps = |it: Callers| Callers { headers: trap, label: label.clone(), ..it };
    let traps = Load::start(&callers.into_iter().map(traps).collect::<Vec<_>>())?;
    under_load(if how.quick { SECONDS_QUICK } else { SECONDS })?;
    let traps = traps.stop();
    under_load(2)?;
    let calls = load.stop();

    let passed = traps.iter().filter(|call| matches!(call.answer, Answer::Api(_)));
    report.equal("calls that were to trap a VM and reached the API", 0, to_u64(passed.count()));
    let lost = |name| stage.gateways.iter().map(move |it| it.envoy.metrics().remove(name));
    let lost: Vec<u64> = lost("tollgate_vms_lost").map(Option::unwrap_or_default).collect();
    for (name, lost) in GATEWAYS.iter().zip(lost) {
        report.at_least(format!("VMs that {name} lost"), 1, lost);
    }
    let mut died = 0;
    for (place, (product, owner)) in cast.owners().enumerate() {
        let its: Vec<Call> = calls_of(&calls, place).copied().collect();
        died += check(stage, product, owner, &its, report)?;
    }
    report.at_least("calls that died with a VM, and are shown as open", 1, died);
    Ok(())
}

fn nobody() -> Failure {
    Failure::Unexpected("nobody subscribed".to_owned())
}

/// Some are under way whenever a VM dies.
fn slow_mix(number: u64) -> &'static [(&'static str, &'static str)] {
    match number % 8 {
        5 => &[(WAIT, "300")],
        _ => cast::mix(number),
    }
}

fn trap(_: u64) -> &'static [(&'static str, &'static str)] {
    &[("x-tollgate-trap", "1")]
}

/// Calls of this subscription that are open for good.
fn check(
    stage: &Stage,
    product: &str,
    owner: &Subscription,
    calls: &[Call],
    report: &mut Report,
) -> Result<u64, Failure> {
    let count = |is: fn(&Answer) -> bool| to_u64(calls.iter().filter(|it| is(&it.answer)).count());
    let billable = count(|it| matches!(it, Answer::Api(status) if *status < 500));
    let waived = count(|it| matches!(it, Answer::Api(status) if *status >= 500));
    let unanswered = count(|it| matches!(it, Answer::Envoy(_) | Answer::Nobody));
    let api = books::upstream(stage, owner);
    let is_right = |it: Counts| (it.billable, it.waived) == (billable, waived);
    let ledger = books::settled_ledger(stage, owner, is_right)?;
    report.check(
        format!("{product}: what callers saw answered is settled"),
        format!("{billable} + {waived}"),
        format!("{} + {}", ledger.billable, ledger.waived),
        is_right(ledger),
    );
    let reached = api.admitted.saturating_sub(ledger.billable + ledger.waived);
    report.check(
        format!("{product}: open are those that reached the API and more, but not all unanswered"),
        format!("{reached}..={unanswered}"),
        ledger.open.to_string(),
        (reached..=unanswered).contains(&ledger.open)
            && ledger.admitted == ledger.billable + ledger.waived + ledger.open,
    );
    let other = calls.iter().filter(|call| matches!(call.answer, Answer::Gate(..)));
    report.none(format!("{product}: refused by the gate"), &tally(other));
    Ok(ledger.open)
}
