//! The limits of a product: what is common to them, and rates. Quotas are in `quota`.

use std::num::NonZeroU32;

use crate::gate::{Limit, MAX_RATE_CALLS, Rule, Scope};

use super::api::Apis;
use super::duration::rate_period;
use super::id::Ids;
use super::mistake::Log;
use super::place::{Fields, Place};
use super::quota::quota;
use super::target::target;

/// Reads one limit of a product that opens these APIs.
pub(super) fn limit(
    place: &Place<'_>,
    ids: &mut Ids,
    apis: &Apis<'_>,
    opened: Option<&[String]>,
    log: &mut Log,
) -> Option<Limit> {
    place.fields(log, "a limit", |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let rule = match fields.one_of(&["rate", "quota"], log) {
            Some(("rate", place)) => rate_rule(fields, &place, log),
            Some((_, place)) => quota_rule(fields, &place, log),
            None => {
                fields.optional("scope");
                fields.optional("soft");
                None
            }
        };
        let enforce = enforce(fields, rule.as_ref(), log);
        let on = target(fields, apis, opened, log);
        Some(Limit { id: id?, on: on?, rule: rule?, enforce: enforce? })
    })
}

fn rate_rule(fields: &mut Fields<'_, '_>, place: &Place<'_>, log: &mut Log) -> Option<Rule> {
    let scope = fields.optional("scope").map(|place| scope(&place, log));
    if let Some(soft) = fields.optional("soft") {
        soft.mistake(
            log,
            "only a quota can be soft: write `enforce: false` for a rate that refuses nothing",
        );
    }
    // Without a scope that can be read, the others' mistakes are still found.
    let scope = scope.unwrap_or(Some(Scope::Fleet));
    let rule = rate(place, scope.unwrap_or(Scope::Gateway), log);
    scope.and(rule)
}

fn quota_rule(fields: &mut Fields<'_, '_>, place: &Place<'_>, log: &mut Log) -> Option<Rule> {
    if let Some(scope) = fields.optional("scope") {
        scope.mistake(log, "a quota always counts over the whole fleet: leave `scope` out");
    }
    let soft = fields.optional("soft").map_or(Some(false), |place| place.truth(log));
    let quota = quota(place, log);
    Some(quota?.rule(!soft?))
}

/// Reads whether a limit refuses. A soft quota never does; one that is told to, or not to, was
/// meant to be something else.
fn enforce(fields: &mut Fields<'_, '_>, rule: Option<&Rule>, log: &mut Log) -> Option<bool> {
    let Some(place) = fields.optional("enforce") else { return Some(true) };
    let enforce = place.truth(log)?;
    if let Some(Rule::Quota { hard: false, .. }) = rule {
        place.mistake(
            log,
            "a soft quota counts and never refuses: leave `enforce` out, or leave `soft` out for a \
             quota that also tells what it would have refused",
        );
        return None;
    }
    Some(enforce)
}

fn scope(place: &Place<'_>, log: &mut Log) -> Option<Scope> {
    place.parse(log, "`fleet` or `gateway`", |text| match text {
        "fleet" => Some(Scope::Fleet),
        "gateway" => Some(Scope::Gateway),
        _ => None,
    })
}

fn rate(place: &Place<'_>, scope: Scope, log: &mut Log) -> Option<Rule> {
    place.fields(log, "a rate such as `{ calls: 100, period: 60s }`", |fields, log| {
        let calls = fields.required("calls").and_then(|place| rate_calls(&place, log));
        let period = fields.required("period").and_then(|place| rate_period(&place, log));
        let Some(burst_place) = fields.optional("burst") else {
            return Some(Rule::SlidingWindow { calls: calls?, period_seconds: period?, scope });
        };
        let burst = rate_calls(&burst_place, log);
        let rule =
            Rule::TokenBucket { calls: calls?, period_seconds: period?, burst: burst?, scope };
        rule.check().map_err(|bad| burst_place.mistake(log, bad.to_string())).ok()?;
        Some(rule)
    })
}

fn rate_calls(place: &Place<'_>, log: &mut Log) -> Option<NonZeroU32> {
    let calls = place.number(log, &(1..=u64::from(MAX_RATE_CALLS)))?;
    NonZeroU32::new(u32::try_from(calls).ok()?)
}
