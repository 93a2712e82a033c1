//! Refusals: why, by which limit, and when to come back.

use tollgate_pricing::gate::{GateProduct, Limit, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{LeaseAsk, Reason};
use tollgate_pricing::timeline::Period;

use super::{Now, bucket_rule, quota_period_now};
use crate::limit::Kind;
use crate::limit::quota::Lease;
use crate::record::Record;

/// Why a call is refused, and what its caller may know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The limit that refused, by its id.
    pub limit: Option<String>,
    /// When to come back.
    pub retry_after_ms: Option<u64>,
    /// Every limit of the product, as it stands.
    pub limits: Vec<LimitStatus>,
}

impl Refusal {
    /// A refusal that no limit is behind.
    pub fn plain(reason: Reason) -> Self {
        Self { reason, limit: None, retry_after_ms: None, limits: Vec::new() }
    }

    /// A refusal that may not hold for long.
    pub fn passing(reason: Reason, retry_after_ms: u64) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::plain(reason) }
    }
}

/// A limit as its caller sees it (the `RateLimit` headers' words).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitStatus {
    /// The limit's id.
    pub id: String,
    /// Calls it allows.
    pub quota: u64,
    /// In this time.
    pub window_seconds: u64,
    /// Calls left now.
    pub remaining: u64,
    /// Until more are there, if none is left.
    pub reset_ms: u64,
}

/// The refusal of a call whose quota the host said is spent.
pub(super) fn exhausted(
    record: &mut Record,
    product: &GateProduct,
    ask: &LeaseAsk,
    now: Now,
) -> Refusal {
    let end_ms =
        quota_period(record, ask.lease.limit, ask.lease.period).map_or(0, |period| period.end_ms);
    let wait_ms = end_ms.saturating_sub(now.wall_ms);
    let Some(limit) = product.limits.iter().find(|limit| limit.tag() == ask.lease.limit) else {
        return Refusal::passing(Reason::QuotaExceeded, wait_ms);
    };
    by_limit(record, product, limit, Reason::QuotaExceeded, wait_ms, now)
}

pub(super) fn by_limit(
    record: &mut Record,
    product: &GateProduct,
    limit: &Limit,
    reason: Reason,
    wait_ms: u64,
    now: Now,
) -> Refusal {
    let statuses = product.limits.iter().filter_map(|each| {
        let reset_ms = if each.id == limit.id { wait_ms } else { 0 };
        status(record, product, each, reset_ms, now)
    });
    Refusal {
        reason,
        limit: Some(limit.id.clone()),
        limits: statuses.collect(),
        retry_after_ms: Some(wait_ms),
    }
}

/// How a limit stands, for the caller. A quota's remainder is what this process can tell: its lease.
fn status(
    record: &mut Record,
    product: &GateProduct,
    limit: &Limit,
    reset_ms: u64,
    now: Now,
) -> Option<LimitStatus> {
    let spans = quota_period_now(record, limit, now)
        .map_or(0, |period| period.end_ms.saturating_sub(period.start_ms).div_ceil(1_000));
    let state = record.limit_mut(product, limit, now)?;
    let (quota, window_seconds, remaining) = match (&state.kind, &limit.rule) {
        (Kind::Window(window), Rule::SlidingWindow { calls, period_seconds, .. }) => {
            let room = window.room(*calls, now.mono_ns).unwrap_or(0);
            (calls.get().into(), period_seconds.get().into(), room)
        }
        (Kind::Bucket(bucket), Rule::TokenBucket { calls, period_seconds, .. }) => {
            let room = bucket_rule(&limit.rule).map_or(0, |rule| bucket.room(rule, now.mono_ns));
            (calls.get().into(), period_seconds.get().into(), room)
        }
        (Kind::Quota(quota), Rule::Quota { units, .. }) => {
            let left = quota.current().map_or(0, Lease::left);
            (units.get(), spans, left)
        }
        _ => return None,
    };
    Some(LimitStatus { id: limit.id.clone(), quota, window_seconds, remaining, reset_ms })
}

fn quota_period(record: &Record, limit: Tag, number: u32) -> Option<Period> {
    record.quotas.iter().find(|(quota, _)| *quota == limit)?.1.get(number)
}
