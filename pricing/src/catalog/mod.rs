//! The catalog: text in, a checked [`Catalog`] out, every mistake at once.

use std::fmt;
use std::num::NonZeroU32;

use crate::gate::{
    Answers, Api, Billable, GateCatalog, GateProduct, KeyPlaces, Limit, MAX_GATE_CATALOG_BYTES,
    Meter, OnOutage, Rule,
};
use crate::key::KeySecrets;
use crate::money::{BadCurrency, Currency};
use crate::quote::Model;

mod answers;
mod api;
mod billable;
mod duration;
mod id;
mod key;
mod limit;
mod meter;
mod mistake;
mod outage;
mod path;
mod place;
mod price;
mod product;
mod quota;
mod raw;
mod target;
mod tier;
mod weight;
mod zone;

pub use mistake::{Mistake, Mistakes};
pub use place::MAX_CALLS;
pub use raw::MAX_TEXT_BYTES;

use api::Apis;
use id::Ids;
use mistake::Log;
use place::Place;
use raw::At;

/// APIs in a catalog.
pub const MAX_APIS: usize = 100;
/// Products in a catalog.
pub const MAX_PRODUCTS: usize = 1_000;
/// The three hash keys as JSON: 96 numbers below 256, each with a comma.
const MAX_SECRETS_BYTES: usize = 384;
/// How long a gateway goes on without hearing from the host, unless the catalog says less.
#[expect(clippy::as_conversions, clippy::cast_possible_truncation, reason = "15 minutes")]
const MAX_STALE: u32 = crate::sync::MAX_STALE_SECONDS as u32;

/// What is for sale, and on which APIs: checked, so that nothing fails later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalog {
    /// The currency of all prices.
    pub currency: Currency,
    /// Where callers put their key.
    pub key: KeyPlaces,
    /// How refusals are answered.
    pub answers: Answers,
    /// How long a gateway goes on without hearing from the host.
    pub max_stale_seconds: u32,
    /// In the order written, not empty.
    pub apis: Vec<Api>,
    /// In the order written, not empty.
    pub products: Vec<Product>,
}

/// What one subscribes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Product {
    /// Unique in the catalog, and so is its tag.
    pub id: String,
    /// For people; the id if none was written.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Ids of the APIs it opens, not empty.
    pub apis: Vec<String>,
    /// Its billing period.
    pub every: BillingPeriod,
    /// What it costs.
    pub price: Model,
    /// What it lets through; any number of calls when empty.
    pub limits: Vec<Limit>,
    /// What becomes of calls that only the host could allow, while it cannot be asked.
    pub on_outage: OnOutage,
    /// Which of the calls that were let through are billed.
    pub billable: Billable,
}

impl Product {
    /// What is metered of its calls besides how many there are: what its quotas count.
    pub fn meters(&self) -> Vec<Meter> {
        let mut meters = Vec::new();
        for limit in &self.limits {
            if let Rule::Quota { meter, .. } = &limit.rule
                && *meter != Meter::Calls
                && !meters.contains(meter)
            {
                meters.push(meter.clone());
            }
        }
        meters
    }
}

/// How long a billing period is. Calendar ones are in UTC, counted from the subscription's anchor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BillingPeriod {
    /// So many minutes.
    Minutes(NonZeroU32),
    /// 24 hours.
    Day,
    /// Seven days.
    Week,
    /// To the same day of the next month, or its last.
    Month,
    /// To the same day of the next year, or its month's last.
    Year,
}

/// As in `14.95 USD per month`: `month`, `minute`, `5 minutes`, `12 hours`, `30 days`.
impl fmt::Display for BillingPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HOUR: u32 = 60;
        const DAY: u32 = 24 * HOUR;
        let (count, unit) = match self {
            Self::Minutes(minutes) if minutes.get().is_multiple_of(DAY) => {
                (minutes.get().checked_div(DAY), "day")
            }
            Self::Minutes(minutes) if minutes.get().is_multiple_of(HOUR) => {
                (minutes.get().checked_div(HOUR), "hour")
            }
            Self::Minutes(minutes) => (Some(minutes.get()), "minute"),
            Self::Day => (Some(1), "day"),
            Self::Week => (Some(1), "week"),
            Self::Month => (Some(1), "month"),
            Self::Year => (Some(1), "year"),
        };
        match count {
            None | Some(1) => f.write_str(unit),
            Some(count) => write!(f, "{count} {unit}s"),
        }
    }
}

