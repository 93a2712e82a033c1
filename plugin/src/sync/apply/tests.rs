//! Answers that come late, twice, or after other VMs have learnt more.

use crate::metrics::Metric;
use crate::testing::{Process, SECOND, catalog, product};

const FIND: &str = "/a/find";

/// Law 2: two VMs ask for the same key, and calls were counted before the second answer.
#[test]
fn a_record_is_made_once_in_a_process() {
    let mut process = Process::new(2, catalog(vec![product("basic", vec![])]));
    let (_, key) = process.subscribe();
    let (first, second) = (process.get(0, FIND, &key), process.get(1, FIND, &key));
    let (asked, asked_too) = (process.next_posted().unwrap(), process.next_posted().unwrap());
    process.answer(&asked);
    process.end(0, first, 200);
    assert_eq!(process.call(0, FIND, &key), "forwarded");
    process.answer(&asked_too);
    process.end(1, second, 200);
    process.run(3 * SECOND);
    assert_eq!(process.metric(Metric::Admitted), 3);
    let slots = process.heard.iter().flat_map(|it| &it.records).flat_map(|it| &it.slots);
    assert_eq!(
        slots.map(|slot| (slot.number, slot.admitted, slot.billable)).max(),
        Some((1, 3, 3))
    );
}

#[test]
fn an_answer_from_before_a_key_was_revoked_does_not_revive_it() {
    let mut process = Process::new(2, catalog(vec![product("basic", vec![])]));
    let (_, key) = process.subscribe();
    assert_eq!(process.call(1, FIND, &key), "forwarded");
    process.forget_key(&key);
    let stream = process.get(0, FIND, &key);
    let asked = process.next_posted().unwrap();
    let stale = process.word_to(&asked);
    process.revoke(&key);
    process.run(2 * SECOND);
    process.answer_with(&asked, stale);
    process.run(2 * SECOND);
    for vm in [0, 1] {
        assert_eq!(process.call(vm, FIND, &key), "invalid_key", "{vm}");
    }
    assert_ne!(process.fate(0, stream), "forwarded");
}
