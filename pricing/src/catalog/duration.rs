//! Spans of time as people write them, and the periods made of them.

use std::num::NonZeroU32;

use crate::gate::{CalendarUnit, MAX_RATE_PERIOD_SECONDS};
use crate::sync::MAX_STALE_SECONDS;
use crate::timeline::MAX_PERIODS;

use super::mistake::Log;
use super::place::Place;
use super::{BillingPeriod, MAX_STALE};

const MINUTE_SECONDS: u32 = 60;
const DAY_SECONDS: u32 = 24 * 60 * MINUTE_SECONDS;
const WEEK_SECONDS: u32 = 7 * DAY_SECONDS;
/// The least time that gateways go on by themselves: they ask every second, and an answer or two
/// may get lost.
const MIN_STALE_SECONDS: u32 = 10;
/// The longest billing or quota period that is no calendar one.
const MAX_PERIOD_SECONDS: u32 = 366 * DAY_SECONDS;

// The shortest periods are minutes: the one before, the current one and those that a gateway may
// need before it hears from the host again fit into what a subscription's state names.
#[expect(clippy::as_conversions, reason = "no other conversion is const; a small constant")]
const _: () = assert!(MAX_STALE_SECONDS.div_ceil(60) + 3 <= MAX_PERIODS as u64);

/// Reads a span in whole seconds: `60s`, `5m`, `1h`, `30d`, `minute`, `5 minutes`.
pub(super) fn seconds(text: &str) -> Option<NonZeroU32> {
    let unit_at = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at_checked(unit_at)?;
    let (is_short, unit_seconds) = match unit.strip_prefix(' ').unwrap_or(unit) {
        "s" => (true, 1),
        "m" => (true, MINUTE_SECONDS),
        "h" => (true, 3600),
        "d" => (true, DAY_SECONDS),
        "second" | "seconds" => (false, 1),
        "minute" | "minutes" => (false, MINUTE_SECONDS),
        "hour" | "hours" => (false, 3600),
        "day" | "days" => (false, DAY_SECONDS),
        "week" | "weeks" => (false, WEEK_SECONDS),
        _ => return None,
    };
    let count = match count {
        // `days` alone is no number of days, and reads like the calendar's `day`.
        "" if is_short || unit.starts_with(' ') || unit.ends_with('s') => return None,
        "" => 1,
        count => count.parse().ok()?,
    };
    NonZeroU32::new(unit_seconds.checked_mul(count)?)
}

/// Reads the window of a rate limit.
pub(super) fn rate_period(place: &Place<'_>, log: &mut Log) -> Option<NonZeroU32> {
    place.parse(log, "a duration from `1s` to `24h`, such as `60s`", |text| {
        seconds(text).filter(|seconds| seconds.get() <= MAX_RATE_PERIOD_SECONDS)
    })
}

/// How the periods of a quota run, without the zone of a calendar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Spans {
    Seconds(NonZeroU32),
    Calendar(CalendarUnit),
    Billing,
    Lifetime,
}

/// Reads the period of a quota. A bare `day` is the calendar's; `1 day` is 24 hours from the
/// subscription's start on.
pub(super) fn spans(place: &Place<'_>, log: &mut Log) -> Option<Spans> {
    let expected = "`billing`, `lifetime`, `hour`, `day`, `week`, `month` or `year` of a calendar, \
                    or a duration in whole minutes up to `366d`, such as `30d`";
    place.parse(log, expected, |text| {
        Some(match text {
            "billing" => Spans::Billing,
            "lifetime" => Spans::Lifetime,
            "hour" => Spans::Calendar(CalendarUnit::Hour),
            "day" => Spans::Calendar(CalendarUnit::Day),
            "week" => Spans::Calendar(CalendarUnit::Week),
            "month" => Spans::Calendar(CalendarUnit::Month),
            "year" => Spans::Calendar(CalendarUnit::Year),
            text => Spans::Seconds(whole_minutes(seconds(text)?)?.0),
        })
    })
}

/// Reads for how long gateways go on by themselves.
pub(super) fn max_stale(place: &Place<'_>, log: &mut Log) -> Option<u32> {
    place.parse(log, "a duration from `10s` to `15m`", |text| {
        let seconds = seconds(text)?.get();
        (MIN_STALE_SECONDS..=MAX_STALE).contains(&seconds).then_some(seconds)
    })
}

/// Reads a billing period.
pub(super) fn billing_period(place: &Place<'_>, log: &mut Log) -> Option<BillingPeriod> {
    let expected = "`day`, `week`, `month`, `year`, or a duration in whole minutes up to `366d`, \
                    such as `5 minutes`";
    place.parse(log, expected, |text| match text {
        "month" => Some(BillingPeriod::Month),
        "year" => Some(BillingPeriod::Year),
        text => match whole_minutes(seconds(text)?)? {
            (seconds, _) if seconds.get() == DAY_SECONDS => Some(BillingPeriod::Day),
            (seconds, _) if seconds.get() == WEEK_SECONDS => Some(BillingPeriod::Week),
            (_, minutes) => Some(BillingPeriod::Minutes(minutes)),
        },
    })
}

/// Seconds that are whole minutes and not too many, and those minutes.
fn whole_minutes(seconds: NonZeroU32) -> Option<(NonZeroU32, NonZeroU32)> {
    let is_period =
        seconds.get().is_multiple_of(MINUTE_SECONDS) && seconds.get() <= MAX_PERIOD_SECONDS;
    let minutes = NonZeroU32::new(seconds.get().checked_div(MINUTE_SECONDS)?)?;
    is_period.then_some((seconds, minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_units() {
        fn check(text: &str, found: Option<u32>) {
            assert_eq!(seconds(text).map(NonZeroU32::get), found, "{text:?}");
        }
        check("60s", Some(60));
        check("5m", Some(300));
        check("1h", Some(3600));
        check("30d", Some(2_592_000));
        check("5 m", Some(300));
        check("minute", Some(60));
        check("5 minutes", Some(300));
        check("1 week", Some(604_800));
        check("4294967295s", Some(u32::MAX));
        for bad in [
            "",
            "60",
            "s",
            "d",
            "0s",
            "-1s",
            "+1s",
            "1.5h",
            "1h30m",
            "5  minutes",
            " minute",
            "days",
            "minute ",
            "5 Minutes",
            "4294967296s",
            "71582789m",
            "month",
            "٣s",
        ] {
            check(bad, None);
        }
    }
}
