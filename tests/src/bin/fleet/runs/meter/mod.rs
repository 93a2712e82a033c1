//! What the meter promises, whatever fails: every call that the API saw is in the ledger, once.
//!
//! Each run breaks something under load and then compares the three [`books`](crate::books).

mod away;
mod crashes;
mod disk;
mod drain;
mod eaten;
mod filter;
mod killed;
mod restored;
mod trap;

use std::time::Duration;

use tollgate_tests::signals;

use super::{Run, tally};
use crate::cast;
use crate::failure::Failure;
use crate::load::{Answer, Call};
use crate::report::Report;
use crate::stage::{Filter, Set};

/// Calls before anything breaks: every key is known to every gateway, and leases are given.
const WARM_UP: Duration = Duration::from_secs(3);

pub(super) const RUNS: [Run; 9] = [
    Run {
        name: "away-and-ended",
        about: "the host is away, and one gateway ends by SIGTERM before it comes back",
        set: Set::of(cast::CATALOG),
        play: away::play,
    },
    Run {
        name: "answers-eaten",
        about: "the host's answers are lost after it committed",
        set: Set::of(cast::CATALOG).behind_proxy(),
        play: eaten::play,
    },
    Run {
        name: "host-crashes",
        about: "the host is killed every 2 s under load, and comes back on its data each time",
        set: Set::of(cast::CATALOG),
        play: crashes::play,
    },
    Run {
        name: "traps",
        about: "requests trap the filter's VMs under load",
        set: Set::of(cast::CATALOG).with(Filter::Faulty("trap")),
        play: trap::play,
    },
    Run {
        name: "gateways-killed",
        about: "both gateways are killed under load, one while the host is down",
        set: Set::of(cast::CATALOG),
        play: killed::play,
    },
    Run {
        name: "drained",
        about: "a gateway is drained and stopped while its load ebbs",
        set: Set::of(cast::CATALOG),
        play: drain::play,
    },
    Run {
        name: "filter-updates",
        about: "under load, the filter's configuration and code change, and it goes and comes back",
        set: Set::of(cast::CATALOG).with(Filter::Changing),
        play: filter::play,
    },
    Run {
        name: "disk-full",
        about: "the ledger's disk takes no more for a while",
        set: Set::of(cast::CATALOG),
        play: disk::play,
    },
    Run {
        name: "restored",
        about: "a backup is put back under gateways that live and have sold since",
        set: Set::of(cast::CATALOG),
        play: restored::play,
    },
];

/// Lets time pass under load: callers see it only as calls that go on.
fn under_load(seconds: u64) -> Result<(), Failure> {
    Ok(signals::pause(Duration::from_secs(seconds))?)
}

/// Every call was answered by the API: whatever broke, no caller noticed.
fn check_unnoticed(calls: &[Call], report: &mut Report) {
    let other = calls.iter().filter(|call| !matches!(call.answer, Answer::Api(_)));
    report.none(format!("of {} calls, not answered by the API", calls.len()), &tally(other));
}
