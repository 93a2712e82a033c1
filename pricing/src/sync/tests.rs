//! Words that other places count on.

use super::*;
use crate::gate::MAX_LIMITS;
use crate::timeline::{MAX_RUNS, Run};

/// serde names all variants when it is given none of them.
#[test]
fn all_reasons_are_all_and_are_written_as_serde_does() {
    let error = serde_json::from_str::<Reason>("\"\"").unwrap_err().to_string();
    let known: Vec<&str> = error.split('`').skip(1).step_by(2).skip(1).collect();
    assert_eq!(known, Reason::ALL.map(Reason::as_str), "{error}");
}

/// [`MAX_ANSWER_BYTES`] counts on it: every list at its bound, every number at its longest.
#[test]
fn the_largest_state_is_below_8_kib() {
    use std::num::{NonZeroU32, NonZeroU64};
    let run = Run { seconds: u32::MAX, count: u8::MAX };
    let periods = Timeline { first: u32::MAX, start_ms: u64::MAX, runs: vec![run; MAX_RUNS] };
    let limit = Tag(u32::MAX);
    let own = Override { limit, units: NonZeroU64::MAX, burst: Some(NonZeroU32::MAX) };
    let state = SubscriptionState {
        id: SubscriptionId(u64::MAX),
        revision: u64::MAX,
        product: limit,
        catalog: u32::MAX,
        access: Access::Suspended,
        expires_ms: Some(u64::MAX),
        quotas: vec![QuotaPeriods { limit, periods: periods.clone() }; MAX_LIMITS],
        periods,
        overrides: vec![own; MAX_LIMITS],
    };
    let bytes = serde_json::to_vec(&state).unwrap().len();
    assert!(bytes <= 8 * 1024, "{bytes}");
}
