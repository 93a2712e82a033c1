//! Keys that consumers have already, from wherever they were made: kept by their hash like others.
//!
//! Their text is a secret: no answer, refusal or log repeats any of it.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use tollgate_pricing::id::SubscriptionId;

use super::super::secret::Clear;
use super::super::subscriptions::find_live;
use super::super::{Refusal, Request, catalog};
use super::{Key, KeyState, MAX_KEYS, count, insert};
use crate::store::Ledger;

/// The shortest key that can be brought: below it, chance finds one.
pub const MIN_IMPORTED_BYTES: usize = 16;
/// The longest.
pub const MAX_IMPORTED_BYTES: usize = 256;

const LENGTHS: RangeInclusive<usize> = MIN_IMPORTED_BYTES..=MAX_IMPORTED_BYTES;

/// Takes keys over, all of them or none -> `Vec<Key>`, in the order given. One that the
/// subscription has already is not taken twice. Only where the catalog says that keys are brought:
/// else gateways would refuse them unasked.
#[derive(Debug)]
pub struct ImportKeys {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Each of [`MIN_IMPORTED_BYTES`] to [`MAX_IMPORTED_BYTES`] bytes of visible ASCII.
    pub keys: Vec<Clear>,
}

impl Request for ImportKeys {
    type Answer = Vec<Key>;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Vec<Key>, Refusal> {
        find_live(ledger, self.subscription, now)?;
        let (_, catalog) = catalog::in_force(ledger)?;
        if !catalog.key.imported {
            return Err(Refusal::KeysNotImported);
        }
        if self.keys.is_empty() {
            return Err(Refusal::Invalid {
                what: "keys",
                expected: "one or two, one a line".to_owned(),
                found: "none".to_owned(),
            });
        }
        let mut taken = Vec::with_capacity(MAX_KEYS);
        for (line, key) in (1..).zip(&self.keys) {
            check(line, key.reveal())?;
            taken.push(take(ledger, self.subscription, line, key, now)?);
        }
        Ok(taken)
    }
}

fn take(
    ledger: &mut Ledger<'_>,
    subscription: SubscriptionId,
    line: usize,
    key: &Clear,
    now: Timestamp,
) -> Result<Key, Refusal> {
    let hash = ledger.identity.keys.lookup_hash(key.reveal().as_bytes());
    match ledger.key_by_hash(hash)? {
        Some(known) if known.subscription == subscription && known.state != KeyState::Revoked => {
            return Ok(known);
        }
        // The same words whoever has or had it: nobody is told whose a key is.
        Some(_) => return Err(Refusal::KeyTaken { line }),
        None => {}
    }
    if count(ledger, subscription, KeyState::Live)? >= MAX_KEYS {
        return Err(Refusal::TooManyKeys(subscription));
    }
    let added = insert(ledger, subscription, hash, true, now)?;
    let added = added.and_then(|id| ledger.key(id).transpose()).transpose()?;
    added.ok_or(Refusal::KeyTaken { line })
}

fn check(line: usize, key: &str) -> Result<(), Refusal> {
    let found = if !LENGTHS.contains(&key.len()) {
        format!("{} bytes", key.len())
    } else if let Some(place) = key.bytes().position(|byte| !byte.is_ascii_graphic()) {
        format!("another at byte {}", place.saturating_add(1))
    } else {
        return Ok(());
    };
    Err(Refusal::KeyUnfit { line, found })
}
