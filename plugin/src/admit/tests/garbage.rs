//! A record whose bytes are not what was written, but still read: wrong, and no trap.

use proptest::prelude::*;
use tollgate_pricing::sync::Recall;

use super::*;
use crate::settle::{Ending, Took, settle};

proptest! {
    #[test]
    fn nothing_panics_on_a_damaged_record(
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12),
        wall_ms in prop_oneof![Just(START_MS + 7), any::<u64>()],
        mono_ns in prop_oneof![Just(START_NS + 7), any::<u64>()],
        weight in any::<u32>(), units in any::<u64>(),
    ) {
        let product = product(vec![
            window("w", 5, 9), bucket("b", 5, 9, 4), fleet("f", 5, 9),
            quota("q", 9), metered("heavy", 9, Meter::Weight), metered("bytes", 9, Meter::Bytes),
        ]);
        let ids = [("q", 9), ("heavy", 19), ("bytes", 29)];
        let mut record = record(line(86_400, 3), &ids);
        for id in ["q", "heavy", "bytes", "f"] {
            record.grant(&granted(Tag::of(id), u32::from(id != "f"), 9), START_NS);
        }
        let admitted = admit(&mut record, &call(&product, "*", at(0)));
        prop_assert!(matches!(admitted, Admission::Admitted { .. }), "{admitted:?}");
        let mut bytes = record.encode();
        for (place, flip) in flips {
            let place = place % bytes.len();
            bytes[place] ^= flip;
        }
        let Ok(mut record) = Record::decode(&bytes) else { return Ok(()) };
        let now = Now { wall_ms, mono_ns };
        for reach in [Reach::Near, Reach::Away] {
            for spent in [None, Some(units)] {
                let said = |_, _| spent;
                let call = Call { weight, reach, spent: &said, ..call(&product, "*", now) };
                let _ = statuses(&record, &call);
                if let Admission::Admitted { permit, .. } = admit(&mut record, &call) {
                    let took = Took::measure(&permit, |_| units);
                    let _ = settle(&mut record, &permit, &Ending::Billable(took.meters));
                }
            }
        }
        let (subscription, limit) = (SubscriptionId(7), Tag::of("q"));
        for period in 0..3 {
            record.grant(&granted(limit, period, units), mono_ns);
            record.give_back(&Recall { subscription, limit, period, all: false }, now);
        }
        record.pass_time(now);
        record.make_room(&product, now);
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}
