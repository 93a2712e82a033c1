//! Decisions, each with its record and its call.

use tollgate_pricing::gate::Override;
use tollgate_pricing::sync::Slot;

use super::*;
use crate::settle::{Ending, Took, settle};

const MINUTE_MS: u64 = 60_000;

/// Three minutes of billing periods, and of quotas "monthly" and "other".
fn minutes() -> Record {
    let mut record = record(line(60, 3), &[("monthly", 60), ("other", 90)]);
    record.quotas.iter_mut().for_each(|(_, line)| line.runs[0].count = 3);
    record
}

fn grant(record: &mut Record, id: &str, period: u32, units: u64) {
    assert!(record.grant(&granted(Tag::of(id), period, units), START_NS));
}

fn lease(record: &mut Record, id: &str) -> (u64, u64) {
    let lease = record.lease_mut(Tag::of(id), 1).unwrap();
    (lease.spent(), lease.left())
}

#[test]
fn one_call_is_decided_by_state_then_product_then_limits() {
    let check = |change: fn(&mut Record), api: &str, ms: u64, expected: &str| {
        let product = product(vec![window("per-minute", 1, 60), quota("monthly", 10)]);
        let mut record = minutes();
        grant(&mut record, "monthly", 1, 1);
        change(&mut record);
        let call = Call { api, ..call(&product, "*", at(ms)) };
        assert_eq!(word(&admit_or_leave(&mut record, &call)), expected);
    };
    check(|_| {}, "address", 0, "admitted");
    check(|record| record.revision = 0, "address", 0, "outdated");
    check(|_| {}, "other", 0, "api_not_in_product");
    check(|record| record.access = Access::Suspended, "address", 0, "subscription_inactive");
    check(|record| record.access = Access::Ended, "address", 0, "subscription_inactive");
    check(|record| record.expires_ms = Some(START_MS + 5), "address", 4, "admitted");
    check(|record| record.expires_ms = Some(START_MS + 5), "address", 5, "subscription_inactive");
    check(|_| {}, "address", MINUTE_MS, "empty 2 needs 1");
    check(|_| {}, "address", 3 * MINUTE_MS, "outdated");
    check(|record| record.quotas.clear(), "address", 0, "outdated");
    let fill = |record: &mut Record| {
        let slot = |number| Slot { number, period: 100 + number, ..Slot::default() };
        record.slots = (0..u32::try_from(MAX_ADMISSION_SLOTS).unwrap()).map(slot).collect();
    };
    check(fill, "address", 0, "busy for 1000 ms");
}

#[test]
fn a_clock_that_steps_back_enters_no_period_again() {
    let product = product(vec![quota("monthly", 10)]);
    let mut record = minutes();
    for period in 1..=3 {
        grant(&mut record, "monthly", period, 5);
    }
    let mut periods = Vec::new();
    for ms in [0, MINUTE_MS, 0, 2 * MINUTE_MS - 1, 0, 2 * MINUTE_MS, 0] {
        match admit_or_leave(&mut record, &call(&product, "a", at(ms))) {
            Admission::Admitted { permit, .. } => {
                periods.push((permit.period(), permit.quotas()[0].period));
            }
            decided => panic!("{decided:?}"),
        }
    }
    assert_eq!(periods, [(1, 1), (2, 2), (2, 2), (2, 2), (2, 2), (3, 3), (3, 3)]);
}

/// Calls one after the other, as `operation:weight`, under grants of 5 for each lease; `spent` is
/// what the host said.
fn sequence(limits: Vec<Limit>, spent: bool, calls: &[(&str, &str)]) {
    let product = product(limits);
    let mut record = minutes();
    for limit in product.limits.iter().filter(|limit| limit.rule.is_leased()) {
        let period = u32::from(matches!(limit.rule, Rule::Quota { .. }));
        assert!(record.grant(&granted(limit.tag(), period, 5), START_NS));
    }
    for (place, (text, expected)) in calls.iter().enumerate() {
        let (operation, weight) = text.split_once(':').unwrap_or((text, "1"));
        let weight = weight.parse().unwrap();
        let said = |_, _| spent.then_some(700 * MS);
        let call = Call { weight, spent: &said, ..call(&product, operation, at(0)) };
        assert_eq!(word(&admit_or_leave(&mut record, &call)), *expected, "call {place}");
    }
}

