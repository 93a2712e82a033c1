//! Descriptive rows: calls that were alike, added up in this VM and sent in numbered batches, each
//! resent byte for byte until the host says that it is stored.
//!
//! Rows describe, and nothing is billed from them. A call is added once it is settled, so what
//! rows say of a subscription's period is never more than its counters do, but for messages under
//! way; the host shows the difference as unknown. Where a call's record is gone it is described all
//! the same, as it ended: there the difference is negative by as many calls as stay open.

mod series;
mod table;

use std::collections::VecDeque;
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{Country, MAX_ROWS, Outcome, Reason, RowBatch, RowsAck};

use self::series::{CallSeries, CallSum, LatencySeries, PlaceSeries, PlaceSum};
use self::table::{Sum as _, Table};
use crate::route::RouteName;

/// Bytes of one batch: a request has records and questions beside it.
pub(super) const MAX_BATCH_BYTES: usize = 320 * 1024;
/// What a batch has around its rows.
const FRAME_BYTES: usize = 64;
/// With this many rows more to send, the next batch follows when one is stored.
const BACKLOG_ROWS: usize = MAX_ROWS / 2;

/// A call that was settled, passed unmetered or was refused, as rows describe it.
#[derive(Clone, Debug)]
pub struct Described {
    /// Whose call.
    pub subscription: Option<SubscriptionId>,
    /// The billing period it was admitted to; 0 if it was not.
    pub period: u32,
    /// The API and operation.
    pub route: Option<Rc<RouteName>>,
    /// The status that was answered.
    pub status: u16,
    /// What became of it.
    pub outcome: Outcome,
    /// What it would have been refused for, if anyone but observed.
    pub would_refuse: Option<Reason>,
    /// Unix minute of its admission or refusal.
    pub minute: u32,
    /// From where it came, if a header says so.
    pub country: Option<Country>,
    /// From its headers to its end, in microseconds.
    pub latency_us: u64,
    /// Bytes of request and response, if they are wanted.
    pub bytes: u64,
    /// Units of its product's meters besides bytes.
    pub units: u64,
}

/// How a call fitted into the rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fit {
    /// As it is, or as other calls like it already did.
    Whole,
    /// There were too many rows: some were merged, or it began one that tells less of it.
    Merged,
}

/// A VM's rows.
#[derive(Debug, Default)]
pub struct Rows {
    calls: Table<CallSeries>,
    places: Table<PlaceSeries>,
    latencies: Table<LatencySeries>,
    /// Batches that are not known to be stored, the oldest first: more than one only after
    /// [`Rows::seal_all`].
    sealed: VecDeque<Sealed>,
    sequence: u64,
}

/// A batch that will never change.
#[derive(Debug)]
struct Sealed {
    batch: RowBatch,
    rows: usize,
}

/// The JSON text of [`tollgate_pricing::sync::Rows`], of the texts of its rows.
#[derive(Serialize)]
struct Texts {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    places: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latencies: Vec<Box<RawValue>>,
}

impl Rows {
    /// Adds a call.
    pub fn add(&mut self, call: Described) -> Fit {
        let Described { subscription, status, outcome, minute, latency_us, bytes, .. } = call;
        let mut fit = Fit::Whole;
        if let Some(country) = call.country {
            let series = PlaceSeries { subscription, country, status, outcome, minute };
            let add = |sum: &mut PlaceSum| sum.merge(PlaceSum { calls: 1, latency_us, bytes });
            fit = fit.max(self.places.add(series, add));
        }
        // What the gate answered itself says nothing about how long the API takes.
        if !matches!(outcome, Outcome::Refused(_)) {
            let series = LatencySeries { subscription, route: call.route.clone(), minute };
            fit = fit.max(self.latencies.add(series, |sum| sum.add(latency_us)));
        }
        let Described { period, route, would_refuse, units, .. } = call;
        let series =
            CallSeries { subscription, period, route, status, outcome, would_refuse, minute };
        let add = |sum: &mut CallSum| sum.merge(CallSum { calls: 1, latency_us, bytes, units });
        fit.max(self.calls.add(series, add))
    }

    /// The batch to send: the one that is not stored yet, else a new one, if there are rows.
    pub fn batch(&mut self, incarnation: Hex128) -> Option<RowBatch> {
        if self.sealed.is_empty() {
            let sealed = self.seal(incarnation);
            self.sealed.extend(sealed);
        }
        self.sealed.front().map(|sealed| sealed.batch.clone())
    }

    /// Every row that is not known to be stored, as batches in their order: for the end of a VM.
    /// They stay what is sent until they are acknowledged.
    pub fn seal_all(&mut self, incarnation: Hex128) -> Vec<RowBatch> {
        while let Some(sealed) = self.seal(incarnation) {
            self.sealed.push_back(sealed);
        }
        self.sealed.iter().map(|sealed| sealed.batch.clone()).collect()
    }

    /// Rows that are not known to be stored.
    pub fn pending(&self) -> u64 {
        let sealed = self.sealed.iter().map(|sealed| sealed.rows);
        let rows = sealed.fold(self.open(), usize::saturating_add);
        u64::try_from(rows).unwrap_or(u64::MAX)
    }

    /// Whether so much is left to send, as after an outage, that the next batch should follow as
    /// soon as one is stored.
    pub fn is_behind(&self) -> bool {
        !self.sealed.is_empty() || self.open() >= BACKLOG_ROWS
    }

    /// The host has stored a batch.
    pub fn acknowledge(&mut self, ack: RowsAck) {
        let is_it = |sealed: &mut Sealed| {
            let batch = &sealed.batch;
            batch.incarnation == ack.incarnation && batch.sequence == ack.sequence
        };
        self.sealed.pop_front_if(is_it);
    }

    fn open(&self) -> usize {
        let tables = [self.calls.len(), self.places.len(), self.latencies.len()];
        tables.into_iter().fold(0, usize::saturating_add)
    }

    fn seal(&mut self, incarnation: Hex128) -> Option<Sealed> {
        let mut room = Room { rows: MAX_ROWS, bytes: MAX_BATCH_BYTES.saturating_sub(FRAME_BYTES) };
        let texts = Texts {
            calls: self.calls.seal(&mut room),
            places: self.places.seal(&mut room),
            latencies: self.latencies.seal(&mut room),
        };
        let rows = MAX_ROWS.saturating_sub(room.rows);
        if rows == 0 {
            return None;
        }
        let text = to_raw_value(&texts).ok()?;
        self.sequence = self.sequence.saturating_add(1);
        Some(Sealed { batch: RowBatch::new(incarnation, self.sequence, text), rows })
    }
}

/// What a batch can still take.
#[derive(Debug)]
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.rows > 0 && self.bytes > 0
    }

    /// Whether a row with a text of so many bytes goes in. After one that does not, none does.
    fn takes(&mut self, bytes: usize) -> bool {
        let with_comma = bytes.saturating_add(1);
        let Some(left) = self.bytes.checked_sub(with_comma) else {
            self.bytes = 0;
            return false;
        };
        (self.rows, self.bytes) = (self.rows.saturating_sub(1), left);
        true
    }
}

#[cfg(test)]
mod tests;
