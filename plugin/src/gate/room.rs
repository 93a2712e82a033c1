//! Streams that are held back until something is learnt: bounded, and served in the order of
//! their arrival.

use std::collections::BTreeMap;

use crate::request::Request;
use crate::sync::Question;

/// Streams that may wait at once; more are answered 503 `busy`.
pub(super) const MAX_WAITING: usize = 1_024;
/// Of these, streams whose key has no checksum of ours: whoever invents keys leaves room for
/// those who pay.
pub(super) const MAX_FOREIGN: usize = MAX_WAITING / 4;

/// A stream that is held back.
pub(super) struct Waiting {
    pub(super) request: Request,
    pub(super) since_ns: u64,
    /// What it waits for the answer to.
    pub(super) question: Question,
    /// The host has said that there will be an answer.
    pub(super) told_to_wait: bool,
}

/// The streams that wait, by their context's number: Envoy counts these up.
#[derive(Default)]
pub(super) struct Room {
    waiting: BTreeMap<u32, Waiting>,
    foreign: usize,
}

impl Room {
    /// Whether one more stream may wait for this.
    pub(super) fn fits(&self, question: Question) -> bool {
        self.waiting.len() < MAX_WAITING && (!question.is_foreign() || self.foreign < MAX_FOREIGN)
    }

    /// Holds a stream back.
    pub(super) fn put(&mut self, stream: u32, waiting: Waiting) {
        self.foreign = self.foreign.saturating_add(waiting.question.is_foreign().into());
        self.waiting.insert(stream, waiting);
    }

    /// Takes a stream out, if it is held back.
    pub(super) fn take(&mut self, stream: u32) -> Option<Waiting> {
        let waiting = self.waiting.remove(&stream)?;
        self.foreign = self.foreign.saturating_sub(waiting.question.is_foreign().into());
        Some(waiting)
    }

    /// Those who wait for such an answer, in the order of their arrival.
    pub(super) fn who(&self, is_it: impl Fn(Question) -> bool) -> Vec<u32> {
        let those = self.waiting.iter().filter(|(_, waiting)| is_it(waiting.question));
        those.map(|(stream, _)| *stream).collect()
    }

    /// Notes what the host said to those who wait for an answer.
    pub(super) fn tell_to_wait(&mut self, question: Question) {
        for waiting in self.waiting.values_mut().filter(|waiting| waiting.question == question) {
            waiting.told_to_wait = true;
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
