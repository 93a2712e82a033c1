//! Bytes in, bytes out, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::limit::window::BUCKETS;

fn timeline() -> Timeline {
    let run = Run { seconds: u32::MAX, count: u8::MAX };
    Timeline { first: 7, start_ms: u64::MAX, runs: vec![run; MAX_RUNS] }
}

fn quota() -> Kind {
    let lease = Lease { period: 3, granted: u64::MAX, used: 4, waived: 5, returned: 6 };
    let kept = PeriodLease { end_ms: 8, lease };
    Kind::Quota(QuotaState { entered: 9, leases: vec![kept; MAX_LEASES], pace: pace() })
}

fn pace() -> Pace {
    Pace { since_ns: 1, used: 2, ahead: 3, asked_until_ns: 4, touched_ns: 5 }
}

fn window() -> Kind {
    let mut window = Window::empty(17);
    (window.newest, window.counts) = (99, [u32::MAX; BUCKETS]);
    Kind::Window(window)
}

fn rate() -> Kind {
    let lease = Lease { granted: 10, used: 4, ..Lease::default() };
    Kind::Rate(RateState { lease, until_ns: 77, pace: pace() })
}

/// Every list at its bound, with these states of limits.
fn record(kinds: impl Iterator<Item = Kind>) -> Record {
    let tags = (0..u32::try_from(MAX_METERS).unwrap()).map(Tag);
    let meters = Meters::new(tags.map(|tag| (tag, u64::MAX)).collect()).unwrap();
    let slot = Slot { number: 1, period: 2, admitted: u64::MAX, billable: 3, waived: 4, meters };
    let burst = NonZeroU32::new(5);
    let own = Override { limit: Tag(6), units: NonZeroU64::MAX, burst };
    Record {
        id: SubscriptionId(1),
        revision: 2,
        product: Tag(3),
        catalog: 4,
        access: Access::Suspended,
        expires_ms: Some(5),
        periods: timeline(),
        period: 8,
        last_slot: 9,
        slots: vec![slot; MAX_SLOTS],
        quotas: vec![(Tag(6), timeline()); MAX_LIMITS],
        forgotten_ms: 10,
        overrides: vec![own; MAX_LIMITS],
        limits: kinds.map(|kind| LimitState { tag: Tag(6), kind }).collect(),
    }
}

/// A product's limits take most as windows; what is kept of earlier plans' is shrunk, and takes
/// most as quotas.
fn largest() -> Record {
    let earlier = MAX_STATES - MAX_LIMITS;
    let windows = std::iter::repeat_with(window).take(MAX_LIMITS);
    record(windows.chain(std::iter::repeat_with(quota).take(earlier)))
}

#[test]
fn reads_what_it_wrote_and_stays_in_its_bound() {
    let check = |record: Record| {
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes), Ok(record));
        assert!(bytes.len() <= MAX_RECORD_BYTES, "{}", bytes.len());
    };
    check(largest());
    insta::assert_snapshot!(largest().encode().len(), @"11237");
    for kind in [quota, rate, || Kind::Bucket(Bucket { full_at_ns: 9, interval_ns: 8 })] {
        check(record(std::iter::repeat_with(kind).take(MAX_STATES)));
    }
    let mut sparse = Window::empty(17);
    (sparse.newest, sparse.counts[5], sparse.counts[63]) = (70, 3, 4);
    check(record([Kind::Window(sparse), rate(), window()].into_iter()));
    let never = Record { expires_ms: None, ..record(std::iter::empty()) };
    check(never);
}

#[test]
fn no_other_schema_is_read() {
    let mut bytes = largest().encode();
    for schema in (0..=u8::MAX).filter(|schema| *schema != SCHEMA) {
        bytes[0] = schema;
        assert_eq!(Record::decode(&bytes), Err(Damaged), "{schema}");
    }
}

#[test]
fn more_than_a_record_holds_is_damage() {
    let with = |change: fn(&mut Record)| {
        let mut record = largest();
        change(&mut record);
        Record::decode(&record.encode())
    };
    assert_eq!(with(|record| record.slots.push(Slot::default())), Err(Damaged));
    assert_eq!(with(|record| record.overrides.push(record.overrides[0])), Err(Damaged));
    assert_eq!(with(|record| record.limits.push(record.limits[0].clone())), Err(Damaged));
    assert_eq!(with(|record| record.quotas.push(record.quotas[0].clone())), Err(Damaged));
}

proptest! {
    #[test]
    fn any_cut_or_flip_is_damage_or_another_record(
        cut in 0..MAX_RECORD_BYTES, place in 0..MAX_RECORD_BYTES, bit in 0_u8..8,
    ) {
        let mut bytes = largest().encode();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(other) = Record::decode(&bytes) {
            prop_assert_eq!(Record::decode(&other.encode()), Ok(other));
        }
        let cut = cut.min(bytes.len() - 1);
        prop_assert_eq!(Record::decode(&bytes[..cut]), Err(Damaged));
        bytes.push(0);
        prop_assert_eq!(Record::decode(&bytes), Err(Damaged));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Record::decode(&bytes);
        let _ = Record::decode(&[&[SCHEMA], bytes.as_slice()].concat());
    }
}
