//! The part of a catalog that a gateway enforces: APIs, operations, limits, and where keys are.
//!
//! The host derives it from a checked catalog and sends it by sync; types here cannot hold what
//! the check refuses (a limit of zero, a window longer than a day).

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::id::Tag;
use crate::key::KeySecrets;
use crate::sync::{MAX_ANSWER_BYTES, Reason};

/// Limits of a product, and so of a subscription's record (law 8).
///
/// Any limit may be of any kind, so a record of 12 KiB holds the worst of them, with every limit at
/// its largest at once: the 64 sub-buckets of a sliding window in each Envoy process, or the three
/// leases of a quota, and beside it a timeline of eight runs and an override; and all meters in
/// every slot. The plugin's record is tested at that bound.
pub const MAX_LIMITS: usize = 16;
/// The longest id of an API, operation, product or limit.
pub const MAX_ID_BYTES: usize = 64;
/// The longest window of a rate limit.
pub const MAX_RATE_PERIOD_SECONDS: u32 = 24 * 60 * 60;
/// The calls a rate limit may allow in its window: what the record's window counters can hold.
pub const MAX_RATE_CALLS: u32 = 1_000_000_000;
/// The most units one call of an operation may weigh.
pub const MAX_WEIGHT: u32 = 1_000_000;
/// How long a token bucket may take to fill: past it, the arithmetic of gateways could run over.
pub const MAX_FILL_SECONDS: u32 = 30 * 24 * 60 * 60;
/// The largest catalog as JSON: it is a part of one answer, and one value of shared data.
pub const MAX_GATE_CATALOG_BYTES: usize = 4 * 1024 * 1024;
const _: () = assert!(MAX_GATE_CATALOG_BYTES <= MAX_ANSWER_BYTES / 4);

/// What a gateway needs to know of one catalog revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GateCatalog {
    /// The host's number of this revision; it only grows.
    pub revision: u32,
    /// Hash keys for API keys.
    pub secrets: KeySecrets,
    /// Where callers put their key.
    pub key: KeyPlaces,
    /// How long a gateway goes on by itself without hearing from the host; at most
    /// [`crate::sync::MAX_STALE_SECONDS`].
    pub max_stale_seconds: u32,
    /// How refusals are answered.
    pub answers: Answers,
    /// APIs in the catalog's order.
    pub apis: Vec<Api>,
    /// Products in the catalog's order.
    pub products: Vec<GateProduct>,
}

/// Where callers put their key; the header wins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyPlaces {
    /// The header's name, lower case. In `authorization` a key may follow the word `Bearer`.
    pub header: String,
    /// The query parameter's name, if keys may come in the URL.
    pub query: Option<String>,
    /// Consumers bring keys of their own: one without this ledger's checksum is looked up too.
    pub imported: bool,
}

/// How a gateway answers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Answers {
    /// Statuses that differ from the default, one entry a reason.
    pub statuses: Vec<(Reason, u16)>,
    /// `RateLimit` headers on every answer, not on refusals only.
    pub limits_on_every_answer: bool,
}

/// A published HTTP API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Api {
    /// Its id in the catalog.
    pub id: String,
    /// The host it answers on, lower case and without port; any host when absent.
    pub host: Option<String>,
    /// The path it begins with: `/` or `/segment…` without a slash at the end.
    pub path: String,
    /// Its operations; every call under `path` is the operation `*` when empty.
    pub operations: Vec<Operation>,
}

/// One method and path template of an API.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// Its id, unique in its API.
    pub id: String,
    /// The method in upper case; any method when absent.
    pub method: Option<String>,
    /// The path below the API's, with `{name}` for one segment and a final `*` for the rest.
    pub path: String,
    /// Passes without a key, and bills nothing.
    #[serde(default)]
    pub open: bool,
    /// Units that a call of it takes from quotas of [`Meter::Weight`]; at most [`MAX_WEIGHT`].
    pub weight: u32,
}

/// What a product lets through.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GateProduct {
    /// Its id in the catalog.
    pub id: String,
    /// Ids of the APIs it opens.
    pub apis: Vec<String>,
    /// Its limits, at most [`MAX_LIMITS`].
    pub limits: Vec<Limit>,
    /// What becomes of calls that only the host could allow, while it cannot be asked.
    pub on_outage: OnOutage,
    /// Which of the calls that were let through are billed.
    pub billable: Billable,
    /// What is metered of them besides calls, each once, at most [`crate::sync::MAX_METERS`].
    pub meters: Vec<Meter>,
}

