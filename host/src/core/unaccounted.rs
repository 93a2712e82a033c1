//! What is not accounted for: calls that a process may have let through and never reported, because
//! it died. A number where a lease bounds it, else the span of time they are in. Never less than
//! the truth: in doubt, the span.
//!
//! What bounds a subscription's calls is a hard quota of calls that counts every one of them, and
//! that nothing lets pass beyond its lease. For each of its periods, billable and open calls never
//! exceed what was granted and not handed back. Those that this ledger has under it are those that
//! were counted beside its lease, less the ones that were waived; what it has as open may have
//! become billable unheard.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tollgate_pricing::catalog::{Catalog, Product};
use tollgate_pricing::gate::{Limit, Meter, OnOutage, Rule};
use tollgate_pricing::id::{BootId, SubscriptionId};

use super::quota::QuotaClock;
use super::{Refusal, Request, catalog};
use crate::store::{BootLife, Ledger, SubscriptionRow};

/// Processes in one report.
pub const MAX_BOOTS: usize = 1_000;
/// Subscriptions in one report, of all processes together.
pub const MAX_LINES: usize = 10_000;
/// Catalogs that a process may have known, of those looked at.
const MAX_CATALOGS: usize = 8;
/// A process knows a catalog that is not older than this when it is heard.
const CATALOG_AGE: SignedDuration = SignedDuration::from_mins(1);
/// A process counts from an answer how long it goes on by itself, and waits so long for one.
const ANSWER_TIME: SignedDuration = SignedDuration::from_secs(5);

/// All processes that are silent and not accounted for -> [`Unaccounted`].
#[derive(Debug)]
pub struct ReadUnaccounted;

/// What is not accounted for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unaccounted {
    /// By process; newest sight first.
    pub boots: Vec<UnaccountedBoot>,
    /// Whether there are more of them.
    pub truncated: bool,
    /// When this ledger was restored from a backup, if it was: of processes that lived only
    /// between the two, and of what others reported then, it knows nothing.
    pub restored: Option<Timestamp>,
}

/// A process whose end nobody accounted for. Besides the subscriptions listed any other may have
/// called, as long as the span.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnaccountedBoot {
    /// Which.
    pub boot: BootId,
    /// Its gateway's name.
    pub gateway: String,
    /// What it let through before is in the ledger; none if that is not known.
    pub since: Option<Timestamp>,
    /// When it last synced; none if it never did.
    pub last_seen: Option<Timestamp>,
    /// From then on it let nothing through, if it lived so long; none if that is not known.
    pub until: Option<Timestamp>,
    /// Whether it was declared dead.
    pub forgotten: bool,
    /// Subscriptions that called it.
    pub subscriptions: Vec<UnaccountedCalls>,
    /// Whether there are more of them.
    pub truncated: bool,
}

/// Calls of one subscription that may be missing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UnaccountedCalls {
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Billable calls that the ledger does not have as billable, at most; none if nothing bounds
    /// them but the span.
    pub at_most: Option<u64>,
}

impl Request for ReadUnaccounted {
    type Answer = Unaccounted;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Unaccounted, Refusal> {
        let mut lives = ledger.unaccounted_boots(now, MAX_BOOTS.saturating_add(1))?;
        let truncated = lives.len() > MAX_BOOTS;
        lives.truncate(MAX_BOOTS);
        let restored = ledger.restored()?.map(|restored| restored.at);
        let mut left = MAX_LINES;
        let mut boots = Vec::with_capacity(lives.len());
        for life in lives {
            let boot = of_boot(ledger, life, restored, left)?;
            left = left.saturating_sub(boot.subscriptions.len());
            boots.push(boot);
        }
        Ok(Unaccounted { boots, truncated, restored })
    }
}

fn of_boot(
    ledger: &mut Ledger<'_>,
    life: BootLife,
    restored: Option<Timestamp>,
    lines: usize,
) -> Result<UnaccountedBoot, Refusal> {
    let known = Known::of(ledger, &life, restored)?;
    let mut ids = ledger.subscriptions_of_boot(life.boot, lines.saturating_add(1))?;
    let truncated = ids.len() > lines;
    ids.truncate(lines);
    let mut subscriptions = Vec::with_capacity(ids.len());
    for subscription in ids {
        let at_most = match &known.bounds {
            Some(bounds) => bounds.at_most(ledger, life.boot, subscription)?,
            None => None,
        };
        subscriptions.push(UnaccountedCalls { subscription, at_most });
    }
    Ok(UnaccountedBoot {
        boot: life.boot,
        gateway: life.gateway,
        since: known.since,
        last_seen: life.last_seen,
        until: known.until,
        forgotten: life.forgotten,
        subscriptions,
        truncated,
    })
}

/// What is known of a process's last moments.
struct Known {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    /// What numbers rest on; none if there are none.
    bounds: Option<Bounds>,
}

/// What the numbers of a process rest on.
struct Bounds {
    since: Timestamp,
    /// Changes it knew all the time since.
    revision: u64,
    /// The catalogs it may have had since.
    catalogs: Vec<Arc<Catalog>>,
}

