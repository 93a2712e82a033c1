//! Which operation a path means: no spelling of it may be limited as one and served as another.

pub(super) mod upstream;

use tollgate_plugin::request::Request;
use tollgate_plugin::route::{Ambiguous, Routes};
use tollgate_pricing::gate::{Answers, Api, GateCatalog, KeyPlaces, Operation};
use tollgate_pricing::key::KeySecrets;

use self::upstream::{Served, served};
use super::pairs::encode;
use super::{Seen, Target};
use crate::tape::Tape;

pub(crate) const TARGET: Target = Target {
    name: "paths",
    law: "whatever an upstream makes of a path, it serves the operation that the gate found",
    share: 30,
    run,
    make: |chance| {
        let length = 24 + chance.below(140);
        chance.bytes(length)
    },
    seeds: Vec::new,
    tokens: &[
        b"%2e", b"%2E%2e", b"%2f", b"%5C", b"%00", b"%61", b"%2C", b"%3b", b"%3A", b"%25",
        b"%252e", b"/../", b"/./", b"//", b"/", b"\\", b";", b";v=1", b"..;/", b"#", b"?",
        b"/find", b"/a,b",
    ],
    outcomes: &[
        "unreadable",
        "not found",
        "ambiguous",
        "found",
        "found open",
        "found, written with escapes",
        "found, with parameters",
        "found by another host",
        "served as nothing listed",
    ],
};

const HOSTS: [&str; 3] = ["api.example", "www.example", "example"];
const LITERALS: [&str; 9] = ["a", "b", "find", "Find", "a,b", "v1:x", "health", "it's", "@me"];
const METHODS: [&str; 6] = ["GET", "POST", "HEAD", "OPTIONS", "get", "Post"];

fn run(input: &[u8], seen: &mut Seen) -> Result<(), String> {
    let mut tape = Tape::new(input);
    let apis = tape.list(3, api);
    let method = tape.pick(&METHODS);
    let host = written_host(&mut tape);
    let path = written_path(&mut tape);

    let header = |name: &str, value: &[u8]| (name.as_bytes().to_vec(), value.to_vec());
    let pairs = encode(&[
        header(":method", method.as_bytes()),
        header(":authority", host.as_bytes()),
        header(":path", &path),
    ]);
    let key = KeyPlaces {
        header: "x-api-key".to_owned(),
        query: Some("api-key".to_owned()),
        imported: false,
    };
    let request = Request::read(&pairs, &key, None);
    if request.unreadable.is_some() {
        seen.mark("unreadable");
        return Ok(());
    }
    let catalog = GateCatalog {
        revision: 1,
        secrets: KeySecrets::derive(&[0; 32]),
        key,
        max_stale_seconds: 900,
        answers: Answers::default(),
        apis,
        products: Vec::new(),
    };
    let routes = Routes::new(&catalog);
    let found = match routes.find(&request) {
        Ok(Some(found)) => found,
        Ok(None) => {
            seen.mark("not found");
            return Ok(());
        }
        Err(Ambiguous) => {
            seen.mark("ambiguous");
            return Ok(());
        }
    };
    seen.mark(if found.open { "found open" } else { "found" });
    if path.contains(&b'%') {
        seen.mark("found, written with escapes");
    }
    if path.contains(&b';') {
        seen.mark("found, with parameters");
    }
    if !HOSTS.contains(&host.as_str()) {
        seen.mark("found by another host");
    }
    let mut other: Option<(Served, Option<(&str, &str)>)> = None;
    for served in served(&path) {
        let meant = upstream::operation(&catalog.apis, method, &host, &served);
        let names = (found.name.api.as_str(), found.name.operation.as_str());
        // What nobody pays for is only what is listed.
        let is_found = meant.map_or(!found.open, |meant| meant == names);
        if meant.is_none() {
            seen.mark("served as nothing listed");
        }
        let is_plainer = other.as_ref().is_none_or(|(other, _)| served.steps() < other.steps());
        if !is_found && is_plainer {
            other = Some((served, meant));
        }
    }
    let Some((served, meant)) = other else { return Ok(()) };
    Err(format!(
        "found {} and served as {} by an upstream that {}\n  {method} {host:?}{:?}: the gate finds \
         {:?}, the upstream serves {:?} as {meant:?}",
        if found.open { "open" } else { "as one operation" },
        if meant.is_some() { "another" } else { "nothing listed" },
        served.how(),
        path.escape_ascii().to_string(),
        (&found.name.api, &found.name.operation),
        served.path.escape_ascii().to_string(),
    ))
}

fn api(tape: &mut Tape<'_>) -> Api {
    let host = tape.once_in(3).then(|| tape.pick(&HOSTS).to_owned());
    let path = tape.list(2, |tape| tape.pick(&LITERALS)).join("/");
    // Ids by content: two that are the same are one.
    let id = format!("{}/{path}", host.as_deref().unwrap_or("*"));
    Api { id, host, path: format!("/{path}"), operations: tape.list(4, operation) }
}

fn operation(tape: &mut Tape<'_>) -> Operation {
    let method = tape.flag().then(|| tape.pick(&METHODS[..4]).to_owned());
    let mut path = String::new();
    for number in 0..tape.below(4) {
        path += "/";
        match tape.below(4) {
            0 => path.extend(["{p", &number.to_string(), "}"]),
            _ => path += tape.pick(&LITERALS),
        }
    }
    if path.is_empty() || tape.once_in(5) {
        path += if tape.flag() { "/*" } else { "" };
    }
    let path = if path.is_empty() { "/".to_owned() } else { path };
    let id = format!("{} {path}", method.as_deref().unwrap_or("*"));
    Operation { id, method, path, open: tape.once_in(6), weight: 1 }
}

fn written_host(tape: &mut Tape<'_>) -> String {
    let host = tape.pick(&HOSTS).to_owned();
    match tape.below(12) {
        0 => host.to_ascii_uppercase(),
        1 => host + ":8080",
        2 => host + ":",
        3 => host + ".",
        4 => host + ".:443",
        5 => String::new(),
        _ => host,
    }
}

/// Segments that catalogs name, more or less; then whatever the tape holds.
fn written_path(tape: &mut Tape<'_>) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..tape.below(6) {
        path.push(b'/');
        for byte in tape.pick(&LITERALS).bytes() {
            // An escape, in either case of its digits.
            match tape.below(40) {
                0 => path.extend(format!("%{byte:02x}").bytes()),
                1 => path.extend(format!("%{byte:02X}").bytes()),
                _ => path.push(byte),
            }
        }
        let odd: &[u8] = match tape.below(40) {
            0 => b";v=1",
            1 => b";",
            2 => b"/",
            3 => b"/.",
            4 => b"/..",
            5 => b"/%2e%2E",
            6 => b"\\",
            7 => b"%2f",
            8 => b"%5c",
            9 => b"%00",
            10 => b"#",
            11 => b"%3bx",
            12 => b"%",
            13 => b"?api-key=k",
            14 => b"/..;/",
            15 => tape.bytes(8),
            _ => b"",
        };
        path.extend_from_slice(odd);
    }
    if tape.once_in(8) {
        path.extend_from_slice(tape.rest());
    }
    path
}
