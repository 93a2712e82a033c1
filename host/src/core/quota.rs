//! The periods of quotas: numbered from 1 at the subscription's anchor, half-open, without gaps,
//! whole seconds long. A later time is never in an earlier period.
//!
//! The first one begins at the anchor; of a calendar's periods it ends where the calendar's does.
//! Zones are those this program was built with, so that hosts agree and years are the same
//! wherever they are played.

use std::num::NonZeroU32;

use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Span, Timestamp};
use tollgate_pricing::catalog::BillingPeriod;
use tollgate_pricing::gate::{CalendarUnit, QuotaPeriod};
use tollgate_pricing::timeline::{MAX_PERIODS, Period};

use super::periods::{billing_end, wire_ms};

const HOUR_SECONDS: i64 = 60 * 60;
const DAY_SECONDS: i64 = 24 * HOUR_SECONDS;

/// How the periods of one subscription's quota run.
pub(super) struct QuotaClock {
    anchor: Timestamp,
    pace: Pace,
}

enum Pace {
    Seconds(NonZeroU32),
    Calendar(CalendarUnit, TimeZone),
    Billing(BillingPeriod),
    Lifetime,
}

/// A period of a quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QuotaSpan {
    pub(super) number: u32,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

impl QuotaClock {
    /// None if the zone is unknown, which no checked catalog names.
    pub(super) fn new(
        period: &QuotaPeriod,
        every: BillingPeriod,
        anchor: Timestamp,
    ) -> Option<Self> {
        let pace = match period {
            QuotaPeriod::Seconds(seconds) => Pace::Seconds(*seconds),
            QuotaPeriod::Calendar { unit, zone } => {
                Pace::Calendar(*unit, TimeZoneDatabase::bundled().get(zone).ok()?)
            }
            QuotaPeriod::Billing => Pace::Billing(every),
            QuotaPeriod::Lifetime => Pace::Lifetime,
        };
        Some(Self { anchor, pace })
    }

    /// The period at a time; the first before the anchor. None past every bound of time.
    pub(super) fn at(&self, time: Timestamp) -> Option<QuotaSpan> {
        let time = time.max(self.anchor);
        match &self.pace {
            Pace::Seconds(seconds) => equal_span(*seconds, self.anchor, time),
            Pace::Billing(every) => billing_span(*every, self.anchor, time),
            Pace::Calendar(unit, zone) => calendar_span(*unit, zone, self.anchor, time),
            Pace::Lifetime => {
                // Ever, in the terms of a timeline: its periods are below 2^32 seconds.
                let length = i64::from(u32::MAX);
                let end = self.anchor.checked_add(SignedDuration::from_secs(length)).ok()?;
                Some(QuotaSpan { number: 1, start: self.anchor, end })
            }
        }
    }

    /// The period before the one at `now`, that one, the next, and on until `until`: as many as a
    /// timeline holds.
    pub(super) fn around(&self, now: Timestamp, until: u64) -> Vec<Period> {
        let Some(current) = self.at(now) else {
            return Vec::new();
        };
        let before = (current.number > 1)
            .then(|| current.start.checked_sub(SignedDuration::from_secs(1)).ok())
            .flatten()
            .and_then(|time| self.at(time));
        let mut spans: Vec<QuotaSpan> = before.into_iter().chain([current]).collect();
        while spans.len() < MAX_PERIODS
            && let Some(last) = spans.last()
            && (last.number <= current.number || wire_ms(last.end) < until)
            && let Some(next) = self.at(last.end).filter(|next| next.number > last.number)
        {
            spans.push(next);
        }
        spans.into_iter().map(QuotaSpan::wire).collect()
    }
}

impl QuotaSpan {
    fn wire(self) -> Period {
        Period { number: self.number, start_ms: wire_ms(self.start), end_ms: wire_ms(self.end) }
    }
}

fn equal_span(seconds: NonZeroU32, anchor: Timestamp, time: Timestamp) -> Option<QuotaSpan> {
    let length = i64::from(seconds.get());
    let before = time.as_second().saturating_sub(anchor.as_second()).checked_div(length)?;
    let start = anchor.as_second().checked_add(before.checked_mul(length)?)?;
    span(before, start, start.checked_add(length)?)
}

