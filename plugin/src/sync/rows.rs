//! Descriptive rows: calls that were alike in a minute, added up in this VM and sent in numbered
//! batches, each resent byte for byte until the host says that it is stored.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::value::RawValue;
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{MAX_ROWS, Outcome, Reason, Row, RowBatch, RowsAck};

use crate::route::RouteName;

/// Rows kept while the host is away. Past that, calls lose their operation and minute in the
/// description; what is billed does not come from here.
const MAX_SERIES: usize = 20_000;
/// Bytes of one batch: a request has records and questions beside it.
pub(super) const MAX_BATCH_BYTES: usize = 320 * 1024;
/// A row with every number and word at its longest, but for the ids of its route.
const ROW_BYTES: usize = 240;
const MINUTES_PER_HOUR: u32 = 60;

/// What calls have in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RowKey {
    /// Whose calls.
    pub subscription: Option<SubscriptionId>,
    /// The API and operation.
    pub route: Option<Rc<RouteName>>,
    /// The status that was answered.
    pub status: u16,
    /// What became of them.
    pub outcome: Outcome,
    /// What they would have been refused for, if anyone but observed.
    pub would_refuse: Option<Reason>,
    /// Unix minute.
    pub minute: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    calls: u64,
    latency_us: u64,
}

/// A VM's rows.
#[derive(Debug, Default)]
pub struct Rows {
    open: HashMap<RowKey, Sum>,
    sealed: Option<RowBatch>,
    sequence: u64,
}

impl Rows {
    /// Adds a call.
    pub fn add(&mut self, mut key: RowKey, elapsed_ns: u64) {
        if self.open.len() >= MAX_SERIES && !self.open.contains_key(&key) {
            key.route = None;
            key.minute = key.minute.saturating_sub(key.minute.wrapping_rem(MINUTES_PER_HOUR));
            if self.open.len() >= MAX_SERIES.saturating_mul(2) && !self.open.contains_key(&key) {
                key.subscription = None;
            }
        }
        let sum = self.open.entry(key).or_default();
        sum.calls = sum.calls.saturating_add(1);
        sum.latency_us = sum.latency_us.saturating_add(elapsed_ns.wrapping_div(1_000));
    }

    /// The batch to send: the one that is not stored yet, else a new one, if there are rows.
    pub fn batch(&mut self, incarnation: Hex128) -> Option<RowBatch> {
        if self.sealed.is_none() && !self.open.is_empty() {
            self.sealed = self.seal(incarnation);
        }
        self.sealed.clone()
    }

    /// The host has stored a batch.
    pub fn acknowledge(&mut self, ack: RowsAck) {
        let is_it = |batch: &RowBatch| {
            batch.incarnation == ack.incarnation && batch.sequence == ack.sequence
        };
        if self.sealed.as_ref().is_some_and(is_it) {
            self.sealed = None;
        }
    }

    fn seal(&mut self, incarnation: Hex128) -> Option<RowBatch> {
        let mut bytes = 0_usize;
        let fits = |key: &&RowKey| {
            let ids =
                key.route.as_ref().map_or(0, |it| it.api.len().saturating_add(it.operation.len()));
            bytes = bytes.saturating_add(ROW_BYTES).saturating_add(ids);
            bytes <= MAX_BATCH_BYTES
        };
        let keys = self.open.keys().take(MAX_ROWS).take_while(fits);
        let keys: Vec<RowKey> = keys.cloned().collect();
        let calls: Vec<Row> = keys
            .into_iter()
            .filter_map(|key| {
                let sum = self.open.remove(&key)?;
                let (api, operation) = match &key.route {
                    Some(route) => (Some(route.api.clone()), Some(route.operation.clone())),
                    None => (None, None),
                };
                Some(Row {
                    period: 0,
                    bytes: 0,
                    units: 0,
                    subscription: key.subscription,
                    api,
                    operation,
                    status: key.status,
                    outcome: key.outcome,
                    would_refuse: key.would_refuse,
                    minute: key.minute,
                    calls: sum.calls,
                    latency_us: sum.latency_us,
                })
            })
            .collect();
        let rows = tollgate_pricing::sync::Rows { calls, ..Default::default() };
        let text = serde_json::to_string(&rows).ok()?;
        self.sequence = self.sequence.saturating_add(1);
        Some(RowBatch::new(incarnation, self.sequence, RawValue::from_string(text).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: Hex128 = Hex128([7; 16]);

    fn key(subscription: u64, minute: u32) -> RowKey {
        RowKey {
            would_refuse: None,
            subscription: Some(SubscriptionId(subscription)),
            route: Some(Rc::new(RouteName { api: "a".into(), operation: "o".into() })),
            status: 200,
            outcome: Outcome::Billable,
            minute,
        }
    }

    fn calls(batch: &RowBatch) -> u64 {
        let rows: tollgate_pricing::sync::Rows = serde_json::from_str(batch.rows.get()).unwrap();
        rows.calls.iter().map(|row| row.calls).sum()
    }

    #[test]
    fn a_batch_is_the_same_until_it_is_acknowledged() {
        let mut rows = Rows::default();
        assert!(rows.batch(VM).is_none());
        rows.add(key(1, 5), 1_000);
        rows.add(key(1, 5), 2_000);
        let first = rows.batch(VM).unwrap();
        assert_eq!((first.sequence, calls(&first)), (1, 2));
        rows.add(key(1, 5), 1_000);
        let again = rows.batch(VM).unwrap();
        assert_eq!((again.rows.get(), again.hash), (first.rows.get(), first.hash));
        rows.acknowledge(RowsAck { incarnation: VM, sequence: 2 });
        assert_eq!(rows.batch(VM).unwrap().sequence, 1, "another batch's acknowledgement");
        rows.acknowledge(RowsAck { incarnation: VM, sequence: 1 });
        let second = rows.batch(VM).unwrap();
        assert_eq!((second.sequence, calls(&second)), (2, 1));
    }

    #[test]
    fn a_batch_leaves_room_for_what_goes_with_it() {
        let mut rows = Rows::default();
        let name = RouteName { api: "a".repeat(64), operation: "o".repeat(64) };
        let route = Some(Rc::new(name));
        let (minute, most) = (u32::MAX, u64::try_from(MAX_ROWS).unwrap());
        let would_refuse = Some(Reason::SubscriptionInactive);
        for number in 0..most {
            let key = key(u64::MAX - number, minute);
            let key = RowKey { route: route.clone(), would_refuse, ..key };
            rows.add(key.clone(), u64::MAX);
            rows.open.insert(key, Sum { calls: u64::MAX, latency_us: u64::MAX });
        }
        let mut batches = 0;
        while let Some(batch) = rows.batch(VM) {
            assert!(batch.rows.get().len() <= MAX_BATCH_BYTES, "{}", batch.rows.get().len());
            rows.acknowledge(RowsAck { incarnation: VM, sequence: batch.sequence });
            batches += 1;
        }
        assert_eq!(batches, 3);
    }

    #[test]
    fn memory_is_bounded_and_no_call_is_dropped() {
        let mut rows = Rows::default();
        let total = u64::try_from(MAX_SERIES).unwrap() * 3;
        for subscription in 0..total {
            rows.add(key(subscription, 5), 1_000);
        }
        assert!(rows.open.len() <= MAX_SERIES * 2 + 1, "{}", rows.open.len());
        let mut sent = 0;
        while let Some(batch) = rows.batch(VM) {
            sent += calls(&batch);
            rows.acknowledge(RowsAck { incarnation: VM, sequence: batch.sequence });
        }
        assert_eq!(sent, total);
    }
}
