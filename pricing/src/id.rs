//! Names of things: numbers the host hands out, ids people write, random ids of processes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A subscription, numbered by the host; people read and write it as `sub_17`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub u64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub_{}", self.0)
    }
}

impl FromStr for SubscriptionId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        text.strip_prefix("sub_")
            .and_then(|number| number.parse().ok())
            .map(Self)
            .ok_or_else(|| BadId { expected: "a subscription like sub_17", found: text.to_owned() })
    }
}

/// Text that is not the id it was taken for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct BadId {
    /// What it was taken for, with an example.
    pub expected: &'static str,
    /// What it is.
    pub found: String,
}

/// 128 random or hashed bits, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hex128(pub [u8; 16]);

/// One life of an Envoy process, drawn by its first VM. Leases and slots belong to it.
pub type BootId = Hex128;

/// A ledger, drawn when its database was made. It survives restores; grants of another are void.
pub type LedgerId = Hex128;

impl fmt::Display for Hex128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hex128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hex128 {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { expected: "32 lower-case hex digits", found: text.to_owned() };
        decode_hex(text.as_bytes()).map(Self).ok_or_else(bad)
    }
}

impl Serialize for Hex128 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hex128 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Owned: a JSON text with escapes cannot be borrowed from.
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Decodes exactly `N` bytes from `2 × N` lower-case hex digits.
pub(crate) fn decode_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a')?.checked_add(10),
            _ => None,
        }
    }
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?;
    }
    Some(bytes)
}

/// The stable 32-bit name of an id in a record: the first four bytes of its BLAKE3 hash.
///
/// Records and leases outlive catalogs, so they cannot name a product or a limit by its place in
/// one. The catalog check refuses two ids of one kind with the same tag.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Tag(pub u32);

impl Tag {
    /// The tag of an id.
    pub fn of(id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        Self(u32::from_le_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_as_they_parse() {
        assert_eq!("sub_17".parse(), Ok(SubscriptionId(17)));
        assert_eq!(SubscriptionId(17).to_string(), "sub_17");
        for bad in ["17", "sub_", "sub_-1", "sub_99999999999999999999"] {
            assert!(bad.parse::<SubscriptionId>().is_err(), "{bad}");
        }
        let id = Hex128(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "0g", "ABCDEF00ABCDEF00ABCDEF00ABCDEF00"] {
            assert!(bad.parse::<Hex128>().is_err(), "{bad}");
        }
    }
}
