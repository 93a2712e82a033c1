//! The permit of an admitted call: what settling it takes.

use std::rc::Rc;

use tollgate_pricing::gate::{Billable, GateProduct, Meter};
use tollgate_pricing::id::{SubscriptionId, Tag};

/// Proof that a call was admitted, and what settling it needs. It cannot be copied: whoever
/// settles a call uses it up.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) subscription: SubscriptionId,
    pub(super) period: u32,
    /// As it was then: a call is settled by the rules under which it was admitted.
    pub(super) product: Rc<GateProduct>,
    pub(super) weight: u32,
    pub(super) quotas: Vec<Charged>,
}

/// A quota that counts a call, and what settling it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Charged {
    /// The quota.
    pub limit: Tag,
    /// Its period.
    pub period: u32,
    /// What it counts.
    pub what: Counted,
}

/// What a quota counts of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Units taken at admission: they go back if the call is waived.
    Units(u64),
    /// What it takes of this meter, added at its end if it is billed.
    Late(Tag),
}

impl Permit {
    /// Whose call.
    pub fn subscription(&self) -> SubscriptionId {
        self.subscription
    }

    /// The billing period it belongs to.
    pub fn period(&self) -> u32 {
        self.period
    }

    /// Which endings are billed.
    pub fn billable(&self) -> &Billable {
        &self.product.billable
    }

    /// What is metered of it.
    pub fn meters(&self) -> &[Meter] {
        &self.product.meters
    }

    /// What its operation weighs.
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The quotas that count it.
    pub fn quotas(&self) -> &[Charged] {
        &self.quotas
    }
}