fn span(before: i64, start: i64, end: i64) -> Option<QuotaSpan> {
    Some(QuotaSpan {
        number: u32::try_from(before.checked_add(1)?).ok()?,
        start: Timestamp::from_second(start).ok()?,
        end: Timestamp::from_second(end).ok()?,
    })
}

/// The regular billing cycle, whatever becomes of single billing periods.
fn billing_span(every: BillingPeriod, anchor: Timestamp, time: Timestamp) -> Option<QuotaSpan> {
    let passed = time.as_second().saturating_sub(anchor.as_second());
    // No month is shorter than 28 days, so the period is not after this one.
    let shortest = match every {
        BillingPeriod::Minutes(minutes) => i64::from(minutes.get()).checked_mul(60)?,
        BillingPeriod::Day => DAY_SECONDS,
        BillingPeriod::Week => DAY_SECONDS.checked_mul(7)?,
        BillingPeriod::Month => DAY_SECONDS.checked_mul(28)?,
        BillingPeriod::Year => DAY_SECONDS.checked_mul(365)?,
    };
    let most = u32::try_from(passed.checked_div(shortest)?).ok()?.checked_add(1)?;
    // The first number whose period ends after this time.
    let (mut low, mut high) = (1, most);
    while low < high {
        let middle = low.midpoint(high);
        if billing_end(every, anchor, middle).ok()? > time {
            high = middle;
        } else {
            low = middle.checked_add(1)?;
        }
    }
    let start = billing_end(every, anchor, low.checked_sub(1)?).ok()?;
    Some(QuotaSpan { number: low, start, end: billing_end(every, anchor, low).ok()? })
}

fn calendar_span(
    unit: CalendarUnit,
    zone: &TimeZone,
    anchor: Timestamp,
    time: Timestamp,
) -> Option<QuotaSpan> {
    if unit == CalendarUnit::Hour {
        return hour_span(zone, anchor, time);
    }
    let (first, day) = (zone.to_datetime(anchor).date(), zone.to_datetime(time).date());
    let first = first_day(unit, first)?;
    let here = first_day(unit, day)?;
    let days = i64::from(here.since(first).ok()?.get_days());
    let months = months_of(here).checked_sub(months_of(first))?;
    let before = match unit {
        CalendarUnit::Hour | CalendarUnit::Day => {
            days.checked_sub(skipped_days(zone, anchor, time))?
        }
        CalendarUnit::Week => days.checked_div(7)?,
        CalendarUnit::Month => months,
        CalendarUnit::Year => months.checked_div(12)?,
    };
    let start = start_of_day(zone, here)?.max(anchor);
    let mut next = day_after(unit, here)?;
    let mut end = start_of_day(zone, next)?;
    // A day that the zone skips begins where the next one does: it is none.
    while end <= time {
        next = day_after(unit, next)?;
        end = start_of_day(zone, next)?;
    }
    span(before, start.as_second(), end.as_second())
}

fn first_day(unit: CalendarUnit, day: Date) -> Option<Date> {
    match unit {
        CalendarUnit::Hour | CalendarUnit::Day => Some(day),
        CalendarUnit::Week => {
            let into = day.weekday().since(Weekday::Monday);
            day.checked_sub(Span::new().try_days(into).ok()?).ok()
        }
        CalendarUnit::Month => Some(day.first_of_month()),
        CalendarUnit::Year => Some(day.first_of_year()),
    }
}

fn day_after(unit: CalendarUnit, first: Date) -> Option<Date> {
    let one = Span::new();
    let one = match unit {
        CalendarUnit::Hour | CalendarUnit::Day => one.try_days(1),
        CalendarUnit::Week => one.try_weeks(1),
        CalendarUnit::Month => one.try_months(1),
        CalendarUnit::Year => one.try_years(1),
    };
    first.checked_add(one.ok()?).ok()
}

fn months_of(day: Date) -> i64 {
    i64::from(day.year()).saturating_mul(12).saturating_add(i64::from(day.month()))
}

