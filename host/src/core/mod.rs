//! What may be asked of the ledger, and what it answers. Synchronous: the clock, chance and the
//! outside are arguments, so that a year or a crash can be played in a test.
//!
//! One file a concern; each request is a struct that says what is asked and whose [`Request`]
//! implementation is what happens. SQL is the [`store`](crate::store)'s.

#![warn(clippy::indexing_slicing, clippy::as_conversions, clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::as_conversions, clippy::arithmetic_side_effects))]

use jiff::Timestamp;

use crate::store::{Ledger, Store};

pub mod catalog;
pub mod charges;
pub mod close;
mod draft;
pub mod gateways;
pub mod health;
pub mod hold;
pub mod id;
pub mod invoice;
pub mod keys;
pub mod lowered;
mod periods;
mod quota;
pub mod refusal;
pub mod restore;
pub mod secret;
pub mod spill;
pub mod subscriptions;
pub mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod text;
pub mod unaccounted;
pub mod usage;

pub use refusal::{Kind, Refusal};

/// Something to do with the ledger: all of it or nothing.
pub trait Request {
    /// What comes of it.
    type Answer;

    /// Does it, at this time by the host's clock. What it changed before a refusal is undone.
    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal>;
}

/// Nothing: for what only asks who asks.
impl Request for () {
    type Answer = ();

    fn apply(self, _ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<(), Refusal> {
        Ok(())
    }
}

/// One request in a transaction of its own: committed when this returns its answer.
pub fn apply<R: Request>(
    store: &mut Store,
    now: Timestamp,
    request: R,
) -> Result<R::Answer, Refusal> {
    let mut answer = None;
    let out = &mut answer;
    store.commit(move |batch| batch.apply(now, request, move |answer| *out = Some(answer)));
    answer.unwrap_or_else(|| Err(Refusal::Unavailable("the batch was not run".to_owned())))
}
