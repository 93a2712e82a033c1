//! Admission: one pure change of a record. All limits are checked, then all charged, or none.

mod refusal;

use tollgate_pricing::gate::{GateProduct, Limit, Rule};
use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::sync::{Access, LeaseAsk, Reason};
use tollgate_pricing::timeline::Period;

use self::refusal::by_limit;
use self::refusal::exhausted;
pub use self::refusal::{LimitStatus, Refusal};
use crate::limit::Kind;
use crate::limit::bucket::BucketRule;
use crate::limit::quota::Lease;
use crate::limit::window::WaitNs;
use crate::record::{MAX_ADMISSION_SLOTS, Record};

/// The moment of a decision, by two clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Wall clock, corrected by the host's, unix milliseconds: for periods.
    pub wall_ms: u64,
    /// Monotonic clock of the process: for rates.
    pub mono_ns: u64,
}

/// A call that wants to be admitted.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The record's product, if the catalog has it.
    pub product: Option<&'a GateProduct>,
    /// The API's id.
    pub api: &'a str,
    /// The operation's id.
    pub operation: &'a str,
    /// What the operation weighs.
    pub weight: u32,
    /// When.
    pub now: Now,
    /// Whether the host can be asked.
    pub reach: Reach,
    /// For how much longer, in nanoseconds, the host's word holds that a limit's period has
    /// nothing left.
    pub spent: &'a dyn Fn(Tag, u32) -> Option<u64>,
}

/// Whether the host can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It answers, as far as is known: an empty lease is a question for it.
    Near,
    /// It does not: leases are used up, and then the plan's `on_outage` rule decides.
    Away,
    /// It has not for longer than the catalog's `max_stale`: the rule decides about every call.
    Stale,
}

/// What admission decides.
#[derive(Debug)]
pub enum Admission {
    /// The call may go on; the record must be stored for it to count.
    Admitted {
        /// What settling takes.
        permit: Permit,
        /// Leases that run low, and that this call was elected to ask for.
        low: Vec<LeaseAsk>,
        /// What a limit that only observes would have refused it for.
        would_refuse: Option<Reason>,
        /// It passed by the plan's `on_outage` rule, beyond a lease.
        overdrawn: bool,
    },
    /// The call is refused; the record is as it was.
    Refused(Refusal),
    /// A lease is empty: the host decides.
    Empty(LeaseAsk),
    /// The record's periods have run out: the host knows the next.
    Outdated,
}

/// Proof that a call was admitted, and what settling it needs. It cannot be copied: whoever
/// settles a call uses it up.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    subscription: SubscriptionId,
    period: u32,
    quotas: Vec<(Tag, u32)>,
}

impl Permit {
    /// Whose call.
    pub fn subscription(&self) -> SubscriptionId {
        self.subscription
    }

    /// The billing period it belongs to.
    pub fn period(&self) -> u32 {
        self.period
    }

    /// Whether settling wants to know the call's bytes.
    pub fn wants_bytes(&self) -> bool {
        false
    }

    /// The response headers that settling wants to know, each with the quota that counts it.
    pub fn wants_headers(&self) -> &[(Tag, String)] {
        &[]
    }

    /// The quotas it took a unit of, each with its period.
    pub fn quotas(&self) -> &[(Tag, u32)] {
        &self.quotas
    }
}

/// Decides one call, and charges the record if it may go on.
pub fn admit(record: &mut Record, call: &Call<'_>) -> Admission {
    let Call { product, api, now, .. } = *call;
    if !record.is_confirmed() {
        return Admission::Outdated;
    }
    if record.access != Access::Active || record.expires_ms.is_some_and(|end| end <= now.wall_ms) {
        return Admission::Refused(Refusal::plain(Reason::SubscriptionInactive));
    }
    let Some(product) = product else {
        return Admission::Outdated;
    };
    if !product.apis.iter().any(|opened| opened == api) {
        return Admission::Refused(Refusal::plain(Reason::ApiNotInProduct));
    }
    let Some(period) = record.enter_period(now.wall_ms) else {
        return Admission::Outdated;
    };
    // Where the record is ahead of this VM's clock, quotas follow the record.
    let now = Now { wall_ms: now.wall_ms.max(period.start_ms), ..now };
    let period = period.number;
    if record.slot_mut(period, MAX_ADMISSION_SLOTS).is_none() {
        return Admission::Refused(Refusal::passing(Reason::Busy, 1_000));
    }
    match check(record, product, now) {
        Verdict::Room => charge(record, product, period, now),
        Verdict::Wait(limit, WaitNs(wait)) => {
            let wait_ms = wait.div_ceil(1_000_000);
            Admission::Refused(by_limit(record, product, limit, Reason::RateLimited, wait_ms, now))
        }
        Verdict::Empty(ask) => match (call.spent)(ask.lease.limit, ask.lease.period) {
            Some(_) => Admission::Refused(exhausted(record, product, &ask, now)),
            None => Admission::Empty(ask),
        },
        Verdict::Outdated => Admission::Outdated,
    }
}