/// The first instant of a day: not midnight where clocks are set forward over it.
fn start_of_day(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    // From noon, which no zone skips but with its whole day: then the next day's is found.
    let noon = day.at(12, 0, 0, 0).to_zoned(zone.clone()).ok()?;
    Some(noon.start_of_day().ok()?.timestamp())
}

/// Days of the calendar that a zone has not had between two times: it went over the date line.
fn skipped_days(zone: &TimeZone, after: Timestamp, through: Timestamp) -> i64 {
    let mut skipped = 0_i64;
    for (at, before, offset) in shifts(zone, after, through) {
        if offset.saturating_sub(before) < DAY_SECONDS {
            continue;
        }
        let Some((last, first)) = local(at, before).zip(local(at, offset)) else { continue };
        let from = if last.time() == jiff::civil::Time::midnight() {
            last.date()
        } else {
            last.date().tomorrow().unwrap_or(last.date())
        };
        let days = first.date().since(from).map_or(0, |span| span.get_days());
        skipped = skipped.saturating_add(i64::from(days.max(0)));
    }
    skipped
}

fn local(at: i64, offset: i64) -> Option<DateTime> {
    let time = Timestamp::from_second(at.checked_add(offset)?).ok()?;
    Some(TimeZone::UTC.to_datetime(time))
}

/// Changes of a zone's offset: when, from, to; in seconds.
fn shifts(
    zone: &TimeZone,
    after: Timestamp,
    through: Timestamp,
) -> impl Iterator<Item = (i64, i64, i64)> {
    let mut before = offset_at(zone, after);
    zone.following(after).take_while(move |next| next.timestamp() <= through).map(move |next| {
        let offset = i64::from(next.offset().seconds());
        (next.timestamp().as_second(), std::mem::replace(&mut before, offset), offset)
    })
}

/// Hours as a clock on the wall shows them. Where clocks are set by a part of an hour, one hour is
/// cut short or drawn out.
fn hour_span(zone: &TimeZone, anchor: Timestamp, time: Timestamp) -> Option<QuotaSpan> {
    let mut hours = Hours { before: 0, start: anchor.as_second(), offset: offset_at(zone, anchor) };
    let seconds = time.as_second();
    let horizon = time.checked_add(SignedDuration::from_secs(HOUR_SECONDS)).ok()?;
    for (at, before, after) in shifts(zone, anchor, horizon) {
        if before.rem_euclid(HOUR_SECONDS) == after.rem_euclid(HOUR_SECONDS) {
            continue;
        }
        let end = hours.walk(at.min(seconds))?;
        let drawn = if hours.start < at && at < end { hour_end(at, after)? } else { end };
        if seconds < at || (hours.start < at && seconds < drawn) {
            return span(hours.before, hours.start, drawn);
        }
        if hours.start < at {
            hours.before = hours.before.checked_add(1)?;
            hours.start = drawn;
        }
        hours.offset = after;
    }
    let end = hours.walk(seconds)?;
    span(hours.before, hours.start, end)
}

/// An hour, and how many were before it; all in seconds.
struct Hours {
    before: i64,
    start: i64,
    offset: i64,
}

impl Hours {
    /// On to the hour at a time, by one offset: that hour's end.
    fn walk(&mut self, time: i64) -> Option<i64> {
        let end = hour_end(self.start, self.offset)?;
        if time < end {
            return Some(end);
        }
        let whole = time.checked_sub(end)?.checked_div(HOUR_SECONDS)?;
        self.before = self.before.checked_add(whole)?.checked_add(1)?;
        self.start = end.checked_add(whole.checked_mul(HOUR_SECONDS)?)?;
        self.start.checked_add(HOUR_SECONDS)
    }
}

fn hour_end(at: i64, offset: i64) -> Option<i64> {
    let into = at.checked_add(offset)?.rem_euclid(HOUR_SECONDS);
    at.checked_add(HOUR_SECONDS.checked_sub(into)?)
}

fn offset_at(zone: &TimeZone, time: Timestamp) -> i64 {
    i64::from(zone.to_offset(time).seconds())
}

#[cfg(test)]
mod tests;
