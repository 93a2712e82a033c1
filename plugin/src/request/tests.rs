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
    KeyPlaces { header: "x-api-key".to_owned(), query: Some("api-key".to_owned()), imported: false }
}

fn read(headers: &[(&[u8], &[u8])]) -> Request {
    Request::read(&pairs(headers), &places(), Some("x-country"))
}

#[test]
fn the_key_comes_from_the_header_then_from_the_query() {
    let check = |path: &[u8], header: Option<&[u8]>, key: Option<&[u8]>| {
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b":path", path)];
        headers.extend(header.map(|value| (&b"x-api-key"[..], value)));
        assert_eq!(read(&headers).key.as_deref(), key);
    };
    check(b"/a", None, None);
    check(b"/a", Some(b"k\xff"), Some(b"k\xff"));
    check(b"/a", Some(b" k "), Some(b"k"));
    check(b"/a?x=1&api-key=q&y", None, Some(b"q"));
    check(b"/a?api-key=q", Some(b"h"), Some(b"h"));
    check(b"/a?api-key=q", Some(b""), Some(b"q"));
    check(b"/a?api-key", None, None);
    check(b"/a?api-key=", Some(b""), None);
    check(b"/a?my-api-key=q", None, None);
    check(b"/a?API-KEY=q", None, None);
    check(b"/a?api%2Dke%79=q", None, Some(b"q"));
    check(b"/a?api-key=a%2Bb+c%zz%4", None, Some(b"a+b+c%zz%4"));
    check(b"/a?api-key==q?", None, Some(b"=q?"));
    check(b"/a", Some(&vec![b'k'; 65_536]), Some(&[b'k'; MAX_KEY_BYTES + 1]));
}

#[test]
fn two_keys_that_differ_are_unreadable() {
    let check = |path: &[u8], keys: &[&[u8]], expected: Option<Unreadable>| {
        let mut headers: Vec<(&[u8], &[u8])> = vec![(b":path", path)];
        headers.extend(keys.iter().map(|value| (&b"x-api-key"[..], *value)));
        assert_eq!(read(&headers).unreadable, expected, "{path:?} {keys:?}");
    };
    check(b"/a", &[b"k", b"k"], None);
    check(b"/a", &[b"", b"k", b""], None);
    check(b"/a", &[b"k", b"K"], Some(Unreadable));
    check(b"/a", &[b"k", b"other"], Some(Unreadable));
    check(b"/a?api-key=q", &[b"k"], None);
    check(b"/a?api-key=q&api-key=r", &[b"k"], None);
    check(b"/a?api-key=q&api%2Dkey=%71", &[], None);
    check(b"/a?api-key=q&api-key=", &[], None);
    check(b"/a?api-key=q&api-key=r", &[], Some(Unreadable));
}

#[test]
fn a_country_comes_from_the_header_that_the_proxy_sets() {
    let check = |headers: &[(&[u8], &[u8])], country: Option<&[u8]>| {
        let headers = [&[(&b":path"[..], &b"/a"[..])], headers].concat();
        assert_eq!(read(&headers).country, country.and_then(Country::read), "{headers:?}");
        assert_eq!(Request::read(&pairs(&headers), &places(), None).country, None);
    };
    check(&[], None);
    check(&[(b"x-country", b"DE")], Some(b"DE"));
    check(&[(b"x-country", b" de ")], Some(b"DE"));
    check(&[(b"X-Country", b"DE")], None);
    check(&[(b"x-country", b"DEU")], None);
    check(&[(b"x-country", b"\xff\xff")], None);
    check(&[(b"x-country", b"XX"), (b"x-country", b"FR")], Some(b"FR"));
}

#[test]
fn in_authorization_a_key_may_follow_its_scheme() {
    let places = KeyPlaces { header: AUTHORIZATION.to_owned(), ..places() };
    let check = |value: &[u8], key: Option<&[u8]>| {
        let headers = pairs(&[(b":path", b"/a"), (b"authorization", value)]);
        assert_eq!(Request::read(&headers, &places, None).key.as_deref(), key, "{value:?}");
    };
    check(b"Bearer k", Some(b"k"));
    check(b"bEARER \t k ", Some(b"k"));
    check(b"k", Some(b"k"));
    check(b"Bearer", None);
    check(b"Bearer ", None);
    check(b"Bearerk", Some(b"Bearerk"));
    check(b"Basic dXNlcg==", Some(b"Basic dXNlcg=="));
    check(b"\xff\xfe", Some(b"\xff\xfe"));
}

/// What the API gets is what came, without the key and nothing else.
#[test]
fn the_key_is_cut_out_of_the_path() {
    let check = |path: &[u8], expected: Option<&[u8]>| {
        let found = read(&[(b":path", path), (b"x-api-key", b"h")]).forward;
        assert_eq!(found.as_deref(), expected, "{path:?}");
    };
    check(b"/a", None);
    check(b"/a?", None);
    check(b"/a?b=1&&c;api-key=q", None);
    check(b"/a?api-key=q", Some(b"/a"));
    check(b"/a?api-key", Some(b"/a"));
    check(b"/a?api-key=q&b=%2f+%zz&b", Some(b"/a?b=%2f+%zz&b"));
    check(b"/a?b=1&api-key=q", Some(b"/a?b=1"));
    check(b"/a?b=1&api-key=q&", Some(b"/a?b=1&"));
    check(b"/a?&api-key=q&&", Some(b"/a?&&"));
    check(b"/a?b?c=1&api%2dkey=q&d=?", Some(b"/a?b?c=1&d=?"));
    check(b"/a?api-key=q&api-key=r&%61pi-key=s", Some(b"/a"));
    check(b"/..//?api-key=q", Some(b"/..//"));
}

