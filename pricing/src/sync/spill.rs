//! What a gateway writes into its proxy's log when nobody acknowledges its usage: lines that
//! `tollgate ingest-spill` finds in any log and reports to the host, as often as one likes.
//!
//! A [`Spill`] is cut into parts that no log driver splits; each is a line with a checksum:
//! `TOLLGATE-SPILL-1 INCARNATION NUMBER PART.PARTS CHECK BASE64`. Base64 as in URLs (RFC 4648, 5),
//! because logs that are JSON or escaped would bend anything else: some escape `+` and `/` too. No
//! key or token is in it.
//!
//! The checksum finds damage. Against malice a spill has a seal: a proxy may log what its callers
//! wrote, and they could write such a line too, but not under the ledger's secret.

use std::collections::{BTreeSet, HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{MAX_REQUEST_BYTES, RecordReport, RowBatch};
use crate::id::{BootId, Hex128, LedgerId};
use crate::key::KeySecrets;

/// What a line of a spill has, of this version or another, wherever it stands in a log.
pub const MARK: &str = "TOLLGATE-SPILL";
/// What follows the mark, in the form that is written and read here.
const VERSION: &str = "-1";
/// Bytes of one part: with base64 and all around it a line has less than 8 KiB. Docker cuts lines
/// at 16 KiB, journald at 48 KiB.
const PART_BYTES: usize = 4_500;
/// Parts of one spill: more than what would fit into one report needs.
const MAX_PARTS: usize = 512;
const _: () = assert!(MAX_PARTS * PART_BYTES > 2 * MAX_REQUEST_BYTES);
/// Spills of which some parts were read and not all: what is damaged is not kept for ever.
const MAX_INCOMPLETE: usize = 1_000;
/// Spills that are remembered as read: parts of them may be there twice, others not at all.
const MAX_REMEMBERED: usize = 100_000;
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
    /// The host's clock as the process knew it when this was written, unix milliseconds: tells a
    /// `last` from one that something followed. One that never heard of it counts from its start.
    pub at_ms: u64,
    /// Descriptive rows, numbered.
    pub rows: Option<RowBatch>,
    /// Counters and leases.
    pub records: Vec<RecordReport>,
    /// The last VM of the process has ended, and with the spills before this one everything is
    /// said.
    pub last: bool,
    /// What only the ledger and its gateways can write under all this. It is over this form's
    /// exact bytes: one with other fields is another version.
    pub seal: Hex128,
}

impl Spill {
    /// The same, sealed.
    #[must_use]
    pub fn sealed(self, secrets: &KeySecrets) -> Self {
        Self { seal: self.seal_by(secrets), ..self }
    }

    /// Whether this ledger or a gateway of it wrote it.
    pub fn is_sealed_by(&self, secrets: &KeySecrets) -> bool {
        self.seal == self.seal_by(secrets)
    }

    fn seal_by(&self, secrets: &KeySecrets) -> Hex128 {
        let unsealed = Self { seal: Hex128([0; 16]), ..self.clone() };
        // What cannot be written has no lines either.
        secrets.seal_of(&serde_json::to_vec(&unsealed).unwrap_or_default())
    }

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
            let body = URL_SAFE_NO_PAD.encode(part);
            let head = format!("{incarnation} {number} {}.{of}", place.saturating_add(1));
            format!("{MARK}{VERSION} {head} {} {body}", check(&head, &body))
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
    incomplete: HashMap<Key, Parts>,
    /// Of those that have several parts, the ones that were read.
    complete: HashSet<Key>,
    /// Incarnations and numbers of all of which a part was read, as many as are remembered.
    seen: BTreeSet<(Hex128, u64)>,
}

/// A spill: its incarnation, its number, and its parts' number.
type Key = (Hex128, u64, usize);
/// Parts in their places, as far as they were read.
type Parts = Vec<Option<Vec<u8>>>;

