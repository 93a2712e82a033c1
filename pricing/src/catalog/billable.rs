//! Which of the calls that were let through are billed.

use crate::gate::{Billable, Statuses};

use super::all;
use super::mistake::{Log, did_you_mean};
use super::place::{Fields, Place};

/// Entries of a list of statuses. They are looked through at the end of each call.
const MAX_ENTRIES: usize = 50;
/// Statuses of HTTP (RFC 9110, 15).
const FIRST: u16 = 100;
const LAST: u16 = 599;
/// The statuses of each kind.
const KINDS: [(&str, Statuses); 5] = [
    ("1xx", Statuses { first: 100, last: 199 }),
    ("2xx", Statuses { first: 200, last: 299 }),
    ("3xx", Statuses { first: 300, last: 399 }),
    ("4xx", Statuses { first: 400, last: 499 }),
    ("5xx", Statuses { first: 500, last: 599 }),
];

/// Reads the rule by which calls are billed; what is left out is as in a product without one.
pub(super) fn billable(place: &Place<'_>, log: &mut Log) -> Option<Billable> {
    let expected = "a mapping such as `{ statuses: [2xx, 404], aborted: false }`";
    place.fields(log, expected, |fields, log| {
        let written = fields.optional("statuses").map(|place| statuses(&place, log));
        let unforwarded = truth(fields, "unforwarded", log);
        let aborted = truth(fields, "aborted", log);
        // An empty mapping could be taken for a product that bills nothing.
        fields.require_any(&["statuses", "unforwarded", "aborted"]);
        let default = Billable::default();
        Some(Billable {
            statuses: written.unwrap_or(Some(default.statuses))?,
            unforwarded: unforwarded.unwrap_or(Some(default.unforwarded))?,
            aborted: aborted.unwrap_or(Some(default.aborted))?,
        })
    })
}

/// Reads a truth value that may be left out.
#[expect(clippy::option_option, reason = "read without mistakes, and there")]
fn truth(fields: &mut Fields<'_, '_>, name: &'static str, log: &mut Log) -> Option<Option<bool>> {
    fields.optional(name).map(|place| place.truth(log))
}

/// Reads a list of statuses into ascending ranges that do not touch.
fn statuses(place: &Place<'_>, log: &mut Log) -> Option<Vec<Statuses>> {
    let places = place.list(log, "statuses such as `2xx`, `404` or `410-418`", MAX_ENTRIES)?;
    if places.is_empty() {
        place.mistake(
            log,
            "expected statuses, found an empty list, which would bill only calls that have none: \
             leave it out, or write `price: free` if nothing is to be billed",
        );
        return None;
    }
    let mut known: Vec<(&str, Statuses)> = Vec::new();
    let mut ranges = all(places.iter().map(|place| {
        let (text, range) = entry(place, log)?;
        let is_same =
            |(_, it): &&(&str, Statuses)| it.first <= range.last && range.first <= it.last;
        if let Some((other, _)) = known.iter().find(is_same) {
            place.mistake(
                log,
                format!("expected each status once, found `{text}` beside `{other}`"),
            );
        }
        known.push((text, range));
        Some(range)
    }))?;
    ranges.sort_by_key(|range| range.first);
    ranges.dedup_by(|next, range| {
        let touches = next.first <= range.last.saturating_add(1);
        if touches {
            range.last = range.last.max(next.last);
        }
        touches
    });
    Some(ranges)
}

/// Reads one status, a kind of them, or a range, and how it is written.
fn entry<'a>(place: &Place<'a>, log: &mut Log) -> Option<(&'a str, Statuses)> {
    let expected = format!("a status from {FIRST} to {LAST}, `2xx`, or a range such as `410-418`");
    let text = place.text(log, &expected)?;
    let range = range(text);
    if range.is_none() {
        let kinds =
            KINDS.iter().map(|(kind, _)| *kind).filter(|kind| kind.get(..1) == text.get(..1));
        let hint = did_you_mean(text, kinds);
        place.expected(log, &format!("{expected}{hint}"));
    }
    Some((text, range?))
}

fn range(text: &str) -> Option<Statuses> {
    if let Some((_, kind)) = KINDS.iter().find(|(kind, _)| *kind == text) {
        return Some(*kind);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some(Statuses { first, last })
}

/// Three digits.
fn status(text: &str) -> Option<u16> {
    let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    let status = digits.then(|| text.parse().ok())??;
    (FIRST..=LAST).contains(&status).then_some(status)
}
