//! Where charges go. A provider keeps its own books: what it was sent is its to say.

use jiff::Timestamp;

use crate::core::charges::{Charge, Outcome};

pub mod sandbox;

pub use sandbox::Sandbox;

/// A charge without an outcome: it stays in flight, and is sent again under the same key.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// It could not be asked, or did not answer.
    #[error("the payment provider is not available: {0}")]
    Unavailable(String),
    /// It has charged something else under this key: two ledgers, or a damaged one.
    #[error("the payment provider has another charge under the idempotency key {0}")]
    KeyReused(String),
}

/// A payment provider.
#[derive(Debug)]
pub enum Provider {
    /// The built-in one: it charges nobody and remembers everything.
    Sandbox(Sandbox),
}

impl Provider {
    /// Charges, at most once per idempotency key. Blocks; never call it inside a transaction.
    pub fn charge(&mut self, now: Timestamp, charge: &Charge) -> Result<Outcome, ProviderError> {
        match self {
            Self::Sandbox(sandbox) => sandbox.charge(now, charge),
        }
    }
}
