//! The products of a catalog.

use crate::gate::{MAX_LIMITS, OnOutage, Rule};
use crate::money::Currency;
use crate::quote::Model;

use super::duration::billing_period;
use super::id::Ids;
use super::limit::limit;
use super::mistake::Log;
use super::place::Place;
use super::price::price;
use super::{BillingPeriod, MAX_APIS, Product, all};

/// The longest name of a product, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Reads one product that opens some of the APIs known.
pub(super) fn product(
    place: &Place<'_>,
    ids: &mut Ids,
    apis: &Ids,
    currency: Option<Currency>,
    log: &mut Log,
) -> Option<Product> {
    place.fields(log, "a product", |fields, log| {
        let id = fields.required("id").and_then(|place| ids.take(&place, log));
        let name = fields.optional("name").map(|place| name(&place, log));
        let description = fields.optional("description").map(|place| description(&place, log));
        let opened = fields.required("apis").and_then(|place| opened(&place, apis, log));
        let every = fields.optional("every").map(|place| billing_period(&place, log));
        let price = fields.required("price").and_then(|place| price(&place, currency, log));
        let written = fields.optional("limits");
        let limits = written.as_ref().map_or(Some(Vec::new()), |place| {
            let mut ids = Ids::tagged("limit");
            let places = place.list(log, "limits", MAX_LIMITS)?;
            all(places.iter().map(|place| limit(place, &mut ids, log)))
        });
        if let (Some(Model::Tier { .. }), Some(limits)) = (&price, &limits)
            && !limits.iter().any(|limit| matches!(limit.rule, Rule::Quota { .. }))
        {
            written.as_ref().unwrap_or(place).mistake(
                log,
                "expected a quota among the limits, found none: a `tier` is a fixed price for the \
                 calls it includes, and nothing else stops more of them",
            );
        }
        let id = id?;
        Some(Product {
            name: name.unwrap_or_else(|| Some(id.clone()))?,
            description: description.map_or(Some(None), |text| text.map(Some))?,
            apis: opened?,
            every: every.unwrap_or(Some(BillingPeriod::Month))?,
            price: price?,
            limits: limits?,
            on_outage: OnOutage::default(),
            id,
        })
    })
}

fn name(place: &Place<'_>, log: &mut Log) -> Option<String> {
    let expected = format!("a name of 1 to {MAX_NAME_CHARS} characters in one line");
    place.parse(log, &expected, |text| {
        let is_name = !text.trim().is_empty()
            && text.chars().count() <= MAX_NAME_CHARS
            && !text.chars().any(char::is_control);
        is_name.then(|| text.to_owned())
    })
}

fn description(place: &Place<'_>, log: &mut Log) -> Option<String> {
    place.parse(log, "a text", |text| {
        let is_text = |c: char| c == '\n' || !c.is_control();
        text.chars().all(is_text).then(|| text.trim_end().to_owned())
    })
}

fn opened(place: &Place<'_>, apis: &Ids, log: &mut Log) -> Option<Vec<String>> {
    let mut opened = Vec::new();
    let mut is_good = true;
    for place in place.filled_list(log, "APIs", MAX_APIS)? {
        match apis.mention(&place, log) {
            Some(id) if opened.contains(&id) => {
                place.mistake(log, format!("expected each API once, found `{id}` again"));
            }
            Some(id) => opened.push(id),
            None => is_good = false,
        }
    }
    is_good.then_some(opened)
}
