//! The words a gateway and the host exchange: one POST with a [`SyncRequest`], one [`SyncAnswer`].
//!
//! Everything a gateway reports is cumulative or numbered, so that any message may be lost, sent
//! again or overtaken: counters merge by max, rows are known by (incarnation, sequence). What is
//! not acknowledged in an answer did not arrive, whatever its HTTP status.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::gate::{GateCatalog, Override};
use crate::id::{BootId, Hex128, LedgerId, SubscriptionId, Tag};
use crate::key::KeyHash;
use crate::timeline::Timeline;

mod meters;
mod rows;
pub mod spill;

pub use meters::Meters;
pub use rows::{Country, Histogram, Latency, PlaceRow, Row, Rows};

/// The version of this protocol. A host speaks this one and the one before.
pub const PROTOCOL: u16 = 1;
/// Where gateways post.
pub const SYNC_PATH: &str = "/v1/sync";
/// The largest request a host reads, and so the largest a gateway sends.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;
/// Rows in one batch, of all kinds together.
pub const MAX_ROWS: usize = 2_000;
/// Records in one request.
pub const MAX_RECORDS: usize = 1_000;
/// Key and lease questions in one request.
pub const MAX_ASKS: usize = 1_000;
/// Changes in one answer; the rest comes with the next.
pub const MAX_CHANGES: usize = 1_000;
/// Counter slots of one subscription in one process.
pub const MAX_SLOTS: usize = 32;
/// Meters of one product, besides its calls.
pub const MAX_METERS: usize = 8;
/// States of subscriptions in one answer; the rest comes with the next.
pub const MAX_STATES: usize = 1_000;
/// The largest answer a gateway reads, and more than a host ever sends: a state is below 8 KiB,
/// acknowledgements are about as long as what they acknowledge, and a catalog is below 4 MiB.
pub const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
const _: () = assert!(MAX_STATES * 8 * 1024 + 2 * MAX_REQUEST_BYTES < MAX_ANSWER_BYTES / 4 * 3);
/// How long a gateway goes on without hearing from the host; periods are sent this far ahead.
pub const MAX_STALE_SECONDS: u64 = 15 * 60;

/// What one VM of a gateway's process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncRequest {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u16,
    /// The process.
    pub boot: BootId,
    /// The ledger this process has known so far; its usage goes to it and no other.
    pub ledger: Option<LedgerId>,
    /// The epoch of that ledger that this process knows: what it reports as swept was read again
    /// under this epoch.
    pub epoch: u32,
    /// Changes up to this revision are known to the whole process; none before the first answer.
    pub since: Option<u64>,
    /// The catalog revision the process holds.
    pub catalog: Option<u32>,
    /// Every record of this process was read, and its periods moved on, at or after this time
    /// (unix milliseconds by the host's clock), and what was read has been acknowledged.
    pub swept_through_ms: Option<u64>,
    /// Descriptive rows, numbered.
    pub rows: Option<RowBatch>,
    /// Counters and leases, fresh.
    pub records: Vec<RecordReport>,
    /// Keys not known here.
    pub keys: Vec<KeyHash>,
    /// Leases that run low or are empty.
    pub leases: Vec<LeaseAsk>,
}

/// Rows as first sent: resent byte for byte until acknowledged.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowBatch {
    /// One life of one VM.
    pub incarnation: Hex128,
    /// Counts batches of this incarnation from 1.
    pub sequence: u64,
    /// [`RowBatch::hash_of`] the rows.
    pub hash: Hex128,
    /// The JSON text of [`Rows`].
    pub rows: Box<RawValue>,
}

impl RowBatch {
    /// Numbers and hashes the JSON text of [`Rows`].
    pub fn new(incarnation: Hex128, sequence: u64, rows: Box<RawValue>) -> Self {
        Self { incarnation, sequence, hash: Self::hash_of(rows.get()), rows }
    }

    /// The first half of the BLAKE3 hash of the rows' exact bytes.
    pub fn hash_of(rows: &str) -> Hex128 {
        let hash = blake3::hash(rows.as_bytes());
        let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
        Hex128(*first)
    }
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Admitted, and billed by its product's rule ([`crate::gate::Billable`]).
    Billable,
    /// Admitted, and not billed by it. Gives its quota back.
    Waived,
    /// Passed without a key: an open operation or a CORS preflight.
    Open,
    /// Answered by the gate.
    Refused(Reason),
}

