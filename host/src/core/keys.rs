//! API keys: at most two live ones a subscription, so that one can replace the other.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;

use super::id::KeyId;
use super::secret::Clear;
use super::subscriptions::find;
use super::{Refusal, Request};
use crate::store::Ledger;

/// Live keys of one subscription.
pub const MAX_KEYS: u64 = 2;

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
    /// When it was made.
    pub created: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// Ends a key for good -> [`Key`]. Twice is once.
#[derive(Debug)]
pub struct RevokeKey(pub KeyId);

/// A subscription's keys -> `Vec<Key>`, revoked ones too, in the order they were made.
#[derive(Debug)]
pub struct ListKeys(pub SubscriptionId);

impl Request for AddKey {
    type Answer = KeyAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<KeyAdded, Refusal> {
        let row = find(ledger, self.subscription)?;
        if row.public.ended.is_some() {
            return Err(Refusal::SubscriptionEnded(self.subscription));
        }
        if ledger.live_keys(self.subscription)? >= MAX_KEYS {
            return Err(Refusal::TooManyKeys(self.subscription));
        }
        add(ledger, self.subscription, self.random, now)
    }
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
    let revision = ledger.next_revision()?;
    let id = ledger.insert_key(subscription, hash, revision, now)?.ok_or(Refusal::ChanceSpent)?;
    Ok(KeyAdded { id, key: Clear::new(key.reveal().to_owned()) })
}

impl Request for RevokeKey {
    type Answer = Key;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Key, Refusal> {
        let key = ledger.key(self.0)?.ok_or(Refusal::NoKey(self.0))?;
        if key.revoked.is_some() {
            return Ok(key);
        }
        let revision = ledger.next_revision()?;
        ledger.revoke_key(self.0, revision, now)?;
        Ok(Key { revoked: Some(now), ..key })
    }
}

impl Request for ListKeys {
    type Answer = Vec<Key>;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<Vec<Key>, Refusal> {
        find(ledger, self.0)?;
        Ok(ledger.keys(self.0)?)
    }
}