/// Which of the calls that were let through are billed: those to which none of the three objects.
/// The others are waived: they give back what they took of quotas.
///
/// A call is what the gate let through once. A retry inside the proxy is none; each pass of an
/// internal redirect is one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Billable {
    /// Statuses that the caller was given, whoever made them, in ascending ranges that do not touch.
    /// Calls without a status are billed whatever these are.
    pub statuses: Vec<Statuses>,
    /// Calls that never reached the API, too: the proxy answered, or the caller left before.
    pub unforwarded: bool,
    /// Calls whose caller left before the answer was complete, too.
    pub aborted: bool,
}

/// Statuses from one to another, both among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statuses {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Default for Billable {
    /// What was forwarded and did not end in a server error.
    fn default() -> Self {
        let statuses = vec![Statuses { first: 100, last: 499 }];
        Self { statuses, unforwarded: false, aborted: true }
    }
}

impl Billable {
    /// Whether a call that ended like this is billed.
    pub fn bills(&self, ended: Ended) -> bool {
        let is_one = |range: &Statuses| (range.first..=range.last).contains(&ended.status);
        (ended.forwarded || self.unforwarded)
            && (!ended.aborted || self.aborted)
            && (ended.status == 0 || self.statuses.iter().any(is_one))
    }
}

/// How a call ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended {
    /// It reached the API: the proxy had a connection to it, and used it.
    pub forwarded: bool,
    /// The status that was sent; 0 if none was, as the caller left before.
    pub status: u16,
    /// The caller left before the answer was complete.
    pub aborted: bool,
}

/// What becomes of calls that only the host could allow, while it cannot be asked: their lease is
/// spent, or nothing was heard for longer than [`GateCatalog::max_stale_seconds`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnOutage {
    /// They are refused.
    #[default]
    Deny,
    /// They pass, as an overdraft that is counted and shown.
    Allow,
    /// They pass until a lease is overdrawn by so many units in one process.
    AllowUpTo(NonZeroU64),
}

impl GateProduct {
    /// The name a record knows this product by.
    pub fn tag(&self) -> Tag {
        Tag::of(&self.id)
    }
}

/// One rate or quota of a product.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limit {
    /// Its id, unique in its product; state is kept under it when plans change.
    pub id: String,
    /// The calls it counts; all of the product's when absent.
    pub on: Option<Target>,
    /// What it allows.
    pub rule: Rule,
    /// Whether it refuses. One that does not counts, and tells what it would have refused.
    pub enforce: bool,
}

/// The calls of an API or of one of its operations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    /// The API's id.
    pub api: String,
    /// The operation's id; all of the API's when absent.
    pub operation: Option<String>,
}

impl Limit {
    /// The name a record knows this limit by.
    pub fn tag(&self) -> Tag {
        Tag::of(&self.id)
    }

    /// Whether it counts calls of this operation.
    pub fn counts(&self, api: &str, operation: &str) -> bool {
        self.on.as_ref().is_none_or(|on| {
            on.api == api && on.operation.as_ref().is_none_or(|only| only == operation)
        })
    }

    /// Whether a call may be refused by it: soft quotas and limits that only observe refuse none.
    pub fn blocks(&self) -> bool {
        self.enforce && !matches!(self.rule, Rule::Quota { hard: false, .. })
    }
}

/// What a limit allows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// At most `calls` in any window of `period_seconds`.
    SlidingWindow {
        /// Calls per window.
        calls: NonZeroU32,
        /// The window's length.
        period_seconds: NonZeroU32,
        /// Where calls are counted together.
        scope: Scope,
    },
    /// A bucket that holds `burst` calls and gains `calls` every `period_seconds`.
    TokenBucket {
        /// Calls gained per period.
        calls: NonZeroU32,
        /// The period of the gain.
        period_seconds: NonZeroU32,
        /// The bucket's size. Under [`Scope::Fleet`] at least a call more than a second's gain.
        burst: NonZeroU32,
        /// Where calls are counted together.
        scope: Scope,
    },
    /// At most `units` in each of its periods, over the whole fleet, by leases.
    Quota {
        /// Units per period.
        units: NonZeroU64,
        /// What is counted.
        meter: Meter,
        /// How its periods run.
        period: QuotaPeriod,
        /// Whether it blocks. A soft one counts and never does.
        hard: bool,
    },
}

/// Where the calls of a rate are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Over all gateways, by expiring grants of the host.
    Fleet,
    /// In each Envoy process.
    Gateway,
}

/// What a quota counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// Each call is one unit.
    Calls,
    /// Each call is as many units as its operation weighs.
    Weight,
    /// Bytes of request and response, headers included; known when a call has ended.
    Bytes,
    /// The whole number in this response header (lower case); known when a call has ended.
    Header(String),
}

