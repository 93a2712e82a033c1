//! Law 1 by brute force: over what callers saw, whatever the plugin counted.

use std::time::Duration;

use jiff::SignedDuration;

use super::book::{Bounds, Call, Fate, Lost};
use super::plan::{Limit, Meter, OPERATIONS, Outage, Period, Rule};

/// A subscription under one limit.
pub(super) struct Under<'a> {
    pub(super) limit: &'a Limit,
    /// The most it ever allowed while the world lasted.
    pub(super) most: u64,
    pub(super) outage: Outage,
    /// Whether anybody may have thought that the host is away.
    pub(super) was_away: bool,
    /// Lives of processes there were.
    pub(super) lives: u64,
    /// The subscription's anchor, and how far a gateway's idea of the time may be off.
    pub(super) anchor: Duration,
    pub(super) minutely: bool,
    pub(super) slack: Duration,
    /// From the monotonic to the host's clock.
    pub(super) to_wall: Duration,
    /// How far the host's clock was ever off: least and most.
    pub(super) off: (SignedDuration, SignedDuration),
}

const MINUTE: Duration = Duration::from_mins(1);

/// Checks one limit over the calls of its subscription.
pub(super) fn check(under: &Under<'_>, calls: &[&Call]) {
    let limit = under.limit;
    let counted = calls.iter().copied();
    let counted: Vec<&Call> = counted.filter(|call| limit.counts(call.operation)).collect();
    let through = |call: &&&Call| call.was_let_through();
    match limit.rule {
        _ if !limit.blocks() => {}
        Rule::Window { seconds, fleet, .. } => {
            each_scope(under, fleet, &counted, |calls| {
                let calls: Vec<&Call> = calls.iter().filter(through).copied().collect();
                window(under, &calls, Duration::from_secs(seconds));
            });
        }
        Rule::Bucket { calls: gain, seconds, fleet, .. } => {
            each_scope(under, fleet, &counted, |calls| {
                let calls: Vec<&Call> = calls.iter().filter(through).copied().collect();
                bucket(under, &calls, gain, seconds);
            });
        }
        Rule::Quota { meter, period, .. } => quota(under, &counted, meter, period),
    }
}

/// What a plan allows beyond its leases.
fn overdraft(under: &Under<'_>) -> Option<u64> {
    match under.outage {
        _ if !under.was_away => Some(0),
        Outage::Deny => Some(0),
        Outage::UpTo(units) => Some(units * under.lives),
        Outage::Allow => None,
    }
}

/// Calls that are counted together: a process's, or the fleet's.
fn each_scope(under: &Under<'_>, fleet: bool, calls: &[&Call], check: impl Fn(&[&Call])) {
    if fleet {
        if overdraft(under) == Some(0) {
            check(calls);
        }
        return;
    }
    let mut lives: Vec<u64> = calls.iter().map(|call| call.life).collect();
    lives.sort_unstable();
    lives.dedup();
    for life in lives {
        let own: Vec<&Call> = calls.iter().copied().filter(|call| call.life == life).collect();
        check(&own);
    }
}

/// No window holds more calls that were surely admitted in it than the limit.
fn window(under: &Under<'_>, calls: &[&Call], length: Duration) {
    for first in calls {
        let from = first.undecided.at;
        let inside = |call: &&&Call| call.undecided.at >= from && call.known.at < from + length;
        let count = calls.iter().filter(inside).count() as u64;
        assert!(
            count <= under.most,
            "law 1: {count} calls in {length:?} from {from:?} under {:?}",
            under.limit
        );
    }
}

/// No span holds more calls than the burst and what it gains meanwhile.
fn bucket(under: &Under<'_>, calls: &[&Call], gain: u64, seconds: u64) {
    let mut known: Vec<&Call> = calls.to_vec();
    known.sort_by_key(|call| call.known.at);
    for first in calls {
        let from = first.undecided.at;
        let mut count = 0_u128;
        for call in known.iter().filter(|call| call.undecided.at >= from) {
            count += 1;
            let gained = (call.known.at - from).as_nanos() * u128::from(gain);
            let most = u128::from(under.most) + gained / (u128::from(seconds) * 1_000_000_000);
            assert!(
                count <= most,
                "law 1: {count} calls from {from:?} to {:?} under {:?}",
                call.known.at,
                under.limit
            );
        }
    }
}

