//! Ends: processes that somebody saw stop.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::{BadId, BootId, Hex128};

use super::super::{Refusal, Request};
use super::holds;
use crate::store::Ledger;

/// A process that was heard so shortly ago is not taken for ended: each of its VMs syncs every
/// second, and waits two for an answer.
const ENDED_AFTER: SignedDuration = SignedDuration::from_secs(3);
/// Hex digits of a whole [`BootId`].
const BOOT_DIGITS: usize = 32;

/// Notes that a process has ended, by the word of whoever saw it end -> [`Ended`]. If all it
/// counted is in this ledger, its units go to others and no period waits for it, as if it were
/// forgotten; else when that has come, from its log. Twice is once.
#[derive(Debug)]
pub struct EndBoot {
    /// Which.
    pub boot: BootPrefix,
    /// Whether everything it counted is in this ledger.
    pub delivered: bool,
}

/// The first hex digits of a process's id, as many as a metric holds at least.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootPrefix(String);

/// A process that ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub boot: BootId,
    /// Its gateway's name.
    pub gateway: String,
    /// Units of quotas it held.
    pub units: u64,
    /// Whether everything it counted is in this ledger, and these units go to others.
    pub delivered: bool,
}

impl Request for EndBoot {
    type Answer = Ended;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Ended, Refusal> {
        let mut found = ledger.boots_like(self.boot.first(), self.boot.last())?.into_iter();
        let (Some((boot, gateway, last_seen)), None) = (found.next(), found.next()) else {
            return Err(Refusal::NoBootLike(self.boot.0));
        };
        // A process that lives syncs every second: whoever saw this one end was mistaken, or its
        // last words are still on their way. Its units must not be granted again before.
        if now.duration_since(last_seen) < ENDED_AFTER {
            return Err(Refusal::BootHeard(boot));
        }
        let units = holds(ledger, boot, now)?.into_iter().map(|held| held.units);
        let units = units.fold(0, u64::saturating_add);
        ledger.end_boot(boot, now)?;
        if self.delivered && ledger.has_told_all(boot)? {
            ledger.account_for_boot(boot, now)?;
        }
        let delivered = free_if_ended(ledger, boot, now)?;
        Ok(Ended { boot, gateway, units, delivered })
    }
}

/// Gives to others what a process held that ended, once all it counted is here: before, nobody
/// knows what it spent. Whether it did.
pub(in crate::core) fn free_if_ended(
    ledger: &mut Ledger<'_>,
    boot: BootId,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let is_done = ledger.has_ended_accounted(boot)?;
    if is_done {
        ledger.forget_boot(boot, now)?;
    }
    Ok(is_done)
}

impl FromStr for BootPrefix {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let fits = (Self::MIN_DIGITS..=BOOT_DIGITS).contains(&text.len());
        if fits && text.bytes().all(is_digit) {
            return Ok(Self(text.to_owned()));
        }
        let expected = "the first 13 lower-case hex digits of a process's id, or more";
        Err(BadId { expected, found: text.to_owned() })
    }
}

impl TryFrom<String> for BootPrefix {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<BootPrefix> for String {
    fn from(prefix: BootPrefix) -> Self {
        prefix.0
    }
}

impl fmt::Display for BootPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BootPrefix {
    /// Digits of a [`BootId`] that the metric `tollgate_boot` holds.
    pub const MIN_DIGITS: usize = 13;

    /// The lowest id that begins so.
    fn first(&self) -> BootId {
        self.padded('0')
    }

    /// The highest.
    fn last(&self) -> BootId {
        self.padded('f')
    }

    fn padded(&self, digit: char) -> BootId {
        let mut text = self.0.clone();
        text.extend(std::iter::repeat_n(digit, BOOT_DIGITS.saturating_sub(text.len())));
        // Its digits were checked when it was made.
        text.parse().unwrap_or(Hex128([0; 16]))
    }
}
