//! The host commits and answers, and no gateway hears it: what is said again is not counted again.

use tollgate_tests::signals;

use super::{WARM_UP, check_unnoticed, under_load};
use crate::How;
use crate::books;
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::Load;
use crate::report::Report;
use crate::stage::Stage;

/// So often, for so many seconds, with as many between.
const MEALS: u32 = 3;
const SECONDS: u64 = 3;

pub(super) fn play(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let load = Load::start(&cast.callers(stage)?)?;
    signals::pause(WARM_UP)?;
    let mut eaten_before = 0;
    for meal in 1..=if how.quick { 1 } else { MEALS } {
        let (mut known, mut committed) = (0, 0);
        for (_, owner) in cast.owners() {
            known += books::ledger(stage, owner)?.admitted;
        }
        let proxy = stage.proxy.as_ref();
        let proxy = proxy.ok_or_else(|| Failure::Unexpected("no proxy".to_owned()))?;
        proxy.eat(true);
        under_load(SECONDS)?;
        for (_, owner) in cast.owners() {
            committed += books::ledger(stage, owner)?.admitted;
        }
        proxy.eat(false);
        let eaten = proxy.eaten() - eaten_before;
        eaten_before = proxy.eaten();
        report.check(
            format!("meal {meal}: calls committed whose answers were eaten, {eaten} bytes of them"),
            "> 0",
            (committed - known).to_string(),
            committed > known && eaten > 0,
        );
        under_load(SECONDS)?;
    }
    let calls = load.stop();
    check_unnoticed(&calls, report);
    cast.check_exact(stage, &calls, report)
}
