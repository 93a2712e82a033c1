//! API keys: how one looks, how it is recognised, and under which hash it is known.
//!
//! A key is `tg_`, 32 hex digits of chance and 8 of a keyed checksum. The checksum lets a gateway
//! refuse invented keys without asking anyone; everything else knows a key only by a keyed hash,
//! so that neither a database nor a log can give one away.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Hex128, decode_hex};

/// What every key begins with, so that people and secret scanners recognise one.
pub const PREFIX: &str = "tg_";
/// Bytes of chance in a key.
pub const RANDOM_BYTES: usize = 16;
const RANDOM_DIGITS: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// The keyed hash under which a key is looked up and stored.
pub type KeyHash = Hex128;

/// The hash keys a ledger derives from its secret. Gateways hold them in memory only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySecrets {
    lookup: [u8; 32],
    checksum: [u8; 32],
    /// Of what gateways write into logs.
    seal: [u8; 32],
}

impl fmt::Debug for KeySecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecrets(..)")
    }
}

impl KeySecrets {
    /// Derives the hash keys from the ledger's secret.
    pub fn derive(ledger_secret: &[u8; 32]) -> Self {
        Self {
            lookup: blake3::derive_key("tollgate 2026-11 api key lookup", ledger_secret),
            checksum: blake3::derive_key("tollgate 2026-11 api key checksum", ledger_secret),
            seal: blake3::derive_key("tollgate 2026-11 spill seal", ledger_secret),
        }
    }

    /// Writes the key that these random bytes make.
    pub fn write(&self, random: [u8; RANDOM_BYTES]) -> ApiKey {
        let body = format!("{PREFIX}{}", Hex128(random));
        let checksum = u32::from_be_bytes(self.checksum_of(body.as_bytes()));
        ApiKey(format!("{body}{checksum:08x}"))
    }

    /// Whether `text` has a key's form and the checksum only this ledger's keys have.
    pub fn recognises(&self, text: &[u8]) -> bool {
        let Some((body, checksum)) =
            text.split_at_checked(PREFIX.len().saturating_add(RANDOM_DIGITS))
        else {
            return false;
        };
        body.starts_with(PREFIX.as_bytes())
            && decode_hex::<CHECKSUM_BYTES>(checksum)
                .is_some_and(|found| found == self.checksum_of(body))
    }

    /// The hash under which a key is looked up and stored.
    pub fn lookup_hash(&self, key: &[u8]) -> KeyHash {
        let hash = blake3::keyed_hash(&self.lookup, key);
        let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
        Hex128(*first)
    }

    /// What only this ledger and its gateways can write under a text.
    pub fn seal_of(&self, text: &[u8]) -> Hex128 {
        let hash = blake3::keyed_hash(&self.seal, text);
        let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
        Hex128(*first)
    }

    fn checksum_of(&self, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let hash = blake3::keyed_hash(&self.checksum, body);
        let [a, b, c, d, ..] = *hash.as_bytes();
        [a, b, c, d]
    }
}

/// A key in clear: made once, shown once, never stored.
pub struct ApiKey(String);

impl ApiKey {
    /// The text to show to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_recognised_and_any_changed_digit_is_not() {
        let secrets = KeySecrets::derive(&[7; 32]);
        let key = secrets.write([0xab; RANDOM_BYTES]);
        assert!(secrets.recognises(key.reveal().as_bytes()));
        assert!(!KeySecrets::derive(&[8; 32]).recognises(key.reveal().as_bytes()));
        for place in 0..key.reveal().len() {
            let mut changed = key.reveal().as_bytes().to_vec();
            changed[place] = if changed[place] == b'0' { b'1' } else { b'0' };
            assert!(!secrets.recognises(&changed), "digit {place}");
        }
        assert_eq!(format!("{key:?} {secrets:?}"), "ApiKey(..) KeySecrets(..)");
    }

    proptest! {
        #[test]
        fn no_text_panics_or_passes(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(!KeySecrets::derive(&[7; 32]).recognises(&text));
        }
    }
}
