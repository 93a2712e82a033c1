//! The host dies again and again, wherever it was; what it had not committed is said again.

use tollgate_tests::signals;

use super::{WARM_UP, check_unnoticed, under_load};
use crate::How;
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

const EVERY_SECONDS: u64 = 2;
const CRASHES: u32 = 15;

pub(super) fn play(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let load = Load::start(&cast.callers(stage)?)?;
    signals::pause(WARM_UP)?;
    let crashes = if how.quick { CRASHES / 3 } else { CRASHES };
    for _ in 0..crashes {
        under_load(EVERY_SECONDS)?;
        stage.host.process().kill();
        stage.restart_host()?;
    }
    under_load(EVERY_SECONDS)?;
    let calls = load.stop();
    report.tell("crashes", crashes.to_string());
    check_unnoticed(&calls, report);
    cast.check_exact(stage, &calls, report)
}
