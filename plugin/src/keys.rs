//! What this VM remembers of keys: bounded, and gone at the next revision.

use std::collections::HashMap;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::key::KeyHash;

/// Keys remembered in each of two generations.
const GENERATION: usize = 50_000;

/// Keys and whose they are; `None` is a key nobody has.
///
/// When a generation is full the older one is dropped, so keys in use stay and sprayed ones go.
#[derive(Debug, Default)]
pub struct Keys {
    revision: u64,
    young: HashMap<KeyHash, Option<SubscriptionId>>,
    old: HashMap<KeyHash, Option<SubscriptionId>>,
}

impl Keys {
    /// Forgets everything learnt before `revision`.
    pub fn at_revision(&mut self, revision: u64) {
        if revision != self.revision {
            *self = Self { revision, ..Self::default() };
        }
    }

    /// Whose key this is, if it is remembered.
    #[allow(clippy::option_option)]
    pub fn get(&mut self, key: KeyHash) -> Option<Option<SubscriptionId>> {
        if let Some(owner) = self.young.get(&key) {
            return Some(*owner);
        }
        let owner = self.old.remove(&key)?;
        self.put(key, owner);
        Some(owner)
    }

    /// Remembers whose key this is.
    pub fn put(&mut self, key: KeyHash, owner: Option<SubscriptionId>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, owner);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::id::Hex128;

    use super::*;

    fn key(number: usize) -> KeyHash {
        Hex128((number as u128).to_le_bytes())
    }

    #[test]
    fn a_key_in_use_outlives_a_spray_and_memory_is_bounded() {
        let mut keys = Keys::default();
        let paying = Some(SubscriptionId(1));
        keys.put(key(0), paying);
        for sprayed in 1..=5 * GENERATION {
            keys.put(key(sprayed), None);
            if sprayed % 1_000 == 0 {
                assert_eq!(keys.get(key(0)), Some(paying), "{sprayed}");
            }
        }
        assert!(keys.young.len() + keys.old.len() <= 2 * GENERATION);
        keys.at_revision(0);
        assert_eq!(keys.get(key(0)), Some(paying));
        keys.at_revision(1);
        assert_eq!(keys.get(key(0)), None);
    }
}
