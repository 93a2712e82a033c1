//! What operators see of a process, besides the reports: counters and gauges by name.
//!
//! The names are all here, and none depends on what callers send: there is no label for a
//! subscription or a path. Envoy shows them as `wasmcustom.NAME`, and to Prometheus as `NAME`.
//!
//! | name | is |
//! |---|---|
//! | `tollgate_calls_admitted` | calls let through and metered |
//! | `tollgate_calls_open` | calls let through unmetered: open operations, preflights |
//! | `tollgate_calls_refused_REASON` | calls answered by the gate |
//! | `tollgate_calls_would_refuse_REASON` | calls let through that were not, if all enforced |
//! | `tollgate_calls_overdrawn` | of the admitted, those beyond a lease, by `on_outage` |
//! | `tollgate_streams_waiting` | streams held back now, for the host's word |
//! | `tollgate_calls_unsettled` | calls that ended and are not counted yet |
//! | `tollgate_undelivered` | what a stop of the process would leave to its log: see below |
//! | `tollgate_vms_lost` | gate VMs that fell silent: they trapped |
//! | `tollgate_spilled` | lines of usage written to the log, for `tollgate ingest-spill` |
//! | `tollgate_boot` | the first 13 hex digits of the process's id, as a number |
//! | `tollgate_calls_lost` | calls that ended and whose record was gone: they stay open |
//! | `tollgate_units_unreadable` | billable calls without a whole number in a metered header |
//! | `tollgate_records_damaged` | records that cannot be read: their subscriptions get 503 |
//! | `tollgate_rows_merged` | how often rows were told less exactly, as there were too many |
//! | `tollgate_host_away` | 1 while no VM of the process hears from the host |
//! | `tollgate_host_heard_seconds` | seconds since one did |
//! | `tollgate_syncs_ok`, `tollgate_syncs_failed` | answers of the host, and calls without one |
//! | `tollgate_asks` | keys and leases that streams made the gate ask for |
//!
//! Undelivered are calls under way or not counted yet, and records and rows that the host has not
//! acknowledged; one more for each VM that was not seen for a moment, as it may have done more; and
//! one while a VM ended before all it did was acknowledged, or the ledger was restored, and no sweep
//! that began since is complete.
//!
//! Those that add up over VMs (waiting, unsettled, undelivered) forget a VM that trapped within
//! seconds: its streams got Envoy's 503, its calls stay open, and what it did to records is swept.
//! Without any gate VM, as when the filter was removed, Envoy shows none of these.

use tollgate_pricing::sync::Reason;

/// A counter or gauge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "in the table above")]
pub enum Metric {
    Admitted,
    Open,
    Refused(Reason),
    WouldRefuse(Reason),
    Overdrawn,
    Waiting,
    Unsettled,
    Undelivered,
    VmsLost,
    Spilled,
    Boot,
    Lost,
    Unreadable,
    Damaged,
    RowsMerged,
    HostAway,
    HostHeardSeconds,
    SyncsOk,
    SyncsFailed,
    Asks,
}

/// How a metric moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It shows what is now.
    Gauge,
}

impl Metric {
    /// Its name.
    pub fn name(self) -> String {
        let word = match self {
            Self::Admitted => "calls_admitted",
            Self::Open => "calls_open",
            Self::Refused(reason) => return format!("tollgate_calls_refused_{}", reason.as_str()),
            Self::WouldRefuse(reason) => {
                return format!("tollgate_calls_would_refuse_{}", reason.as_str());
            }
            Self::Overdrawn => "calls_overdrawn",
            Self::Waiting => "streams_waiting",
            Self::Unsettled => "calls_unsettled",
            Self::Undelivered => "undelivered",
            Self::VmsLost => "vms_lost",
            Self::Spilled => "spilled",
            Self::Boot => "boot",
            Self::Lost => "calls_lost",
            Self::Unreadable => "units_unreadable",
            Self::Damaged => "records_damaged",
            Self::RowsMerged => "rows_merged",
            Self::HostAway => "host_away",
            Self::HostHeardSeconds => "host_heard_seconds",
            Self::SyncsOk => "syncs_ok",
            Self::SyncsFailed => "syncs_failed",
            Self::Asks => "asks",
        };
        format!("tollgate_{word}")
    }

    /// How it moves.
    pub fn kind(self) -> Kind {
        match self {
            Self::Waiting
            | Self::Unsettled
            | Self::Undelivered
            | Self::Boot
            | Self::HostAway
            | Self::HostHeardSeconds => Kind::Gauge,
            _ => Kind::Counter,
        }
    }
}