#[test]
fn limits_count_the_calls_they_are_hung_on() {
    let limits = vec![on("find", window("w", 1, 60)), window("all", 2, 60)];
    let over = "rate_limited by w for 60829 ms";
    let all = "rate_limited by all for 60829 ms";
    sequence(
        limits,
        false,
        &[("find", "admitted"), ("find", over), ("list", "admitted"), ("list", all)],
    );
    let heavy = vec![metered("monthly", 9, Meter::Weight)];
    let calls = [
        ("a:3", "admitted"),
        ("a:3", "empty 1 needs 1"),
        ("a:0", "admitted"),
        ("a:2", "admitted"),
        ("a:0", "admitted"),
        ("a:40", "empty 1 needs 40"),
    ];
    sequence(heavy.clone(), false, &calls);
    let calls = [("a:3", "admitted"), ("a:3", "quota_exceeded by monthly for 60000 ms")];
    sequence(heavy, true, &calls);
}

#[test]
fn of_several_refusals_the_longest_is_told_and_a_rate_comes_before_a_question() {
    let (spend, free) = (("a:5", "admitted"), false);
    let heavy = || metered("monthly", 9, Meter::Weight);
    let check = |limits, spent, expected| sequence(limits, spent, &[spend, ("a", expected)]);
    check(vec![heavy(), window("w", 1, 60)], free, "rate_limited by w for 60829 ms");
    check(vec![heavy(), window("w", 1, 10)], true, "quota_exceeded by monthly for 60000 ms");
    check(vec![heavy(), window("w", 1, 600)], true, "rate_limited by w for 609401 ms");
    let both = vec![window("w", 1, 60), bucket("b", 1, 90, 1)];
    check(both, free, "rate_limited by b for 90000 ms");
    let once = || lifetime("other", 9);
    let five = [("a", "admitted"); 5];
    let lifetime =
        |limits, expected| sequence(limits, true, &[&five[..], &[("a", expected)]].concat());
    lifetime(vec![once(), quota("monthly", 9)], "quota_exceeded by other");
    lifetime(vec![quota("monthly", 9), once(), window("w", 5, 86_400)], "quota_exceeded by other");
    lifetime(vec![fleet("f", 9, 60)], "rate_limited by f for 700 ms");
}

#[test]
fn what_does_not_block_counts_and_tells() {
    let check = |limits, spent, last: &str| {
        let ten = [("a", "admitted"); 5];
        sequence(limits, spent, &[&ten[..], &[("a", last), ("a", last)]].concat());
    };
    check(vec![observed(window("w", 5, 60))], false, "admitted, else rate_limited");
    check(vec![observed(bucket("b", 1, 60, 5))], false, "admitted, else rate_limited");
    check(vec![observed(fleet("f", 5, 60))], true, "admitted, else rate_limited");
    check(vec![observed(fleet("f", 5, 60))], false, "admitted");
    check(vec![observed(quota("monthly", 5))], true, "admitted, else quota_exceeded");
    check(vec![observed(quota("monthly", 5))], false, "admitted");
    check(vec![soft(quota("monthly", 5))], true, "admitted");
    check(vec![observed(soft(quota("monthly", 5)))], true, "admitted");

    let product = product(vec![soft(quota("monthly", 5)), observed(fleet("f", 5, 60))]);
    let mut record = minutes();
    grant(&mut record, "monthly", 1, 5);
    for _ in 0..8 {
        admit_or_leave(&mut record, &call(&product, "a", at(0)));
    }
    assert_eq!(lease(&mut record, "monthly"), (8, 0), "what was used may pass what was granted");
    assert!(statuses(&record, &call(&product, "a", at(0))).is_empty(), "no promise to anyone");
}

#[test]
fn with_the_host_away_leases_are_used_up_and_then_the_plan_decides() {
    let check = |reach, on_outage, spent: bool, expected: &str| {
        let limits = vec![quota("monthly", 100), fleet("f", 100, 60)];
        let product = in_outages(on_outage, product(limits));
        let mut record = minutes();
        grant(&mut record, "monthly", 1, 3);
        grant(&mut record, "f", 0, 2);
        let said = |_, _| spent.then_some(MS);
        let mut words = Vec::new();
        for ms in [0, 0, 500, 500, 500, 1_500] {
            let call = Call { reach, spent: &said, ..call(&product, "a", at(ms)) };
            let admission = word(&admit_or_leave(&mut record, &call));
            words.push(admission.split(' ').next().unwrap_or_default().to_owned());
        }
        assert_eq!(words.join(" "), expected, "{reach:?} {on_outage:?}");
    };
    let two = OnOutage::AllowUpTo(NonZeroU64::new(2).unwrap());
    let (away, stale, no) = (Reach::Away, Reach::Stale, "host_unavailable");
    check(Reach::Near, OnOutage::Allow, false, "admitted admitted empty empty empty empty");
    check(away, OnOutage::Deny, false, &format!("admitted admitted {no} {no} {no} {no}"));
    check(stale, OnOutage::Deny, false, &[no; 6].join(" "));
    for reach in [away, stale] {
        let passes = "admitted admitted overdrawn overdrawn overdrawn overdrawn";
        check(reach, OnOutage::Allow, false, passes);
        let some = format!("admitted admitted overdrawn overdrawn {no} {no}");
        check(reach, two, false, &some);
    }
    let over = "admitted admitted rate_limited rate_limited rate_limited quota_exceeded";
    check(away, OnOutage::Allow, true, &over.replace(" quota_exceeded", " rate_limited"));
}

