//! Gateways: configured Envoys that report usage and ask for leases, each with a token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::GatewayId;
use super::secret::{Clear, gateway_token, token_hash};
use super::text::check_name;
use super::{Refusal, Request};
use crate::store::Ledger;

/// Makes a gateway. Its name is unique.
#[derive(Debug)]
pub struct AddGateway {
    /// For people.
    pub name: String,
    /// What its token is made of.
    pub random: [u8; 16],
}

/// A new gateway, and the only sight of its token.
#[derive(Debug, Serialize, Deserialize)]
pub struct GatewayAdded {
    /// The gateway.
    pub gateway: Gateway,
    /// Its token; only a hash of it is kept.
    pub token: Clear,
}

/// A gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gateway {
    /// Which.
    pub id: GatewayId,
    /// For people.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// When a process of it last synced.
    pub last_seen: Option<Timestamp>,
    /// Its processes that synced in the last minute.
    pub live_boots: u64,
}

/// All gateways -> `Vec<Gateway>`, in the order they were made.
#[derive(Debug)]
pub struct ListGateways;

impl Request for AddGateway {
    type Answer = GatewayAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<GatewayAdded, Refusal> {
        check_name("a gateway's name", &self.name)?;
        if ledger.gateway_is_named(&self.name)? {
            return Err(Refusal::GatewayExists(self.name));
        }
        let token = gateway_token(self.random);
        let hash = token_hash(&ledger.identity.tokens, token.reveal());
        let id = ledger.insert_gateway(&self.name, hash, now)?.ok_or(Refusal::ChanceSpent)?;
        Ok(GatewayAdded {
            gateway: Gateway { id, name: self.name, created: now, last_seen: None, live_boots: 0 },
            token,
        })
    }
}

impl Request for ListGateways {
    type Answer = Vec<Gateway>;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Vec<Gateway>, Refusal> {
        Ok(ledger.gateways(now)?)
    }
}
