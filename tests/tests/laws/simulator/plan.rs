//! What a random world sells: products with limits of every kind, tight enough to bind.

use std::fmt::Write as _;

use crate::wasm::Random;

/// Operations of the one API: id, path, and what a call of it weighs.
pub(super) const OPERATIONS: [(&str, &str, u64); 3] =
    [("find", "/shop/find", 1), ("batch", "/shop/batch", 3), ("look", "/shop/look", 0)];

const HEAVIEST: u64 = 3;

/// A catalog.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) products: Vec<Product>,
}

#[derive(Clone, Debug)]
pub(super) struct Product {
    pub(super) id: String,
    /// Billed by the minute, or by the day.
    pub(super) minutely: bool,
    pub(super) limits: Vec<Limit>,
    pub(super) on_outage: Outage,
    pub(super) price: Price,
}

/// What a period costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Price {
    Free,
    /// Each full `per` calls past those `included`.
    Calls {
        included: u64,
        per: u64,
        cents: u64,
    },
}

impl Price {
    fn drawn(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::Free,
            1 => Self::Calls { included: 1 + random.below(4), per: 1, cents: 2 },
            2 => Self::Calls { included: 0, per: 3, cents: 5 },
            _ => Self::Calls { included: 0, per: 1, cents: 1 },
        }
    }

    /// In cents: the rule, told a second time.
    pub(super) fn of(self, calls: u64) -> i64 {
        match self {
            Self::Free => 0,
            Self::Calls { included, per, cents } => {
                (calls.saturating_sub(included) / per * cents).cast_signed()
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::Free => "free".to_owned(),
            Self::Calls { included, per, cents } => {
                let numbers = format!("per: {per}, amount: 0.0{cents}");
                if included > 0 {
                    format!("{{ freemium: {{ included: {included}, {numbers} }} }}")
                } else {
                    format!("{{ metered: {{ {numbers} }} }}")
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outage {
    Deny,
    Allow,
    UpTo(u64),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Limit {
    pub(super) id: String,
    pub(super) rule: Rule,
    /// The operation it counts; all, if none.
    pub(super) on: Option<&'static str>,
    pub(super) enforce: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    Window { calls: u64, seconds: u64, fleet: bool },
    Bucket { calls: u64, seconds: u64, burst: u64, fleet: bool },
    Quota { units: u64, meter: Meter, period: Period, soft: bool },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meter {
    Calls,
    Weight,
    Bytes,
    Header,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Period {
    Minutes(u64),
    Hour,
    Billing,
    Lifetime,
}

impl Rule {
    fn is_leased(self) -> bool {
        match self {
            Self::Window { fleet, .. } | Self::Bucket { fleet, .. } => fleet,
            Self::Quota { .. } => true,
        }
    }
}

impl Limit {
    /// Whether a call may be refused by it.
    pub(super) fn blocks(&self) -> bool {
        self.enforce && !matches!(self.rule, Rule::Quota { soft: true, .. })
    }

    /// Whether it counts calls of this operation.
    pub(super) fn counts(&self, operation: usize) -> bool {
        self.on.is_none_or(|on| OPERATIONS[operation].0 == on)
    }

    fn drawn(random: &mut Random, id: String) -> Self {
        let units = 1 + random.below(24);
        let rule = match random.below(8) {
            0 | 1 => Rule::Window {
                calls: 1 + random.below(10),
                seconds: random.of(&[2, 10, 60]),
                fleet: random.one_in(2),
            },
            2 => {
                let fleet = random.one_in(2);
                let (calls, seconds) = random.of(&[(1, 2), (2, 1), (10, 60)]);
                // Over the fleet, a burst is more than a second's gain.
                let least: u64 = if fleet { calls / seconds + 1 } else { 0 };
                Rule::Bucket { calls, seconds, burst: 1 + least + random.below(5), fleet }
            }
            _ => {
                let period = match random.below(6) {
                    0 | 1 => Period::Minutes(1),
                    2 => Period::Minutes(2),
                    3 => Period::Billing,
                    4 => Period::Hour,
                    _ => Period::Lifetime,
                };
                let meter = match random.below(6) {
                    3 => Meter::Weight,
                    4 => Meter::Bytes,
                    5 => Meter::Header,
                    _ => Meter::Calls,
                };
                let units = match meter {
                    Meter::Bytes => units * 500,
                    // No call weighs more than all of it.
                    Meter::Weight => units + HEAVIEST,
                    Meter::Calls | Meter::Header => units,
                };
                Rule::Quota { units, meter, period, soft: random.one_in(8) }
            }
        };
        let is_soft = matches!(rule, Rule::Quota { soft: true, .. });
        // A weight that only one operation's quota counts is a mistake of the others.
        let weighs = matches!(rule, Rule::Quota { meter: Meter::Weight, .. });
        let on = (!weighs && random.one_in(4)).then(|| OPERATIONS[random.index(2)].0);
        Self { id, rule, on, enforce: is_soft || !random.one_in(10) }
    }

    fn text(&self) -> String {
        let mut text = format!("{{ id: {}, ", self.id);
        let scope = |fleet| if fleet { "fleet" } else { "gateway" };
        let _ = match self.rule {
            Rule::Window { calls, seconds, fleet } => write!(
                text,
                "rate: {{ calls: {calls}, period: {seconds}s }}, scope: {}",
                scope(fleet)
            ),
            Rule::Bucket { calls, seconds, burst, fleet } => write!(
                text,
                "rate: {{ calls: {calls}, period: {seconds}s, burst: {burst} }}, scope: {}",
                scope(fleet)
            ),
            Rule::Quota { units, meter, period, soft } => {
                let meter = match meter {
                    Meter::Calls => format!("calls: {units}"),
                    Meter::Weight => format!("weight: {units}"),
                    Meter::Bytes => format!("bytes: {units}"),
                    Meter::Header => format!("units: {units}, header: x-units"),
                };
                let period = match period {
                    Period::Minutes(minutes) => format!("{minutes}m"),
                    Period::Hour => "hour".to_owned(),
                    Period::Billing => "billing".to_owned(),
                    Period::Lifetime => "lifetime".to_owned(),
                };
                let soft = if soft { ", soft: true" } else { "" };
                write!(text, "quota: {{ {meter}, period: {period} }}{soft}")
            }
        };
        if let Some(operation) = self.on {
            let _ = write!(text, ", api: shop, operation: {operation}");
        }
        if !self.enforce {
            text.push_str(", enforce: false");
        }
        text.push_str(" }");
        text
    }
}

impl Plan {
    /// A catalog drawn from a seed.
    pub(super) fn drawn(random: &mut Random) -> Self {
        let products = (0..2 + random.below(2)).map(|number| {
            let limits = (0..random.of(&[0, 1, 1, 1, 2, 3]))
                .map(|limit| Limit::drawn(random, format!("l{limit}")))
                .collect::<Vec<_>>();
            let is_leased = |limit: &Limit| limit.blocks() && limit.rule.is_leased();
            let on_outage = match random.below(4) {
                2 => Outage::Allow,
                3 if limits.iter().any(is_leased) => Outage::UpTo(1 + random.below(5)),
                _ => Outage::Deny,
            };
            Product {
                id: format!("p{number}"),
                minutely: random.one_in(2),
                limits,
                on_outage,
                price: Price::drawn(random),
            }
        });
        Self { products: products.collect() }
    }

    /// The same with one limit's number changed: lower, or higher.
    pub(super) fn change(&mut self, random: &mut Random) {
        let product = random.index(self.products.len());
        let limits = &mut self.products[product].limits;
        if limits.is_empty() {
            return;
        }
        let limit = random.index(limits.len());
        match &mut limits[limit].rule {
            Rule::Window { calls: number, .. } | Rule::Quota { units: number, .. } => {
                *number = (*number * random.of(&[1, 2, 4]) / 2).max(HEAVIEST);
            }
            Rule::Bucket { burst, .. } => *burst += 1,
        }
    }

    /// As the operator writes it.
    pub(super) fn text(&self) -> String {
        let mut text = "currency: USD\nkey: { header: X-Api-Key }\n".to_owned();
        text.push_str("apis:\n  - id: shop\n    path: /shop\n    operations:\n");
        let limits = self.products.iter().flat_map(|product| &product.limits);
        let weighs = limits
            .map(|limit| limit.rule)
            .any(|rule| matches!(rule, Rule::Quota { meter: Meter::Weight, .. }));
        for (id, path, weight) in OPERATIONS {
            let below = path.trim_start_matches("/shop");
            let said = if weighs { format!(", weight: {weight}") } else { String::new() };
            let _ = writeln!(text, "      - {{ id: {id}, method: GET, path: {below}{said} }}");
        }
        text.push_str("products:\n");
        for product in &self.products {
            let _ = writeln!(text, "  - id: {}\n    apis: [shop]", product.id);
            let _ = writeln!(text, "    price: {}", product.price.text());
            let _ =
                writeln!(text, "    every: {}", if product.minutely { "minute" } else { "day" });
            match product.on_outage {
                Outage::Deny => {}
                Outage::Allow => text.push_str("    on_outage: allow\n"),
                Outage::UpTo(units) => {
                    let _ = writeln!(text, "    on_outage: {{ allow_up_to: {units} }}");
                }
            }
            if !product.limits.is_empty() {
                text.push_str("    limits:\n");
            }
            for limit in &product.limits {
                let _ = writeln!(text, "      - {}", limit.text());
            }
        }
        text
    }
}
