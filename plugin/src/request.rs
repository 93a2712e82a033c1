//! A request's headers, read in place as bytes: a caller decides what they are, so nothing here
//! assumes UTF-8, a well-formed path, or that a header is there.

use tollgate_pricing::gate::KeyPlaces;

/// The longest path, with its query, that is looked at.
pub const MAX_PATH_BYTES: usize = 8 * 1024;
/// The longest key that is looked at.
pub const MAX_KEY_BYTES: usize = 256;

/// What the gate needs of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:authority` without port, lower case.
    pub host: Vec<u8>,
    /// `:path` without its query, fragment and `;parameters`.
    pub path: Vec<u8>,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// A CORS preflight: browsers send it without a key.
    pub preflight: bool,
}

/// A request whose path no API should be asked to interpret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unreadable;

impl Request {
    /// Whether this is a request that was kept before the catalog said where keys are. Every
    /// request that was read has a method: HTTP has none without.
    pub fn is_unread(&self) -> bool {
        self.method.is_empty()
    }

    /// Reads the proxy's header pairs: a count, then the lengths of each name and value, then each
    /// name and value followed by a zero byte (proxy-wasm ABI 0.2.1).
    pub fn read(pairs: &[u8], places: &KeyPlaces) -> Result<Self, Unreadable> {
        let mut request = Self::default();
        let (mut origin, mut asks_method) = (false, false);
        let mut target: &[u8] = &[];
        for (name, value) in Pairs::new(pairs) {
            match name {
                b":method" => request.method = value.to_vec(),
                b":path" => target = value,
                b":authority" => request.host = host_of(value),
                b"origin" => origin = true,
                b"access-control-request-method" => asks_method = true,
                _ => {}
            }
            if request.key.is_none() && name == places.header.as_bytes() {
                request.key = Some(clip(value));
            }
        }
        request.preflight = request.method == b"OPTIONS" && origin && asks_method;
        if target.len() > MAX_PATH_BYTES {
            return Err(Unreadable);
        }
        let (path, query) = split_at_byte(target, b'?');
        if request.key.is_none()
            && let Some(name) = &places.query
        {
            request.key = query_value(query, name.as_bytes()).map(clip);
        }
        request.path = plain_path(split_at_byte(path, b'#').0)?;
        Ok(request)
    }
}

/// Iterates over header pairs, and ends at the first that does not fit its own lengths.
struct Pairs<'a> {
    lengths: &'a [[[u8; 4]; 2]],
    data: &'a [u8],
}

impl<'a> Pairs<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let empty = Self { lengths: &[], data: &[] };
        let Some((count, rest)) = bytes.split_first_chunk() else {
            return empty;
        };
        let count = usize::try_from(u32::from_le_bytes(*count)).unwrap_or(0);
        let Some((lengths, data)) = rest.split_at_checked(count.saturating_mul(8)) else {
            return empty;
        };
        Self { lengths: lengths.as_chunks::<4>().0.as_chunks().0, data }
    }

    fn take(&mut self, length: [u8; 4]) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let (text, rest) = self.data.split_at_checked(length)?;
        self.data = rest.get(1..)?;
        Some(text)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let ([name, value], rest) = self.lengths.split_first()?;
        self.lengths = rest;
        Some((self.take(*name)?, self.take(*value)?))
    }
}

/// A key longer than any is kept long enough to be refused as one.
fn clip(key: &[u8]) -> Vec<u8> {
    key.get(..=MAX_KEY_BYTES).unwrap_or(key).to_vec()
}

fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|found| *found == byte) {
        Some(at) => {
            (text.get(..at).unwrap_or(&[]), text.get(at.saturating_add(1)..).unwrap_or(&[]))
        }
        None => (text, &[]),
    }
}

/// Keys are plain letters and digits: no value is decoded.
fn query_value<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let query = split_at_byte(query, b'#').0;
    query.split(|byte| *byte == b'&').find_map(|part| {
        let (found, value) = split_at_byte(part, b'=');
        (found == name).then_some(value)
    })
}

fn host_of(authority: &[u8]) -> Vec<u8> {
    // An IPv6 literal keeps its colons inside its brackets.
    let end = match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority.iter().skip(colon).any(|byte| *byte == b']') => colon,
        _ => authority.len(),
    };
    authority.get(..end).unwrap_or(authority).to_ascii_lowercase()
}

/// The path as matched: without `;parameters`. A path that Envoy would have normalised, or that
/// an upstream may read as another one (dot segments, doubled or escaped slashes, backslashes), is
/// refused: it would be billed as one operation and served as another.
fn plain_path(path: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut plain = Vec::with_capacity(path.len());
    for (place, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if place > 0 {
            plain.push(b'/');
        }
        let name = split_at_byte(segment, b';').0;
        if is_dots(name) || ambiguous(segment) {
            return Err(Unreadable);
        }
        plain.extend_from_slice(name);
    }
    if plain.windows(2).any(|pair| pair == b"//") {
        return Err(Unreadable);
    }
    Ok(plain)
}

