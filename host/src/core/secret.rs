//! Tokens: how they look, how they are recognised, and that they do not leak.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::Hex128;

use super::id::GatewayId;
use super::sync::Sync;
use super::{Refusal, Request};
use crate::store::Ledger;

/// A key or token in clear: shown once, never stored. Debug does not show it; serde does.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Clear(String);

impl Clear {
    /// Wraps what must not leak.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to show to its owner.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clear(..)")
    }
}

/// Who asks.
enum Role {
    /// May do everything but report usage.
    Operator,
    /// May report usage and ask for leases.
    Gateway(GatewayId),
}

/// A request of an operator: one commit for the token's check and what is asked.
#[derive(Debug)]
pub struct AsOperator<R> {
    /// As it came, without `Bearer `.
    pub token: Clear,
    /// What is asked.
    pub request: R,
}

/// A sync of a gateway, which is found by its token.
#[derive(Debug)]
pub struct AsGateway {
    /// As it came, without `Bearer `.
    pub token: Clear,
    /// What it says.
    pub request: tollgate_pricing::sync::SyncRequest,
}

impl<R: Request> Request for AsOperator<R> {
    type Answer = R::Answer;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<R::Answer, Refusal> {
        match role_of(ledger, &self.token)? {
            Role::Operator => self.request.apply(ledger, now),
            Role::Gateway(_) => Err(Refusal::WrongRole("an operator's")),
        }
    }
}

impl Request for AsGateway {
    type Answer = tollgate_pricing::sync::SyncAnswer;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal> {
        let request = self.request;
        match role_of(ledger, &self.token)? {
            Role::Gateway(gateway) => Sync { gateway, request }.apply(ledger, now),
            Role::Operator => Err(Refusal::WrongRole("a gateway's")),
        }
    }
}

fn role_of(ledger: &Ledger<'_>, token: &Clear) -> Result<Role, Refusal> {
    let hash = token_hash(&ledger.identity.tokens, token.reveal());
    // A hash under a secret key tells nothing about the token by how long it takes to compare.
    if hash == ledger.identity.operator {
        return Ok(Role::Operator);
    }
    match ledger.gateway_by_token(hash)? {
        Some(gateway) => Ok(Role::Gateway(gateway)),
        None => Err(Refusal::UnknownToken),
    }
}

/// Derives what tokens are hashed with.
pub(crate) fn token_secret(ledger_secret: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("tollgate 2026-11 token lookup", ledger_secret)
}

/// The hash under which a token is known.
pub(crate) fn token_hash(secret: &[u8; 32], token: &str) -> Hex128 {
    let hash = blake3::keyed_hash(secret, token.as_bytes());
    let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
    Hex128(*first)
}

/// `tgo_` and 32 hex digits.
pub(crate) fn operator_token(random: [u8; 16]) -> Clear {
    Clear::new(format!("tgo_{}", Hex128(random)))
}

/// `tgg_` and 32 hex digits.
pub(crate) fn gateway_token(random: [u8; 16]) -> Clear {
    Clear::new(format!("tgg_{}", Hex128(random)))
}
