//! Rows: what calls looked like. They describe, and nothing is billed from them.
//!
//! Calls by operation and status come by the minute; what would multiply these (countries, times)
//! comes by the hour, in rows of its own. While the host is away rows are merged into coarser ones:
//! hours, then days, then without their operation or their subscription.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Outcome, Reason};
use crate::id::SubscriptionId;

/// What one batch says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rows {
    /// Calls by operation, status and minute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Row>,
    /// Calls by country and hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<PlaceRow>,
    /// How long calls took, by operation and hour.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub latencies: Vec<Latency>,
}

impl Rows {
    /// Rows of all kinds.
    pub fn count(&self) -> usize {
        self.calls.len().saturating_add(self.places.len()).saturating_add(self.latencies.len())
    }
}

/// Calls that were alike, in one minute.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Whose calls; none when no subscription was found.
    pub subscription: Option<SubscriptionId>,
    /// The billing period they were admitted to, in whose counters they are; 0 of calls that were
    /// not admitted.
    #[serde(default)]
    pub period: u32,
    /// The API's id, if one matched.
    pub api: Option<String>,
    /// The operation's id, if one matched.
    pub operation: Option<String>,
    /// The HTTP status the caller got; 0 if none was sent.
    pub status: u16,
    /// What became of them.
    pub outcome: Outcome,
    /// They passed, but a limit that only observes, or a gate that does, would have refused them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_refuse: Option<Reason>,
    /// Unix minute of admission or refusal; the first of an hour or day where rows were merged.
    pub minute: u32,
    /// How many.
    pub calls: u64,
    /// Time from request to end, added up, in microseconds.
    pub latency_us: u64,
    /// Bytes of request and response, headers included, where a plan meters them or the gateway's
    /// configuration wants them; else 0.
    #[serde(default)]
    pub bytes: u64,
    /// Units of the product's meters besides bytes, added up.
    #[serde(default)]
    pub units: u64,
}

/// Calls from one country, in one hour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlaceRow {
    /// Whose calls; none when no subscription was found.
    pub subscription: Option<SubscriptionId>,
    /// From where.
    pub country: Country,
    /// The HTTP status the caller got; 0 if none was sent.
    pub status: u16,
    /// What became of them.
    pub outcome: Outcome,
    /// Unix hour.
    pub hour: u32,
    /// How many.
    pub calls: u64,
    /// Time from request to end, added up, in microseconds.
    pub latency_us: u64,
    /// Bytes, as in [`Row::bytes`].
    #[serde(default)]
    pub bytes: u64,
}

/// How long calls took that went on to the API, in one hour.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Whose calls; none of open operations.
    pub subscription: Option<SubscriptionId>,
    /// The API's id, if one matched.
    pub api: Option<String>,
    /// The operation's id, if one matched.
    pub operation: Option<String>,
    /// Unix hour.
    pub hour: u32,
    /// The shortest, in microseconds.
    pub min_us: u64,
    /// The longest, in microseconds.
    pub max_us: u64,
    /// How many took how long.
    pub histogram: Histogram,
}

/// A country's two letters (ISO 3166-1), upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The letters, in any case; none if they are not two.
    pub fn read(text: &[u8]) -> Option<Self> {
        let letters: [u8; 2] = text.try_into().ok()?;
        letters
            .iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Self(letters.map(|c| c.to_ascii_uppercase())))
    }

    /// The letters.
    pub fn as_str(&self) -> &str {
        // They are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom(format!("expected two letters, found {text:?}"));
        Self::read(text.as_bytes()).ok_or_else(bad)
    }
}

/// Counts by size, eight steps to each doubling: a value is known to an eighth of itself. As JSON
/// pairs of a step and its count, steps ascending, none empty.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Histogram(Vec<(u8, u64)>);

/// Steps of a doubling, as a power of two.
const FINE_BITS: u32 = 3;
/// Values past it count as it: an hour and a bit, in microseconds.
const LARGEST: u64 = (1 << 32) - 1;

impl Histogram {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        self.change(Self::step(value), 1);
    }

    /// Adds what is counted there.
    pub fn merge(&mut self, other: &Self) {
        for (step, count) in other.iter() {
            self.change(step, count);
        }
    }

    /// Steps and their counts, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u8, u64)> {
        self.0.iter().copied()
    }

    /// Whether it can be taken as it is: steps ascending, none of them empty.
    pub fn is_sound(&self) -> bool {
        self.0.is_sorted_by(|(one, _), (next, _)| one < next)
            && self.0.iter().all(|(_, count)| *count > 0)
    }

    /// All counts.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The smallest value of a step, and the first past it.
    pub fn bounds(step: u8) -> (u64, u64) {
        let (fine, octave) = (u64::from(step & 7), u32::from(step >> FINE_BITS));
        match octave.checked_sub(1) {
            None => (fine, fine.saturating_add(1)),
            Some(shift) => {
                let first = (fine | 8).checked_shl(shift).unwrap_or(u64::MAX);
                (first, first.saturating_add(1_u64.checked_shl(shift).unwrap_or(u64::MAX)))
            }
        }
    }

    /// The step of a value.
    pub fn step(value: u64) -> u8 {
        let value = value.min(LARGEST);
        let octave = value.checked_ilog2().unwrap_or(0).saturating_sub(FINE_BITS);
        let fine = value.checked_shr(octave).unwrap_or(0);
        // Below eight the value is the step; above, its leading one stands for the octave.
        let step = u64::from(octave).saturating_mul(8).saturating_add(fine);
        u8::try_from(step).unwrap_or(u8::MAX)
    }

    fn change(&mut self, step: u8, by: u64) {
        match self.0.binary_search_by_key(&step, |(known, _)| *known) {
            Ok(place) => {
                if let Some((_, count)) = self.0.get_mut(place) {
                    *count = count.saturating_add(by);
                }
            }
            Err(place) => self.0.insert(place, (step, by)),
        }
    }
}

#[cfg(test)]
mod tests;
