//! The estimate of a report's bytes, and a request with everything at its bound.

use serde_json::value::RawValue;
use tollgate_pricing::id::{Hex128, Tag};
use tollgate_pricing::sync::{
    LeaseAsk, LeaseReport, MAX_ASKS, MAX_METERS, MAX_REQUEST_BYTES, MAX_SLOTS, Meters, PROTOCOL,
    RowBatch, Slot, SyncRequest,
};

use super::super::rows::MAX_BATCH_BYTES;
use super::*;
use crate::limit::quota::MAX_LEASES;
use crate::record::MAX_STATES;

const LONGEST: u64 = u64::MAX;

fn lease() -> LeaseReport {
    LeaseReport {
        limit: Tag(u32::MAX),
        period: u32::MAX,
        granted: LONGEST,
        used: LONGEST,
        waived: LONGEST,
        returned: LONGEST,
    }
}

fn report(number: u64, slots: usize, meters: usize, leases: usize) -> RecordReport {
    let tags = (0..meters).map(|place| Tag(u32::MAX - u32::try_from(meters - place).unwrap()));
    let slot = Slot {
        number: u32::MAX,
        period: u32::MAX,
        admitted: LONGEST,
        billable: LONGEST,
        waived: LONGEST,
        meters: Meters::new(tags.map(|tag| (tag, LONGEST)).collect()).unwrap(),
    };
    RecordReport {
        subscription: SubscriptionId(LONGEST - number),
        known_until_ms: LONGEST,
        slots: vec![slot; slots],
        leases: vec![lease(); leases],
    }
}

#[test]
fn no_report_is_longer_than_its_estimate() {
    let check = |slots, meters, leases| {
        let report = report(1, slots, meters, leases);
        // With the comma before the next.
        let found = serde_json::to_string(&report).unwrap().len() + 1;
        let most = most_bytes(&report);
        assert!(
            found <= most,
            "{found} of {most}: {slots} slots, {meters} meters, {leases} leases"
        );
    };
    check(0, 0, 0);
    check(1, 0, 0);
    check(1, 1, 1);
    check(1, MAX_METERS, 0);
    check(0, 0, MAX_STATES * MAX_LEASES);
    check(MAX_SLOTS, MAX_METERS, MAX_STATES * MAX_LEASES);
}

/// Law 8: what a gateway sends, a host reads, however long its numbers are.
#[test]
fn a_request_at_its_bounds_is_one_that_a_host_reads() {
    let check = |slots, meters, leases| {
        let mut batch = Batch::default();
        let mut number = 0;
        while !batch.is_full() {
            number += 1;
            batch.push(report(number, slots, meters, leases));
        }
        let rows = RawValue::from_string(format!("\"{}\"", "r".repeat(MAX_BATCH_BYTES - 2)));
        let hash = Hex128([0xff; 16]);
        let request = SyncRequest {
            protocol: PROTOCOL,
            boot: hash,
            ledger: Some(hash),
            epoch: u32::MAX,
            since: Some(LONGEST),
            catalog: Some(u32::MAX),
            swept_through_ms: Some(LONGEST),
            rows: Some(RowBatch::new(hash, LONGEST, rows.unwrap())),
            records: batch.reports,
            keys: vec![hash; MAX_ASKS],
            leases: Vec::new(),
        };
        let ask = LeaseAsk {
            subscription: SubscriptionId(LONGEST),
            lease: lease(),
            want: LONGEST,
            need: LONGEST,
        };
        let bytes = |request: &SyncRequest| serde_json::to_vec(request).unwrap().len();
        let of_keys = bytes(&request);
        let of_leases = SyncRequest { keys: Vec::new(), leases: vec![ask; MAX_ASKS], ..request };
        for found in [of_keys, bytes(&of_leases)] {
            assert!(found <= MAX_REQUEST_BYTES, "{found} with {slots} slots, {leases} leases");
        }
    };
    check(1, 0, 0);
    check(1, 1, 1);
    check(MAX_SLOTS, MAX_METERS, 0);
    check(0, 0, MAX_STATES * MAX_LEASES);
    check(MAX_SLOTS, MAX_METERS, MAX_STATES * MAX_LEASES);
}
