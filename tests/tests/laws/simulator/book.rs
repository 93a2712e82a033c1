//! What callers saw: one entry a call, and nothing that the plugin or the host said of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::wasm::{End, Stream};
use crate::world::At;

/// A moment: how many were noted before it, and when it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Moment {
    pub(super) number: u64,
    pub(super) at: Duration,
}

/// One call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Whose, and what it calls.
    pub(super) owner: usize,
    pub(super) operation: usize,
    /// Which life of which process, and where its stream is.
    pub(super) life: u64,
    pub(super) at: At,
    pub(super) stream: Stream,
    pub(super) began: Moment,
    /// The last moment at which it was seen undecided.
    pub(super) undecided: Moment,
    /// Held back since then, as far as that is the gate's doing.
    pub(super) held_since: Duration,
    pub(super) fate: Fate,
    /// When that was seen.
    pub(super) known: Moment,
    /// How it ended after it was let through.
    pub(super) ended: Option<(Moment, End)>,
    /// When its VM was seen to be done with its end.
    pub(super) settled: Option<Moment>,
    /// Its VM or its process died before it was known to be settled.
    pub(super) lost: Lost,
    /// Its process was dead when a backup was put back: who knows what the ledger knew of it.
    pub(super) forgotten: bool,
    /// What it measures: bytes, and units in a header.
    pub(super) bytes: u64,
    pub(super) units: u64,
}

/// What became of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Undecided,
    LetThrough,
    Refused(Refused),
    /// Its VM died while it was decided: perhaps it was admitted.
    Died,
    /// Its caller went away while it was held back.
    Left,
}

/// What a refused caller is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refused {
    pub(super) reason: String,
    pub(super) limit: String,
    pub(super) retry_after: Option<u64>,
}

/// What may be missing of a call in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lost {
    /// Nothing.
    Nothing,
    /// Its VM died before or while it ended: it may stay open.
    Settling,
    /// Its process was killed before it was sure to have reported: anything.
    Everything,
}

/// From at least to at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Bounds {
    pub(super) least: u64,
    pub(super) most: u64,
}

impl Bounds {
    pub(super) fn add(&mut self, surely: bool, perhaps: bool) {
        self.least += u64::from(surely);
        self.most += u64::from(surely || perhaps);
    }

    pub(super) fn hold(&self, found: u64) -> bool {
        (self.least..=self.most).contains(&found)
    }
}

/// A subscription's counters, as far as callers can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Tally {
    pub(super) admitted: Bounds,
    pub(super) billable: Bounds,
    pub(super) waived: Bounds,
    pub(super) open: Bounds,
}

impl Call {
    pub(super) fn was_let_through(&self) -> bool {
        self.fate == Fate::LetThrough
    }

    /// Whether it ended in a way that is not billed. The rule, told a second time.
    pub(super) fn is_waived(&self) -> bool {
        match self.ended {
            Some((_, End::NoUpstream(_))) => true,
            Some((_, End::Status(status))) => status >= 500,
            Some((_, End::Aborted)) | None => false,
        }
    }

    /// The word of its refusal.
    pub(super) fn refusal(&self) -> Option<&Refused> {
        match &self.fate {
            Fate::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    fn count(&self, tally: &mut Tally) {
        let (admitted, perhaps) = match self.fate {
            Fate::LetThrough => (true, true),
            Fate::Died => (false, true),
            // Its VM may be away at work on it, in a process that was killed.
            Fate::Undecided => (false, self.lost == Lost::Everything),
            Fate::Refused(_) | Fate::Left => (false, false),
        };
        let is_sure = self.lost == Lost::Nothing;
        let ended = self.ended.is_some();
        let waived = self.is_waived();
        let reported = admitted && self.lost != Lost::Everything;
        tally.admitted.add(reported, perhaps);
        tally.billable.add(admitted && ended && is_sure && !waived, admitted && ended && !waived);
        tally.waived.add(admitted && ended && is_sure && waived, admitted && ended && waived);
        let surely_open = reported && !ended;
        tally.open.add(surely_open, perhaps && (!ended || !is_sure));
    }
}

/// All calls of a world, in the order they began.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) calls: Vec<Call>,
    moments: u64,
}

impl Book {
    /// The next moment.
    pub(super) fn moment(&mut self, at: Duration) -> Moment {
        self.moments += 1;
        Moment { number: self.moments, at }
    }

    /// What the ledger holds of everybody when all is reported.
    pub(super) fn tallies(&self) -> BTreeMap<usize, Tally> {
        let mut tallies = BTreeMap::<_, Tally>::new();
        for call in &self.calls {
            call.count(tallies.entry(call.owner).or_default());
        }
        tallies
    }
}
