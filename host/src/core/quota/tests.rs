use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;

const MONTHLY: BillingPeriod = BillingPeriod::Month;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn calendar(unit: CalendarUnit, zone: &str) -> QuotaPeriod {
    QuotaPeriod::Calendar { unit, zone: zone.to_owned() }
}

/// Where the first periods end, found one from the other.
fn ends(period: &QuotaPeriod, every: BillingPeriod, anchor: &str, count: usize) -> Vec<String> {
    let clock = QuotaClock::new(period, every, time(anchor)).unwrap();
    let mut ends = Vec::new();
    let mut at = clock.at(time(anchor)).unwrap();
    assert_eq!((at.number, at.start), (1, time(anchor)));
    for _ in 0..count {
        ends.push(at.end.to_string());
        let next = clock.at(at.end).unwrap();
        assert_eq!((next.number, next.start), (at.number + 1, at.end), "after {at:?}");
        at = next;
    }
    ends
}

#[test]
fn a_calendar_is_its_zones() {
    use CalendarUnit::{Day, Hour, Month, Week, Year};
    let check = |unit, zone, anchor, expected: &[&str]| {
        let found = ends(&calendar(unit, zone), MONTHLY, anchor, expected.len());
        assert_eq!(found, expected, "{unit:?} of {zone} from {anchor}");
    };
    check(Month, "UTC", "2026-11-22T15:00:00Z", &["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"]);
    // A boundary is the second period's.
    check(Day, "UTC", "2026-11-22T00:00:00Z", &["2026-11-23T00:00:00Z"]);
    check(Year, "UTC", "2028-02-29T15:00:00Z", &["2029-01-01T00:00:00Z", "2030-01-01T00:00:00Z"]);
    // 22 November 2026 is a Sunday.
    check(Week, "UTC", "2026-11-22T15:00:00Z", &["2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"]);
    // Summer begins and ends.
    check(
        Day,
        "Europe/Berlin",
        "2027-03-27T10:00:00Z",
        &["2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z", "2027-03-29T22:00:00Z"],
    );
    check(
        Month,
        "America/New_York",
        "2027-10-02T00:00:00Z",
        &["2027-11-01T04:00:00Z", "2027-12-01T05:00:00Z"],
    );
    // In the autumn an hour comes twice, and is two periods.
    check(
        Hour,
        "Europe/Berlin",
        "2027-10-31T00:30:00Z",
        &["2027-10-31T01:00:00Z", "2027-10-31T02:00:00Z", "2027-10-31T03:00:00Z"],
    );
    check(Hour, "Asia/Kolkata", "2027-01-01T00:00:00Z", &["2027-01-01T00:30:00Z"]);
    // Half an hour forward at 02:00, and back at 02:00.
    check(
        Hour,
        "Australia/Lord_Howe",
        "2027-10-02T14:30:00Z",
        &["2027-10-02T15:30:00Z", "2027-10-02T16:00:00Z", "2027-10-02T17:00:00Z"],
    );
    check(
        Hour,
        "Australia/Lord_Howe",
        "2027-04-03T14:00:00Z",
        &["2027-04-03T15:00:00Z", "2027-04-03T15:30:00Z", "2027-04-03T16:30:00Z"],
    );
    // Clocks are set forward over midnight: the day begins at one.
    check(
        Day,
        "America/Santiago",
        "2027-09-04T12:00:00Z",
        &["2027-09-05T04:00:00Z", "2027-09-06T03:00:00Z"],
    );
    check(
        Day,
        "Asia/Beirut",
        "2027-03-27T12:00:00Z",
        &["2027-03-27T22:00:00Z", "2027-03-28T21:00:00Z"],
    );
    // 30 December 2011 never was in Samoa.
    check(
        Day,
        "Pacific/Apia",
        "2011-12-29T00:00:00Z",
        &["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
    );
    check(Month, "Pacific/Apia", "2011-12-29T00:00:00Z", &["2011-12-31T10:00:00Z"]);
}

#[test]
fn other_periods_run_from_the_anchor() {
    let check = |period: &QuotaPeriod, every, anchor, expected: &[&str]| {
        let found = ends(period, every, anchor, expected.len());
        assert_eq!(found, expected, "{period:?} from {anchor}");
    };
    let hour = QuotaPeriod::Seconds(NonZeroU32::new(3_600).unwrap());
    let anchor = "2028-01-31T10:07:00Z";
    check(&hour, MONTHLY, anchor, &["2028-01-31T11:07:00Z", "2028-01-31T12:07:00Z"]);
    let billing = QuotaPeriod::Billing;
    check(&billing, MONTHLY, anchor, &["2028-02-29T10:07:00Z", "2028-03-31T10:07:00Z"]);
    let five = BillingPeriod::Minutes(NonZeroU32::new(5).unwrap());
    check(&billing, five, anchor, &["2028-01-31T10:12:00Z", "2028-01-31T10:17:00Z"]);
    let clock = QuotaClock::new(&QuotaPeriod::Lifetime, MONTHLY, time(anchor)).unwrap();
    for passed in ["2028-01-31T10:07:00Z", "2100-01-01T00:00:00Z", "9000-01-01T00:00:00Z"] {
        assert_eq!(clock.at(time(passed)).map(|span| span.number), Some(1));
    }
    assert!(
        QuotaClock::new(&calendar(CalendarUnit::Day, "Mars/North"), MONTHLY, time(anchor))
            .is_none()
    );
}

#[test]
fn a_timeline_reaches_from_the_period_before_to_the_next() {
    let anchor = time("2026-11-22T15:00:00Z");
    let check = |period: &QuotaPeriod, now: &str, until: &str, expected: &[u32]| {
        let clock = QuotaClock::new(period, MONTHLY, anchor).unwrap();
        let found = clock.around(time(now), wire_ms(time(until)));
        let numbers: Vec<u32> = found.iter().map(|period| period.number).collect();
        assert_eq!(numbers, expected, "{period:?} at {now}");
        let line = tollgate_pricing::timeline::Timeline::of(&found);
        assert_eq!(line.iter().collect::<Vec<_>>(), found, "{period:?} at {now}");
    };
    let month = calendar(CalendarUnit::Month, "Europe/Berlin");
    let (begin, later) = ("2026-11-22T15:00:00Z", "2027-03-01T00:00:00Z");
    check(&month, begin, begin, &[1, 2]);
    check(&month, later, begin, &[4, 5, 6]);
    check(&calendar(CalendarUnit::Day, "UTC"), begin, "2026-11-25T01:00:00Z", &[1, 2, 3, 4]);
    check(&QuotaPeriod::Lifetime, later, begin, &[1]);
    check(&QuotaPeriod::Lifetime, begin, later, &[1]);
}

const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Pacific/Chatham",
    "Africa/Casablanca",
    "America/Toronto",
];

