//! One limit and one call: what is left, and what that means for it.

use std::borrow::Cow;

use tollgate_pricing::gate::{Limit, Meter, QuotaPeriod, Rule, Scope};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{LeaseAsk, RATE_PERIOD};
use tollgate_pricing::timeline::Period;

use super::Call;
use crate::limit::bucket::{Bucket, BucketRule};
use crate::limit::lease::Lease;
use crate::limit::pace::{self, Pace, Span, first_want};
use crate::limit::quota::QuotaState;
use crate::limit::rate::RateState;
use crate::limit::window::{WaitNs, bucket_ns};
use crate::limit::{Kind, LimitState};
use crate::record::Record;

/// A limit that counts a call, as the call meets it.
pub(super) struct Line<'a> {
    pub(super) limit: &'a Limit,
    pub(super) tag: Tag,
    /// With the subscription's own numbers.
    pub(super) rule: Cow<'a, Rule>,
    /// The record has no state of it yet.
    pub(super) is_fresh: bool,
    pub(super) seen: Seen,
}

/// How a limit stands.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) finding: Finding,
    /// Units left here and now.
    pub(super) left: u64,
    /// Units the call needs.
    pub(super) needs: u64,
    /// Of a leased limit, the lease.
    pub(super) lease: Option<Lease>,
    /// Of a quota, the period that the call falls in.
    pub(super) period: Option<Period>,
    /// Of a quota, where the lease's period ends, unix milliseconds.
    pub(super) end_ms: Option<u64>,
}

/// What a limit says to a call.
#[derive(Clone, Copy)]
pub(super) enum Finding {
    /// There is room for it.
    Room,
    /// There is none until then.
    Spent(Retry),
    /// None is leased to this process; the host may have some.
    Unleased(LeaseAsk),
    /// A quota's periods have run out.
    Unknown,
}

/// How long a limit refuses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Retry {
    /// So many nanoseconds from now.
    AfterNs(u64),
    /// For ever.
    Never,
}

/// Looks at a limit, without changing its state. Quotas are in their period at `quota_ms`.
pub(super) fn examine<'a>(
    record: &Record,
    call: &Call<'_>,
    limit: &'a Limit,
    quota_ms: u64,
) -> Line<'a> {
    let tag = limit.tag();
    let rule = record.rule(tag, &limit.rule);
    let state = record.state(tag, &rule);
    let about = About { record, call, tag, rule: &rule, state };
    let seen = match *rule {
        Rule::SlidingWindow { scope: Scope::Fleet, .. }
        | Rule::TokenBucket { scope: Scope::Fleet, .. } => about.rate(),
        Rule::SlidingWindow { .. } => about.window(),
        Rule::TokenBucket { .. } => about.bucket(),
        Rule::Quota { .. } => about.quota(quota_ms),
    };
    Line { limit, tag, is_fresh: state.is_none(), rule, seen }
}

/// The same rule as its bucket takes it.
pub(super) fn bucket_rule(rule: &Rule) -> Option<BucketRule> {
    match rule {
        &Rule::TokenBucket { calls, period_seconds, burst, .. } => {
            Some(BucketRule { calls, period_seconds, burst })
        }
        Rule::SlidingWindow { .. } | Rule::Quota { .. } => None,
    }
}

struct About<'a> {
    record: &'a Record,
    call: &'a Call<'a>,
    tag: Tag,
    rule: &'a Rule,
    state: Option<&'a LimitState>,
}

