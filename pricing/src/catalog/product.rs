//! The products of a catalog.

use crate::gate::{Billable, Limit, MAX_LIMITS, OnOutage};
use crate::money::Currency;

use super::api::Apis;
use super::billable::billable;
use super::duration::billing_period;
use super::id::Ids;
use super::limit::limit;
use super::mistake::Log;
use super::outage::on_outage;
use super::place::Place;
use super::price::price;
use super::{BillingPeriod, MAX_APIS, Product, all, meter, tier, weight};

/// The longest name of a product, in characters.
const MAX_NAME_CHARS: usize = 100;

/// Reads one product that opens some of the APIs known.
pub(super) fn product(
    place: &Place<'_>,
    ids: &mut Ids,
    apis: &Apis<'_>,
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
        let limits_place = fields.optional("limits");
        let limits = limits(limits_place.as_ref(), apis, opened.as_deref(), log);
        let outage_place = fields.optional("on_outage");
        let on_outage = outage_place.as_ref().map(|place| on_outage(place, log));
        let billable = fields.optional("billable").map(|place| billable(&place, log));
        let id = id?;
        let limits = limits?;
        let product = Product {
            name: name.unwrap_or_else(|| Some(id.clone()))?,
            description: description.map_or(Some(None), |text| text.map(Some))?,
            apis: opened?,
            every: every.unwrap_or(Some(BillingPeriod::Month))?,
            price: price?,
            limits: limits.iter().map(|(_, limit)| limit.clone()).collect(),
            on_outage: on_outage.unwrap_or(Some(OnOutage::default()))?,
            billable: billable.unwrap_or_else(|| Some(Billable::default()))?,
            id,
        };
        meter::check(&product, &limits, log);
        weight::check(&product, &limits, apis, log);
        tier::check(&product, &limits, limits_place.as_ref().unwrap_or(place), apis, log);
        check_overdraft(&product, outage_place.as_ref(), log);
        Some(product)
    })
}

/// A limit and where it stands.
pub(super) type Placed<'a> = (Place<'a>, Limit);

fn limits<'a>(
    place: Option<&Place<'a>>,
    apis: &Apis<'_>,
    opened: Option<&[String]>,
    log: &mut Log,
) -> Option<Vec<Placed<'a>>> {
    let Some(place) = place else { return Some(Vec::new()) };
    let places = place.list(log, "limits", MAX_LIMITS)?;
    let mut ids = Ids::tagged("limit");
    let read = |place: Place<'a>| {
        let limit = limit(&place, &mut ids, apis, opened, log)?;
        Some((place, limit))
    };
    all(places.into_iter().map(read))
}

/// An overdraft has a bound only where there is a lease to overdraw.
fn check_overdraft(product: &Product, place: Option<&Place<'_>>, log: &mut Log) {
    let is_bound = |limit: &Limit| limit.blocks() && limit.rule.is_leased();
    if let (OnOutage::AllowUpTo(_), Some(place)) = (product.on_outage, place)
        && !product.limits.iter().any(is_bound)
    {
        place.mistake(
            log,
            "expected a limit that `allow_up_to` can go past, a hard quota or a rate over the \
             fleet, found none: write `allow`, as nothing would stop these calls",
        );
    }
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

fn opened(place: &Place<'_>, apis: &Apis<'_>, log: &mut Log) -> Option<Vec<String>> {
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