impl Catalog {
    /// Reads a catalog from YAML or JSON; fails with every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut log = Log::default();
        let node = raw::read(text, &mut log);
        let catalog = node.and_then(|node| catalog(&Place::root(&node), &mut log));
        if let Some(catalog) = &catalog {
            check_size(catalog, &mut log);
        }
        log.finish(catalog)
    }

    /// The product with this id.
    pub fn product(&self, id: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.id == id)
    }

    /// What gateways need to know of this catalog.
    pub fn gate(&self, revision: u32, secrets: KeySecrets) -> GateCatalog {
        GateCatalog {
            revision,
            secrets,
            key: self.key.clone(),
            max_stale_seconds: self.max_stale_seconds,
            answers: self.answers.clone(),
            apis: self.apis.clone(),
            products: self
                .products
                .iter()
                .map(|product| GateProduct {
                    id: product.id.clone(),
                    apis: product.apis.clone(),
                    limits: product.limits.clone(),
                    on_outage: product.on_outage,
                    billable: product.billable.clone(),
                    meters: product.meters(),
                })
                .collect(),
        }
    }
}

fn catalog(place: &Place<'_>, log: &mut Log) -> Option<Catalog> {
    place.fields(log, "a catalog with `currency`, `apis` and `products`", |fields, log| {
        let currency = fields.required("currency").and_then(|place| currency(&place, log));
        let key = fields.optional("key").map(|place| key::key(&place, log));
        let answers = fields.optional("answers").map(|place| answers::answers(&place, log));
        let max_stale = fields.optional("max_stale").map(|place| duration::max_stale(&place, log));
        let apis = Apis::read(fields.required("apis").as_ref(), log);
        let mut ids = Ids::tagged("product");
        let products = fields.required("products").and_then(|place| {
            let places = place.filled_list(log, "products", MAX_PRODUCTS)?;
            let read = |place| product::product(place, &mut ids, &apis, currency, log);
            all(places.iter().map(read))
        });
        let products = products?;
        weight::check_use(&products, &apis, log);
        Some(Catalog {
            currency: currency?,
            key: key.unwrap_or_else(|| Some(key::default_key()))?,
            answers: answers.unwrap_or_else(|| Some(Answers::default()))?,
            max_stale_seconds: max_stale.unwrap_or(Some(MAX_STALE))?,
            apis: apis.into_list()?,
            products,
        })
    })
}

/// A text within its bound can be several times as long as gateways read it: there every field is
/// written out.
fn check_size(catalog: &Catalog, log: &mut Log) {
    let gate = catalog.gate(u32::MAX, KeySecrets::derive(&[0; 32]));
    let json = serde_json::to_vec(&gate).map_or(usize::MAX, |json| json.len());
    let found = json.saturating_add(MAX_SECRETS_BYTES);
    if found > MAX_GATE_CATALOG_BYTES {
        let message = format!(
            "expected at most {MAX_GATE_CATALOG_BYTES} bytes of JSON for gateways, found {found}: \
             these are too many operations, products or limits for one catalog"
        );
        log.add(At::START, "", message);
    }
}

fn currency(place: &Place<'_>, log: &mut Log) -> Option<Currency> {
    let text = place.text(log, "a currency of ISO 4217 such as USD")?;
    text.parse().map_err(|error: BadCurrency| place.mistake(log, error.to_string())).ok()
}

/// All of them if none is missing. Every one is looked at, so that all mistakes are found.
fn all<T>(read: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

#[cfg(test)]
mod tests;
