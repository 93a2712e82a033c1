//! A path as operations are matched by it.
//!
//! It would be billed as one operation and served as another if the gate read it differently from
//! the API behind. So what has one reading only is read; what servers are known to read in several
//! ways is refused (dot segments, doubled or escaped slashes, backslashes, control characters,
//! escapes of what needs none, escapes that are none, UTF-8 that is none); and for the rest
//! (`;parameters`, letter case, other escapes) the readings are compared, see
//! [`crate::route::Routes::find`].

use super::{Unreadable, split_at_byte};

/// A path in its readings.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Path {
    /// Without `;parameters`.
    pub plain: Vec<u8>,
    /// With them, for an API that knows of none; absent if there are none.
    pub literal: Option<Vec<u8>>,
}

impl Path {
    /// Reads the path of a request's target.
    pub(super) fn read(path: &[u8]) -> Result<Self, Unreadable> {
        // `*` asks about a server (RFC 9112, 3.2.4), and no operation fits it.
        if !path.is_empty() && !path.starts_with(b"/") && path != b"*" {
            return Err(Unreadable);
        }
        let mut plain = Vec::with_capacity(path.len());
        for (place, segment) in path.split(|byte| *byte == b'/').enumerate() {
            if place > 0 {
                plain.push(b'/');
            }
            let name = split_at_byte(segment, b';').0;
            if is_dots(without_parameters(segment)) || !is_unambiguous(segment) {
                return Err(Unreadable);
            }
            plain.extend_from_slice(name);
        }
        if plain.windows(2).any(|pair| pair == b"//") {
            return Err(Unreadable);
        }
        let literal = (plain.len() < path.len()).then(|| path.to_vec());
        Ok(Self { plain, literal })
    }
}

#[cfg(test)]
impl Path {
    pub(crate) fn read_for_tests(path: &[u8]) -> Self {
        Self::read(path).expect("one reading")
    }
}

/// A segment without `;parameters`, for a server that decodes before it looks for them.
pub(crate) fn without_parameters(segment: &[u8]) -> &[u8] {
    let plain = split_at_byte(segment, b';').0;
    let escaped = plain.windows(3).position(|three| three.eq_ignore_ascii_case(b"%3b"));
    escaped.and_then(|at| plain.get(..at)).unwrap_or(plain)
}

/// The bytes of a text with every escape of the form `%XX` undone, and no other change.
pub(crate) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => match hex_byte(*high, *low) {
                Some(byte) => (byte, after),
                None => (b'%', rest.get(1..).unwrap_or_default()),
            },
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        rest = after;
        Some(byte)
    })
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)?.rotate_left(4) | digit(low)?)
}

/// `.` or `..`, in any spelling.
fn is_dots(segment: &[u8]) -> bool {
    // Of more than two bytes, the third decides.
    let bytes: Vec<u8> = unescaped(segment).take(3).collect();
    matches!(bytes.as_slice(), [b'.'] | [b'.', b'.'])
}

/// Whether all servers read a segment alike: no backslash, no control character, no byte that is
/// in no UTF-8 (an overlong `/` begins with one), and no escape of any of these, of a slash, or of
/// what needs no escape (RFC 3986 §2.3).
fn is_unambiguous(segment: &[u8]) -> bool {
    let never = |byte: u8| byte == b'\\' || byte.is_ascii_control() || matches!(byte, 0xc0 | 0xc1);
    let not_escaped =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let Some((escape, after)) = after.split_first_chunk::<2>() else { return false };
            let [high, low] = *escape;
            match hex_byte(high, low) {
                Some(byte) if !never(byte) && !not_escaped(byte) => rest = after,
                _ => return false,
            }
        } else if never(*byte) {
            return false;
        }
    }
    true
}