/// Why the gate refused a call: stable, for programs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// No key in the request.
    MissingKey,
    /// A key nobody has.
    InvalidKey,
    /// The key's subscription is not active.
    SubscriptionInactive,
    /// The key's product does not open this API.
    ApiNotInProduct,
    /// No API or operation matches.
    NotFound,
    /// A request this gate cannot read: a path or key past every bound.
    BadRequest,
    /// A rate limit.
    RateLimited,
    /// A quota.
    QuotaExceeded,
    /// Too many concurrent changes or unreported periods; try again.
    Busy,
    /// The host was needed and did not answer.
    HostUnavailable,
}

impl Reason {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::MissingKey,
        Self::InvalidKey,
        Self::SubscriptionInactive,
        Self::ApiNotInProduct,
        Self::NotFound,
        Self::BadRequest,
        Self::RateLimited,
        Self::QuotaExceeded,
        Self::Busy,
        Self::HostUnavailable,
    ];

    /// The word in answers and reports, as serde writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingKey => "missing_key",
            Self::InvalidKey => "invalid_key",
            Self::SubscriptionInactive => "subscription_inactive",
            Self::ApiNotInProduct => "api_not_in_product",
            Self::NotFound => "not_found",
            Self::BadRequest => "bad_request",
            Self::RateLimited => "rate_limited",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Busy => "busy",
            Self::HostUnavailable => "host_unavailable",
        }
    }
}

/// One subscription's counters and leases in one process, from a single read of its record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordReport {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Until when the record knows every kind of its periods, unix milliseconds; the host sends
    /// more when that is near.
    pub known_until_ms: u64,
    /// Its slots, at most [`MAX_SLOTS`].
    pub slots: Vec<Slot>,
    /// Its leases.
    pub leases: Vec<LeaseReport>,
}

/// Counters of (boot, subscription, number) for one billing period. They only grow; a number is
/// never used again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Slot {
    /// Counts this subscription's slots in this process from 1.
    pub number: u32,
    /// The billing period of the calls in it.
    pub period: u32,
    /// Calls let through.
    pub admitted: u64,
    /// Of these, settled as billable.
    pub billable: u64,
    /// Of these, settled as waived.
    pub waived: u64,
    /// What the billable ones took of each of the product's meters.
    #[serde(default, skip_serializing_if = "Meters::is_empty")]
    pub meters: Meters,
}

/// A lease as its process sees it. All counters only grow, so the host merges them by max.
///
/// A process admits while `used − waived < granted − returned`. `used` may pass what was granted:
/// of meters known late, of limits that do not block, and of overdrafts that a plan allows during
/// an outage. The host counts a lease as the larger of what is held and what was spent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct LeaseReport {
    /// Which limit.
    pub limit: Tag,
    /// The quota's period; [`RATE_PERIOD`] of a rate.
    pub period: u32,
    /// Units received so far.
    pub granted: u64,
    /// Units spent by calls.
    pub used: u64,
    /// Units given back by waived calls; they offset `used`. None of a rate's are.
    pub waived: u64,
    /// Units handed back to the host for good.
    pub returned: u64,
}

impl LeaseReport {
    /// Units spent and not given back.
    pub fn spent(&self) -> u64 {
        self.used.saturating_sub(self.waived)
    }

    /// Units that are held and not spent.
    pub fn unspent(&self) -> u64 {
        self.granted.saturating_sub(self.returned).saturating_sub(self.spent())
    }
}

/// The one period of a rate's lease: rates have windows, not periods.
pub const RATE_PERIOD: u32 = 0;

/// A question for units of a leased limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseAsk {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The lease as it is, from a single read of its record: asking twice is harmless.
    pub lease: LeaseReport,
    /// Units this process would use in the next minute (of a rate: in the next second or so).
    pub want: u64,
    /// Units that a call waits for; 0 if none does, and the lease only runs low.
    pub need: u64,
}

impl LeaseAsk {
    /// What the question is about: the same one need not be asked twice at a time.
    pub fn about(&self) -> (SubscriptionId, Tag, u32) {
        (self.subscription, self.lease.limit, self.lease.period)
    }
}

