//! The price of a product.

use std::num::NonZeroU64;

use crate::money::{BadPrice, Currency, Price};
use crate::quote::{Model, UnitPrice};

use super::mistake::{Log, did_you_mean};
use super::place::{Fields, MAX_CALLS, Place};

/// The models that are more than a word.
const MODELS: [&str; 5] = ["freemium", "metered", "tier", "tier_with_overage", "unit"];

/// Reads the price of a product. Without a currency there is none, but its mistakes are found.
pub(super) fn price(place: &Place<'_>, currency: Option<Currency>, log: &mut Log) -> Option<Model> {
    let expected = format!("`free` or one of {}", MODELS.join(", "));
    if let Some(word) = place.as_text() {
        if word == "free" {
            return currency.map(|currency| Model::Free { currency });
        }
        let hint = did_you_mean(word, ["free"]);
        place.expected(log, &format!("{expected}{hint}"));
        return None;
    }
    place.fields(log, &expected, |fields, log| {
        let (model, place) = fields.one_of(&MODELS, log)?;
        place.fields(log, shape(model), |fields, log| match model {
            "freemium" => {
                let included = required_calls(fields, "included", log);
                let overage = unit_price(fields, currency, log);
                Some(Model::Freemium { included: included?, overage: overage? })
            }
            "metered" => Some(Model::Metered { unit: unit_price(fields, currency, log)? }),
            "tier" => {
                let amount = amount(fields, currency, log);
                let included = required_calls(fields, "included", log);
                Some(Model::Tier { amount: amount?, included: included? })
            }
            "tier_with_overage" => tier_with_overage(fields, currency, log),
            _ => Some(Model::Unit { block: unit_price(fields, currency, log)? }),
        })
    })
}

/// How a model is written, for who wrote something else.
fn shape(model: &str) -> &'static str {
    match model {
        "freemium" => "a mapping such as `{ included: 100, per: 100, amount: 0.20 }`",
        "tier" => "a mapping such as `{ amount: 14.95, included: 50000 }`",
        "tier_with_overage" => {
            "a mapping such as `{ amount: 89.95, included: 100000, overage: { per: 100, amount: \
             0.10 } }`"
        }
        _ => "a mapping such as `{ per: 100, amount: 0.15 }`",
    }
}

fn tier_with_overage(
    fields: &mut Fields<'_, '_>,
    currency: Option<Currency>,
    log: &mut Log,
) -> Option<Model> {
    let amount = amount(fields, currency, log);
    // A fixed price that includes nothing is a plan; `0` says so.
    let included =
        fields.required("included").and_then(|place| place.number(log, &(0..=MAX_CALLS)));
    let overage = fields.required("overage").and_then(|place| {
        place.fields(log, shape("metered"), |fields, log| unit_price(fields, currency, log))
    });
    Some(Model::TierWithOverage { amount: amount?, included: included?, overage: overage? })
}

fn required_calls(
    fields: &mut Fields<'_, '_>,
    name: &'static str,
    log: &mut Log,
) -> Option<NonZeroU64> {
    fields.required(name).and_then(|place| place.calls(log))
}

fn unit_price(
    fields: &mut Fields<'_, '_>,
    currency: Option<Currency>,
    log: &mut Log,
) -> Option<UnitPrice> {
    let per = match fields.optional("per") {
        Some(place) => place.calls(log),
        None => Some(NonZeroU64::MIN),
    };
    let amount = amount(fields, currency, log);
    Some(UnitPrice { amount: amount?, per: per? })
}

fn amount(fields: &mut Fields<'_, '_>, currency: Option<Currency>, log: &mut Log) -> Option<Price> {
    let place = fields.required("amount")?;
    let text = place.text(log, "a decimal number such as 14.95")?;
    // If the currency is a mistake, any other serves to find those that are none of its own.
    let read_in = currency.or_else(|| "USD".parse().ok())?;
    match Price::parse(text, read_in) {
        Ok(price) => currency.map(|_| price),
        Err(BadPrice::NotDecimal(_)) => {
            place.expected(log, "a decimal number such as 14.95");
            None
        }
        Err(BadPrice::TooFine { .. } | BadPrice::TooHigh(_)) if currency.is_none() => None,
        Err(error) => {
            place.mistake(log, error.to_string());
            None
        }
    }
}
