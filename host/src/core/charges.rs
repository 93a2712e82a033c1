//! The outbox of charges: claimed, committed, sent, then settled. Nothing is sent inside a
//! transaction, and whatever dies in between is sent again under the same idempotency key.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::money::Amount;

use super::invoice::InvoiceNumber;
use super::{Refusal, Request};
use crate::store::Ledger;

/// How long after its first claim a charge is due again; each claim doubles it.
pub const FIRST_RETRY_SECONDS: u32 = 5;
/// Doublings of it: an hour and a half at most.
const MAX_DOUBLINGS: u32 = 10;

/// What a provider is asked to charge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Charge {
    /// Its place in the outbox.
    pub id: u64,
    /// The same for every attempt; a provider charges at most once under it.
    pub idempotency_key: String,
    /// What it pays.
    pub invoice: InvoiceNumber,
    /// For what.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// Who pays.
    pub consumer: String,
    /// How much.
    pub amount: Amount,
}

/// How far a charge is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ChargeState {
    /// To be sent.
    Pending,
    /// Sent, perhaps; it is sent again until it is settled.
    InFlight,
    /// The provider has it.
    Accepted {
        /// The provider's name of it.
        reference: String,
    },
    /// The provider will not have it; an operator must look.
    Rejected {
        /// What it said.
        message: String,
    },
}

/// Takes charges that are due, oldest first -> `Vec<Charge>`. They are due again after a while,
/// until they are settled.
#[derive(Debug)]
pub struct ClaimCharges {
    /// At most so many.
    pub limit: u32,
}

/// Writes down what a provider said -> `()`. Twice the same is once. A provider that could not be
/// asked settles nothing: the charge falls due again by itself.
#[derive(Debug)]
pub struct SettleCharge {
    /// Which.
    pub id: u64,
    /// What it said.
    pub outcome: Outcome,
}

/// What a provider made of a charge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It has it.
    Accepted {
        /// Its name of it.
        reference: String,
    },
    /// It will not have it.
    Rejected {
        /// What it said.
        message: String,
    },
}

impl Request for ClaimCharges {
    type Answer = Vec<Charge>;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Vec<Charge>, Refusal> {
        let due = ledger.due_charges(now, self.limit)?;
        let mut claimed = Vec::with_capacity(due.len());
        for row in due {
            let doubled = 1_u32.checked_shl(row.attempts.min(MAX_DOUBLINGS)).unwrap_or(1);
            let wait = i64::from(FIRST_RETRY_SECONDS.saturating_mul(doubled));
            let due = now.checked_add(SignedDuration::from_secs(wait)).unwrap_or(Timestamp::MAX);
            ledger.claim_charge(row.charge.id, now, due)?;
            claimed.push(row.charge);
        }
        Ok(claimed)
    }
}

impl Request for SettleCharge {
    type Answer = ();

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<(), Refusal> {
        let settled = match self.outcome {
            Outcome::Accepted { reference } => ChargeState::Accepted { reference },
            Outcome::Rejected { message } => ChargeState::Rejected { message },
        };
        match ledger.charge_state(self.id)? {
            None => Err(Refusal::NoCharge(self.id)),
            Some(state) if state == settled => Ok(()),
            Some(ChargeState::Pending | ChargeState::InFlight) => {
                Ok(ledger.settle_charge(self.id, &settled)?)
            }
            Some(_) => Err(Refusal::ChargeSettled(self.id)),
        }
    }
}