#[test]
fn what_has_expired_of_a_rate_is_no_room_for_an_overdraft() {
    let on_outage = OnOutage::AllowUpTo(NonZeroU64::new(2).unwrap());
    let product = in_outages(on_outage, product(vec![fleet("f", 100, 60)]));
    let mut record = minutes();
    grant(&mut record, "f", 0, 10);
    let mut words = Vec::new();
    for ms in [0, 2_000, 2_000, 2_000] {
        let call = Call { reach: Reach::Away, ..call(&product, "a", at(ms)) };
        words.push(word(&admit_or_leave(&mut record, &call)));
    }
    assert_eq!(words.join(", "), "admitted, overdrawn, overdrawn, host_unavailable for 1000 ms");
}

#[test]
fn what_is_known_late_blocks_once_it_is_used_up() {
    let header = Meter::Header("x-units".to_owned());
    let product = product(vec![
        metered("monthly", 1_000, Meter::Bytes),
        metered("other", 90, header.clone()),
    ]);
    let mut record = minutes();
    grant(&mut record, "monthly", 1, 10);
    grant(&mut record, "other", 1, 10);
    let admitted = |record: &mut Record| match admit_or_leave(record, &call(&product, "a", at(0))) {
        Admission::Admitted { permit, .. } => permit,
        refused => panic!("{refused:?}"),
    };
    let (first, second, third) =
        (admitted(&mut record), admitted(&mut record), admitted(&mut record));
    assert_eq!(lease(&mut record, "monthly"), (0, 10), "nothing is charged before the end");

    let end = |record: &mut Record, permit: &Permit, bytes, units| {
        let read = |meter: &Meter| if *meter == Meter::Bytes { bytes } else { units };
        let took = Took::measure(permit, read);
        assert_eq!(took.units, units);
        settle(record, permit, &Ending::Billable(took.meters)).unwrap();
    };
    settle(&mut record, &first, &Ending::Waived).unwrap();
    assert_eq!(lease(&mut record, "monthly"), (0, 10), "waived calls cost nothing");
    end(&mut record, &second, 9, 9);
    assert_eq!((lease(&mut record, "monthly"), lease(&mut record, "other")), ((9, 1), (9, 1)));
    let last = admitted(&mut record);
    end(&mut record, &third, 50, 0);
    assert_eq!(lease(&mut record, "monthly"), (59, 0), "by what was under way");
    let next = admit_or_leave(&mut record, &call(&product, "a", at(0)));
    assert_eq!(word(&next), "empty 1 needs 1");
    end(&mut record, &last, 0, 0);
    assert_eq!(lease(&mut record, "other"), (9, 1), "a header that is missing counts nothing");
    let meters = &record.slots[0].meters;
    let counted = (meters.get(Meter::Bytes.tag()), meters.get(header.tag()));
    assert_eq!(counted, (59, 9), "as billed");
}

#[test]
fn waived_calls_give_units_back_but_no_rates() {
    let product = product(vec![metered("monthly", 9, Meter::Weight), fleet("f", 9, 60)]);
    let mut record = minutes();
    grant(&mut record, "monthly", 1, 9);
    grant(&mut record, "f", 0, 9);
    let heavy = Call { weight: 4, ..call(&product, "a", at(0)) };
    let Admission::Admitted { permit, .. } = admit_or_leave(&mut record, &heavy) else {
        panic!("there is room");
    };
    assert_eq!(lease(&mut record, "monthly"), (4, 5));
    settle(&mut record, &permit, &Ending::Waived).unwrap();
    assert_eq!(lease(&mut record, "monthly"), (0, 9));
    assert!(record.slots[0].meters.is_empty());
    assert_eq!(record.lease_mut(Tag::of("f"), 0).unwrap().left(), 8);
}

