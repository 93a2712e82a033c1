//! Quotas: how much, of what, in which periods.

use std::num::NonZeroU64;

use crate::gate::{Meter, QuotaPeriod, Rule};

use super::duration::{Spans, spans};
use super::key::header;
use super::mistake::Log;
use super::place::{Fields, Place};
use super::zone::{DEFAULT_ZONE, zone};

/// What may be counted, by the field that says how much.
const METERS: [&str; 4] = ["calls", "weight", "bytes", "units"];

/// A quota before it is hard or soft.
pub(super) struct Quota {
    units: NonZeroU64,
    meter: Meter,
    period: QuotaPeriod,
}

impl Quota {
    /// The rule that it is.
    pub(super) fn rule(self, hard: bool) -> Rule {
        let Self { units, meter, period } = self;
        Rule::Quota { units, meter, period, hard }
    }
}

/// Reads a quota.
pub(super) fn quota(place: &Place<'_>, log: &mut Log) -> Option<Quota> {
    place.fields(log, "a quota such as `{ calls: 50000, period: 30d }`", |fields, log| {
        let amount = fields.one_of(&METERS, log);
        let units = amount.as_ref().and_then(|(_, place)| place.calls(log));
        let meter = meter(fields, amount.map(|(name, _)| name), log);
        let period = period(fields, log);
        Some(Quota { units: units?, meter: meter?, period: period? })
    })
}

/// Reads what is counted.
fn meter(fields: &mut Fields<'_, '_>, amount: Option<&str>, log: &mut Log) -> Option<Meter> {
    if amount == Some("units") {
        return fields.required("header").and_then(|place| unit_header(&place, log));
    }
    let header = fields.optional("header");
    let meter = match amount? {
        "calls" => Meter::Calls,
        "weight" => Meter::Weight,
        _ => Meter::Bytes,
    };
    if let Some(header) = header {
        header.mistake(log, "only `units` are counted by a header: write `units`, or leave it out");
        return None;
    }
    Some(meter)
}

/// Reads the name of the response header that tells a call's units.
fn unit_header(place: &Place<'_>, log: &mut Log) -> Option<Meter> {
    let name = header(place, log)?;
    if name == "content-length" {
        place.mistake(
            log,
            "expected a header that each response has, found `content-length`, which a streamed \
             one has not: write `bytes` instead of `units`",
        );
        return None;
    }
    Some(Meter::Header(name))
}

/// Reads how the periods run.
fn period(fields: &mut Fields<'_, '_>, log: &mut Log) -> Option<QuotaPeriod> {
    let spans = fields.required("period").and_then(|place| spans(&place, log));
    let zone_place = fields.optional("zone");
    let zone = zone_place.as_ref().map(|place| zone(place, log));
    let fixed = match spans? {
        Spans::Calendar(unit) => {
            let zone = zone.unwrap_or_else(|| Some(DEFAULT_ZONE.to_owned()))?;
            return Some(QuotaPeriod::Calendar { unit, zone });
        }
        Spans::Seconds(seconds) => QuotaPeriod::Seconds(seconds),
        Spans::Billing => QuotaPeriod::Billing,
        Spans::Lifetime => QuotaPeriod::Lifetime,
    };
    if let Some(place) = zone_place {
        place.mistake(
            log,
            "only a calendar's `hour`, `day`, `week`, `month` or `year` has a zone: periods of \
             another kind are counted from the subscription's start",
        );
        return None;
    }
    Some(fixed)
}
