//! The limits of a product.

use std::num::NonZeroU32;

use crate::gate::{Limit, MAX_RATE_CALLS, Meter, Rule, Scope};

use super::duration::{quota_period, rate_period};
use super::id::Ids;
use super::mistake::Log;
use super::place::Place;

/// How long a token bucket may take to fill: past it, the arithmetic of gateways could run over.
const MAX_FILL_SECONDS: u64 = 30 * 24 * 60 * 60;

/// Reads one limit of a product.
pub(super) fn limit(place: &Place<'_>, ids: &mut Ids, log: &mut Log) -> Option<Limit> {
    place.fields(log, "a limit", |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let rule = match fields.one_of(&["rate", "quota"], log) {
            Some(("rate", place)) => {
                let scope = fields.required("scope");
                let rule = rate(&place, log);
                scope.and_then(|scope| gateway_scope(&scope, log)).and(rule)
            }
            Some((_, place)) => {
                if let Some(scope) = fields.optional("scope") {
                    scope.mistake(
                        log,
                        "a quota always counts over the whole fleet: leave `scope` out",
                    );
                }
                quota(&place, log)
            }
            None => {
                fields.optional("scope");
                None
            }
        };
        Some(Limit { id: id?, on: None, rule: rule?, enforce: true })
    })
}

/// Reads the scope of a rate. It is written although there is one only, so that no plan changes
/// its meaning when there are two.
fn gateway_scope(place: &Place<'_>, log: &mut Log) -> Option<()> {
    match place.text(log, "`gateway`")? {
        "gateway" => Some(()),
        "fleet" => {
            place.mistake(
                log,
                "rates over the whole fleet are not built yet: write `scope: gateway`, which \
                 counts in each Envoy process",
            );
            None
        }
        _ => {
            place.expected(log, "`gateway`");
            None
        }
    }
}

fn rate(place: &Place<'_>, log: &mut Log) -> Option<Rule> {
    place.fields(log, "a rate such as `{ calls: 100, period: 60s }`", |fields, log| {
        let calls = fields.required("calls").and_then(|place| rate_calls(&place, log));
        let period = fields.required("period").and_then(|place| rate_period(&place, log));
        let Some(burst_place) = fields.optional("burst") else {
            return Some(Rule::SlidingWindow {
                calls: calls?,
                period_seconds: period?,
                scope: Scope::Gateway,
            });
        };
        let burst = rate_calls(&burst_place, log);
        let (calls, period_seconds, burst) = (calls?, period?, burst?);
        if !fills_in_time(calls, period_seconds, burst) {
            burst_place.mistake(
                log,
                format!(
                    "expected a burst that {calls} calls per {period_seconds} s refill within 30 \
                     days, found {burst}"
                ),
            );
            return None;
        }
        Some(Rule::TokenBucket { calls, period_seconds, burst, scope: Scope::Gateway })
    })
}

fn rate_calls(place: &Place<'_>, log: &mut Log) -> Option<NonZeroU32> {
    let calls = place.number(log, &(1..=u64::from(MAX_RATE_CALLS)))?;
    NonZeroU32::new(u32::try_from(calls).ok()?)
}

fn fills_in_time(calls: NonZeroU32, period_seconds: NonZeroU32, burst: NonZeroU32) -> bool {
    let wide = |number: NonZeroU32| u64::from(number.get());
    let filling = wide(burst).saturating_mul(wide(period_seconds));
    filling <= wide(calls).saturating_mul(MAX_FILL_SECONDS)
}

fn quota(place: &Place<'_>, log: &mut Log) -> Option<Rule> {
    place.fields(log, "a quota such as `{ calls: 50000, period: 30d }`", |fields, log| {
        let calls = fields.required("calls").and_then(|place| place.calls(log));
        let period = fields.required("period").and_then(|place| quota_period(&place, log));
        Some(Rule::Quota { units: calls?, meter: Meter::Calls, period: period?, hard: true })
    })
}