/// `.` or `..`, in any spelling.
fn is_dots(segment: &[u8]) -> bool {
    let mut dots: usize = 0;
    let mut rest = segment;
    while !rest.is_empty() {
        rest = match rest {
            [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => rest,
            _ => return false,
        };
        dots = dots.saturating_add(1);
    }
    dots == 1 || dots == 2
}

/// Whether a path's segment may be read in another way: a backslash, or an escape of what needs
/// none (RFC 3986 §2.3), of a separator or of a zero byte.
fn ambiguous(segment: &[u8]) -> bool {
    let is_ambiguous = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\' | 0)
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    segment.contains(&b'\\')
        || segment.windows(3).any(|three| match three {
            [b'%', high, low] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => is_ambiguous(high.rotate_left(4) | low),
                _ => false,
            },
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn pairs(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
        let count = u32::try_from(headers.len()).unwrap();
        let mut bytes = count.to_le_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
        }
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        bytes
    }

    fn places() -> KeyPlaces {
        KeyPlaces {
            header: "x-api-key".to_owned(),
            query: Some("api-key".to_owned()),
            imported: false,
        }
    }

    fn read(headers: &[(&[u8], &[u8])]) -> Result<Request, Unreadable> {
        Request::read(&pairs(headers), &places())
    }

    #[test]
    fn the_key_comes_from_the_header_then_from_the_query() {
        let check = |path: &[u8], header: Option<&[u8]>, key: Option<&[u8]>| {
            let mut headers: Vec<(&[u8], &[u8])> = vec![(b":path", path)];
            headers.extend(header.map(|value| (&b"x-api-key"[..], value)));
            assert_eq!(read(&headers).unwrap().key.as_deref(), key);
        };
        check(b"/a", None, None);
        check(b"/a", Some(b"k\xff"), Some(b"k\xff"));
        check(b"/a?x=1&api-key=q&y", None, Some(b"q"));
        check(b"/a?api-key=q", Some(b"h"), Some(b"h"));
        check(b"/a?api-key", None, Some(b""));
        check(b"/a?my-api-key=q", None, None);
        check(b"/a", Some(&vec![b'k'; 65_536]), Some(&[b'k'; MAX_KEY_BYTES + 1]));
    }

    #[test]
    fn paths_are_matched_plain_or_refused() {
        let check = |path: &[u8], expected: Result<&[u8], Unreadable>| {
            let found = read(&[(b":path", path)]).map(|request| request.path);
            assert_eq!(found.as_deref().map_err(|e| *e), expected, "{path:?}");
        };
        check(b"/a/b?c#d", Ok(b"/a/b"));
        check(b"/a;v=1/b;x", Ok(b"/a/b"));
        check(b"", Ok(b""));
        check(b"*", Ok(b"*"));
        check(b"/\xff\xfe", Ok(b"/\xff\xfe"));
        check(b"/a.b/..c", Ok(b"/a.b/..c"));
        check(b"/a%20b/%C3%A4/%zz/%", Ok(b"/a%20b/%C3%A4/%zz/%"));
        for bad in
            ["/a/../b", "/a/%2e%2E/b", "/./a", "//a", "/a//b", "/a%2fb", "/a\\b", "/%00", "/%61"]
        {
            check(bad.as_bytes(), Err(Unreadable));
        }
        check(&[b'/'; MAX_PATH_BYTES + 1], Err(Unreadable));
    }

    #[test]
    fn the_host_is_lower_case_without_port() {
        let check = |authority: &[u8], host: &[u8]| {
            assert_eq!(read(&[(b":authority", authority)]).unwrap().host, host);
        };
        check(b"API.example.com:8080", b"api.example.com");
        check(b"api.example.com", b"api.example.com");
        check(b"[::1]:80", b"[::1]");
        check(b"[::1]", b"[::1]");
        check(b"", b"");
    }

    #[test]
    fn a_preflight_has_all_three_marks() {
        let all: [(&[u8], &[u8]); 3] =
            [(b":method", b"OPTIONS"), (b"origin", b"x"), (b"access-control-request-method", b"")];
        assert!(read(&all).unwrap().preflight);
        assert!(!read(&all[..2]).unwrap().preflight);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::read(&bytes, &places());
        }

        #[test]
        fn no_header_panics(name in proptest::collection::vec(any::<u8>(), 0..20),
                            value in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&[(&name, &value), (b":path", &value), (b":authority", &value)]);
        }
    }
}