/// A line that is marked as a spill's, and is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadLine {
    /// It is cut, or something else was written into it.
    #[error("expected {MARK}{VERSION} INCARNATION NUMBER PART.PARTS CHECK BASE64")]
    Form,
    /// Another release wrote it.
    #[error(
        "expected {MARK}{VERSION}, found another version of it: read it with the `tollgate` of the \
         release that the gateway had"
    )]
    Version,
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
        // The first is of the mark itself, and empty if only a blank follows it.
        let version = if marked.starts_with('-') { word()? } else { "" };
        if version != VERSION {
            let is_other = version.len() > 1 && version.bytes().skip(1).all(|b| b.is_ascii_digit());
            return Err(if is_other { BadLine::Version } else { BadLine::Form });
        }
        let (incarnation, number, place, sum) = (word()?, word()?, word()?, word()?);
        // Whatever encloses the line in a log may follow.
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let body = word()?;
        let body = body.split_once(|c| !is_base64(c)).map_or(body, |(body, _)| body);
        if check(&format!("{incarnation} {number} {place}"), body) != sum {
            return Err(BadLine::Check);
        }
        let incarnation: Hex128 = incarnation.parse().map_err(|_| BadLine::Form)?;
        let number: u64 = number.parse().map_err(|_| BadLine::Form)?;
        let (part, of) = place.split_once('.').ok_or(BadLine::Form)?;
        let part: usize = part.parse().map_err(|_| BadLine::Form)?;
        let of: usize = of.parse().map_err(|_| BadLine::Form)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadLine::Form)?;
        if bytes.len() > PART_BYTES {
            return Err(BadLine::Form);
        }
        self.put((incarnation, number, of), part, bytes)
    }

    /// Spills that are missing as a whole, as those before and after them were read: of each gap the
    /// incarnation and the first number. What a log begins after, or ends before, nobody can tell.
    pub fn missing(&self) -> impl Iterator<Item = (Hex128, u64)> {
        // What is not remembered is not missing.
        let is_all = self.seen.len() < MAX_REMEMBERED;
        let pairs = self.seen.iter().zip(self.seen.iter().skip(1)).filter(move |_| is_all);
        pairs.filter_map(|((one, last), (next, number))| {
            let expected = last.saturating_add(1);
            (one == next && expected < *number).then_some((*one, expected))
        })
    }

    /// Spills of which parts are missing: of each its incarnation and number.
    pub fn incomplete(&self) -> impl Iterator<Item = (Hex128, u64)> {
        let missing = self.incomplete.keys().filter(|key| !self.complete.contains(key));
        missing.map(|(incarnation, number, _)| (*incarnation, *number))
    }

    fn put(&mut self, key: Key, part: usize, bytes: Vec<u8>) -> Result<Option<Spill>, BadLine> {
        let (_, _, of) = key;
        let place = part.checked_sub(1).filter(|place| *place < of && of <= MAX_PARTS);
        let place = place.ok_or(BadLine::Form)?;
        let (incarnation, number, _) = key;
        if self.seen.len() < MAX_REMEMBERED {
            self.seen.insert((incarnation, number));
        }
        let is_full = self.incomplete.len() >= MAX_INCOMPLETE;
        if of > 1 && is_full && !self.incomplete.contains_key(&key) {
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
        if of > 1 && self.complete.len() < MAX_REMEMBERED {
            self.complete.insert(key);
        }
        let text: Vec<u8> = parts.into_iter().flatten().flatten().collect();
        serde_json::from_slice(&text).map(Some).map_err(|error| BadLine::Content(error.to_string()))
    }
}

#[cfg(test)]
mod damage;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubscriptionId;
    use crate::sync::Slot;

    pub(super) fn spill(slots: u32) -> Spill {
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
            at_ms: 0,
            rows: None,
            records: vec![record],
            last: false,
            seal: Hex128([0; 16]),
        }
        .sealed(&KeySecrets::derive(&[7; 32]))
    }

    pub(super) fn slots(spill: &Spill) -> usize {
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
    fn only_who_knows_the_secret_can_write_one() {
        let secrets = KeySecrets::derive(&[7; 32]);
        let line = &spill(3).lines(Hex128([2; 16]), 7).unwrap()[0];
        let read = Reader::default().read(line).unwrap().unwrap();
        assert!(read.is_sealed_by(&secrets));
        assert!(!read.is_sealed_by(&KeySecrets::derive(&[8; 32])));
        let check = |change: fn(&mut Spill)| {
            let mut other = read.clone();
            change(&mut other);
            assert!(!other.is_sealed_by(&secrets), "{other:?}");
        };
        check(|spill| spill.boot = Hex128([9; 16]));
        check(|spill| spill.ledger = Some(Hex128([9; 16])));
        check(|spill| spill.at_ms += 1);
        check(|spill| spill.last = true);
        check(|spill| spill.records[0].slots[0].admitted -= 1);
        check(|spill| spill.records.clear());
    }

    #[test]
    fn a_spill_between_two_others_is_missed() {
        let check = |numbers: &[(u8, u64)], expected: &[(u8, u64)]| {
            let mut reader = Reader::default();
            for (incarnation, number) in numbers {
                let lines = spill(1).lines(Hex128([*incarnation; 16]), *number).unwrap();
                reader.read(&lines[0]).unwrap().unwrap();
            }
            let missing: Vec<_> = reader.missing().map(|(it, number)| (it.0[0], number)).collect();
            assert_eq!(missing, expected, "{numbers:?}");
        };
        check(&[], &[]);
        check(&[(1, 7), (1, 8), (2, 1), (1, 7)], &[]);
        check(&[(1, 3), (1, 1)], &[(1, 2)]);
        check(&[(1, 1), (1, 9), (2, 4), (2, u64::MAX), (2, 5)], &[(1, 2), (2, 6)]);
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
        assert_eq!(reader.incomplete().collect::<Vec<_>>(), [(Hex128([2; 16]), 7)]);
        assert_eq!(slots(&reader.read(last).unwrap().unwrap()), 400);
        assert_eq!(reader.incomplete().count(), 0);
        // A log that overlaps the one before has some of it again: nothing is missing then.
        assert!(reader.read(last).unwrap().is_none());
        assert_eq!(reader.incomplete().count(), 0);

        let check = |line: &str, error| {
            assert_eq!(Reader::default().read(line).unwrap_err(), error, "{line}");
        };
        check(&last[..last.len() - 1], BadLine::Check);
        check(&last[..50], BadLine::Form);
        check(&last.replace(" 7 ", " 8 "), BadLine::Check);
        check(&last.replacen(" 1.", " 2.", 1), BadLine::Check);
        check(&last.replacen("SPILL-1", "SPILL-12", 1), BadLine::Version);
        check(&last.replacen("SPILL-1", "SPILL-", 1), BadLine::Form);
        check(&last.replacen("SPILL-1", "SPILL", 1), BadLine::Form);
        check("what is a TOLLGATE-SPILL?", BadLine::Form);
    }
}
