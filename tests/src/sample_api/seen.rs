//! What the sample API saw: how many calls of whom, when, and what some of them looked like.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hyper::{HeaderMap, Method, Uri};

/// Counters kept apart; callers past it are counted together, without a name.
const MAX_COUNTERS: usize = 10_000;
/// Arrivals kept; those past it are counted like all calls, but their time is lost.
const MAX_ARRIVALS: usize = 10_000_000;

/// Calls that reached the sample API, by caller and status; 0 is a cut connection.
pub type Counts = BTreeMap<(String, u16), u64>;

/// A call that carried a number, and when its headers had been read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The caller's number of it.
    pub number: u64,
    /// When.
    pub at: Instant,
}

/// A request as the API got it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub uri: Uri,
    /// Its headers.
    pub headers: HeaderMap,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    counts: Counts,
    arrivals: Vec<Arrival>,
    kept: Vec<Kept>,
}

impl Seen {
    pub(super) fn arrived(&self, number: u64, at: Instant) {
        let mut inner = self.lock();
        if inner.arrivals.len() < MAX_ARRIVALS {
            inner.arrivals.push(Arrival { number, at });
        }
    }

    pub(super) fn keep(&self, kept: Kept) {
        let mut inner = self.lock();
        if inner.kept.len() < MAX_COUNTERS {
            inner.kept.push(kept);
        }
    }

    pub(super) fn count(&self, label: String, status: u16) {
        let counts = &mut self.lock().counts;
        let mut key = (label, status);
        if counts.len() >= MAX_COUNTERS && !counts.contains_key(&key) {
            key.0.clear();
        }
        *counts.entry(key).or_default() += 1;
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.lock().arrivals.clone()
    }

    pub(super) fn kept(&self) -> Vec<Kept> {
        self.lock().kept.clone()
    }

    /// A note is one addition: a thread that panicked cannot have left half of one.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