#[test]
fn a_subscription_has_numbers_of_its_own() {
    let own = |id: &str, units, burst| Override {
        limit: Tag::of(id),
        units: NonZeroU64::new(units).unwrap(),
        burst: NonZeroU32::new(burst),
    };
    let check = |limit, own, passes: usize| {
        let product = product(vec![limit]);
        let mut record = minutes();
        record.overrides = vec![own];
        let admitted = |_: &usize| {
            let decided = admit_or_leave(&mut record, &call(&product, "a", at(0)));
            matches!(decided, Admission::Admitted { .. })
        };
        assert_eq!((0..20).take_while(admitted).count(), passes);
    };
    check(window("w", 5, 60), own("w", 7, 0), 7);
    check(window("w", 5, 60), own("other", 7, 0), 5);
    check(bucket("b", 5, 60, 4), own("b", 7, 0), 4);
    check(bucket("b", 5, 60, 4), own("b", 7, 6), 6);

    let product = product(vec![quota("monthly", 1_000)]);
    let mut record = minutes();
    record.overrides = vec![own("monthly", 4, 0)];
    let Admission::Empty(ask) = admit_or_leave(&mut record, &call(&product, "a", at(0))) else {
        panic!("nothing is leased");
    };
    assert_eq!((ask.want, ask.need), (4, 1), "no more than there can be");
}

#[test]
fn the_first_question_is_for_a_meaningful_part() {
    let check = |limit, weight, want| {
        let product = product(vec![limit]);
        let heavy = Call { weight, ..call(&product, "a", at(0)) };
        match admit_or_leave(&mut minutes(), &heavy) {
            Admission::Empty(ask) => assert_eq!(ask.want, want, "{product:?}"),
            decided => panic!("{decided:?}"),
        }
    };
    check(quota("monthly", 1_000), 1, 10);
    check(metered("monthly", 1_000, Meter::Weight), 7, 70);
    check(metered("monthly", 20, Meter::Weight), 7, 20);
    check(metered("monthly", 1_000_000, Meter::Bytes), 1, 10_000);
    check(metered("monthly", 50, Meter::Header("x".to_owned())), 1, 1);
    check(fleet("f", 1_000, 60), 1, 10);
    check(fleet("f", 3, 60), 1, 3);
}

#[test]
fn one_call_asks_for_more_when_few_are_left_unless_there_is_no_more() {
    let check = |limit: Limit, grants: u64, spent: bool, reach, asks: &[usize]| {
        let period = u32::from(matches!(limit.rule, Rule::Quota { .. }));
        let product = product(vec![limit]);
        let mut record = minutes();
        let answer = granted(product.limits[0].tag(), period, grants);
        assert!(record.grant(&answer, START_NS));
        let said = |_, _| spent.then_some(MS);
        let low: Vec<usize> = (1..=20)
            .filter(|_| {
                let call = Call { spent: &said, reach, ..call(&product, "a", at(0)) };
                let decided = admit_or_leave(&mut record, &call);
                matches!(decided, Admission::Admitted { low, .. } if !low.is_empty())
            })
            .collect();
        assert_eq!(low, asks, "{product:?}");
    };
    check(quota("monthly", 1_000), 20, false, Reach::Near, &[16]);
    check(quota("monthly", 1_000), 20, true, Reach::Near, &[]);
    check(quota("monthly", 1_000), 20, false, Reach::Away, &[]);
    check(fleet("f", 1_000, 10), 20, false, Reach::Near, &[14]);
}

#[test]
fn a_refusal_tells_its_figures() {
    let limits = vec![window("w", 9, 60), metered("monthly", 9, Meter::Weight), fleet("f", 9, 60)];
    let product = product(limits);
    let mut record = minutes();
    grant(&mut record, "monthly", 1, 5);
    grant(&mut record, "f", 0, 5);
    let said = |limit, _| (limit == Tag::of("monthly")).then_some(MS);
    let heavy = Call { weight: 3, spent: &said, ..call(&product, "a", at(500)) };
    assert!(matches!(admit_or_leave(&mut record, &heavy), Admission::Admitted { .. }));
    let shown = statuses(&record, &Call { weight: 2, ..heavy });
    let Admission::Refused(refusal) = admit_or_leave(&mut record, &heavy) else {
        panic!("3 of 5 are spent");
    };
    let show = |limits: &[LimitStatus]| -> String {
        let line = |limit: &LimitStatus| {
            let LimitStatus { id, quota, window_seconds, remaining, reset_ms } = limit;
            format!("{id}: {remaining} of {quota} in {window_seconds:?}, more in {reset_ms:?}\n")
        };
        limits.iter().map(line).collect()
    };
    insta::assert_snapshot!(show(&shown), @r"
    w: 8 of 9 in Some(60), more in None
    monthly: 2 of 9 in Some(60), more in None
    f: 4 of 9 in Some(60), more in None
    ");
    insta::assert_snapshot!(show(&refusal.limits), @r"
    w: 8 of 9 in Some(60), more in None
    monthly: 2 of 9 in Some(60), more in Some(59500)
    f: 4 of 9 in Some(60), more in None
    ");
    let by = RefusedBy {
        limit: "monthly".to_owned(),
        allowed: 9,
        used: Some(3),
        granted: Some(5),
        until_ms: Some(START_MS + MINUTE_MS),
    };
    assert_eq!(refusal.by.as_deref(), Some(&by));
}
