//! A subscription's record: its state, its limits and its counters, in one value of shared data.
//!
//! Every change is one read, one pure function and one compare-and-swap, so admission, quota and
//! counters cannot disagree. The record starts at zero and is never made again inside a boot.

mod codec;
mod leases;
mod states;

pub use codec::{Damaged, MAX_RECORD_BYTES};
pub use states::MAX_STATES;
use tollgate_pricing::gate::{MAX_LIMITS, Override};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{
    Access, LeaseReport, MAX_SLOTS, Meters, RecordReport, Slot, SubscriptionState,
};
use tollgate_pricing::timeline::{Period, Timeline};

use crate::limit::{Kind, LimitState};

/// Slots that admission may open; settling may use up to [`MAX_SLOTS`].
pub const MAX_ADMISSION_SLOTS: usize = 16;

const _: () = assert!(MAX_ADMISSION_SLOTS < MAX_SLOTS, "settling needs room that admission leaves");

/// The revision of a record that was made and not confirmed: the host's begin at 1.
const UNCONFIRMED: u64 = 0;

/// What shared data holds of one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Whose.
    pub id: SubscriptionId,
    /// The host's revision of what follows, up to `periods`.
    pub revision: u64,
    /// The product's tag.
    pub product: Tag,
    /// Admits only under this catalog revision or a later one.
    pub catalog: u32,
    /// Whether it may call.
    pub access: Access,
    /// When access ends, unix milliseconds.
    pub expires_ms: Option<u64>,
    /// Its billing periods.
    pub periods: Timeline,
    /// The newest billing period that was entered: periods never go backwards. 0 before the first.
    pub period: u32,
    /// The last slot number that was used.
    pub last_slot: u32,
    /// Counters, oldest first.
    pub slots: Vec<Slot>,
    /// Periods of its quotas, by the limit's tag.
    pub quotas: Vec<(Tag, Timeline)>,
    /// Where the last quota period ends of those whose leases were forgotten, unix milliseconds:
    /// none up to here is entered again, even by a clock that steps back.
    pub forgotten_ms: u64,
    /// What it has instead of its product's own numbers.
    pub overrides: Vec<Override>,
    /// States of limits.
    pub limits: Vec<LimitState>,
}

impl Record {
    /// A record at zero that admits nothing before it is confirmed by [`Record::take`].
    pub fn unconfirmed(state: &SubscriptionState) -> Self {
        Self {
            id: state.id,
            revision: UNCONFIRMED,
            product: state.product,
            catalog: state.catalog,
            access: state.access,
            expires_ms: state.expires_ms.filter(|ms| *ms != u64::MAX),
            periods: Timeline::default(),
            period: 0,
            last_slot: 0,
            slots: Vec::new(),
            quotas: Vec::new(),
            forgotten_ms: 0,
            overrides: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Whether what it says was true when the process last heard.
    pub fn is_confirmed(&self) -> bool {
        self.revision != UNCONFIRMED
    }

    /// Whether `state` is newer than what the record holds: a higher revision, or of the same one
    /// with periods told further ahead.
    pub fn is_behind(&self, state: &SubscriptionState) -> bool {
        state.revision > self.revision
            || (state.revision == self.revision && state.known_until_ms() > self.known_until_ms())
    }

    /// Takes over a newer state; counters and limits stay.
    pub fn take(&mut self, state: &SubscriptionState) {
        self.revision = state.revision;
        self.product = state.product;
        self.catalog = state.catalog;
        self.access = state.access;
        self.expires_ms = state.expires_ms.filter(|ms| *ms != u64::MAX);
        self.periods = state.periods.bounded();
        let quotas = state.quotas.iter().take(MAX_LIMITS);
        self.quotas = quotas.map(|quota| (quota.limit, quota.periods.bounded())).collect();
        self.overrides = state.overrides.iter().take(MAX_LIMITS).copied().collect();
    }

    /// Until when it knows every kind of its periods, unix milliseconds.
    pub fn known_until_ms(&self) -> u64 {
        let quotas = self.quotas.iter().map(|(_, periods)| periods.end_ms());
        quotas.fold(self.periods.end_ms(), u64::min)
    }

    /// The billing period at `now_ms`, entered by this call: never one before another that was
    /// entered. None when the known periods have run out.
    pub fn enter_period(&mut self, now_ms: u64) -> Option<Period> {
        let period = self.period_at(now_ms)?;
        self.period = period.number;
        Some(period)
    }

    /// The billing period that a call at `now_ms` would enter.
    pub fn period_at(&self, now_ms: u64) -> Option<Period> {
        let period = self.periods.at(now_ms)?;
        if period.number < self.period { self.periods.get(self.period) } else { Some(period) }
    }

    /// Whether [`Record::slot_mut`] has a slot for calls of a period.
    pub fn has_slot(&self, period: u32, max: usize) -> bool {
        self.slots.iter().any(|slot| slot.period == period)
            || (self.slots.len() < max && self.last_slot < u32::MAX)
    }

    /// The slot for calls of a period, opened if there is none and fewer than `max` are in use.
    pub fn slot_mut(&mut self, period: u32, max: usize) -> Option<&mut Slot> {
        self.slot_where(period, max, |_| true)
    }

    /// The slot for a call of a period that took this, opened likewise. A slot has room for as
    /// many meters as a product has: if those of a catalog changed within a period, the call is
    /// counted in another slot of it.
    pub fn slot_for(&mut self, period: u32, took: &Meters, max: usize) -> Option<&mut Slot> {
        self.slot_where(period, max, |slot| slot.meters.has_room(took))
    }

    fn slot_where(
        &mut self,
        period: u32,
        max: usize,
        fits: impl Fn(&Slot) -> bool,
    ) -> Option<&mut Slot> {
        let place = self.slots.iter().position(|slot| slot.period == period && fits(slot));
        if let Some(place) = place {
            return self.slots.get_mut(place);
        }
        if self.slots.len() >= max {
            return None;
        }
        let number = self.last_slot.checked_add(1)?;
        self.last_slot = number;
        self.slots.push(Slot { number, period, ..Slot::default() });
        self.slots.last_mut()
    }

    /// Drops a slot whose period is over and whose exact content the host has stored. A call that
    /// settles later opens a new one.
    pub fn forget_slot(&mut self, stored: &Slot) -> bool {
        let before = self.slots.len();
        let current = self.period;
        self.slots.retain(|slot| slot != stored || slot.period >= current);
        self.slots.len() < before
    }

    /// What the host is told of this record.
    pub fn report(&self) -> RecordReport {
        RecordReport {
            subscription: self.id,
            known_until_ms: self.known_until_ms(),
            slots: self.slots.clone(),
            leases: self.limits.iter().flat_map(LimitState::leases).collect::<Vec<LeaseReport>>(),
        }
    }
}

#[cfg(test)]
mod tests;
