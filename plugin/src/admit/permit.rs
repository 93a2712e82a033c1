//! The permit of an admitted call: what settling it takes.

use tollgate_pricing::id::{SubscriptionId, Tag};

/// Proof that a call was admitted, and what settling it needs. It cannot be copied: whoever
/// settles a call uses it up.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) subscription: SubscriptionId,
    pub(super) period: u32,
    pub(super) quotas: Vec<Charged>,
    pub(super) headers: Vec<(Tag, String)>,
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
    /// Its bytes, added at its end if it is billed.
    Bytes,
    /// The number in a response header, added at its end if it is billed.
    Header,
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

    /// Whether settling wants to know the call's bytes.
    pub fn wants_bytes(&self) -> bool {
        self.quotas.iter().any(|charged| charged.what == Counted::Bytes)
    }

    /// The response headers that settling wants to know, each with the quota that counts it.
    pub fn wants_headers(&self) -> &[(Tag, String)] {
        &self.headers
    }

    /// The quotas that count it.
    pub fn quotas(&self) -> &[Charged] {
        &self.quotas
    }
}