impl About<'_> {
    fn window(&self) -> Seen {
        let now_ns = self.call.now.mono_ns;
        let Rule::SlidingWindow { calls, period_seconds, .. } = *self.rule else {
            return Seen::rate(Ok(0));
        };
        Seen::rate(match self.state.map(|state| &state.kind) {
            Some(Kind::Window(window)) if window.bucket_ns == bucket_ns(period_seconds) => {
                window.room(calls, now_ns)
            }
            Some(Kind::Window(window)) => window.fitted(period_seconds, now_ns).room(calls, now_ns),
            _ => Ok(calls.get().into()),
        })
    }

    fn bucket(&self) -> Seen {
        let now_ns = self.call.now.mono_ns;
        let Some(rule) = bucket_rule(self.rule) else { return Seen::rate(Ok(0)) };
        let bucket = match self.state.map(|state| &state.kind) {
            Some(Kind::Bucket(bucket)) => *bucket,
            _ => Bucket::default(),
        };
        Seen::rate(bucket.take(rule, now_ns).map(|_| bucket.room(rule, now_ns)))
    }

    fn rate(&self) -> Seen {
        let rate = match self.state.map(|state| &state.kind) {
            Some(Kind::Rate(rate)) => *rate,
            _ => RateState::default(),
        };
        let left = rate.left(self.call.now.mono_ns);
        let finding = if left > 0 {
            Finding::Room
        } else if let Some(told_ns) = (self.call.spent)(self.tag, RATE_PERIOD) {
            Finding::Spent(Retry::AfterNs(told_ns))
        } else {
            self.unleased(&rate.lease, &rate.pace, 1, pace::RATE)
        };
        let lease = Some(rate.lease);
        Seen { finding, left, needs: 1, lease, period: None, end_ms: None }
    }

    fn quota(&self, quota_ms: u64) -> Seen {
        let period = self.record.quota_period(self.tag, quota_ms);
        let (Some(period), Rule::Quota { meter, period: kind, .. }) = (period, self.rule) else {
            return Seen { finding: Finding::Unknown, ..Seen::rate(Ok(0)) };
        };
        let fresh = QuotaState::default();
        let quota = match self.state.map(|state| &state.kind) {
            Some(Kind::Quota(quota)) => quota,
            _ => &fresh,
        };
        let kept = quota.at(period);
        let needs = match meter {
            Meter::Weight => self.call.weight.into(),
            // Of what is known late, any rest is enough.
            Meter::Calls | Meter::Bytes | Meter::Header(_) => 1,
        };
        let left = kept.lease.left();
        let finding = if needs <= left {
            Finding::Room
        } else if (self.call.spent)(self.tag, kept.lease.period).is_none() {
            let missing = needs.saturating_sub(left);
            self.unleased(&kept.lease, &quota.pace, missing, pace::QUOTA)
        } else if *kind == QuotaPeriod::Lifetime {
            Finding::Spent(Retry::Never)
        } else {
            let wait_ms = kept.end_ms.saturating_sub(self.call.now.wall_ms);
            Finding::Spent(Retry::AfterNs(wait_ms.saturating_mul(1_000_000)))
        };
        let end_ms = Some(kept.end_ms).filter(|_| *kind != QuotaPeriod::Lifetime);
        Seen { finding, left, needs, lease: Some(kept.lease), period: Some(period), end_ms }
    }

    fn unleased(&self, lease: &Lease, pace: &Pace, missing: u64, span: Span) -> Finding {
        let now_ns = self.call.now.mono_ns;
        let want = want(self.rule, lease, pace, missing, now_ns, span).max(missing);
        let lease = lease.report(self.tag);
        Finding::Unleased(LeaseAsk { subscription: self.record.id, lease, want, need: missing })
    }
}

/// Units to ask for.
pub(super) fn want(
    rule: &Rule,
    lease: &Lease,
    pace: &Pace,
    needs: u64,
    now_ns: u64,
    span: Span,
) -> u64 {
    pace.want(lease.used, first_want(rule, needs), now_ns, span).min(allowed(rule))
}

/// Units a rule allows.
pub(super) fn allowed(rule: &Rule) -> u64 {
    match rule {
        Rule::SlidingWindow { calls, .. } | Rule::TokenBucket { calls, .. } => calls.get().into(),
        Rule::Quota { units, .. } => units.get(),
    }
}

impl Seen {
    /// A rate that this process counts for itself.
    fn rate(room: Result<u64, WaitNs>) -> Self {
        let (left, finding) = match room {
            Ok(left) => (left, Finding::Room),
            Err(WaitNs(wait_ns)) => (0, Finding::Spent(Retry::AfterNs(wait_ns))),
        };
        Self { finding, left, needs: 1, lease: None, period: None, end_ms: None }
    }
}
