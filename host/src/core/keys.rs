//! API keys. A subscription has at most two that stay, so that one can replace the other, and at
//! most one more that retires: its successor has taken its place already. So any one of them can be
//! rotated at any time, one after the other; three pass at gateways at most.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::key::KeyHash;

use super::id::KeyId;
use super::secret::Clear;
use super::subscriptions::{find, find_live};
use super::{Refusal, Request};
use crate::store::{Ledger, NewKey};

mod import;

pub use import::{ImportKeys, MAX_IMPORTED_BYTES, MIN_IMPORTED_BYTES};

/// Keys of one subscription that are live and not retiring.
pub const MAX_KEYS: usize = 2;
/// The longest time in which a key and its successor both pass.
pub const MAX_OVERLAP: SignedDuration = SignedDuration::from_hours(90 * 24);
/// Keys revoked by one request: it stays a short transaction.
const MAX_RETIREMENTS: usize = 1_000;

/// Makes a key.
#[derive(Debug)]
pub struct AddKey {
    /// Whose.
    pub subscription: SubscriptionId,
    /// What it is made of.
    pub random: [u8; 16],
}

/// A new key, and its only sight.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyAdded {
    /// What is kept of it.
    pub id: KeyId,
    /// The key; only a hash of it is kept.
    pub key: Clear,
}

/// What is known of a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Key {
    /// Which.
    pub id: KeyId,
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Whether it passes, and for how long.
    pub state: KeyState,
    /// Whether its owner brought it; else it was made here.
    pub imported: bool,
    /// When it was made or brought.
    pub created: Timestamp,
    /// When it is, or was to be, revoked by itself.
    pub retires: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// Whether a key passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It does.
    Live,
    /// It does until its time to retire; its successor has taken its place.
    Retiring,
    /// Never again.
    Revoked,
}

impl KeyState {
    /// By when it retires and was revoked.
    pub(crate) fn of(retires: Option<Timestamp>, revoked: Option<Timestamp>) -> Self {
        match (retires, revoked) {
            (_, Some(_)) => Self::Revoked,
            (Some(_), None) => Self::Retiring,
            (None, None) => Self::Live,
        }
    }

    /// The word for it, the same everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
        }
    }
}

/// Makes a key in the place of another, which retires -> [`KeyRotated`].
#[derive(Debug)]
pub struct RotateKey {
    /// The one that retires.
    pub key: KeyId,
    /// How long both pass; at most [`MAX_OVERLAP`]. Zero revokes the old one at once.
    pub overlap: SignedDuration,
    /// What the new one is made of.
    pub random: [u8; 16],
}

/// A key in the place of another.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The new one.
    #[serde(flatten)]
    pub added: KeyAdded,
    /// The old one.
    pub old: Key,
}

/// Ends a key for good -> [`Key`]. Twice is once.
#[derive(Debug)]
pub struct RevokeKey(pub KeyId);

/// A subscription's keys -> `Vec<Key>`, revoked ones too, in the order they were made.
#[derive(Debug)]
pub struct ListKeys(pub SubscriptionId);

/// Revokes keys whose time to retire has come -> [`KeysRetired`].
#[derive(Debug)]
pub struct RetireKeys;

/// Keys that were revoked because their time had come.
#[derive(Debug, Default)]
pub struct KeysRetired {
    /// Which, now revoked.
    pub keys: Vec<Key>,
    /// Whether there may be more than one request revokes: ask again.
    pub more: bool,
}

impl Request for AddKey {
    type Answer = KeyAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<KeyAdded, Refusal> {
        find_live(ledger, self.subscription, now)?;
        if count(ledger, self.subscription, KeyState::Live)? >= MAX_KEYS {
            return Err(Refusal::TooManyKeys(self.subscription));
        }
        add(ledger, self.subscription, self.random, now)
    }
}

/// How many of a subscription's keys are in this state.
fn count(
    ledger: &Ledger<'_>,
    subscription: SubscriptionId,
    state: KeyState,
) -> Result<usize, Refusal> {
    Ok(ledger.keys(subscription)?.iter().filter(|key| key.state == state).count())
}

