//! A request's headers, read in place as bytes: a caller decides what they are, so nothing here
//! assumes UTF-8, a well-formed path, or that a header is there.

pub(crate) mod path;
mod query;

use tollgate_pricing::gate::KeyPlaces;
use tollgate_pricing::sync::Country;

pub use self::path::Path;

/// The longest path, with its query, that is looked at.
pub const MAX_PATH_BYTES: usize = 8 * 1024;
/// The longest key that is looked at.
pub const MAX_KEY_BYTES: usize = 256;
/// The header whose keys may come as `Bearer KEY`.
pub const AUTHORIZATION: &str = "authorization";

/// What the gate needs of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// `:method`.
    pub method: Vec<u8>,
    /// `:authority` without port and final dot, lower case.
    pub host: Vec<u8>,
    /// The path of `:path`.
    pub path: Path,
    /// The key, if there is one.
    pub key: Option<Vec<u8>>,
    /// `:path` without the key, where it came with one.
    pub forward: Option<Vec<u8>>,
    /// Where it comes from, if a proxy before this one knows.
    pub country: Option<Country>,
    /// A CORS preflight: browsers send it without a key.
    pub preflight: bool,
    /// Whether no API should be asked to interpret it.
    pub unreadable: Option<Unreadable>,
}

/// A request that has several meanings, or none: a path that servers read in different ways, a
/// host that is none, two keys.
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
    ///
    /// `country_header` is the one (lower case) in which a proxy says where the caller is. Of
    /// several, the last is the proxy's.
    pub fn read(pairs: &[u8], places: &KeyPlaces, country_header: Option<&str>) -> Self {
        let mut request = Self::default();
        let (mut origin, mut asks_method, mut differ) = (false, false, false);
        let (mut target, mut authority): (&[u8], &[u8]) = (&[], &[]);
        for (name, value) in Pairs::new(pairs) {
            match name {
                b":method" => request.method = value.to_vec(),
                b":path" => target = value,
                b":authority" => authority = value,
                b"origin" => origin = true,
                b"access-control-request-method" => asks_method = true,
                _ => {}
            }
            if country_header.is_some_and(|header| name == header.as_bytes()) {
                request.country = Country::read(value.trim_ascii());
            }
            if name == places.header.as_bytes() {
                let key = credential(name, value);
                match &request.key {
                    // An empty header is one that is not there.
                    _ if key.is_empty() => {}
                    Some(first) => differ |= first != key,
                    None => request.key = Some(clip(key)),
                }
            }
        }
        request.preflight = request.method == b"OPTIONS" && origin && asks_method;
        if let Some(name) = &places.query {
            let found = query::take_key(target, name.as_bytes());
            request.forward = found.target;
            if request.key.is_none() {
                request.key = found.key;
                differ |= found.differ;
            }
        }
        let read = request.read_target(authority, target);
        request.unreadable = read.err().or_else(|| differ.then_some(Unreadable));
        request
    }

    fn read_target(&mut self, authority: &[u8], target: &[u8]) -> Result<(), Unreadable> {
        self.host = host_of(authority)?;
        // A fragment is for the caller alone; in a request it hides what follows from some.
        if target.len() > MAX_PATH_BYTES || target.contains(&b'#') {
            return Err(Unreadable);
        }
        self.path = Path::read(split_at_byte(target, b'?').0)?;
        Ok(())
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

/// The key in a header's value: all of it, but for what RFC 6750 puts before it in
/// `Authorization`.
fn credential<'a>(header: &[u8], value: &'a [u8]) -> &'a [u8] {
    let value = value.trim_ascii();
    if header != AUTHORIZATION.as_bytes() {
        return value;
    }
    match value.split_at_checked(6) {
        Some((scheme, key @ ([b' ' | b'\t', ..] | [])))
            if scheme.eq_ignore_ascii_case(b"bearer") =>
        {
            key.trim_ascii()
        }
        _ => value,
    }
}

fn split_at_byte(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|found| *found == byte) {
        Some(at) => {
            (text.get(..at).unwrap_or(&[]), text.get(at.saturating_add(1)..).unwrap_or(&[]))
        }
        None => (text, &[]),
    }
}

/// A host as catalogs name it. One that is spelt in no way a host is (with `user@`, escapes, two
/// ports) could fall to an API of any host here, and be a known one to the API.
fn host_of(authority: &[u8]) -> Result<Vec<u8>, Unreadable> {
    // An IPv6 literal keeps its colons inside its brackets.
    let end = match authority.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !authority.iter().skip(colon).any(|byte| *byte == b']') => colon,
        _ => authority.len(),
    };
    let host = authority.get(..end).unwrap_or(authority);
    let host = host.strip_suffix(b".").unwrap_or(host);
    let is_literal = host.starts_with(b"[") && host.ends_with(b"]");
    let is_usual = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_')
            || (is_literal && matches!(byte, b'[' | b']' | b':' | b'%'))
    };
    if host.iter().all(is_usual) { Ok(host.to_ascii_lowercase()) } else { Err(Unreadable) }
}

#[cfg(test)]
mod tests;
