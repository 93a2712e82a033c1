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
//! | `tollgate_calls_unsettled` | calls that ended and are not counted yet; 0 before a stop |
//! | `tollgate_calls_lost` | calls that ended and whose record was gone: they stay open |
//! | `tollgate_units_unreadable` | billable calls without a whole number in a metered header |
//! | `tollgate_records_damaged` | records that cannot be read: their subscriptions get 503 |
//! | `tollgate_host_away` | 1 while no VM of the process hears from the host |
//! | `tollgate_host_heard_seconds` | seconds since one did |
//! | `tollgate_syncs_ok`, `tollgate_syncs_failed` | answers of the host, and calls without one |
//! | `tollgate_asks` | keys and leases that streams made the gate ask for |
//!
//! The two that add up over VMs (waiting, unsettled) keep what a VM held that trapped: those
//! streams got Envoy's 503, those calls stay open.

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
    Lost,
    Unreadable,
    Damaged,
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
            Self::Lost => "calls_lost",
            Self::Unreadable => "units_unreadable",
            Self::Damaged => "records_damaged",
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
            Self::Waiting | Self::Unsettled | Self::HostAway | Self::HostHeardSeconds => {
                Kind::Gauge
            }
            _ => Kind::Counter,
        }
    }
}
