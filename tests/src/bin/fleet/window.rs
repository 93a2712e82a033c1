//! How many calls there were in the fullest window, from what is known of when they were admitted.
//!
//! Nobody outside of the gate sees the moment of admission. It lies between the moment the caller
//! sent the call and the moment the API had it. So there are two counts. What is *certain*: calls
//! whose whole interval lies in the window; one too many is a broken law, whatever was slow. And
//! what *arrived*: exact if the way from the gate to the API always takes equally long, and off by
//! what that varies, which is measured by calls that no limit holds up ([`crate::runs::window`]).

use crate::time::Ns;

/// A call that reached the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reached {
    pub(crate) sent: Ns,
    pub(crate) arrived: Ns,
}

/// The most calls that arrived in any `[t, t + window)`.
pub(crate) fn most_arrived(calls: &[Reached], window: Ns) -> u64 {
    let mut times: Vec<Ns> = calls.iter().map(|call| call.arrived).collect();
    times.sort_unstable();
    let mut first = 0;
    let mut most = 0;
    for (place, time) in times.iter().enumerate() {
        while times.get(first).is_some_and(|begin| time - begin >= window) {
            first += 1;
        }
        most = most.max(place + 1 - first);
    }
    count(most)
}

/// The most calls that were certainly admitted in one `[t, t + window)`: sent and arrived in it.
///
/// A call that took longer than the window is in none of them, and counts for nothing.
pub(crate) fn most_certain(calls: &[Reached], window: Ns) -> u64 {
    let short = || calls.iter().filter(|call| call.arrived - call.sent < window);
    let mut begins: Vec<Ns> = short().map(|call| call.sent).collect();
    let mut ends: Vec<Ns> = short().map(|call| call.arrived).collect();
    begins.sort_unstable();
    ends.sort_unstable();
    // A fullest window can be moved until it begins where a call does. Of the calls that end before
    // its end, those sent before its begin are not in it; as all are short, these all end before.
    let mut ended = 0;
    let mut most = 0;
    for (before, begin) in begins.iter().enumerate() {
        while ends.get(ended).is_some_and(|end| *end < begin + window) {
            ended += 1;
        }
        most = most.max(ended.saturating_sub(before));
    }
    count(most)
}

/// How long it takes until as many calls again have arrived, on average over all calls.
///
/// A count over some time says little of a rate whose calls come in bursts: it depends on how many
/// bursts the time happens to hold.
pub(crate) fn time_for(reached: &[Reached], calls: usize) -> Option<Ns> {
    let mut times: Vec<Ns> = reached.iter().map(|call| call.arrived).collect();
    times.sort_unstable();
    let later = times.iter().skip(calls);
    let times: Vec<u128> =
        times.iter().zip(later).map(|(time, later)| (later - time).into()).collect();
    let sum: u128 = times.iter().sum();
    let mean = sum.checked_div(u128::try_from(times.len()).ok()?)?;
    Ns::try_from(mean).ok()
}

/// The longest time between two arrivals that follow each other.
pub(crate) fn longest_gap(calls: &[Reached]) -> Ns {
    let mut times: Vec<Ns> = calls.iter().map(|call| call.arrived).collect();
    times.sort_unstable();
    let next = times.iter().skip(1);
    times.iter().zip(next).map(|(time, next)| next - time).max().unwrap_or(0)
}

fn count(calls: usize) -> u64 {
    u64::try_from(calls).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_counted_as_one_counts_by_hand() {
        let check = |window, calls: &[(Ns, Ns)], arrived, certain| {
            let reached: Vec<Reached> = calls
                .iter()
                .map(|(sent, arrived)| Reached { sent: *sent, arrived: *arrived })
                .collect();
            let found = (most_arrived(&reached, window), most_certain(&reached, window));
            assert_eq!(found, (arrived, certain), "{window} over {calls:?}");
        };
        check(10, &[], 0, 0);
        check(10, &[(0, 0)], 1, 1);
        // Half-open: what is a window apart is not in one.
        check(10, &[(0, 0), (10, 10)], 1, 1);
        check(10, &[(0, 0), (9, 9)], 2, 2);
        check(10, &[(3, 4), (0, 1), (9, 9), (12, 12)], 3, 3);
        // Arrived together, but one may have been admitted long before.
        check(10, &[(0, 10), (8, 11), (9, 12)], 3, 2);
        check(10, &[(0, 5), (2, 12)], 2, 1);
        check(10, &[(0, 9), (1, 10), (2, 11)], 3, 1);
    }

    #[test]
    fn certain_is_what_trying_every_window_finds() {
        // A generator small enough to be read: these are not keys.
        let mut state = 7_u64;
        let mut random = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..500 {
            let calls: Vec<Reached> = (0..12)
                .map(|_| {
                    let sent = random(40);
                    Reached { sent, arrived: sent + random(14) }
                })
                .collect();
            let within =
                |t: u64| calls.iter().filter(|it| it.sent >= t && it.arrived < t + 10).count();
            let expected = (0..60).map(within).max().unwrap_or(0);
            assert_eq!(most_certain(&calls, 10), count(expected), "{calls:?}");
        }
    }

    #[test]
    fn the_time_for_some_calls_is_taken_from_every_call() {
        let at = |arrived| Reached { sent: 0, arrived };
        // Bursts of two, ten apart: two calls every ten.
        let bursts = [0, 1, 10, 11, 20, 21].map(at);
        assert_eq!(time_for(&bursts, 2), Some(10));
        assert_eq!(time_for(&bursts, 6), None);
        assert_eq!(time_for(&[at(7), at(0), at(4)], 1), Some(3));
    }

    #[test]
    fn the_longest_gap_is_between_neighbours() {
        let at = |arrived| Reached { sent: 0, arrived };
        assert_eq!(longest_gap(&[at(30), at(1), at(10)]), 20);
        assert_eq!(longest_gap(&[at(30)]), 0);
    }
}
