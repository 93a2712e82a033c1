//! The part of a catalog that a gateway enforces: APIs, operations, limits, and where keys are.
//!
//! The host derives it from a checked catalog and sends it by sync; types here cannot hold what
//! the check refuses (a limit of zero, a window longer than a day).

use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

use crate::id::Tag;
use crate::key::KeySecrets;

/// Limits a subscription's record can hold (law 8).
pub const MAX_LIMITS: usize = 16;
/// The longest id of an API, operation, product or limit.
pub const MAX_ID_BYTES: usize = 64;
/// The longest window of a rate limit.
pub const MAX_RATE_PERIOD_SECONDS: u32 = 24 * 60 * 60;
/// The calls a rate limit may allow in its window: what the record's window counters can hold.
pub const MAX_RATE_CALLS: u32 = 1_000_000_000;

/// What a gateway needs to know of one catalog revision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GateCatalog {
    /// The host's number of this revision; it only grows.
    pub revision: u32,
    /// Hash keys for API keys.
    pub secrets: KeySecrets,
    /// Where callers put their key.
    pub key: KeyPlaces,
    /// APIs in the catalog's order.
    pub apis: Vec<Api>,
    /// Products in the catalog's order.
    pub products: Vec<GateProduct>,
}

/// Where callers put their key; the header wins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeyPlaces {
    /// The header's name, lower case.
    pub header: String,
    /// The query parameter's name, if keys may come in the URL.
    pub query: Option<String>,
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
    /// What it allows.
    pub rule: Rule,
}

impl Limit {
    /// The name a record knows this limit by.
    pub fn tag(&self) -> Tag {
        Tag::of(&self.id)
    }
}

/// What a limit allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// At most `calls` in any window of `period_seconds`, per Envoy process.
    SlidingWindow {
        /// Calls per window.
        calls: NonZeroU32,
        /// The window's length.
        period_seconds: NonZeroU32,
    },
    /// A bucket that holds `burst` calls and gains `calls` every `period_seconds`, per process.
    TokenBucket {
        /// Calls gained per period.
        calls: NonZeroU32,
        /// The period of the gain.
        period_seconds: NonZeroU32,
        /// The bucket's size.
        burst: NonZeroU32,
    },
    /// At most `calls` in each of its periods, over the whole fleet, by leases.
    Quota {
        /// Calls per period.
        calls: NonZeroU64,
        /// How its periods run.
        period: QuotaPeriod,
    },
}

/// How the periods of a quota run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaPeriod {
    /// Equal spans counted from the subscription's start.
    Seconds(NonZeroU32),
    /// The billing period.
    Billing,
}