/// Makes a key of these bytes.
pub(super) fn add(
    ledger: &mut Ledger<'_>,
    subscription: SubscriptionId,
    random: [u8; 16],
    now: Timestamp,
) -> Result<KeyAdded, Refusal> {
    let key = ledger.identity.keys.write(random);
    let hash = ledger.identity.keys.lookup_hash(key.reveal().as_bytes());
    let id = insert(ledger, subscription, hash, false, now)?.ok_or(Refusal::ChanceSpent)?;
    Ok(KeyAdded { id, key: Clear::new(key.reveal().to_owned()) })
}

/// Adds a key under the next revision; none if it is there.
fn insert(
    ledger: &mut Ledger<'_>,
    subscription: SubscriptionId,
    hash: KeyHash,
    imported: bool,
    now: Timestamp,
) -> Result<Option<KeyId>, Refusal> {
    let revision = ledger.next_revision()?;
    Ok(ledger.insert_key(&NewKey { subscription, hash, imported, revision }, now)?)
}

impl Request for RotateKey {
    type Answer = KeyRotated;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<KeyRotated, Refusal> {
        let old = ledger.key(self.key)?.ok_or(Refusal::NoKey(self.key))?;
        find_live(ledger, old.subscription, now)?;
        match old.state {
            KeyState::Live => {}
            KeyState::Retiring => return Err(Refusal::KeyRetires(old.id)),
            KeyState::Revoked => return Err(Refusal::KeyRevoked(old.id)),
        }
        let retires = retirement(self.overlap, now)?;
        if let Some(at) = retires {
            if count(ledger, old.subscription, KeyState::Retiring)? > 0 {
                return Err(Refusal::RotationUnderWay(old.subscription));
            }
            ledger.retire_key(old.id, at)?;
        } else {
            revoke(ledger, old.id, now)?;
        }
        let added = add(ledger, old.subscription, self.random, now)?;
        let old = ledger.key(old.id)?.ok_or(Refusal::NoKey(old.id))?;
        Ok(KeyRotated { added, old })
    }
}

/// When a key retires that passes for so long; none for at once.
fn retirement(overlap: SignedDuration, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    if overlap.is_zero() {
        return Ok(None);
    }
    let invalid = || Refusal::Invalid {
        what: "the overlap",
        expected: format!("0 to {} days", MAX_OVERLAP.as_hours() / 24),
        found: format!("{overlap:#}"),
    };
    if overlap.is_negative() || overlap > MAX_OVERLAP {
        return Err(invalid());
    }
    now.checked_add(overlap).map(Some).map_err(|_| invalid())
}

fn revoke(ledger: &mut Ledger<'_>, id: KeyId, now: Timestamp) -> Result<(), Refusal> {
    let revision = ledger.next_revision()?;
    Ok(ledger.revoke_key(id, revision, now)?)
}

impl Request for RevokeKey {
    type Answer = Key;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Key, Refusal> {
        let key = ledger.key(self.0)?.ok_or(Refusal::NoKey(self.0))?;
        if key.state == KeyState::Revoked {
            return Ok(key);
        }
        revoke(ledger, key.id, now)?;
        Ok(Key { state: KeyState::Revoked, revoked: Some(now), ..key })
    }
}

impl Request for ListKeys {
    type Answer = Vec<Key>;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<Vec<Key>, Refusal> {
        find(ledger, self.0)?;
        Ok(ledger.keys(self.0)?)
    }
}

impl Request for RetireKeys {
    type Answer = KeysRetired;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<KeysRetired, Refusal> {
        let due = ledger.retired_keys(now, MAX_RETIREMENTS)?;
        let more = due.len() >= MAX_RETIREMENTS;
        let mut keys = Vec::with_capacity(due.len());
        for key in due {
            revoke(ledger, key.id, now)?;
            keys.push(Key { state: KeyState::Revoked, revoked: Some(now), ..key });
        }
        Ok(KeysRetired { keys, more })
    }
}

#[cfg(test)]
mod tests;
