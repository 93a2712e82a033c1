//! Limits: one file per kind, each a state in the record and a check that charges nothing.
//!
//! All limits of a product are checked before any is charged, so a refused call changes nothing.

pub mod bucket;
pub mod quota;
pub mod window;

use tollgate_pricing::gate::{Limit, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::LeaseReport;

use self::bucket::Bucket;
use self::quota::QuotaState;
use self::window::Window;
use crate::admit::Now;

/// The state of one limit in a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitState {
    /// The limit's tag.
    pub tag: Tag,
    /// What is remembered of it.
    pub kind: Kind,
}

/// What is remembered of a limit.
// A window is the large one and the common one: boxing it would cost every request an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A sliding window's counts.
    Window(Window),
    /// A token bucket's fill.
    Bucket(Bucket),
    /// A quota's leases.
    Quota(QuotaState),
}

impl LimitState {
    /// The state of a limit that was never used.
    pub fn fresh(limit: &Limit) -> Self {
        Self { tag: limit.tag(), kind: Kind::fresh(&limit.rule) }
    }

    /// Fits the state to its rule, which may have changed since: counts stay where that can only
    /// refuse more.
    pub fn fit(&mut self, rule: &Rule) {
        if let (Kind::Window(window), Rule::SlidingWindow { period_seconds, .. }) =
            (&mut self.kind, rule)
        {
            window.fit(*period_seconds);
        }
    }

    /// Whether this is the state of such a rule. A plan may use another's id for another kind of
    /// limit; each kind keeps a state of its own, so that none forgets what it granted.
    pub fn is_of(&self, rule: &Rule) -> bool {
        matches!(
            (&self.kind, rule),
            (Kind::Window(_), Rule::SlidingWindow { .. })
                | (Kind::Bucket(_), Rule::TokenBucket { .. })
                | (Kind::Quota(_), Rule::Quota { .. })
        )
    }

    /// Whether forgetting it could admit nothing more: a rate without recent calls, a quota whose
    /// periods are over.
    pub fn is_over(&mut self, now: Now) -> bool {
        match &mut self.kind {
            Kind::Window(window) => {
                window.advance(now.mono_ns);
                window.used() == 0
            }
            Kind::Bucket(bucket) => bucket.full_at_ns <= now.mono_ns,
            Kind::Quota(quota) => quota.leases.iter().all(|lease| lease.end_ms <= now.wall_ms),
        }
    }

    /// What the host is told of its leases.
    pub fn leases(&self) -> Vec<LeaseReport> {
        match &self.kind {
            Kind::Quota(quota) => quota.leases.iter().map(|lease| lease.report(self.tag)).collect(),
            Kind::Window(_) | Kind::Bucket(_) => Vec::new(),
        }
    }
}

impl Kind {
    fn fresh(rule: &Rule) -> Self {
        match rule {
            Rule::SlidingWindow { period_seconds, .. } => {
                Self::Window(Window::empty(window::bucket_ns(*period_seconds)))
            }
            Rule::TokenBucket { .. } => Self::Bucket(Bucket::default()),
            Rule::Quota { .. } => Self::Quota(QuotaState::default()),
        }
    }
}