enum Verdict<'a> {
    Room,
    Wait(&'a Limit, WaitNs),
    Empty(LeaseAsk),
    Outdated,
}

/// Checks every limit. Of several rates that refuse, the longest wait is told; a rate's refusal
/// comes before the question for a lease, which may cost a wait.
fn check<'a>(record: &mut Record, product: &'a GateProduct, now: Now) -> Verdict<'a> {
    let mut longest: Option<(&Limit, WaitNs)> = None;
    let mut empty = None;
    let id = record.id;
    for limit in &product.limits {
        let period = quota_period_now(record, limit, now);
        let Some(state) = record.limit_mut(product, limit, now) else {
            return Verdict::Outdated;
        };
        let wait = match (&mut state.kind, &limit.rule) {
            (Kind::Window(window), Rule::SlidingWindow { calls, .. }) => {
                window.advance(now.mono_ns);
                window.room(*calls, now.mono_ns).err()
            }
            (Kind::Bucket(bucket), rule) => {
                bucket_rule(rule).and_then(|rule| bucket.take(rule, now.mono_ns).err())
            }
            (Kind::Quota(quota), _) => {
                let Some(lease) = period.and_then(|period| quota.enter(period)) else {
                    return Verdict::Outdated;
                };
                if lease.left() == 0 && empty.is_none() {
                    let limit = limit.tag();
                    empty = Some(ask(id, limit, lease, 1));
                }
                None
            }
            // `fit` has made every state one of its rule.
            (Kind::Window(_), _) => None,
        };
        if let Some(wait) = wait
            && longest.is_none_or(|(_, longest)| wait > longest)
        {
            longest = Some((limit, wait));
        }
    }
    match (longest, empty) {
        (Some((limit, wait)), _) => Verdict::Wait(limit, wait),
        (None, Some(ask)) => Verdict::Empty(ask),
        (None, None) => Verdict::Room,
    }
}

/// Charges every limit and opens the call. Only after [`check`] found room in all.
fn charge(record: &mut Record, product: &GateProduct, period: u32, now: Now) -> Admission {
    let subscription = record.id;
    let mut permit = Permit { subscription, period, quotas: Vec::new() };
    let mut low = Vec::new();
    for limit in &product.limits {
        let Some(state) = record.limit_mut(product, limit, now) else {
            continue;
        };
        match &mut state.kind {
            Kind::Window(window) => window.charge(),
            Kind::Bucket(bucket) => {
                let after = bucket_rule(&limit.rule).map(|rule| bucket.take(rule, now.mono_ns));
                if let Some(Ok(after)) = after {
                    *bucket = after;
                }
            }
            Kind::Quota(quota) => {
                let Some(lease) = quota.current_mut() else {
                    continue;
                };
                let limit = limit.tag();
                permit.quotas.push((limit, lease.period));
                if lease.charge(now.mono_ns) {
                    low.push(ask(subscription, limit, lease, 0));
                }
            }
        }
    }
    if let Some(slot) = record.slot_mut(period, MAX_ADMISSION_SLOTS) {
        slot.admitted = slot.admitted.saturating_add(1);
    }
    Admission::Admitted { permit, low, would_refuse: None, overdrawn: false }
}

fn ask(subscription: SubscriptionId, limit: Tag, lease: &Lease, need: u64) -> LeaseAsk {
    LeaseAsk { subscription, lease: lease.report(limit), want: lease.want(), need }
}

fn bucket_rule(rule: &Rule) -> Option<BucketRule> {
    match rule {
        &Rule::TokenBucket { calls, period_seconds, burst, .. } => {
            Some(BucketRule { calls, period_seconds, burst })
        }
        Rule::SlidingWindow { .. } | Rule::Quota { .. } => None,
    }
}

fn quota_period_now(record: &Record, limit: &Limit, now: Now) -> Option<Period> {
    let Rule::Quota { .. } = limit.rule else {
        return None;
    };
    let tag = limit.tag();
    record.quotas.iter().find(|(quota, _)| *quota == tag)?.1.at(now.wall_ms)
}

#[cfg(test)]
mod tests;