impl Meter {
    /// The name its counters are known by.
    pub fn tag(&self) -> Tag {
        match self {
            Self::Calls => Tag::of("calls"),
            Self::Weight => Tag::of("weight"),
            Self::Bytes => Tag::of("bytes"),
            Self::Header(name) => Tag::of(&format!("header {name}")),
        }
    }

    /// Whether a call's units are known only when it has ended. Such a quota blocks once it is
    /// used up, and may be exceeded by what was under way.
    pub fn is_known_late(&self) -> bool {
        matches!(self, Self::Bytes | Self::Header(_))
    }
}

/// How the periods of a quota run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaPeriod {
    /// Equal spans counted from the subscription's start.
    Seconds(NonZeroU32),
    /// Hours, days, weeks (from Monday), months or years of a calendar.
    Calendar {
        /// Which.
        unit: CalendarUnit,
        /// A time zone's name in the IANA database.
        zone: String,
    },
    /// The billing period.
    Billing,
    /// One for as long as the subscription lives.
    Lifetime,
}

/// A span of a calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "as named")]
pub enum CalendarUnit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// What one subscription has instead of a limit's own numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Override {
    /// The limit.
    pub limit: Tag,
    /// Calls of a rate, units of a quota. A rate has at most [`MAX_RATE_CALLS`].
    pub units: NonZeroU64,
    /// The size of a token bucket.
    pub burst: Option<NonZeroU32>,
}

impl Rule {
    /// Whether the host leases it: quotas, and rates over the fleet.
    pub fn is_leased(&self) -> bool {
        match self {
            Self::SlidingWindow { scope, .. } | Self::TokenBucket { scope, .. } => {
                *scope == Scope::Fleet
            }
            Self::Quota { .. } => true,
        }
    }

    /// Whether its numbers can be kept. Those of a catalog can; an [`Override`] may bring others,
    /// and so may a new catalog under an old override.
    pub fn check(&self) -> Result<(), BadRule> {
        let Self::TokenBucket { calls, period_seconds, burst, scope } = self else { return Ok(()) };
        let wide = |number: &NonZeroU32| u64::from(number.get());
        let filling = wide(burst).saturating_mul(wide(period_seconds));
        if filling > wide(calls).saturating_mul(MAX_FILL_SECONDS.into()) {
            let (calls, period_seconds, burst) = (*calls, *period_seconds, *burst);
            return Err(BadRule::FillsTooSlowly { calls, period_seconds, burst });
        }
        // A grant may last a second, and the host holds back what the bucket gains meanwhile. Less
        // than one call would be left of a smaller bucket: it would never let any pass.
        let least = wide(calls).div_ceil(wide(period_seconds)).saturating_add(1);
        if *scope == Scope::Fleet && wide(burst) < least {
            return Err(BadRule::FleetBurst { least, burst: *burst });
        }
        Ok(())
    }

    /// This rule with a subscription's own numbers. Where they go past a bound the bound holds;
    /// [`Rule::check`] tells whether the result can be kept.
    #[must_use]
    pub fn with(mut self, own: &Override) -> Self {
        let rate = || {
            let calls = u32::try_from(own.units.get()).unwrap_or(MAX_RATE_CALLS);
            NonZeroU32::new(calls.min(MAX_RATE_CALLS)).unwrap_or(NonZeroU32::MIN)
        };
        match &mut self {
            Self::SlidingWindow { calls, .. } => *calls = rate(),
            Self::TokenBucket { calls, burst, .. } => {
                *calls = rate();
                *burst = own.burst.unwrap_or(*burst);
            }
            Self::Quota { units, .. } => *units = own.units,
        }
        self
    }
}

/// Why a token bucket cannot be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRule {
    /// It takes longer than [`MAX_FILL_SECONDS`] to fill.
    #[error(
        "expected a burst that {calls} calls per {period_seconds} s refill within 30 days, found \
         {burst}"
    )]
    FillsTooSlowly {
        /// Calls gained per period.
        calls: NonZeroU32,
        /// The period of the gain.
        period_seconds: NonZeroU32,
        /// The bucket's size.
        burst: NonZeroU32,
    },
    /// Over the fleet it holds too little.
    #[error(
        "expected a burst of at least {least}, one more than a second's gain, which is held back \
         while gateways spend what they were granted, found {burst}: write more, or `scope: \
         gateway` to count in each Envoy process"
    )]
    FleetBurst {
        /// The least size of such a bucket.
        least: u64,
        /// The bucket's size.
        burst: NonZeroU32,
    },
}

#[cfg(test)]
mod tests;
