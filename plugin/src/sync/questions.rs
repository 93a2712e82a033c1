//! Questions that streams wait for: they queue up and go to the host together.
//!
//! As many as there are go in one POST, and while two are under way the next ones gather. So the
//! host gets few requests from a VM, however many keys are tried on it.

use std::collections::{HashMap, HashSet, VecDeque};

use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::{LeaseAsk, MAX_ASKS};

use crate::gate::Want;

/// POSTs with questions under way at once, in one VM.
pub(super) const MAX_POSTS: usize = 2;
/// Questions of a kind that may gather; those who ask more are told to come back.
const MAX_QUEUED: usize = 4 * MAX_ASKS;
/// A question that its answer did not settle is not asked again sooner than this.
const AGAIN_NS: u64 = 250_000_000;

/// What a question is about: the same one is not asked twice at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Question {
    Catalog,
    /// `foreign` keys do not carry our checksum.
    Key {
        hash: KeyHash,
        foreign: bool,
    },
    /// `waits`: a call does.
    Lease {
        subscription: SubscriptionId,
        limit: Tag,
        period: u32,
        waits: bool,
    },
}

impl Question {
    /// A question for units.
    pub(crate) fn lease(ask: &LeaseAsk) -> Self {
        let (subscription, limit, period) = ask.about();
        Self::Lease { subscription, limit, period, waits: ask.need > 0 }
    }

    /// Whether it is about a key that this ledger may not have made.
    pub(crate) fn is_foreign(self) -> bool {
        matches!(self, Self::Key { foreign: true, .. })
    }
}

/// Questions that are gathering, and those under way.
#[derive(Default)]
pub(super) struct Questions {
    wants_catalog: bool,
    leases: VecDeque<LeaseAsk>,
    keys: VecDeque<KeyHash>,
    foreign: VecDeque<KeyHash>,
    /// All that are gathering or under way.
    open: HashSet<Question>,
    /// Not to be asked before this time.
    held: HashMap<Question, u64>,
}

/// Questions that go together.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) questions: Vec<Question>,
    pub(super) keys: Vec<KeyHash>,
    pub(super) leases: Vec<LeaseAsk>,
}

/// There are too many already.
pub(crate) struct TooMany;

impl Questions {
    /// Adds a question, unless it is open or was answered just now.
    pub(super) fn add(&mut self, want: Want, now_ns: u64) -> Result<(), TooMany> {
        let question = want.question();
        let is_held = self.held.get(&question).is_some_and(|until_ns| *until_ns > now_ns);
        if is_held || self.open.contains(&question) {
            return Ok(());
        }
        match want {
            Want::Catalog => self.wants_catalog = true,
            Want::Key { hash, foreign } => {
                let keys = if foreign { &mut self.foreign } else { &mut self.keys };
                push(keys, hash)?;
            }
            Want::Lease(ask) if ask.need == 0 => {
                let needed = LeaseAsk { need: 1, ..ask };
                if self.open.contains(&Question::lease(&needed)) {
                    return Ok(());
                }
                // The rest of the room is for those that calls wait for.
                if self.leases.len() >= MAX_ASKS {
                    return Err(TooMany);
                }
                push(&mut self.leases, ask)?;
            }
            Want::Lease(ask) => {
                self.withdraw_low(&ask);
                push(&mut self.leases, ask)?;
            }
        }
        self.open.insert(question);
        Ok(())
    }

    /// A call waits for what was only to be asked because it runs low. Answers do not tell which
    /// of two questions they are to, so that none goes with another about the same lease.
    fn withdraw_low(&mut self, ask: &LeaseAsk) {
        let low = Question::lease(&LeaseAsk { need: 0, ..*ask });
        if !self.open.contains(&low) {
            return;
        }
        let before = self.leases.len();
        self.leases.retain(|other| Question::lease(other) != low);
        // One that is under way stays open.
        if self.leases.len() < before {
            self.open.remove(&low);
        }
    }

    /// Whether there is anything to ask.
    pub(super) fn is_empty(&self) -> bool {
        !self.wants_catalog
            && self.leases.is_empty()
            && self.keys.is_empty()
            && self.foreign.is_empty()
    }

    /// What goes next: those who have shown a key of ours come first.
    pub(super) fn take(&mut self) -> Asked {
        let mut asked = Asked::default();
        let mut room = MAX_ASKS;
        if std::mem::take(&mut self.wants_catalog) {
            asked.questions.push(Question::Catalog);
        }
        let mut part = |most: usize| {
            let taken = most.min(room);
            room = room.saturating_sub(taken);
            taken
        };
        asked.leases.extend(self.leases.drain(..part(self.leases.len())));
        asked.keys.extend(self.keys.drain(..part(self.keys.len())));
        asked.questions.extend(asked.leases.iter().map(Question::lease));
        let ours = asked.keys.iter().map(|hash| Question::Key { hash: *hash, foreign: false });
        asked.questions.extend(ours);
        let foreign: Vec<KeyHash> = self.foreign.drain(..part(self.foreign.len())).collect();
        let foreign_asked = foreign.iter().map(|hash| Question::Key { hash: *hash, foreign: true });
        asked.questions.extend(foreign_asked);
        asked.keys.extend(foreign);
        asked
    }

    /// These were answered. What an answer does not settle is asked again a little later.
    pub(super) fn answered(&mut self, questions: &[Question], now_ns: u64) {
        for question in questions {
            self.open.remove(question);
            self.held.insert(*question, now_ns.saturating_add(AGAIN_NS));
        }
    }

    /// This one may be asked again at once.
    pub(super) fn release(&mut self, question: Question) {
        self.held.remove(&question);
    }

    /// This one is not to be asked again before this time.
    pub(super) fn hold(&mut self, question: Question, until_ns: u64) {
        self.held.insert(question, until_ns);
    }

    /// The host cannot be asked: whoever still wants to know will ask again.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }

    /// Forgets what need not be held any more.
    pub(super) fn forget_old(&mut self, now_ns: u64) {
        self.held.retain(|_, until_ns| *until_ns > now_ns);
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) -> Result<(), TooMany> {
    if queue.len() >= MAX_QUEUED {
        return Err(TooMany);
    }
    queue.push_back(item);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::sync::LeaseReport;

    use super::*;

    #[test]
    fn what_runs_low_leaves_room_for_what_calls_wait_for() {
        let mut questions = Questions::default();
        let mut add = |subscription: u64, need| {
            let (subscription, lease) = (SubscriptionId(subscription), LeaseReport::default());
            let ask = LeaseAsk { subscription, lease, want: 1, need };
            questions.add(Want::Lease(ask), 0).is_ok()
        };
        let low = (0..10_000).filter(|subscription| add(*subscription, 0)).count();
        assert_eq!(low, MAX_ASKS);
        assert!(add(20_000, 1) && add(0, 1));
        assert_eq!(questions.leases.len(), MAX_ASKS + 1, "one is asked for a call instead");
    }
}
