//! A catalog, ready for requests.

use std::collections::HashMap;
use std::rc::Rc;

use tollgate_pricing::gate::{GateCatalog, GateProduct};
use tollgate_pricing::id::Tag;

use crate::route::Routes;

/// A catalog, ready for requests.
pub(crate) struct Loaded {
    /// As the host sent it, but for its products.
    pub(crate) catalog: GateCatalog,
    /// Its APIs, to match.
    pub(crate) routes: Routes,
    products: HashMap<Tag, Rc<GateProduct>>,
}

impl Loaded {
    /// Prepares a catalog.
    pub(crate) fn new(mut catalog: GateCatalog) -> Self {
        let products = std::mem::take(&mut catalog.products).into_iter();
        let products = products.map(|product| (product.tag(), Rc::new(product))).collect();
        Self { routes: Routes::new(&catalog), products, catalog }
    }

    /// The product a record names.
    pub(crate) fn product(&self, tag: Tag) -> Option<&Rc<GateProduct>> {
        self.products.get(&tag)
    }
}
