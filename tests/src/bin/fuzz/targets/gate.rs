//! The whole gate over a small fake proxy: several VMs, one shared memory, and a host that says
//! anything at all; or shared memory in which someone else wrote.

mod answer;
mod bend;
mod garbage;
mod judge;
mod proxy;
mod stock;
mod story;

use super::Target;
use crate::chance::Chance;

/// What an odd host can do to a gate.
pub(crate) const ANSWERS: Target = Target {
    name: "answers",
    law: "whatever the host says, requests are answered once and in time, and counters only grow",
    share: 1,
    run: |input, seen| story::run(input, false, seen),
    make,
    seeds: Vec::new,
    tokens: &[],
    outcomes: &[
        "let through",
        "refused 400",
        "refused 401",
        "refused 403",
        "refused 404",
        "refused 429",
        "refused 503",
        "waited",
        "resumed",
        "answered after waiting",
        "asked for a key",
        "asked for a lease",
        "catalog told",
        "subscription told",
        "answer taken",
        "answer not taken",
        "bent answer taken",
        "no answer at all",
        "billable reported",
        "waived reported",
        "lease reported",
        "rows reported",
        "write lost",
        "call refused",
        "VM replaced",
        "long silence",
    ],
};

/// What others in shared memory can do to a gate.
pub(crate) const GARBAGE: Target = Target {
    name: "garbage",
    law: "whatever is in shared data, requests are answered once and in time, and records stay records",
    share: 1,
    run: |input, seen| story::run(input, true, seen),
    make,
    seeds: Vec::new,
    tokens: &[],
    outcomes: &[
        "let through",
        "refused 400",
        "refused 401",
        "refused 403",
        "refused 404",
        "refused 429",
        "refused 503",
        "waited",
        "resumed",
        "answered after waiting",
        "asked for a key",
        "asked for a lease",
        "catalog told",
        "subscription told",
        "answer taken",
        "answer not taken",
        "bent answer taken",
        "no answer at all",
        "billable reported",
        "waived reported",
        "lease reported",
        "rows reported",
        "write lost",
        "call refused",
        "VM replaced",
        "long silence",
        "garbage for boot",
        "garbage for head",
        "garbage for catalog",
        "garbage for elected",
        "garbage for key",
        "garbage for record",
        "garbage for directory",
        "garbage for damaged",
        "garbage for roster",
    ],
};

fn make(chance: &mut Chance) -> Vec<u8> {
    let length = 30 + chance.below(250);
    chance.bytes(length)
}
