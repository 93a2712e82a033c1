//! Which mistake to make: the environment of the VM says.

use std::cell::OnceCell;

use super::Fault;
use crate::record::Record;

/// The VM's environment variable that names a fault.
const VARIABLE: &str = "TOLLGATE_FAULT";
/// The request header that traps, under [`Fault::Trap`].
const TRAP_HEADER: &str = "x-tollgate-trap";

const NAMES: [(&str, Fault); 7] = [
    ("charge_before_check", Fault::ChargeBeforeCheck),
    ("reuse_returned", Fault::ReuseReturned),
    ("recreate_record", Fault::RecreateRecord),
    ("revive_key", Fault::ReviveKey),
    ("settle_twice", Fault::SettleTwice),
    ("no_settle", Fault::NoSettle),
    ("trap", Fault::Trap),
];

thread_local! {
    static FAULT: OnceCell<Option<Fault>> = const { OnceCell::new() };
}

/// Whether the gate is to make it.
pub(crate) fn is(fault: Fault) -> bool {
    let told = || {
        let name = std::env::var(VARIABLE).ok()?;
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    };
    FAULT.with(|known| *known.get_or_init(told)) == Some(fault)
}

/// Counts a call that does not go on, if the gate is to.
pub(crate) fn count_unchecked(record: &mut Record) {
    if is(Fault::ChargeBeforeCheck)
        && let Some(slot) = record.slots.last_mut()
    {
        slot.admitted = slot.admitted.saturating_add(1);
    }
}

/// Traps the VM, if the gate is to and the request asks for it.
#[expect(clippy::panic, reason = "this is the fault")]
pub(crate) fn trap_if_told(headers: &[u8]) {
    let name = TRAP_HEADER.as_bytes();
    if is(Fault::Trap) && headers.windows(name.len()).any(|part| part == name) {
        panic!("told to trap by {TRAP_HEADER}");
    }
}
