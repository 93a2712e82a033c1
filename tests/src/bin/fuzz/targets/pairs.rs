//! Header pairs as a proxy hands them over: any bytes at all.

mod reading;

use tollgate_plugin::request::{MAX_KEY_BYTES, MAX_PATH_BYTES, Request};
use tollgate_pricing::gate::KeyPlaces;
use tollgate_pricing::sync::Country;

use self::reading::{credential, query_keys, read_pairs, without_keys};
use super::{Seen, Target, law};
use crate::chance::Chance;
use crate::tape::ODD_NUMBERS;

pub(crate) const TARGET: Target = Target {
    name: "pairs",
    law: "header pairs are read or refused; the first key counts, the header's before the query's",
    share: 40,
    run,
    make,
    seeds: Vec::new,
    tokens: &[
        b":path",
        b":method",
        b":authority",
        b"x-api-key",
        b"origin",
        b"x-country",
        b"OPTIONS",
        b"api-key=",
        b"access-control-request-method",
        b"?",
        b"#",
        b"%2e",
        b"%2F",
        b"..",
        b"/./",
        b";",
        b"\\",
    ],
    outcomes: &[
        "nothing",
        "key in header",
        "key in query",
        "no key",
        "two keys",
        "long key",
        "key cut out",
        "preflight",
        "unreadable",
        "host with port",
        "host in brackets",
        "cut short",
        "country",
    ],
};

const COUNTRY: &str = "x-country";
const NAMES: [&str; 10] = [
    ":path",
    ":method",
    ":authority",
    "x-api-key",
    "authorization",
    "origin",
    COUNTRY,
    "access-control-request-method",
    "",
    "x-\u{ff}",
];
const VALUES: [&str; 29] = [
    "",
    "/",
    "/a/b",
    "/a?api-key=q",
    "/a?x&api-key=q&y=",
    "/?k=",
    "/a?k=1&k=2",
    "/?%6b=v%31&x",
    "GET",
    "OPTIONS",
    "h",
    "H:80",
    "[::1]:8080",
    "[::1]",
    "a:b:c",
    "/a;b/c",
    "/../a",
    "/%2e/",
    "//",
    "*",
    "/a#b?api-key=x",
    "https://x/y",
    "tg_0123456789abcdef0123456789abcdef01234567",
    "?",
    "Bearer abc",
    "bearer\t ",
    " x ",
    "/?&&=&k",
    " Fr",
];

fn places(which: u8) -> KeyPlaces {
    let (header, query) = match which % 6 {
        0 => ("x-api-key", None),
        1 => ("x-api-key", Some("api-key")),
        2 => ("authorization", Some("k")),
        // Not from a catalog that was checked; still no reason to trap.
        3 => (":path", Some("")),
        4 => ("", Some("api-key")),
        _ => ("origin", Some("%41")),
    };
    let query = query.map(str::to_owned);
    KeyPlaces { header: header.to_owned(), query, imported: which & 0x80 != 0 }
}

