//! Shared data of a process, with the compare-and-swap that Envoy has.
//!
//! Every value carries a number from one process-wide counter. Writing with number 0 always
//! writes; writing a key that does not exist writes whatever the number; else the number must be
//! the value's. Keys cannot be listed or deleted.

use std::collections::HashMap;

use super::Status;

/// Keys and values of one `vm_id`.
#[derive(Debug, Default)]
pub(crate) struct SharedData {
    values: HashMap<Vec<u8>, (Vec<u8>, u32)>,
    last_cas: u32,
    writes: HashMap<Vec<u8>, u64>,
}

impl SharedData {
    /// A value and its number.
    pub(crate) fn get(&self, key: &[u8]) -> Option<(&[u8], u32)> {
        self.values.get(key).map(|(value, cas)| (value.as_slice(), *cas))
    }

    /// How many values there are, and the bytes of the largest.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let largest = self.values.values().map(|(value, _)| value.len()).max();
        (self.values.len(), largest.unwrap_or(0))
    }

    /// Whether nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many writes there were, but of keys that end so.
    pub(crate) fn writes_but(&self, end: &str) -> u64 {
        let others = self.writes.iter().filter(|(key, _)| !key.ends_with(end.as_bytes()));
        others.map(|(_, writes)| writes).sum()
    }

    /// Writes a value under the rules above.
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8], cas: u32) -> Status {
        if let Some((_, current)) = self.values.get(key)
            && cas != 0
            && cas != *current
        {
            return Status::CasMismatch;
        }
        self.last_cas = self.last_cas.wrapping_add(1).max(1);
        *self.writes.entry(key.to_vec()).or_default() += 1;
        self.values.insert(key.to_vec(), (value.to_vec(), self.last_cas));
        Status::Ok
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_succeeds_exactly_when_envoy_lets_it() {
        let mut data = SharedData::default();
        let mut check = |what: &str, cas: u32, expected: Status, after: (&[u8], u32)| {
            assert_eq!(data.set(b"k", what.as_bytes(), cas), expected, "{what}");
            assert_eq!(data.get(b"k"), Some(after), "{what}");
        };
        check("absent: cas ignored", 77, Status::Ok, (b"absent: cas ignored", 1));
        check("stale", 77, Status::CasMismatch, (b"absent: cas ignored", 1));
        check("only if absent", u32::MAX, Status::CasMismatch, (b"absent: cas ignored", 1));
        check("current", 1, Status::Ok, (b"current", 2));
        check("always", 0, Status::Ok, (b"always", 3));
        check("", 3, Status::Ok, (b"", 4));
        assert_eq!(data.get(b"never written"), None);
    }

    #[test]
    fn numbers_are_of_the_process_and_never_zero() {
        let mut data = SharedData::default();
        data.set(b"a", b"", 0);
        data.set(b"b", b"", 0);
        assert_eq!(data.get(b"b"), Some((&b""[..], 2)));
        data.last_cas = u32::MAX;
        data.set(b"a", b"", 0);
        assert_eq!(data.get(b"a"), Some((&b""[..], 1)));
    }
}
