//! Rows: each batch of an incarnation once.

use jiff::Timestamp;
use tollgate_pricing::gate::MAX_ID_BYTES;
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::{
    Histogram, Latency, MAX_ROWS, PlaceRow, Row, RowBatch, Rows, RowsAck,
};

use super::super::Refusal;
use super::aside;
use crate::store::{Cursor, Ledger};

/// Batches remembered of each incarnation. One is in the air at a time, but an end after a long
/// outage writes about a hundred into a log, which may be read in any order; what comes from before
/// that can only be an old duplicate.
const REMEMBERED_BATCHES: u64 = 256;

/// Books a batch: adds its rows once, keeps it aside if it cannot be, and acknowledges it in any
/// case, because rows describe and must not block what is billed.
pub(in crate::core) fn book(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    batch: &RowBatch,
    now: Timestamp,
) -> Result<RowsAck, Refusal> {
    let ack = RowsAck { incarnation: batch.incarnation, sequence: batch.sequence };
    let text = batch.rows.get();
    if batch.sequence == 0 || i64::try_from(batch.sequence).is_err() {
        let problem = format!("rows: no batch is number {}", batch.sequence);
        aside::keep(ledger, boot, now, &problem, text)?;
        return Ok(ack);
    }
    // Not the sender's word for it: what is remembered is what is added.
    let hash = RowBatch::hash_of(text);
    match ledger.batch_hash(boot, batch.incarnation, batch.sequence)? {
        Some(known) if known == hash => return Ok(ack),
        Some(_) => {
            let problem = format!("rows: batch {} came with other content", batch.sequence);
            aside::keep(ledger, boot, now, &problem, text)?;
            return Ok(ack);
        }
        None => {}
    }
    let cursor = ledger.cursor(boot, batch.incarnation)?;
    let Some(cursor) = advance(cursor, batch.sequence) else {
        return Ok(ack);
    };
    match read(batch) {
        Ok(rows) => ledger.add_rows(&rows)?,
        Err(problem) => aside::keep(ledger, boot, now, &problem, text)?,
    }
    let forget = cursor.last.saturating_sub(REMEMBERED_BATCHES);
    let booked = (batch.sequence, hash);
    ledger.book_batch(boot, batch.incarnation, booked, cursor, forget)?;
    Ok(ack)
}

/// Where the cursor is after a batch that is not remembered; none if it is too old to tell
/// whether it was ever added. A gap is booked as missing, and blocks nothing; a batch that comes
/// after all fills it.
fn advance(cursor: Cursor, sequence: u64) -> Option<Cursor> {
    if sequence > cursor.last {
        let skipped = sequence.saturating_sub(cursor.last).saturating_sub(1);
        let missing = cursor.missing.saturating_add(skipped);
        return Some(Cursor { last: sequence, missing: missing.min(i64::MAX.unsigned_abs()) });
    }
    (sequence.saturating_add(REMEMBERED_BATCHES) > cursor.last)
        .then(|| Cursor { missing: cursor.missing.saturating_sub(1), ..cursor })
}

fn read(batch: &RowBatch) -> Result<Rows, String> {
    let text = batch.rows.get();
    if batch.hash != RowBatch::hash_of(text) {
        return Err(format!("rows: batch {} has not its hash", batch.sequence));
    }
    // What derives from serde also reads an object's values from an array, in their order.
    if !text.starts_with('{') {
        let found = text.chars().next().unwrap_or(' ');
        return Err(format!(
            "rows: batch {} cannot be read: expected an object, found {found:?}",
            batch.sequence
        ));
    }
    let rows: Rows = serde_json::from_str(text)
        .map_err(|error| format!("rows: batch {} cannot be read: {error}", batch.sequence))?;
    if rows.count() > MAX_ROWS {
        return Err(format!("rows: expected at most {MAX_ROWS}, found {}", rows.count()));
    }
    rows.calls.iter().try_for_each(check_calls)?;
    rows.places.iter().try_for_each(check_place)?;
    rows.latencies.iter().try_for_each(check_latency)?;
    Ok(rows)
}

fn check_calls(row: &Row) -> Result<(), String> {
    check_ids([&row.api, &row.operation])?;
    check_numbers([
        ("calls", row.calls),
        ("latency_us", row.latency_us),
        ("bytes", row.bytes),
        ("units", row.units),
        subscription(row.subscription),
    ])
}

fn check_place(row: &PlaceRow) -> Result<(), String> {
    check_numbers([
        ("calls", row.calls),
        ("latency_us", row.latency_us),
        ("bytes", row.bytes),
        subscription(row.subscription),
    ])
}

fn check_latency(row: &Latency) -> Result<(), String> {
    check_ids([&row.api, &row.operation])?;
    check_numbers([
        ("min_us", row.min_us),
        ("max_us", row.max_us),
        subscription(row.subscription),
    ])?;
    if row.min_us > row.max_us {
        let (min, max) = (row.min_us, row.max_us);
        return Err(format!("rows: expected min_us of at most max_us, found {min} and {max}"));
    }
    if !Histogram::is_sound(&row.histogram) {
        return Err("rows: expected a histogram's steps ascending, none of them empty".to_owned());
    }
    Ok(())
}

fn check_ids(ids: [&Option<String>; 2]) -> Result<(), String> {
    match ids.into_iter().flatten().map(String::len).find(|length| *length > MAX_ID_BYTES) {
        Some(found) => {
            Err(format!("rows: expected ids of at most {MAX_ID_BYTES} bytes, found {found}"))
        }
        None => Ok(()),
    }
}

fn subscription(id: Option<SubscriptionId>) -> (&'static str, u64) {
    ("subscription", id.map_or(0, |id| id.0))
}

fn check_numbers<const N: usize>(numbers: [(&str, u64); N]) -> Result<(), String> {
    match numbers.into_iter().find(|(_, number)| i64::try_from(*number).is_err()) {
        Some((name, number)) => Err(format!("rows: {name} {number} is past {}", i64::MAX)),
        None => Ok(()),
    }
}
