//! A gateway is drained and stopped while its load ebbs: everything is reported before it ends, and
//! what it held is free.

use std::thread;
use std::time::Duration;

use tollgate_tests::signals;

use super::super::quota::wait_until_used_up;
use super::{WARM_UP, check_unnoticed, under_load};
use crate::How;
use crate::books;
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

/// The gateway that ends, and the one that stays.
const ENDS: usize = 0;
const STAYS: usize = 1;
/// As the catalog says, of the product `small`.
const SMALL: u64 = 600;

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let small = stage.subscribe("small")?;
    let load = Load::start(&cast.callers(stage)?)?;
    let first = stage.callers(ENDS, &small, 4, Duration::from_millis(100))?;
    let held = Load::start(&[first])?;
    signals::pause(WARM_UP)?;
    let first = held.stop();
    report.tell("of a quota of 600, used by the one that ends", first.len().to_string());

    let admin = gateway(stage, ENDS)?.envoy.admin().to_string();
    let host = &stage.host;
    let (drained, calls) = thread::scope(|scope| {
        let drain = scope.spawn(|| host.run(&["drain", "--admin", &admin, "--timeout", "60s"]));
        let ebb = under_load(1).map(|()| load.stop());
        let drained = drain.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ebb.map(|calls| (drained, calls))
    })?;
    let said = drained.as_ref().map_or_else(ToString::to_string, Clone::clone);
    let told = said.lines().next().unwrap_or_default();
    report.check("`tollgate drain`", "done", told, drained.is_ok());
    let ended = gateway(stage, ENDS)?.envoy.process().ended();
    report.check("its Envoy", "has ended", if ended { "has" } else { "has not" }, ended);
    check_unnoticed(&calls, report);
    cast.check_exact(stage, &calls, report)?;

    let load = Load::start(&[stage.callers(STAYS, &small, 8, Duration::ZERO)?])?;
    wait_until_used_up(&load)?;
    load.stop();
    report.equal(
        "calls the API counted of the quota that both used",
        SMALL,
        books::upstream(stage, &small).admitted,
    );
    Ok(())
}

fn gateway(stage: &mut Stage, place: usize) -> Result<&mut crate::stage::Gateway, Failure> {
    let nobody = || Failure::Unexpected("no such gateway".to_owned());
    stage.gateways.get_mut(place).ok_or_else(nobody)
}
