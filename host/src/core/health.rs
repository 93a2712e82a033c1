//! How the ledger is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::LedgerId;

use super::{Refusal, Request};
use crate::store::Ledger;

/// Attempts after which a charge is not just late: they take two and a half minutes.
pub const STUCK_ATTEMPTS: u32 = 6;

/// How the ledger is -> [`Health`].
#[derive(Debug)]
pub struct ReadHealth;

/// How the ledger is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Health {
    /// Which ledger.
    pub ledger: LedgerId,
    /// Raised by each restore.
    pub epoch: u32,
    /// Of its last change of a subscription or key.
    pub revision: u64,
    /// The catalog's, if one was loaded.
    pub catalog: Option<u32>,
    /// Gateways.
    pub gateways: u64,
    /// Processes that synced in the last minute.
    pub live_boots: u64,
    /// Reports that contradict the ledger and were kept aside. Not zero: somebody must look.
    pub conflicts: u64,
    /// Slots of subscriptions or periods that this ledger never had, as after a restore from an old
    /// backup. Not zero: somebody must look, `tollgate usage` shows at what.
    pub unattributed: u64,
    /// Batches of rows that never came.
    pub missing_batches: u64,
    /// Charges a provider has not answered yet.
    pub open_charges: u64,
    /// Of these, sent [`STUCK_ATTEMPTS`] times or more. Not zero: somebody must look.
    pub stuck_charges: u64,
    /// Charges a provider will not have. Not zero: somebody must look.
    pub rejected_charges: u64,
}

impl Request for ReadHealth {
    type Answer = Health;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Health, Refusal> {
        Ok(ledger.health(now)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::charges::ClaimCharges;
    use super::super::testing::World;
    use super::*;

    #[test]
    fn a_charge_that_nobody_takes_is_stuck() {
        let mut world = World::new();
        world.subscribe("over");
        world.pass(60 + 3_600);
        world.close();
        let mut stuck = Vec::new();
        for _ in 0..=STUCK_ATTEMPTS {
            let health = world.ask(ReadHealth).unwrap();
            assert!(health.open_charges > 0);
            stuck.push(health.stuck_charges > 0);
            world.ask(ClaimCharges { limit: 100 }).unwrap();
            world.pass(3_600);
        }
        assert_eq!(stuck, [false, false, false, false, false, false, true]);
    }
}
