//! What a gateway writes into its proxy's log when nobody acknowledges its usage: lines that
//! `tollgate ingest-spill` finds in any log and reports to the host, as often as one likes.
//!
//! A [`Spill`] is cut into parts that no log driver splits; each is a line with a checksum:
//! `TOLLGATE-SPILL-1 INCARNATION NUMBER PART/PARTS CHECK BASE64`. Base64, because logs that are
//! JSON or escaped would bend anything else. No key or token is in it.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{RecordReport, RowBatch};
use crate::id::{BootId, Hex128, LedgerId};

/// What a line of a spill has, wherever it stands in a log.
pub const MARK: &str = "TOLLGATE-SPILL-1";
/// Bytes of one part: with base64 and all around it a line has less than 8 KiB. Docker cuts lines
/// at 16 KiB, journald at 48 KiB.
const PART_BYTES: usize = 4_500;
/// Parts of one spill: more than the largest batch of rows needs.
const MAX_PARTS: usize = 512;
/// Spills of which some parts were read and not all: what else is damaged is not kept for ever.
const MAX_INCOMPLETE: usize = 1_000;
const CHECK_BYTES: usize = 8;

/// Usage that nobody has acknowledged, as it would have been reported.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spill {
    /// The process.
    pub boot: BootId,
    /// The ledger it belongs to; none if it never heard of one.
    pub ledger: Option<LedgerId>,
    /// The epoch of that ledger that it knew.
    pub epoch: u32,
    /// Descriptive rows, numbered.
    pub rows: Option<RowBatch>,
    /// Counters and leases.
    pub records: Vec<RecordReport>,
    /// The last VM of the process has ended, and with the spills before this one everything is
    /// said.
    #[serde(default)]
    pub last: bool,
}

impl Spill {
    /// Its lines. `number` counts the spills of an incarnation. None if it is larger than any
    /// spill can be.
    pub fn lines(&self, incarnation: Hex128, number: u64) -> Option<Vec<String>> {
        let text = serde_json::to_vec(self).ok()?;
        let parts: Vec<&[u8]> = text.chunks(PART_BYTES).collect();
        if parts.len() > MAX_PARTS {
            return None;
        }
        let of = parts.len();
        let line = |(place, part): (usize, &[u8])| {
            let body = STANDARD_NO_PAD.encode(part);
            let head = format!("{incarnation} {number} {}/{of}", place.saturating_add(1));
            format!("{MARK} {head} {} {body}", check(&head, &body))
        };
        Some(parts.into_iter().enumerate().map(line).collect())
    }
}

fn check(head: &str, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(head.as_bytes()).update(b" ").update(body.as_bytes());
    let hash = hasher.finalize().to_hex();
    hash.get(..CHECK_BYTES.saturating_mul(2)).unwrap_or_default().to_owned()
}

/// Finds spills in the lines of a log, in any order, and each as often as it is there.
#[derive(Debug, Default)]
pub struct Reader {
    incomplete: HashMap<(Hex128, u64, usize), Vec<Option<Vec<u8>>>>,
}

/// A line that is marked as a spill's, and is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadLine {
    /// It is cut, or something else was written into it.
    #[error("expected {MARK} INCARNATION NUMBER PART/PARTS CHECK BASE64")]
    Form,
    /// It is not what was written.
    #[error("its checksum does not match: the line was cut or changed")]
    Check,
    /// All its parts are there, and make no sense.
    #[error("its parts cannot be read together: {0}")]
    Content(String),
    /// Parts of too many others are missing.
    #[error("parts of more than {MAX_INCOMPLETE} spills are missing: is this all of the log?")]
    TooMany,
}

impl Reader {
    /// Reads a line: a spill, if this was the last part of one; nothing, if it is no spill's.
    pub fn read(&mut self, line: &str) -> Result<Option<Spill>, BadLine> {
        let Some((_, marked)) = line.split_once(MARK) else { return Ok(None) };
        let mut words = marked.split_ascii_whitespace();
        let mut word = || words.next().ok_or(BadLine::Form);
        let (incarnation, number, place, sum) = (word()?, word()?, word()?, word()?);
        // Whatever encloses the line in a log may follow.
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
        let body = word()?;
        let body = body.split_once(|c| !is_base64(c)).map_or(body, |(body, _)| body);
        if check(&format!("{incarnation} {number} {place}"), body) != sum {
            return Err(BadLine::Check);
        }
        let incarnation: Hex128 = incarnation.parse().map_err(|_| BadLine::Form)?;
        let number: u64 = number.parse().map_err(|_| BadLine::Form)?;
        let (part, of) = place.split_once('/').ok_or(BadLine::Form)?;
        let part: usize = part.parse().map_err(|_| BadLine::Form)?;
        let of: usize = of.parse().map_err(|_| BadLine::Form)?;
        let bytes = STANDARD_NO_PAD.decode(body).map_err(|_| BadLine::Form)?;
        self.put((incarnation, number, of), part, bytes)
    }