/// In each of its periods: billable and open units never exceed it.
fn quota(under: &Under<'_>, calls: &[&Call], meter: Meter, period: Period) {
    let Some(overdraft) = overdraft(under) else { return };
    let mut numbers: Vec<u64> =
        calls.iter().filter_map(|call| surely_in(under, call, period)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        let inside = calls.iter().copied();
        let inside: Vec<&Call> = inside
            .filter(|call| call.was_let_through() && surely_in(under, call, period) == Some(number))
            .collect();
        let (most, spent) = match meter {
            Meter::Calls => (under.most.saturating_add(overdraft), peak(&inside, meter)),
            // The last call of an overdraft may weigh more than is left of it.
            Meter::Weight => {
                let beyond = if overdraft > 0 { 2 * under.lives } else { 0 };
                (under.most.saturating_add(overdraft + beyond), peak(&inside, meter))
            }
            Meter::Bytes | Meter::Header => {
                let most = under.most.saturating_add(overdraft);
                (most.saturating_add(under_way(&inside, meter)), billed(&inside, meter))
            }
        };
        assert!(
            spent <= most,
            "law 1: {spent} units of at most {most} in period {number} under {:?}",
            under.limit
        );
    }
}

/// The period a call was surely admitted in.
fn surely_in(under: &Under<'_>, call: &Call, period: Period) -> Option<u64> {
    let off = |moment: Duration, off: SignedDuration| {
        let seconds = off.unsigned_abs();
        if off.is_negative() { moment.saturating_sub(seconds) } else { moment + seconds }
    };
    let first = off(call.undecided.at.saturating_sub(under.slack), under.off.0);
    let from = period_at(under, first, period);
    (from == period_at(under, off(call.known.at, under.off.1) + under.slack, period))
        .then_some(from)
}

/// Which period a moment is in.
fn period_at(under: &Under<'_>, moment: Duration, period: Period) -> u64 {
    let wall = moment + under.to_wall;
    let since =
        |start: Duration, length: Duration| wall.saturating_sub(start).as_secs() / length.as_secs();
    match period {
        Period::Minutes(minutes) => since(under.anchor, Duration::from_mins(minutes)),
        Period::Hour => since(Duration::ZERO, MINUTE * 60),
        Period::Billing if under.minutely => since(under.anchor, MINUTE),
        Period::Billing => since(under.anchor, MINUTE * 24 * 60),
        Period::Lifetime => 0,
    }
}

/// The most units that were open or billable at once.
fn peak(calls: &[&Call], meter: Meter) -> u64 {
    let mut changes: Vec<(u64, i64)> = Vec::new();
    for call in calls {
        let units =
            if meter == Meter::Calls { 1 } else { OPERATIONS[call.operation].2.cast_signed() };
        changes.push((call.known.number, units));
        if let Some((ended, _)) = call.ended.filter(|_| call.is_waived()) {
            changes.push((ended.number, -units));
        }
    }
    changes.sort_unstable();
    let mut now = 0;
    let most = changes.iter().fold(0_i64, |most, (_, change)| {
        now += change;
        most.max(now)
    });
    most.unsigned_abs()
}

fn measured(call: &Call, meter: Meter) -> u64 {
    if meter == Meter::Bytes { call.bytes } else { call.units }
}

fn billed(calls: &[&Call], meter: Meter) -> u64 {
    let billed = calls.iter().filter(|call| call.ended.is_some() && !call.is_waived());
    billed.map(|call| measured(call, meter)).sum()
}

/// What was under way in each process when it let its last call through: so much may be too much.
fn under_way(calls: &[&Call], meter: Meter) -> u64 {
    let mut lives: Vec<u64> = calls.iter().map(|call| call.life).collect();
    lives.sort_unstable();
    lives.dedup();
    let of = |life: u64| {
        let own = || calls.iter().filter(move |call| call.life == life);
        let last = own().map(|call| call.undecided).max().unwrap_or_default();
        let open = |call: &&&Call| {
            call.lost == Lost::Settling
                || call.settled.is_none_or(|seen| seen.number >= last.number)
        };
        own().filter(open).map(|call| measured(call, meter)).sum::<u64>()
    };
    lives.into_iter().map(of).sum()
}

/// Units that are open or billed in the period of this moment, of a quota of calls: what began or
/// ended about the period's beginning may be of either.
pub(super) fn used_at_end(under: &Under<'_>, calls: &[&Call], now: Duration) -> Bounds {
    let Rule::Quota { period, .. } = under.limit.rule else { return Bounds::default() };
    let number = period_at(under, now, period);
    let mut used = Bounds::default();
    for call in calls.iter().filter(|call| !call.is_waived()) {
        let surely = call.was_let_through() && surely_in(under, call, period) == Some(number);
        let is_near = |moment: Duration| period_at(under, moment, period) == number;
        let perhaps = call.fate != Fate::Left
            && call.refusal().is_none()
            && (is_near(call.known.at + under.slack) || is_near(call.undecided.at));
        used.add(surely, surely || perhaps);
    }
    // What its VM took with it while it was given back stays charged.
    let lost = calls.iter().filter(|call| call.is_waived() && call.lost != Lost::Nothing).count();
    used.most += lost as u64;
    used
}
