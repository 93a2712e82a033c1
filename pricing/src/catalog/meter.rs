//! The meters of a product: how many there may be, and that each has a name of its own.

use std::collections::BTreeMap;

use crate::gate::{Meter, Rule};
use crate::sync::MAX_METERS;

use super::Product;
use super::mistake::Log;
use super::product::Placed;

/// Finds meters of a product that its counters have no room or no name for.
pub(super) fn check(product: &Product, limits: &[Placed<'_>], log: &mut Log) {
    let mut known = BTreeMap::new();
    for (place, limit) in limits {
        let Rule::Quota { meter, .. } = &limit.rule else { continue };
        if *meter == Meter::Calls {
            continue;
        }
        let complaint = match known.insert(meter.tag(), meter) {
            None if known.len() == MAX_METERS.saturating_add(1) => format!(
                "expected at most {MAX_METERS} meters in a product besides its calls, found {}: \
                 {} is one too many",
                product.meters().len(),
                shown(meter)
            ),
            Some(other) if other != meter => format!(
                "{} and {} have the same 32-bit tag, by which gateways know them: rename one",
                shown(meter),
                shown(other)
            ),
            _ => continue,
        };
        place.mistake(log, complaint);
    }
}

fn shown(meter: &Meter) -> String {
    match meter {
        Meter::Calls => "calls".to_owned(),
        Meter::Weight => "weight".to_owned(),
        Meter::Bytes => "bytes".to_owned(),
        Meter::Header(name) => format!("units of `{name}`"),
    }
}