fn run(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let (which, pairs) = input.split_first().unwrap_or((&0, &[]));
    let places = places(*which);
    let (headers, is_whole) = read_pairs(pairs);
    if headers.is_empty() {
        seen.mark("nothing");
    }
    if !is_whole {
        seen.mark("cut short");
    }
    let last = |name: &str| headers.iter().rev().find(|it| it.0 == name.as_bytes()).map(|it| it.1);
    let target = last(":path").unwrap_or_default();
    let request = Request::read(pairs, &places, Some(COUNTRY));
    law(request.method == last(":method").unwrap_or_default(), || "another method".to_owned())?;
    law(request.is_unread() == request.method.is_empty(), || "unread, with a method".to_owned())?;
    let country = last(COUNTRY).and_then(|value| Country::read(value.trim_ascii()));
    law(request.country == country, || format!("{country:?} is read as {:?}", request.country))?;
    if country.is_some() {
        seen.mark("country");
    }
    if request.preflight {
        seen.mark("preflight");
        law(request.method == b"OPTIONS", || "a preflight that is not OPTIONS".to_owned())?;
    }
    marks_of_host(last(":authority").unwrap_or_default(), seen);

    let name = places.header.as_bytes();
    let in_header = headers.iter().filter(|it| it.0 == name).map(|it| credential(name, it.1));
    let in_query = query_keys(target, places.query.as_deref());
    let keys: Vec<Vec<u8>> = in_header.filter(|key| !key.is_empty()).map(<[u8]>::to_vec).collect();
    let (keys, place) = if keys.is_empty() {
        (in_query.into_iter().filter(|key| !key.is_empty()).collect(), "key in query")
    } else {
        (keys, "key in header")
    };
    seen.mark(if keys.is_empty() { "no key" } else { place });
    // Of what is longer than any key, only so much is kept.
    let clip = |key: &Vec<u8>| key[..key.len().min(MAX_KEY_BYTES + 1)].to_vec();
    let keys: Vec<Vec<u8>> = keys.iter().map(clip).collect();
    if keys.iter().any(|key| *key != keys[0]) {
        seen.mark("two keys");
        law(request.unreadable.is_some(), || "two keys, and one is taken".to_owned())?;
    }
    let expected = keys.first().map(Vec::as_slice);
    if expected.is_some_and(|key| key.len() > MAX_KEY_BYTES) {
        seen.mark("long key");
    }
    law(request.key.as_deref() == expected, || {
        format!("expected the key {expected:?}, found {:?}", request.key)
    })?;
    let forward = without_keys(target, places.query.as_deref());
    law(request.forward == forward, || {
        format!("expected to forward {forward:?}, found {:?}", request.forward)
    })?;
    if forward.is_some() {
        seen.mark("key cut out");
    }
    if request.unreadable.is_some() {
        seen.mark("unreadable");
        return Ok(());
    }
    law(target.len() <= MAX_PATH_BYTES, || format!("read a path of {} bytes", target.len()))?;
    let path = &request.path.plain;
    let is_plain = !path.iter().any(|byte| b"?#;\\".contains(byte))
        && !path.windows(2).any(|pair| pair == b"//")
        && !path.split(|byte| *byte == b'/').any(|part| part == b"." || part == b"..");
    law(is_plain, || format!("the path {:?} is not plain", path.escape_ascii().to_string()))
}

fn marks_of_host(authority: &[u8], seen: &mut Seen) {
    if authority.starts_with(b"[") {
        seen.mark("host in brackets");
    } else if authority.contains(&b':') {
        seen.mark("host with port");
    }
}

/// Header pairs as the ABI has them.
pub(super) fn encode(headers: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let word = |length: usize| (length as u32).to_le_bytes();
    let mut bytes = word(headers.len()).to_vec();
    for (name, value) in headers {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend_from_slice(text);
        bytes.push(0);
    }
    bytes
}

fn make(chance: &mut Chance) -> Vec<u8> {
    let count = chance.below(8);
    let headers: Vec<(Vec<u8>, Vec<u8>)> = (0..count)
        .map(|_| {
            let name = chance.pick(&NAMES).as_bytes().to_vec();
            let mut value = chance.pick(&VALUES).as_bytes().to_vec();
            match chance.below(16) {
                0 => value.extend(chance.bytes(chance.clone().below(40))),
                1 => value.resize(chance.below(600), b'k'),
                2 => value.resize(MAX_PATH_BYTES - 1 + chance.below(3), b'p'),
                _ => {}
            }
            (name, value)
        })
        .collect();
    let mut input = vec![chance.byte()];
    input.extend(encode(&headers));
    if chance.once_in(8) {
        // A length, or the count, that lies.
        let at = 1 + 4 * chance.below(1 + 2 * count);
        let lie = chance.pick(&ODD_NUMBERS).to_le_bytes();
        input[at..at + 4].copy_from_slice(&lie[..4]);
    }
    input
}