#[test]
fn paths_are_matched_plain_or_refused() {
    let check = |path: &[u8], plain: &[u8], literal: Option<&[u8]>| {
        let found = read(&[(b":path", path)]);
        assert_eq!(found.unreadable, None, "{path:?}");
        let (found, literal_found) = (found.path.plain, found.path.literal);
        assert_eq!((found.as_slice(), literal_found.as_deref()), (plain, literal), "{path:?}");
    };
    check(b"/a/b?c", b"/a/b", None);
    check(b"/a/b?c/../d//e;f", b"/a/b", None);
    check(b"/a;v=1/b;x", b"/a/b", Some(b"/a;v=1/b;x"));
    check(b"/a/;x", b"/a/", Some(b"/a/;x"));
    check(b"", b"", None);
    check(b"*", b"*", None);
    check(b"/\xff\xfe", b"/\xff\xfe", None);
    check(b"/a.b/..c", b"/a.b/..c", None);
    check(b"/a%20b/%C3%A4/%25", b"/a%20b/%C3%A4/%25", None);
    for bad in [
        &b"/a/../b"[..],
        b";",
        b"a/b",
        b"/a/%2e%2E/b",
        b"/a/.%2e",
        b"/a/..;/b",
        b"/a/..;x/b",
        b"/a/..%3bx/b",
        b"/./a",
        b"//a",
        b"/a//b",
        b"/a//",
        b"/a/;x/b",
        b"/a%2fb",
        b"/a\\b",
        b"/a%5Cb",
        b"/%00",
        b"/a%0d%0ab",
        b"/a\x7f",
        b"/a\0b",
        b"/%61",
        b"/%7e",
        b"/%zz",
        b"/%",
        b"/a%4",
        b"/%u0061",
        b"/%c0%ae%c0%ae/b",
        b"/\xc0\xaf",
        b"/a#/../b",
        b"/a?b#c",
        b"http://api.example.com/a",
        &[b'/'; MAX_PATH_BYTES + 1],
    ] {
        assert_eq!(read(&[(b":path", bad)]).unreadable, Some(Unreadable), "{bad:?}");
    }
}

#[test]
fn the_host_is_lower_case_without_port_and_final_dot() {
    let check = |authority: &[u8], host: Option<&[u8]>| {
        let found = read(&[(b":authority", authority)]);
        let readable = found.unreadable.is_none().then_some(found.host.as_slice());
        assert_eq!(readable, host, "{authority:?}");
    };
    check(b"API.example.com:8080", Some(b"api.example.com"));
    check(b"api.example.com", Some(b"api.example.com"));
    check(b"api.Example.com.", Some(b"api.example.com"));
    check(b"api.example.com.:443", Some(b"api.example.com"));
    check(b"[::1]:80", Some(b"[::1]"));
    check(b"[::1]", Some(b"[::1]"));
    check(b"", Some(b""));
    check(b"user@api.example.com", None);
    check(b"api.example.com:80:80", None);
    check(b"api%2eexample.com", None);
    check(b"api.example.com, other", None);
    check(b"\xff", None);
}

#[test]
fn a_preflight_has_all_three_marks() {
    let all: [(&[u8], &[u8]); 3] =
        [(b":method", b"OPTIONS"), (b"origin", b"x"), (b"access-control-request-method", b"")];
    assert!(read(&all).preflight);
    assert!(!read(&all[..2]).preflight);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Request::read(&bytes, &places(), Some("x-country"));
    }

    #[test]
    fn no_header_panics(name in proptest::collection::vec(any::<u8>(), 0..20),
                        value in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&[(&name, &value), (b":path", &value), (b":authority", &value)]);
    }

    /// However a query is written, no key is left in what goes on, and the rest is as it was.
    #[test]
    fn nothing_but_the_key_is_cut(
        parts in proptest::collection::vec("(api-key|api%2Dkey|a|b%20|)(=[a-z%&?;]{0,4})?", 0..6),
    ) {
        let target = format!("/a?{}", parts.join("&"));
        let forward = read(&[(b":path", target.as_bytes())]).forward;
        let forward = String::from_utf8(forward.unwrap_or(target.clone().into_bytes())).unwrap();
        let is_key = |part: &&str| {
            let name = part.split('=').next().unwrap();
            name == "api-key" || name == "api%2Dkey"
        };
        let query = |text: &str| -> Vec<String> {
            let query = text.split_once('?').map_or("", |(_, query)| query);
            query.split('&').map(str::to_owned).collect()
        };
        let expected: Vec<String> =
            query(&target).into_iter().filter(|part| !is_key(&part.as_str())).collect();
        let expected = if expected.is_empty() { vec![String::new()] } else { expected };
        prop_assert_eq!(query(&forward), expected);
    }
}
