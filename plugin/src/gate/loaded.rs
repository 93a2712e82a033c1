//! A catalog, ready for requests.

use std::collections::HashMap;

use tollgate_pricing::gate::{GateCatalog, GateProduct};
use tollgate_pricing::id::Tag;

use crate::route::Routes;

/// A catalog, ready for requests.
pub(crate) struct Loaded {
    /// As the host sent it.
    pub(crate) catalog: GateCatalog,
    /// Its APIs, to match.
    pub(crate) routes: Routes,
    products: HashMap<Tag, usize>,
}

impl Loaded {
    /// Prepares a catalog.
    pub(crate) fn new(catalog: GateCatalog) -> Self {
        let tags = catalog.products.iter().map(GateProduct::tag);
        let products = tags.zip(0..).collect();
        Self { routes: Routes::new(&catalog), products, catalog }
    }

    /// The product a record names.
    pub(crate) fn product(&self, tag: Tag) -> Option<&GateProduct> {
        self.catalog.products.get(*self.products.get(&tag)?)
    }
}
