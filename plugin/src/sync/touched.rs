//! Records that the host is still to be told of: each once, those that wait longest first, so that
//! what it keeps refusing takes its turn behind everything else.

use std::collections::{HashSet, VecDeque};

use tollgate_pricing::id::SubscriptionId;

/// Records in the order in which they are told.
#[derive(Debug, Default)]
pub(super) struct Touched {
    order: VecDeque<SubscriptionId>,
    all: HashSet<SubscriptionId>,
}

impl Touched {
    /// Puts a record behind the others, unless it is among them.
    pub(super) fn insert(&mut self, id: SubscriptionId) {
        if self.all.insert(id) {
            self.order.push_back(id);
        }
    }

    /// Takes the record that waits longest.
    pub(super) fn pop(&mut self) -> Option<SubscriptionId> {
        let id = self.order.pop_front()?;
        self.all.remove(&id);
        Some(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SubscriptionId> {
        self.order.iter().copied()
    }
}

impl Extend<SubscriptionId> for Touched {
    fn extend<T: IntoIterator<Item = SubscriptionId>>(&mut self, ids: T) {
        ids.into_iter().for_each(|id| self.insert(id));
    }
}
