//! The key in a query string: found, and cut out of what goes on to the API.

use super::path::unescaped;
use super::{MAX_KEY_BYTES, split_at_byte};

/// What a query says of the key.
#[derive(Default)]
pub(super) struct Found {
    /// The key, decoded, if there is one.
    pub(super) key: Option<Vec<u8>>,
    /// There are several, and not all are the same.
    pub(super) differ: bool,
    /// The target without any of them.
    pub(super) target: Option<Vec<u8>>,
}

/// Looks for parameters of a name in a target, also where the name is written with escapes: an
/// API decodes it to the same one. Everything else stays, byte for byte and in its order.
pub(super) fn take_key(target: &[u8], name: &[u8]) -> Found {
    let mut found = Found::default();
    let Some(mark) = target.iter().position(|byte| *byte == b'?') else {
        return found;
    };
    let (path, query) = target.split_at_checked(mark).unwrap_or((target, &[]));
    let query = query.get(1..).unwrap_or_default();
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in query.split(|byte| *byte == b'&') {
        let (its_name, value) = split_at_byte(part, b'=');
        if !unescaped(its_name).eq(name.iter().copied()) {
            kept.push(part);
            continue;
        }
        // A key longer than any is kept long enough to be refused as one.
        let value: Vec<u8> = unescaped(value).take(MAX_KEY_BYTES.saturating_add(1)).collect();
        found.target = Some(Vec::new());
        match &found.key {
            _ if value.is_empty() => {}
            Some(first) => found.differ |= *first != value,
            None => found.key = Some(value),
        }
    }
    if let Some(target) = &mut found.target {
        *target = path.to_vec();
        if !kept.is_empty() {
            target.push(b'?');
            target.extend(kept.join(&b'&'));
        }
    }
    found
}
