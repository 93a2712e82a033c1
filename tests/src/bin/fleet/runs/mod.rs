//! The runs, each with a catalog, a fleet and a ledger of its own.

mod changes;
mod killed;
mod meter;
mod outage;
mod quota;
mod settle_cost;
mod spray;
mod window;

use tollgate_tests::paths::StateDir;

use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call};
use crate::report::Report;
use crate::stage::{Filter, Parts, Set, Stage};

/// Connections on each gateway: many times its workers.
pub(crate) const CONNECTIONS: u32 = 64;

/// Something to prove.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    set: Set,
    play: fn(&mut Stage, How, &mut Report) -> Result<(), Failure>,
}

impl Run {
    /// Whether it takes the filter built with faults.
    pub(crate) fn wants_faults(&self) -> bool {
        self.set.wants_faults()
    }

    /// Starts everything, plays, and ends everything.
    pub(crate) fn make(
        &self,
        parts: Parts,
        how: How,
        directory: &StateDir,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let mut stage = Stage::set(parts, self.set, directory.path())?;
        (self.play)(&mut stage, how, report)
    }
}

/// All of them, in the order in which they are made.
pub(crate) fn all() -> impl Iterator<Item = Run> {
    RUNS.into_iter().chain(meter::RUNS).chain([SETTLE_COST])
}

/// What the gate promises.
const RUNS: [Run; 11] = [
    Run {
        name: "quota",
        about: "two gateways use up a quota of 10,000 together",
        set: Set::of(quota::CATALOG),
        play: quota::together,
    },
    Run {
        name: "quota-recall",
        about: "one gateway is idle and holds units that the other needs",
        set: Set::of(quota::CATALOG),
        play: quota::one_sided,
    },
    Run {
        name: "window-fleet",
        about: "1,000 calls per 10 s over both gateways, under continuous load",
        set: Set::of(window::FLEET),
        play: window::fleet,
    },
    Run {
        name: "window-gateway",
        about: "1,000 calls per 10 s at each gateway, under continuous load",
        set: Set::of(window::GATEWAY),
        play: window::gateway,
    },
    Run {
        name: "killed",
        about: "both gateways are killed midway through a quota of 10,000, and started again",
        set: Set::of(quota::CATALOG),
        play: killed::play,
    },
    Run {
        name: "outage-frozen",
        about: "the host hangs for 30 s under load, and goes on",
        set: Set::of(outage::CATALOG),
        play: outage::frozen,
    },
    Run {
        name: "outage-killed",
        about: "the host is killed under load, and comes back on its data after 30 s",
        set: Set::of(outage::CATALOG),
        play: outage::killed,
    },
    Run {
        name: "changes",
        about: "keys, states, plans and limits change under load",
        set: Set::of(changes::CATALOG),
        play: changes::play,
    },
    Run {
        name: "spray",
        about: "5,000 keys a second that nobody could have made",
        set: Set::of(spray::CATALOG),
        play: spray::nonsense,
    },
    Run {
        name: "spray-unknown",
        about: "5,000 keys a second with the right checksum, each looked up",
        set: Set::of(spray::CATALOG),
        play: spray::unknown,
    },
    Run {
        name: "spray-imported",
        about: "5,000 keys a second where keys may look like anything, each looked up",
        set: Set::of(spray::IMPORTED),
        play: spray::nonsense,
    },
];

const SETTLE_COST: Run = Run {
    name: "settle-cost",
    about: "what a call costs the workers of a gateway, with and without its settlement",
    set: Set::of(settle_cost::CATALOG).with(Filter::Faulty("")).answered_by_envoy(),
    play: settle_cost::play,
};

/// Calls by answer, for people: `3 x 200 by the API, …`, most first.
pub(crate) fn tally<'a>(calls: impl IntoIterator<Item = &'a Call>) -> String {
    let mut counts = std::collections::BTreeMap::<Answer, u64>::new();
    for call in calls {
        *counts.entry(call.answer).or_default() += 1;
    }
    let mut counts: Vec<(Answer, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> =
        counts.iter().map(|(answer, count)| format!("{count} x {}", word(*answer))).collect();
    words.join(", ")
}

fn word(answer: Answer) -> String {
    match answer {
        Answer::Api(status) => format!("{status} by the API"),
        Answer::Gate(status, reason) => format!("{status} {}", reason.as_str()),
        Answer::Envoy(status) => format!("{status} by Envoy"),
        Answer::Nobody => "no answer".to_owned(),
    }
}