    /// Spills of which parts are missing: of each its incarnation and number.
    pub fn incomplete(&self) -> impl Iterator<Item = (Hex128, u64)> {
        self.incomplete.keys().map(|(incarnation, number, _)| (*incarnation, *number))
    }

    fn put(
        &mut self,
        key: (Hex128, u64, usize),
        part: usize,
        bytes: Vec<u8>,
    ) -> Result<Option<Spill>, BadLine> {
        let (_, _, of) = key;
        let place = part.checked_sub(1).filter(|place| *place < of && of <= MAX_PARTS);
        let place = place.ok_or(BadLine::Form)?;
        if self.incomplete.len() >= MAX_INCOMPLETE && !self.incomplete.contains_key(&key) {
            return Err(BadLine::TooMany);
        }
        let parts = self.incomplete.entry(key).or_insert_with(|| vec![None; of]);
        if let Some(known) = parts.get_mut(place) {
            *known = Some(bytes);
        }
        if parts.iter().any(Option::is_none) {
            return Ok(None);
        }
        let parts = self.incomplete.remove(&key).unwrap_or_default();
        let text: Vec<u8> = parts.into_iter().flatten().flatten().collect();
        serde_json::from_slice(&text).map(Some).map_err(|error| BadLine::Content(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubscriptionId;
    use crate::sync::Slot;

    fn spill(slots: u32) -> Spill {
        let slot = |number| Slot { number, admitted: u64::MAX, ..Slot::default() };
        let record = RecordReport {
            subscription: SubscriptionId(1),
            known_until_ms: 2,
            slots: (0..slots).map(slot).collect(),
            leases: Vec::new(),
        };
        Spill {
            boot: Hex128([1; 16]),
            ledger: None,
            epoch: 3,
            rows: None,
            records: vec![record],
            last: false,
        }
    }

    fn slots(spill: &Spill) -> usize {
        spill.records.iter().map(|record| record.slots.len()).sum()
    }

    #[test]
    fn a_spill_is_found_in_any_log() {
        let lines = spill(1).lines(Hex128([2; 16]), 7).unwrap();
        assert_eq!(lines.len(), 1);
        let mut reader = Reader::default();
        for log in [
            lines[0].clone(),
            format!("[2026-01-01][12][critical][wasm] wasm log tollgate gate: {}\n", lines[0]),
            format!("{{\"level\":\"critical\",\"message\":\"wasm log: {}\"}}", lines[0]),
        ] {
            assert_eq!(slots(&reader.read(&log).unwrap().unwrap()), 1, "{log}");
        }
        assert!(reader.read("a line of somebody else").unwrap().is_none());
    }

    #[test]
    fn parts_come_in_any_order_and_damage_is_found() {
        let mut lines = spill(400).lines(Hex128([2; 16]), 7).unwrap();
        assert!(lines.len() > 3 && lines.iter().all(|line| line.len() < 8 * 1024));
        lines.reverse();
        let mut reader = Reader::default();
        let (last, first) = lines.split_last().unwrap();
        for line in first.iter().chain(first) {
            assert!(reader.read(line).unwrap().is_none());
        }
        assert_eq!(reader.incomplete().count(), 1);
        assert_eq!(slots(&reader.read(last).unwrap().unwrap()), 400);
        assert_eq!(reader.incomplete().count(), 0);

        let check = |line: &str, error| {
            assert_eq!(Reader::default().read(line).unwrap_err(), error, "{line}");
        };
        check(&last[..last.len() - 1], BadLine::Check);
        check(&last[..50], BadLine::Form);
        check(&last.replace(" 7 ", " 8 "), BadLine::Check);
        check(&last.replacen(" 1/", " 2/", 1), BadLine::Check);
    }
}