/// What the host says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// [`PROTOCOL`] of the host.
    pub protocol: u16,
    /// The host's ledger.
    pub ledger: LedgerId,
    /// Raised when the ledger was restored from a backup.
    pub epoch: u32,
    /// The host's clock, unix milliseconds.
    pub now_ms: u64,
    /// Rows that are stored, if the request had any.
    pub rows: Option<RowsAck>,
    /// Slots that are stored, with exactly this content.
    pub slots: Vec<SlotAck>,
    /// All changes up to here are in this or an earlier answer.
    pub revision: u64,
    /// The catalog, if the request's is not this one.
    pub catalog: Option<GateCatalog>,
    /// Subscriptions that changed since the request's revision, or whose periods ran short.
    pub subscriptions: Vec<SubscriptionState>,
    /// Keys asked for, and keys that changed since the request's revision.
    pub keys: Vec<KeyAnswer>,
    /// Answers to asks for units.
    pub leases: Vec<LeaseAnswer>,
    /// Leases of this process whose units others need: it returns what it can spare, at once.
    pub recalls: Vec<Recall>,
}

/// A lease whose units are called back. Repeated until a report shows that some came back, or
/// that there is nothing to return.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recall {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Which limit.
    pub limit: Tag,
    /// The quota's period; [`RATE_PERIOD`] of a rate.
    pub period: u32,
    /// Nobody may keep any: the limit was lowered below what is out.
    pub all: bool,
}

/// Rows that are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RowsAck {
    /// The VM's life.
    pub incarnation: Hex128,
    /// The batch.
    pub sequence: u64,
}

/// A slot that is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SlotAck {
    /// Whose.
    pub subscription: SubscriptionId,
    /// What is stored.
    pub slot: Slot,
}

/// A subscription as gateways know it. Of two, the one with the higher revision holds; of equal
/// revisions, the one that tells periods further ahead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SubscriptionState {
    /// Which.
    pub id: SubscriptionId,
    /// The ledger's revision of its last change.
    pub revision: u64,
    /// Its product's tag.
    pub product: Tag,
    /// A gateway admits it only under this catalog revision or a later one.
    pub catalog: u32,
    /// Whether it may call.
    pub access: Access,
    /// When its access ends, unix milliseconds.
    pub expires_ms: Option<u64>,
    /// Billing periods.
    pub periods: Timeline,
    /// Periods of its quotas, likewise.
    pub quotas: Vec<QuotaPeriods>,
    /// What it has instead of its product's own numbers, at most one a limit.
    pub overrides: Vec<Override>,
}

/// Whether a subscription may call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// It may.
    Active,
    /// It may not now.
    Suspended,
    /// It may never again: cancelled, expired or rejected.
    Ended,
}

/// The periods of one quota.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuotaPeriods {
    /// The limit.
    pub limit: Tag,
    /// As far as they are told.
    pub periods: Timeline,
}

impl SubscriptionState {
    /// Until when every kind of its periods is told, unix milliseconds.
    pub fn known_until_ms(&self) -> u64 {
        let quotas = self.quotas.iter().map(|quota| quota.periods.end_ms());
        quotas.fold(self.periods.end_ms(), u64::min)
    }
}

/// What the host knows of a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyAnswer {
    /// The key.
    pub hash: KeyHash,
    /// Whose it is; none if it is unknown or revoked.
    pub subscription: Option<SubscriptionId>,
}

/// The host's answer to a [`LeaseAsk`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Which limit.
    pub limit: Tag,
    /// The quota's period; [`RATE_PERIOD`] of a rate.
    pub period: u32,
    /// All units ever granted to this boot in that period.
    pub granted: u64,
    /// Of a rate: all units it holds may be spent for so long, counted from the sending of the ask.
    pub lasts_ms: Option<u64>,
    /// What that means.
    pub outcome: LeaseOutcome,
}

/// What became of a [`LeaseAsk`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseOutcome {
    /// There is more than the ask knew of; of a rate, at least time to spend it.
    Granted,
    /// Others hold units and are called to return them: ask again after this time.
    Wait {
        /// From the answer, in milliseconds.
        retry_ms: u64,
    },
    /// Nothing is left. Void after a second, after `retry_ms`, or at a new revision.
    Exhausted {
        /// From the answer until there can be units again, in milliseconds: a quota's next period,
        /// the first units that leave a rate's window.
        retry_ms: u64,
    },
    /// There is no such limit to draw on now: what the gate knows is out of date.
    Outdated,
}

#[cfg(test)]
mod tests;
