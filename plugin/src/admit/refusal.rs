//! Refusals: why, by which limit, and when to come back.

use tollgate_pricing::gate::Rule;
use tollgate_pricing::sync::Reason;

use super::examine::{Finding, Line, Retry, allowed};
use super::{Call, Now, lines};
use crate::record::Record;

/// Why a call is refused, and what its caller may know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The limit that refused: of several, the one that does so for longest.
    pub by: Option<Box<RefusedBy>>,
    /// When to come back, in nanoseconds from now; none if that is not known, or never.
    ///
    /// Of a limit it is exact, if nobody else calls: at every earlier instant some limit refuses,
    /// and at that instant none does. What a call then meets is at most a question to the host,
    /// for a lease of a quota's next period or of a rate. Quotas are exact to the millisecond of
    /// the wall clock, rates to the nanosecond of the monotonic one.
    pub retry_after_ns: Option<u64>,
    /// Every limit that may refuse such a call, as it stands.
    pub limits: Vec<LimitStatus>,
}

/// A limit that refused, and what an operator wants to know of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusedBy {
    /// The limit's id.
    pub limit: String,
    /// Units it allows.
    pub allowed: u64,
    /// Units this process spent of it in its window or period; none of a rate over the fleet,
    /// whose window is the host's.
    pub used: Option<u64>,
    /// Units this process was granted and has not returned; none of a rate.
    pub granted: Option<u64>,
    /// Until when it refuses, unix milliseconds; none for a lifetime.
    pub until_ms: Option<u64>,
}

impl Refusal {
    /// A refusal that no limit is behind.
    pub fn plain(reason: Reason) -> Self {
        Self { reason, by: None, retry_after_ns: None, limits: Vec::new() }
    }

    /// A refusal that may not hold for long.
    pub fn passing(reason: Reason, wait_ms: u64) -> Self {
        let retry_after_ns = Some(wait_ms.saturating_mul(1_000_000));
        Self { retry_after_ns, ..Self::plain(reason) }
    }
}

/// A limit as its caller sees it (the `RateLimit` headers' words).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitStatus {
    /// The limit's id.
    pub id: String,
    /// Units it allows.
    pub quota: u64,
    /// In this time; none for a lifetime.
    pub window_seconds: Option<u64>,
    /// Units left now. Of a limit over the fleet, what this process can tell: what is leased to it.
    pub remaining: u64,
    /// Until more are there; none if some are left, if more may be there at once, or never.
    pub reset_ms: Option<u64>,
}

/// How every limit that may refuse such a call stands now, for headers on any answer.
pub fn statuses(record: &Record, call: &Call<'_>) -> Vec<LimitStatus> {
    let Some(product) = call.product else { return Vec::new() };
    let Some(period) = record.period_at(call.now.wall_ms) else { return Vec::new() };
    statuses_of(&lines(record, call, product, period))
}

fn statuses_of(lines: &[Line<'_>]) -> Vec<LimitStatus> {
    lines.iter().filter_map(status).collect()
}

/// None of a limit that refuses nobody: what it counts is no promise to anyone.
fn status(line: &Line<'_>) -> Option<LimitStatus> {
    let window_seconds = match &*line.rule {
        Rule::SlidingWindow { period_seconds, .. } | Rule::TokenBucket { period_seconds, .. } => {
            Some(period_seconds.get().into())
        }
        Rule::Quota { .. } => {
            let period = line.seen.period.filter(|_| line.seen.end_ms.is_some());
            period.map(|period| period.end_ms.saturating_sub(period.start_ms).div_ceil(1_000))
        }
    };
    let reset_ms = match line.seen.finding {
        Finding::Unknown => return None,
        Finding::Spent(Retry::AfterNs(wait_ns)) => Some(wait_ns.div_ceil(1_000_000)),
        Finding::Spent(Retry::Never) | Finding::Room | Finding::Unleased(_) => None,
    };
    line.limit.blocks().then(|| LimitStatus {
        id: line.limit.id.clone(),
        quota: allowed(&line.rule),
        window_seconds,
        remaining: line.seen.left,
        reset_ms,
    })
}

/// The reason of a limit's refusals.
pub(super) fn reason(rule: &Rule) -> Reason {
    match rule {
        Rule::Quota { .. } => Reason::QuotaExceeded,
        Rule::SlidingWindow { .. } | Rule::TokenBucket { .. } => Reason::RateLimited,
    }
}

/// The refusal by one of the limits that count the call.
pub(super) fn by_limit(lines: &[Line<'_>], by: &Line<'_>, retry: Retry, now: Now) -> Refusal {
    let retry_after_ns = match retry {
        Retry::AfterNs(wait_ns) => Some(wait_ns),
        Retry::Never => None,
    };
    let is_quota = matches!(*by.rule, Rule::Quota { .. });
    let quota = by.seen.lease.filter(|_| is_quota);
    let here = match &*by.rule {
        Rule::TokenBucket { burst, .. } => burst.get().into(),
        rule => allowed(rule),
    };
    let used = match by.seen.lease {
        Some(lease) => is_quota.then(|| lease.spent()),
        None => Some(here.saturating_sub(by.seen.left)),
    };
    let waits_ms = retry_after_ns.map(|wait_ns| wait_ns.div_ceil(1_000_000));
    Refusal {
        reason: reason(&by.rule),
        by: Some(Box::new(RefusedBy {
            limit: by.limit.id.clone(),
            allowed: allowed(&by.rule),
            used,
            granted: quota.map(|lease| lease.granted.saturating_sub(lease.returned)),
            until_ms: waits_ms.map(|wait_ms| now.wall_ms.saturating_add(wait_ms)),
        })),
        retry_after_ns,
        limits: statuses_of(lines),
    }
}
