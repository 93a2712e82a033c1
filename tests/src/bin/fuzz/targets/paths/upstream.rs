//! What upstreams make of a path: RFC 3986 as servers and frameworks read it, each step taken by
//! some and not by others. Written from the RFC and knows nothing of how the gate reads paths.

use tollgate_pricing::gate::{Api, Operation};

/// A path as an upstream serves it, and the steps that led there.
pub(super) struct Served {
    pub(super) path: Vec<u8>,
    /// It takes `/Find` for `/find`.
    ignores_case: bool,
    /// It takes `get` for `GET`.
    ignores_case_of_methods: bool,
    steps: u16,
}

type Step = fn(&[u8]) -> Vec<u8>;

/// In the order in which they are taken.
const STEPS: [(&str, Step); 9] = [
    ("cuts the fragment off", |path| until(path, b'#').to_vec()),
    ("cuts off parameters", without_parameters),
    // Section 6.2.2.2: equivalent by the RFC.
    ("decodes unreserved characters", |path| decoded(path, is_unreserved)),
    ("decodes every escape", |path| decoded(path, |_| true)),
    ("cuts off parameters that were escaped", without_parameters),
    ("ends at a zero byte", |path| until(path, 0).to_vec()),
    ("takes a backslash for a slash", |path| {
        path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect()
    }),
    ("merges slashes", merged),
    ("removes dot segments", without_dots),
];

impl Served {
    /// How many steps it took.
    pub(super) fn steps(&self) -> u32 {
        let cases = u32::from(self.ignores_case) + u32::from(self.ignores_case_of_methods);
        self.steps.count_ones() + cases
    }

    pub(super) fn how(&self) -> String {
        let taken = STEPS.iter().zip(0..).filter(|(_, place)| self.steps & (1 << place) != 0);
        let mut taken: Vec<&str> = taken.map(|((name, _), _)| *name).collect();
        if self.ignores_case {
            taken.push("ignores case");
        }
        if self.ignores_case_of_methods {
            taken.push("ignores the case of methods");
        }
        if taken.is_empty() { "takes it as it is".to_owned() } else { taken.join(", ") }
    }

    fn same(&self, one: &[u8], other: &[u8]) -> bool {
        if self.ignores_case { one.eq_ignore_ascii_case(other) } else { one == other }
    }

    fn same_method(&self, one: &str, other: &str) -> bool {
        if self.ignores_case_of_methods { one.eq_ignore_ascii_case(other) } else { one == other }
    }
}

/// Every way in which an upstream may serve this `:path`, each once.
pub(super) fn served(target: &[u8]) -> Vec<Served> {
    let plain = |path: Vec<u8>, steps| Served {
        path,
        steps,
        ignores_case: false,
        ignores_case_of_methods: false,
    };
    let mut all = vec![plain(until(target, b'?').to_vec(), 0)];
    for (place, (_, step)) in STEPS.iter().enumerate() {
        for known in 0..all.len() {
            let path = step(&all[known].path);
            if all.iter().all(|other| other.path != path) {
                all.push(plain(path, all[known].steps | 1 << place));
            }
        }
    }
    for known in 0..all.len() {
        for (ignores_case, ignores_case_of_methods) in [(true, false), (false, true), (true, true)]
        {
            let Served { path, steps, .. } = &all[known];
            let (path, steps) = (path.clone(), *steps);
            all.push(Served { path, ignores_case, ignores_case_of_methods, steps });
        }
    }
    all
}

/// The operation that a catalog lists for what is served, by the catalog's own words: the API of a
/// named host before one of any host, of these the longest path; in it the first operation that
/// fits. HEAD is GET unless it is listed (RFC 9110, section 9.3.2).
pub(super) fn operation<'a>(
    apis: &'a [Api],
    method: &str,
    host: &str,
    served: &Served,
) -> Option<(&'a str, &'a str)> {
    let host = host.to_ascii_lowercase();
    let host = host.split(':').next().unwrap_or_default();
    // A fully qualified name is the same host.
    let host = host.strip_suffix('.').unwrap_or(host);
    let path = segments(&served.path);
    let begins = |api: &Api| {
        let prefix = segments(api.path.as_bytes());
        let fits = prefix.len() <= path.len()
            && prefix.iter().zip(&path).all(|(own, found)| served.same(own, found));
        fits.then_some(prefix.len())
    };
    let mut best: Option<(&Api, (bool, usize))> = None;
    for api in apis {
        if begins(api).is_none() || api.host.as_deref().is_some_and(|own| own != host) {
            continue;
        }
        let rank = (api.host.is_some(), api.path.trim_end_matches('/').len());
        if best.is_none_or(|(_, known)| rank > known) {
            best = Some((api, rank));
        }
    }
    let (api, _) = best?;
    if api.operations.is_empty() {
        return Some((&api.id, "*"));
    }
    let rest = &path[begins(api)?..];
    let fits = |operation: &&Operation| {
        let template = segments(operation.path.as_bytes());
        let is_open = template.last() == Some(&&b"*"[..]);
        let fixed = template.len() - usize::from(is_open);
        let fits = |(part, found): (&&[u8], &&[u8])| {
            if part.starts_with(b"{") { !found.is_empty() } else { served.same(part, found) }
        };
        (rest.len() == fixed || (is_open && rest.len() > fixed))
            && template.iter().zip(rest).take(fixed).all(fits)
    };
    let named = |name: &str| {
        let is_it = |own: &str| served.same_method(own, name);
        api.operations.iter().filter(fits).find(|it| it.method.as_deref().is_some_and(is_it))
    };
    let of = |name: &str| {
        let is_it = |own: &str| served.same_method(own, name);
        api.operations.iter().filter(fits).find(|it| it.method.as_deref().is_none_or(is_it))
    };
    let found = if served.same_method("HEAD", method) {
        named("HEAD").or_else(|| of("GET"))
    } else {
        of(method)
    };
    found.map(|operation| (api.id.as_str(), operation.id.as_str()))
}

/// What is between the slashes; one at the end makes no difference.
fn segments(path: &[u8]) -> Vec<&[u8]> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() { Vec::new() } else { path.split(|byte| *byte == b'/').collect() }
}

fn until(path: &[u8], end: u8) -> &[u8] {
    path.split(|byte| *byte == end).next().unwrap_or_default()
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').map(|part| until(part, b';')).collect();
    parts.join(&b'/')
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

pub(crate) fn decoded(path: &[u8], wanted: impl Fn(u8) -> bool) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        if let [b'%', high, low, ..] = path[at..]
            && let (Some(high), Some(low)) = (digit(high), digit(low))
            && let Ok(byte) = u8::try_from(high * 16 + low)
            && wanted(byte)
        {
            out.push(byte);
            at += 3;
        } else {
            out.push(path[at]);
            at += 1;
        }
    }
    out
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut out = path.to_vec();
    out.dedup_by(|next, before| *next == b'/' && *before == b'/');
    out
}

/// RFC 3986, section 5.2.4, on the segments of an absolute path.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let Some(relative) = path.strip_prefix(b"/") else { return path.to_vec() };
    let mut out: Vec<&[u8]> = Vec::new();
    let mut ends_in_dots = false;
    for segment in relative.split(|byte| *byte == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(out.pop()),
            _ => out.push(segment),
        }
    }
    if ends_in_dots {
        out.push(b"");
    }
    [b"/", out.join(&b'/').as_slice()].concat()
}