impl Known {
    fn of(
        ledger: &mut Ledger<'_>,
        life: &BootLife,
        restored: Option<Timestamp>,
    ) -> Result<Self, Refusal> {
        // A process that began before the restore may have reported what is lost.
        let began = life.first_seen.filter(|first| restored.is_none_or(|at| *first < at));
        let since = life.swept_through.or(began);
        let catalogs = match since.and_then(|since| since.checked_sub(CATALOG_AGE).ok()) {
            Some(time) => catalogs_since(ledger, time)?,
            None => None,
        };
        // And how long it went on, as long as it was not heard since.
        let seen = life.last_seen.filter(|seen| restored.is_none_or(|at| *seen >= at));
        let silent = seen.zip(catalogs.as_deref()).and_then(|(seen, catalogs)| {
            let stale = stale_after(catalogs)?.checked_add(ANSWER_TIME)?;
            // It lived when it wrote its log, whatever else is known.
            Some(seen.checked_add(stale).ok()?.max(life.spilled.unwrap_or(seen)))
        });
        let until = life.ended.or(silent);
        let is_clear = life.swept_revision > 0 && !ledger.contradicts(life.boot)?;
        let bounds = since.zip(catalogs).filter(|_| is_clear);
        let revision = life.swept_revision;
        let bounds = bounds.map(|(since, catalogs)| Bounds { since, revision, catalogs });
        Ok(Self { since, until, bounds })
    }
}

/// The catalogs that were in force from a time on; none if they are too many to look at.
fn catalogs_since(
    ledger: &mut Ledger<'_>,
    time: Timestamp,
) -> Result<Option<Vec<Arc<Catalog>>>, Refusal> {
    let Some(revisions) = ledger.catalogs_since(time, MAX_CATALOGS)? else {
        return Ok(None);
    };
    let mut catalogs = Vec::with_capacity(revisions.len());
    for revision in revisions {
        catalogs.push(ledger.catalog(revision)?);
    }
    Ok(Some(catalogs))
}

/// How long a process that hears nothing goes on, if it stops then whatever the product.
fn stale_after(catalogs: &[Arc<Catalog>]) -> Option<SignedDuration> {
    let denies = |product: &Product| product.on_outage == OnOutage::Deny;
    let all = catalogs.iter().all(|catalog| catalog.products.iter().all(denies));
    let longest = catalogs.iter().map(|catalog| catalog.max_stale_seconds).max();
    longest.filter(|_| all).map(|seconds| SignedDuration::from_secs(i64::from(seconds)))
}

impl Bounds {
    /// Billable calls of a subscription that may be missing.
    fn at_most(
        &self,
        ledger: &mut Ledger<'_>,
        boot: BootId,
        subscription: SubscriptionId,
    ) -> Result<Option<u64>, Refusal> {
        let Some(row) = ledger.subscription(subscription)? else { return Ok(None) };
        // What changed since, the process may have met in another state.
        if row.revision > self.revision {
            return Ok(None);
        }
        let (_, catalog) = catalog::in_force(ledger)?;
        let Some(product) = catalog.product(&row.public.product) else { return Ok(None) };
        let mut least: Option<u64> = None;
        for limit in product.limits.iter().filter(|limit| self.holds(&product.id, limit)) {
            let Some(from) = self.first_period(product, limit, &row) else { continue };
            let units = ledger.uncounted_units(boot, (subscription, limit.tag()), from)?;
            least = Some(least.map_or(units, |other| other.min(units)));
        }
        let Some(units) = least else { return Ok(None) };
        let open = ledger.open_calls_of_boot(boot, subscription)?;
        Ok(Some(units.saturating_add(open)))
    }

    /// Whether a limit bounded every call of its product all the time.
    fn holds(&self, product: &str, limit: &Limit) -> bool {
        bounds_calls(limit)
            && self.catalogs.iter().all(|catalog| {
                catalog.product(product).is_some_and(|product| {
                    let is_it = |other: &Limit| other.id == limit.id && bounds_calls(other);
                    product.on_outage == OnOutage::Deny && product.limits.iter().any(is_it)
                })
            })
    }

    /// The first period of a quota that calls may be missing of: one earlier than by the clock, as
    /// gateways' clocks may be behind.
    fn first_period(&self, product: &Product, limit: &Limit, row: &SubscriptionRow) -> Option<u32> {
        let Rule::Quota { period, .. } = &limit.rule else { return None };
        let clock = QuotaClock::new(period, product.every, row.public.anchor)?;
        Some(clock.at(self.since)?.number.saturating_sub(1))
    }
}

/// Whether a limit refuses every call beyond what is leased of it, each being one unit.
fn bounds_calls(limit: &Limit) -> bool {
    let calls = matches!(limit.rule, Rule::Quota { meter: Meter::Calls, hard: true, .. });
    calls && limit.enforce && limit.on.is_none()
}

#[cfg(test)]
mod tests;
