//! `tollgate subscriptions show`: everything about one, for people.

use std::fmt::Write as _;

use tollgate_pricing::gate::{CalendarUnit, Limit, Meter, QuotaPeriod, Rule, Scope};

use super::super::keys;
use super::super::output::{Left, Table, minute, or_dash, printable, time};
use crate::core::subscriptions::{OwnLimit, State, SubscriptionDetails};

pub(super) fn text(details: &SubscriptionDetails) -> String {
    let subscription = &details.subscription;
    let mut text = format!("{} is {}\n\n", subscription.id, subscription.state.word());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<9} {}", printable(&value));
    };
    line("consumer", subscription.consumer.clone());
    if let Some(name) = &subscription.name {
        line("name", name.clone());
    }
    line("product", subscription.product.clone());
    if let Some(every) = &details.every {
        line("billed", format!("by the {every}"));
    }
    line("created", time(subscription.created));
    if let Some(at) = subscription.expires {
        line("expires", time(at));
    }
    if let Some(at) = subscription.ended {
        line("ended", time(at));
    }
    match &details.period {
        Some(period) => {
            let (number, product) = (period.number, &period.product);
            let bounds = format!("{} to {}", minute(period.start), minute(period.end));
            line("period", format!("{number}, {bounds}, priced by {product}"));
        }
        None if subscription.state == State::Submitted => {
            line("period", "none before it is approved".to_owned());
        }
        None => {}
    }
    text.push('\n');
    text.push_str(&limits(&details.limits));
    text.push('\n');
    text.push_str(&keys::table(&details.keys));
    text
}

fn limits(limits: &[OwnLimit]) -> String {
    let mut table =
        Table::new([("limit", Left), ("on", Left), ("allows", Left), ("in its product", Left)]);
    for OwnLimit { limit, own, in_force } in limits {
        table.row([
            limit.id.clone(),
            on(limit),
            rule(in_force) + if limit.enforce { "" } else { ", only observed" },
            or_dash(own.is_some().then(|| rule(&limit.rule))),
        ]);
    }
    table.print_or("No limits.")
}

fn on(limit: &Limit) -> String {
    match &limit.on {
        None => "all".to_owned(),
        Some(on) => match &on.operation {
            None => on.api.clone(),
            Some(operation) => format!("{}/{operation}", on.api),
        },
    }
}

/// What a rule allows.
pub(super) fn rule(rule: &Rule) -> String {
    match rule {
        Rule::SlidingWindow { calls, period_seconds, scope } => {
            format!("{calls} calls in {period_seconds} s, {}", where_counted(*scope))
        }
        Rule::TokenBucket { calls, period_seconds, burst, scope } => format!(
            "{calls} calls per {period_seconds} s, {burst} at once, {}",
            where_counted(*scope)
        ),
        Rule::Quota { units, meter, period, hard } => {
            let soft = if *hard { "" } else { ", soft" };
            format!("{units} {} {}{soft}", counted(meter), periods(period))
        }
    }
}

fn where_counted(scope: Scope) -> &'static str {
    match scope {
        Scope::Fleet => "over the fleet",
        Scope::Gateway => "in each gateway process",
    }
}

fn counted(meter: &Meter) -> String {
    match meter {
        Meter::Calls => "calls".to_owned(),
        Meter::Weight => "units of weight".to_owned(),
        Meter::Bytes => "bytes".to_owned(),
        Meter::Header(name) => format!("units of {name}"),
    }
}

fn periods(period: &QuotaPeriod) -> String {
    match period {
        QuotaPeriod::Seconds(seconds) => format!("per {}", span(seconds.get())),
        QuotaPeriod::Calendar { unit, zone } => format!("per {} ({zone})", unit_word(*unit)),
        QuotaPeriod::Billing => "per billing period".to_owned(),
        QuotaPeriod::Lifetime => "in all".to_owned(),
    }
}

/// A length in the largest of days, hours and seconds that it is a whole number of.
fn span(seconds: u32) -> String {
    const HOUR: u32 = 60 * 60;
    const DAY: u32 = 24 * HOUR;
    if seconds.is_multiple_of(DAY) {
        format!("{} d", seconds / DAY)
    } else if seconds.is_multiple_of(HOUR) {
        format!("{} h", seconds / HOUR)
    } else {
        format!("{seconds} s")
    }
}

fn unit_word(unit: CalendarUnit) -> &'static str {
    match unit {
        CalendarUnit::Hour => "hour",
        CalendarUnit::Day => "day",
        CalendarUnit::Week => "week",
        CalendarUnit::Month => "month",
        CalendarUnit::Year => "year",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_subscription_as_it_is_shown() {
        let details = json!({
            "id": "sub_1", "name": null, "product": "large", "consumer": "acme",
            "state": "active", "created": "2026-11-22T15:00:10Z",
            "anchor": "2026-11-22T15:00:00Z", "expires": "2027-01-01T00:00:00Z", "ended": null,
            "every": "month",
            "period": {
                "number": 1, "start": "2026-11-22T15:00:00Z", "end": "2026-12-22T15:00:00Z",
                "product": "small"
            },
            "keys": [{
                "id": "key_1", "subscription": "sub_1", "state": "retiring", "imported": true,
                "created": "2026-11-22T15:00:10Z", "retires": "2026-11-23T15:00:10Z",
                "revoked": null
            }],
            "limits": [
                {
                    "id": "monthly", "on": null, "enforce": true,
                    "rule": { "quota": {
                        "units": 100, "meter": "calls", "hard": false,
                        "period": { "calendar": { "unit": "month", "zone": "Europe/Berlin" } },
                    } },
                    "own": { "units": 500, "burst": null },
                    "in_force": { "quota": {
                        "units": 500, "meter": "calls", "hard": false,
                        "period": { "calendar": { "unit": "month", "zone": "Europe/Berlin" } },
                    } },
                },
                {
                    "id": "find", "on": { "api": "address", "operation": "find" },
                    "enforce": false,
                    "rule": { "token_bucket": {
                        "calls": 60, "period_seconds": 60, "burst": 10, "scope": "fleet"
                    } },
                    "own": null,
                    "in_force": { "token_bucket": {
                        "calls": 60, "period_seconds": 60, "burst": 10, "scope": "fleet"
                    } },
                },
            ],
        });
        let details: SubscriptionDetails = serde_json::from_value(details).unwrap();
        insta::assert_snapshot!(text(&details), @r"
        sub_1 is active

        consumer  acme
        product   large
        billed    by the month
        created   2026-11-22 15:00:10Z
        expires   2027-01-01 00:00:00Z
        period    1, 2026-11-22 15:00Z to 2026-12-22 15:00Z, priced by small

        limit    on            allows                                                        in its product
        monthly  all           500 calls per month (Europe/Berlin), soft                     100 calls per month (Europe/Berlin), soft
        find     address/find  60 calls per 60 s, 10 at once, over the fleet, only observed  -

        key    state     origin    created               retires               revoked
        key_1  retiring  imported  2026-11-22 15:00:10Z  2026-11-23 15:00:10Z  -
        ");
    }
}
