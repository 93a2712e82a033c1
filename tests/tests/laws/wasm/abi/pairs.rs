//! Names and values as they cross the ABI: a count, all lengths, then the bytes, each closed by 0.

use crate::wasm::Pairs;

/// What Envoy accepts from a plugin.
const MAX_BYTES: usize = 1024 * 1024;
const MAX_PAIRS: usize = 1024;

pub(super) fn encode(pairs: &Pairs) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("headers are small");
    let mut out = u32::try_from(pairs.len()).expect("headers are few").to_le_bytes().to_vec();
    for (name, value) in pairs {
        out.extend(length(name).to_le_bytes());
        out.extend(length(value).to_le_bytes());
    }
    for bytes in pairs.iter().flat_map(|(name, value)| [name, value]) {
        out.extend(bytes);
        out.push(0);
    }
    out
}

/// None for what Envoy would refuse. No bytes at all are no pairs.
pub(super) fn decode(bytes: &[u8]) -> Option<Pairs> {
    if bytes.is_empty() {
        return Some(Pairs::new());
    }
    let (words, _) = bytes.as_chunks::<4>();
    let word = |at: usize| Some(u32::from_le_bytes(*words.get(at)?) as usize);
    let count = word(0)?;
    if count > MAX_PAIRS || bytes.len() > MAX_BYTES {
        return None;
    }
    let mut rest = bytes.get(4 + 8 * count..)?;
    let mut take = |length: usize| {
        let (taken, after) = rest.split_at_checked(length)?;
        rest = after.strip_prefix(&[0])?;
        Some(taken.to_vec())
    };
    (0..count).map(|pair| Some((take(word(1 + 2 * pair)?)?, take(word(2 + 2 * pair)?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_crossing_and_nothing_cut_short_does() {
        let pairs: Pairs = vec![
            (b":path".to_vec(), b"/a?b".to_vec()),
            (b"x".to_vec(), vec![]),
            (b"\xff".to_vec(), b"\0".to_vec()),
        ];
        let bytes = encode(&pairs);
        assert_eq!(decode(&bytes), Some(pairs));
        for short in 1..bytes.len() {
            assert_eq!(decode(&bytes[..short]), None, "{short} bytes");
        }
    }
}
