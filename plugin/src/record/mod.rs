//! A subscription's record: its state, its limits and its counters, in one value of shared data.
//!
//! Every change is one read, one pure function and one compare-and-swap, so admission, quota and
//! counters cannot disagree. The record starts at zero and is never made again inside a boot.

mod codec;

pub use codec::{Damaged, MAX_RECORD_BYTES};
use tollgate_pricing::gate::{GateProduct, Limit, MAX_LIMITS};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{
    Access, LeaseAnswer, LeaseReport, MAX_SLOTS, RecordReport, Slot, SubscriptionState,
};
use tollgate_pricing::timeline::{Period, Timeline};

use crate::admit::Now;
use crate::limit::quota::{Lease, QuotaState};
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
            expires_ms: state.expires_ms,
            periods: Timeline::default(),
            period: 0,
            last_slot: 0,
            slots: Vec::new(),
            quotas: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Whether what it says was true when the process last heard.
    pub fn is_confirmed(&self) -> bool {
        self.revision != UNCONFIRMED
    }

    /// Whether `state` is newer than what the record holds: a higher revision, or of the same one
    /// with periods
    /// told further ahead.
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
        self.expires_ms = state.expires_ms;
        self.periods = state.periods.clone();
        let quotas = state.quotas.iter().take(MAX_LIMITS);
        self.quotas = quotas.map(|quota| (quota.limit, quota.periods.clone())).collect();
    }

    /// Until when it knows every kind of its periods, unix milliseconds.
    pub fn known_until_ms(&self) -> u64 {
        let quotas = self.quotas.iter().map(|(_, periods)| periods.end_ms());
        quotas.fold(self.periods.end_ms(), u64::min)
    }

    /// The billing period at `now_ms`, entered by this call: never one before another that was
    /// entered. None when the known periods have run out.
    pub fn enter_period(&mut self, now_ms: u64) -> Option<Period> {
        let mut period = self.periods.at(now_ms)?;
        if period.number < self.period {
            period = self.periods.get(self.period)?;
        }
        self.period = period.number;
        Some(period)
    }

    /// The slot for calls of a period, opened if there is none and fewer than `max` are in use.
    pub fn slot_mut(&mut self, period: u32, max: usize) -> Option<&mut Slot> {
        let place = self.slots.iter().position(|slot| slot.period == period);
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

    /// The state of one of the product's limits, fresh if the record has none of its kind. None
    /// if there is no room beside states of earlier plans that must not be forgotten yet.
    pub fn limit_mut(
        &mut self,
        product: &GateProduct,
        limit: &Limit,
        now: Now,
    ) -> Option<&mut LimitState> {
        let is_its = |state: &LimitState| state.tag == limit.tag() && state.is_of(&limit.rule);
        if let Some(place) = self.limits.iter().position(is_its) {
            let state = self.limits.get_mut(place)?;
            state.fit(&limit.rule);
            return Some(state);
        }
        if self.limits.len() >= MAX_LIMITS {
            self.limits.retain_mut(|state| {
                product.limits.iter().any(|kept| kept.tag() == state.tag) || !state.is_over(now)
            });
        }
        if self.limits.len() >= MAX_LIMITS {
            return None;
        }
        self.limits.push(LimitState::fresh(limit));
        self.limits.last_mut()
    }

    /// The state of a quota, if the record has one.
    fn quota_mut(&mut self, limit: Tag) -> Option<&mut QuotaState> {
        self.limits.iter_mut().find_map(|state| match &mut state.kind {
            Kind::Quota(quota) if state.tag == limit => Some(quota),
            _ => None,
        })
    }

    /// The lease of a quota's period, if this process has one.
    pub fn lease_mut(&mut self, limit: Tag, period: u32) -> Option<&mut Lease> {
        let leases = &mut self.quota_mut(limit)?.leases;
        leases.iter_mut().find(|lease| lease.period == period)
    }

    /// Takes over the host's cumulative grant, asked for at `_sent_ns` on the monotonic clock.
    pub fn grant(&mut self, answer: &LeaseAnswer, _sent_ns: u64) {
        let LeaseAnswer { limit, period, granted, .. } = *answer;
        let known = self.quotas.iter().find(|(quota, _)| *quota == limit);
        let Some(period) = known.and_then(|(_, periods)| periods.get(period)) else { return };
        if self.quota_mut(limit).is_none() && self.limits.len() < MAX_LIMITS {
            self.limits.push(LimitState { tag: limit, kind: Kind::Quota(QuotaState::default()) });
        }
        if let Some(lease) = self.quota_mut(limit).and_then(|quota| quota.lease(period)) {
            lease.grant(granted);
        }
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
