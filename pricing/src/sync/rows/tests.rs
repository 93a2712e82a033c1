//! How rows are written, and what a histogram knows of values.

use proptest::prelude::*;

use super::*;

#[test]
fn countries_are_two_letters() {
    let check = |text: &[u8], expected: Option<&str>| {
        assert_eq!(Country::read(text).as_ref().map(Country::as_str), expected, "{text:?}");
    };
    check(b"DE", Some("DE"));
    check(b"de", Some("DE"));
    for bad in [&b""[..], b"D", b"DEU", b"D1", b"\xc3\xa4", b"--"] {
        check(bad, None);
    }
}

/// Rows are hashed and kept as they are written: their form is part of the protocol.
#[test]
fn rows_as_they_are_written() {
    let subscription = Some(SubscriptionId(7));
    let mut histogram = Histogram::default();
    for us in [0, 9, 9, 1_000, u64::MAX] {
        histogram.add(us);
    }
    let plain = Row {
        subscription: None,
        period: 0,
        api: None,
        operation: None,
        status: 404,
        outcome: Outcome::Refused(Reason::NotFound),
        would_refuse: None,
        minute: 1,
        calls: 1,
        latency_us: 2,
        bytes: 0,
        units: 0,
    };
    let whole = Row {
        subscription,
        period: 3,
        api: Some("address".to_owned()),
        operation: Some("find".to_owned()),
        status: 200,
        outcome: Outcome::Billable,
        would_refuse: Some(Reason::RateLimited),
        bytes: 4,
        units: 5,
        ..plain.clone()
    };
    let place = PlaceRow {
        subscription,
        country: Country::read(b"de").unwrap(),
        status: 0,
        outcome: Outcome::Waived,
        hour: 6,
        calls: 7,
        latency_us: 8,
        bytes: 9,
    };
    let latency = Latency {
        subscription,
        api: None,
        operation: None,
        hour: 6,
        min_us: 0,
        max_us: u64::MAX,
        histogram,
    };
    let rows = Rows { calls: vec![plain, whole], places: vec![place], latencies: vec![latency] };
    assert_eq!((rows.count(), Rows::default().count()), (4, 0));
    let text = serde_json::to_string(&rows).unwrap();
    assert_eq!(serde_json::from_str::<Rows>(&text).unwrap(), rows);
    insta::assert_snapshot!(text.replace("},", "},\n").replace("],", "],\n"), @r#"
    {"calls":[{"subscription":null,"period":0,"api":null,"operation":null,"status":404,"outcome":{"refused":"not_found"},
    "minute":1,"calls":1,"latency_us":2,"bytes":0,"units":0},
    {"subscription":7,"period":3,"api":"address","operation":"find","status":200,"outcome":"billable","would_refuse":"rate_limited","minute":1,"calls":1,"latency_us":2,"bytes":4,"units":5}],
    "places":[{"subscription":7,"country":"DE","status":0,"outcome":"waived","hour":6,"calls":7,"latency_us":8,"bytes":9}],
    "latencies":[{"subscription":7,"api":null,"operation":null,"hour":6,"min_us":0,"max_us":18446744073709551615,"histogram":[[0,1],
    [9,2],
    [63,1],
    [239,1]]}]}
    "#);
    assert_eq!(serde_json::to_string(&Rows::default()).unwrap(), "{}");
    let bad = text.replace("\"DE\"", "\"DEU\"");
    let error = serde_json::from_str::<Rows>(&bad).unwrap_err().to_string();
    assert!(error.starts_with("expected two letters, found \"DEU\""), "{error}");
}

#[test]
fn a_histogram_is_sound_or_told() {
    let check = |text: &str, is_sound: bool| {
        let histogram: Histogram = serde_json::from_str(text).unwrap();
        assert_eq!(histogram.is_sound(), is_sound, "{text}");
        // Whatever it is, it can be looked at.
        let mut sum = Histogram::default();
        sum.merge(&histogram);
        assert!(sum.iter().all(|(step, _)| Histogram::bounds(step).0 < u64::MAX));
    };
    check("[]", true);
    check("[[0,1],[255,18446744073709551615]]", true);
    check("[[1,1],[0,1]]", false);
    check("[[1,1],[1,1]]", false);
    check("[[1,0]]", false);
}

#[test]
fn steps_follow_each_other_without_a_gap() {
    let mut next = 0;
    for step in 0..=Histogram::step(u64::MAX) {
        let (first, past) = Histogram::bounds(step);
        assert_eq!(first, next, "{step}");
        next = past;
    }
    assert_eq!(next, LARGEST + 1);
}

proptest! {
    #[test]
    fn a_value_is_known_to_an_eighth(value in 0..=LARGEST) {
        let (first, past) = Histogram::bounds(Histogram::step(value));
        prop_assert!((first..past).contains(&value));
        prop_assert!(past - first <= (first / 8).max(1));
    }

    #[test]
    fn merging_is_adding(one in proptest::collection::vec(any::<u64>(), 0..40),
                         other in proptest::collection::vec(any::<u64>(), 0..40)) {
        let of = |values: &[u64]| {
            let mut histogram = Histogram::default();
            for value in values {
                histogram.add(*value);
            }
            histogram
        };
        let mut merged = of(&one);
        merged.merge(&of(&other));
        prop_assert_eq!(&merged, &of(&[one.clone(), other.clone()].concat()));
        prop_assert!(merged.is_sound());
        prop_assert_eq!(merged.total(), (one.len() + other.len()) as u64);
    }
}