fn any_period() -> impl Strategy<Value = QuotaPeriod> {
    use CalendarUnit::{Day, Hour, Month, Week, Year};
    let unit = prop::sample::select(vec![Hour, Hour, Day, Day, Week, Month, Year]);
    let zone = prop::sample::select(ZONES.to_vec());
    prop_oneof![
        6 => (unit, zone).prop_map(|(unit, zone)| calendar(unit, zone)),
        1 => (1_u32..100_000_000).prop_map(|seconds| {
            QuotaPeriod::Seconds(NonZeroU32::new(seconds).unwrap())
        }),
        1 => Just(QuotaPeriod::Billing),
        1 => Just(QuotaPeriod::Lifetime),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever instant a period is found from, it is the same one; the next begins where it ends.
    #[test]
    fn periods_follow_each_other(
        period in any_period(),
        anchor_minute in 12_000_000_i64..40_000_000,
        passed in prop_oneof![0_i64..100_000, 0_i64..400_000_000],
        inside in 0.0_f64..1.0,
    ) {
        let anchor = Timestamp::from_second(anchor_minute * 60).unwrap();
        let clock = QuotaClock::new(&period, MONTHLY, anchor).unwrap();
        let now = Timestamp::from_second(anchor.as_second() + passed).unwrap();
        let at = clock.at(now).unwrap();
        prop_assert!(at.start <= now && now < at.end, "{now} in {at:?}");
        prop_assert!(at.number >= 1);
        prop_assert!(anchor <= at.start);
        prop_assert_eq!(at.number == 1, at.start == anchor);
        let seconds = at.end.as_second() - at.start.as_second();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let offset = (seconds as f64 * inside) as i64;
        for instant in [at.start.as_second(), at.start.as_second() + offset, at.end.as_second() - 1] {
            let same = clock.at(Timestamp::from_second(instant).unwrap()).unwrap();
            prop_assert_eq!(same, at, "from {}", instant);
        }
        let next = clock.at(at.end);
        if !matches!(period, QuotaPeriod::Lifetime) {
            let next = next.unwrap();
            prop_assert_eq!((next.number, next.start), (at.number + 1, at.end));
        }
        if at.number > 1 {
            let before = clock.at(Timestamp::from_second(at.start.as_second() - 1).unwrap()).unwrap();
            prop_assert_eq!((before.number, before.end), (at.number - 1, at.start));
        }
    }

    /// Numbers count all periods since the anchor, and not only this one's neighbours.
    #[test]
    fn numbers_count_from_the_anchor(
        period in any_period(),
        anchor_minute in 19_000_000_i64..40_000_000,
        count in 1_u32..300,
    ) {
        prop_assume!(!matches!(period, QuotaPeriod::Lifetime));
        let anchor = Timestamp::from_second(anchor_minute * 60).unwrap();
        let clock = QuotaClock::new(&period, MONTHLY, anchor).unwrap();
        let mut at = clock.at(anchor).unwrap();
        for number in 1..count {
            prop_assert_eq!(at.number, number);
            at = clock.at(at.end).unwrap();
        }
    }
}
