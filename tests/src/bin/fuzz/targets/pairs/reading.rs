//! Headers and keys read once more: from the format's words, and not as the gate reads them.

use super::super::paths::upstream::decoded;

pub(super) type Header<'a> = (&'a [u8], &'a [u8]);

/// The ABI's format once more, another way: by offsets. And whether all announced pairs are there.
pub(super) fn read_pairs(bytes: &[u8]) -> (Vec<Header<'_>>, bool) {
    let word = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_le_bytes(four) as usize)
    };
    let Some(count) = word(0) else { return (Vec::new(), bytes.is_empty()) };
    let mut headers = Vec::new();
    if count.saturating_mul(8).saturating_add(4) > bytes.len() {
        return (headers, false);
    }
    let mut at = 4 + count * 8;
    let mut text = |length: usize| {
        let end = at.checked_add(length)?;
        // The zero byte after it belongs to it.
        bytes.get(end)?;
        let found = &bytes[at..end];
        at = end + 1;
        Some(found)
    };
    for number in 0..count {
        let lengths = word(4 + number * 8).zip(word(8 + number * 8));
        let pair = lengths.and_then(|(name, value)| Some((text(name)?, text(value)?)));
        match pair {
            Some(pair) => headers.push(pair),
            None => return (headers, false),
        }
    }
    (headers, true)
}

/// The key in a header's value; `Authorization` may say `Bearer` before it (RFC 6750).
pub(super) fn credential<'a>(name: &[u8], value: &'a [u8]) -> &'a [u8] {
    let value = value.trim_ascii();
    let is_bearer = name == b"authorization"
        && value.len() >= 6
        && value[..6].eq_ignore_ascii_case(b"bearer")
        && value.get(6).is_none_or(|byte| b" \t".contains(byte));
    if is_bearer { value[6..].trim_ascii() } else { value }
}

/// The parameters of a target's query.
fn parameters(target: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let mark = target.iter().position(|byte| *byte == b'?')?;
    Some((&target[..mark], target[mark + 1..].split(|byte| *byte == b'&').collect()))
}

fn is_named(parameter: &[u8], name: &str) -> bool {
    let found = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
    decoded(found, |_| true) == name.as_bytes()
}

pub(super) fn query_keys(target: &[u8], name: Option<&str>) -> Vec<Vec<u8>> {
    let Some(((_, all), name)) = parameters(target).zip(name) else { return Vec::new() };
    let named = all.into_iter().filter(|parameter| is_named(parameter, name));
    let value = |parameter: &[u8]| {
        let mark = parameter.iter().position(|byte| *byte == b'=');
        mark.map_or(Vec::new(), |mark| decoded(&parameter[mark + 1..], |_| true))
    };
    named.map(value).collect()
}

/// The target without its keys, if it has any.
pub(super) fn without_keys(target: &[u8], name: Option<&str>) -> Option<Vec<u8>> {
    let ((path, all), name) = parameters(target).zip(name)?;
    let count = all.len();
    let kept: Vec<&[u8]> = all.into_iter().filter(|it| !is_named(it, name)).collect();
    if kept.len() == count {
        return None;
    }
    let query = kept.join(&b'&');
    Some(if kept.is_empty() { path.to_vec() } else { [path, b"?", &query].concat() })
}
