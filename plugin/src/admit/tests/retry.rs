//! When to come back, after `accurate_not_until` of governor's tests: that is the specification.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn any_limit(place: usize) -> impl Strategy<Value = Limit> {
    prop_oneof![
        (1_u32..6, 1_u32..30).prop_map(move |(most, s)| window(&format!("w{place}"), most, s)),
        (1_u32..9, 1_u32..9, 1_u32..5).prop_map(move |(most, s, burst)| bucket(
            &format!("b{place}"),
            most,
            s,
            burst
        )),
        (1_u64..9).prop_map(move |units| quota(&format!("q{place}"), units)),
        (1_u64..9).prop_map(move |units| metered(&format!("q{place}"), units, Meter::Weight)),
        (1_u32..9).prop_map(move |most| fleet(&format!("f{place}"), most, 5)),
    ]
}

/// The host in short: how much is granted of each lease, and until when there is no more.
#[derive(Default)]
struct Told {
    granted: HashMap<(Tag, u32), u64>,
    spent_until_ns: HashMap<(Tag, u32), u64>,
}

impl Told {
    /// For how much longer a lease is spent. Of a quota the host would say so again and again
    /// until its period's end.
    fn spent(&self, about: (Tag, u32), now: Now) -> Option<u64> {
        let until_ns = self.spent_until_ns.get(&about)?;
        until_ns.checked_sub(now.mono_ns).filter(|left| *left > 0)
    }

    fn answer(&mut self, record: &mut Record, ask: &LeaseAsk, most: u64, told_ms: u64, now: Now) {
        let about = (ask.lease.limit, ask.lease.period);
        let granted = self.granted.entry(about).or_default();
        if *granted < most {
            *granted += 1 + told_ms % 3;
            let answer = super::granted(about.0, about.1, *granted);
            assert!(record.grant(&answer, now.mono_ns));
            return;
        }
        let end_ms = record.quota_period(about.0, now.wall_ms).map(|period| period.end_ms);
        let wait_ms = end_ms.map_or(told_ms, |end_ms| end_ms - now.wall_ms);
        self.spent_until_ns.insert(about, now.mono_ns + wait_ms * MS);
    }
}

fn after(now: Now, ns: u64) -> Now {
    // Calls are made at whole milliseconds of the wall clock here.
    Now { wall_ms: now.wall_ms + ns / MS, mono_ns: now.mono_ns + ns }
}

proptest! {
    /// A refused call is refused at every earlier instant than it is told, and by no limit at that
    /// instant, if nobody else calls: each limit by itself refuses up to some instant and never
    /// after, and a refused call charges none of them. So the longest wait is the wait.
    ///
    /// What may be in the way then is a lease: a quota's next period begins without units, and a
    /// rate's have expired; the host is asked, as ever. Without leased limits the call is admitted.
    #[test]
    fn a_refused_call_is_told_the_very_instant(
        limits in (any_limit(0), any_limit(1), any_limit(2), any_limit(3), 1_usize..5)
            .prop_map(|(a, b, c, d, most)| [a, b, c, d].into_iter().take(most).collect::<Vec<_>>()),
        gaps in proptest::collection::vec((0_u64..1_500, 0_u32..4, any::<u64>()), 1..80),
    ) {
        let product = product(limits);
        let leased = product.limits.iter().any(|limit| limit.rule.is_leased());
        let ids: Vec<(&str, u32)> =
            product.limits.iter().zip([7_u32, 11, 20, 33]).map(|(limit, s)| (limit.id.as_str(), s)).collect();
        let mut record = record(line(86_400, 2), &ids);
        let (mut told, mut now) = (Told::default(), at(0));
        for (gap_ms, weight, chance) in gaps {
            now = after(now, gap_ms * MS);
            for _ in 0..8 {
                let decide = |record: &mut Record, now: Now| {
                    let spent = |limit, period| told.spent((limit, period), now);
                    admit_or_leave(record, &Call { weight, spent: &spent, ..call(&product, "*", now) })
                };
                match decide(&mut record, now) {
                    Admission::Empty(ask) => {
                        told.answer(&mut record, &ask, chance % 9, 1 + chance % 2_000, now);
                    }
                    Admission::Refused(refusal) => {
                        let wait_ns = refusal.retry_after_ns.unwrap();
                        prop_assert!(wait_ns > 0);
                        for early_ns in [1, MS / 3, MS, chance % wait_ns + 1, wait_ns] {
                            let early = after(now, wait_ns.saturating_sub(early_ns));
                            let again = decide(&mut record.clone(), early);
                            prop_assert!(matches!(again, Admission::Refused(_)), "{again:?}");
                        }
                        let then = decide(&mut record.clone(), after(now, wait_ns));
                        let open = match then {
                            Admission::Admitted { .. } => true,
                            Admission::Empty(_) => leased,
                            Admission::Refused(_) | Admission::Outdated => false,
                        };
                        prop_assert!(open, "{refusal:?} then {then:?}");
                        for shown in refusal.limits {
                            let after_ms = shown.reset_ms.unwrap_or(0);
                            prop_assert!(after_ms <= wait_ns.div_ceil(MS), "{shown:?}");
                        }
                        break;
                    }
                    Admission::Admitted { .. } => break,
                    Admission::Outdated => prop_assert!(false, "periods are known here"),
                }
            }
        }
    }
}
