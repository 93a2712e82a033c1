//! Paths and templates of paths, in the one form in which a request's path can meet them.

use std::collections::BTreeSet;

use super::mistake::Log;
use super::place::Place;

/// The longest path in a catalog.
const MAX_PATH_BYTES: usize = 512;
const TOO_LONG: &str = "at most 512 bytes";

/// Reads `/` or `/segment…`.
pub(super) fn path(place: &Place<'_>, log: &mut Log) -> Option<String> {
    read(place, log, |segment, _| {
        if is_variable(segment) {
            return Some("no `*`, `{` or `}` (templates are for operations)");
        }
        bad_literal(segment)
    })
}

/// Reads a path with `{name}` for one segment and a final `*` for the rest.
pub(super) fn template(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let mut names = BTreeSet::new();
    read(place, log, |segment, is_last| match segment {
        "*" if is_last => None,
        segment if is_variable(segment) => match name_of(segment) {
            Some(name) if names.insert(name.to_owned()) => None,
            Some(_) => Some("each `{name}` once"),
            None => Some("`{name}` or a final `*` as a whole segment"),
        },
        segment => bad_literal(segment),
    })
}

/// What a template matches, whatever its segments are called.
pub(super) fn shape(template: &str) -> String {
    let segments = template.split('/').map(|segment| name_of(segment).map_or(segment, |_| "{}"));
    segments.collect::<Vec<_>>().join("/")
}

/// Reads segments; `judge` says what was expected of a bad one, given it and whether it is last.
fn read(
    place: &Place<'_>,
    log: &mut Log,
    mut judge: impl FnMut(&str, bool) -> Option<&'static str>,
) -> Option<String> {
    let text = place.text(log, "a path")?;
    let bad = if text.len() > MAX_PATH_BYTES {
        Some(TOO_LONG)
    } else if text == "/" {
        None
    } else if let Some(segments) = text.strip_prefix('/') {
        let last = segments.split('/').count();
        (1..).zip(segments.split('/')).find_map(|(number, segment)| judge(segment, number == last))
    } else {
        Some("a leading `/`")
    };
    if let Some(expected) = bad {
        place.expected(log, &format!("a path with {expected}"));
        return None;
    }
    Some(text.to_owned())
}

fn is_variable(segment: &str) -> bool {
    segment.contains(['*', '{', '}'])
}

fn name_of(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.bytes().all(is_part)).then_some(name)
}

/// What is expected of a segment that a normalised path can never have (RFC 3986, 3.3 and 6.2).
///
/// Escapes are refused, as there is more than one way to write them.
fn bad_literal(segment: &str) -> Option<&'static str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()+,=:@".contains(&byte);
    match segment {
        "" => Some("no empty segment and no `/` at its end"),
        "." | ".." => Some("no `.` or `..`"),
        segment if segment.bytes().all(is_part) => None,
        _ => Some("only letters, digits and -._~!$&'()+,=:@ in its segments"),
    }
}
