//! Gateways: configured Envoys that report usage and ask for leases, each with a token.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::gate::Rule;
use tollgate_pricing::id::{BootId, SubscriptionId};
use tollgate_pricing::sync::SyncRequest;

use super::id::GatewayId;
use super::quota::QuotaClock;
use super::secret::{Clear, gateway_token, token_hash};
use super::text::check_name;
use super::{Refusal, Request, catalog};
use crate::store::Ledger;

mod ended;

pub(super) use ended::free_if_ended;
pub use ended::{BootPrefix, EndBoot, Ended};

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
    /// Units of quotas that its silent processes hold: they stay charged until the process returns
    /// them, or an operator forgets it.
    pub stranded: u64,
    /// Its processes that live, are waited for, or hold units; newest sight first, at most
    /// [`MAX_BOOTS`].
    pub boots: Vec<Boot>,
}

/// One life of an Envoy process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Boot {
    /// Drawn by the process.
    pub id: BootId,
    /// When it first synced; none if it never did, and is known by what it wrote into its log.
    pub first_seen: Option<Timestamp>,
    /// When it last did.
    pub last_seen: Option<Timestamp>,
    /// Whether that was in the last minute.
    pub live: bool,
    /// Whether a restored ledger waits for its report of everything.
    pub awaited: bool,
    /// Whether an operator declared it dead.
    pub forgotten: bool,
    /// Units of quotas that it holds and has not spent, as far as it reported.
    pub holds: Vec<Held>,
}

impl Boot {
    /// Units it holds, if it is silent.
    pub fn stranded(&self) -> u64 {
        if self.live {
            0
        } else {
            self.holds.iter().map(|held| held.units).fold(0, u64::saturating_add)
        }
    }
}

/// Units of a quota in the hands of a process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Held {
    /// Whose.
    #[serde(with = "super::id::subscription_text")]
    pub subscription: SubscriptionId,
    /// The limit's id.
    pub limit: String,
    /// Which of its periods.
    pub period: u32,
    /// How many.
    pub units: u64,
}

/// Processes listed of one gateway.
pub const MAX_BOOTS: usize = 1_000;
/// Leases listed of one process.
const MAX_HELD: usize = 1_000;

/// All gateways -> `Vec<Gateway>`, in the order they were made.
#[derive(Debug)]
pub struct ListGateways;

/// Declares silent processes dead -> [`Forgotten`]. Their units go to others, no period waits for
/// their reports. One that comes back is welcome: what it holds is called back.
#[derive(Debug)]
pub struct ForgetBoots {
    /// The gateway's name.
    pub gateway: String,
    /// Which of its processes; all that were not seen for a minute if absent.
    pub boot: Option<BootId>,
    /// Only tell.
    pub dry_run: bool,
}

/// Processes that were forgotten, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forgotten {
    /// Which, with what they held.
    pub boots: Vec<Boot>,
    /// All they held.
    pub units: u64,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// Ends the wait of a restored ledger -> [`Released`].
#[derive(Debug)]
pub struct ReleaseGateways;

/// A wait that was ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Released {
    /// When the ledger was restored.
    pub restored: Timestamp,
    /// Processes that had not reported everything.
    pub awaited: u64,
}

impl Request for AddGateway {
    type Answer = GatewayAdded;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<GatewayAdded, Refusal> {
        check_name("a gateway's name", &self.name)?;
        if ledger.gateway_named(&self.name)?.is_some() {
            return Err(Refusal::GatewayExists(self.name));
        }
        let token = gateway_token(self.random);
        let hash = token_hash(&ledger.identity.tokens, token.reveal());
        let id = ledger.insert_gateway(&self.name, hash, now)?.ok_or(Refusal::ChanceSpent)?;
        Ok(GatewayAdded {
            gateway: Gateway {
                id,
                name: self.name,
                created: now,
                last_seen: None,
                live_boots: 0,
                stranded: 0,
                boots: Vec::new(),
            },
            token,
        })
    }
}

impl Request for ListGateways {
    type Answer = Vec<Gateway>;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Vec<Gateway>, Refusal> {
        let mut gateways = ledger.gateways(now)?;
        for gateway in &mut gateways {
            gateway.boots = ledger.boots_of(gateway.id, now, MAX_BOOTS)?;
            for boot in &mut gateway.boots {
                boot.holds = holds(ledger, boot.id, now)?;
            }
            // What is held of periods that are over is nobody's any more.
            gateway.boots.retain(|boot| boot.live || boot.awaited || !boot.holds.is_empty());
            gateway.stranded = sum(&gateway.boots);
        }
        Ok(gateways)
    }
}

impl Request for ForgetBoots {
    type Answer = Forgotten;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Forgotten, Refusal> {
        let Some(gateway) = ledger.gateway_named(&self.gateway)? else {
            return Err(Refusal::NoGateway(self.gateway));
        };
        let mut boots = ledger.silent_boots(gateway, now)?;
        if let Some(boot) = self.boot {
            boots.retain(|silent| silent.id == boot);
            let known = ledger.boot(boot)?.filter(|known| known.gateway == gateway);
            match known {
                None => return Err(Refusal::NoBoot(boot)),
                Some(known) if boots.is_empty() && !known.forgotten => {
                    return Err(Refusal::BootLives(boot));
                }
                Some(_) => {}
            }
        }
        for boot in &mut boots {
            boot.holds = holds(ledger, boot.id, now)?;
            if !self.dry_run {
                ledger.forget_boot(boot.id, now)?;
            }
        }
        let units = sum(&boots);
        Ok(Forgotten { boots, units, dry_run: self.dry_run })
    }
}

impl Request for ReleaseGateways {
    type Answer = Released;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Released, Refusal> {
        let waiting = ledger.restored()?.filter(|restored| restored.since(now).is_some());
        let restored = waiting.ok_or(Refusal::NothingHeld)?;
        ledger.release(now)?;
        Ok(Released { restored: restored.at, awaited: restored.awaited })
    }
}

fn sum(boots: &[Boot]) -> u64 {
    boots.iter().map(Boot::stranded).fold(0, u64::saturating_add)
}

/// What a process holds of quotas whose period is not over.
fn holds(ledger: &mut Ledger<'_>, boot: BootId, now: Timestamp) -> Result<Vec<Held>, Refusal> {
    let mut holds = Vec::new();
    for (of, units) in ledger.held_units(boot, MAX_HELD)? {
        let Some(row) = ledger.subscription(of.subscription)? else { continue };
        let (_, catalog) = catalog::in_force(ledger)?;
        let Some(product) = catalog.product(&row.public.product) else { continue };
        let Some(limit) = product.limits.iter().find(|limit| limit.tag() == of.limit) else {
            continue;
        };
        let Rule::Quota { period, .. } = &limit.rule else { continue };
        let current = QuotaClock::new(period, product.every, row.public.anchor)
            .and_then(|clock| clock.at(now))
            .map_or(1, |current| current.number);
        if of.period >= current {
            let (subscription, limit) = (of.subscription, limit.id.clone());
            holds.push(Held { subscription, limit, period: of.period, units });
        }
    }
    Ok(holds)
}

/// Notes that a process of this gateway synced. One that was forgotten is welcome, but returns what
/// it holds, because that was given to others.
pub(super) fn see(
    ledger: &mut Ledger<'_>,
    gateway: GatewayId,
    request: &SyncRequest,
    now: Timestamp,
    swept: Option<Timestamp>,
) -> Result<(), Refusal> {
    let boot = request.boot;
    let known = ledger.boot(boot)?;
    // Whoever reported its log may have named another one.
    if known.is_some_and(|known| known.has_synced && known.gateway != gateway) {
        return Err(Refusal::ForeignBoot(boot));
    }
    if known.is_some_and(|known| known.forgotten) {
        tracing::warn!(%boot, "a process that was forgotten is back: it is called to return all");
        ledger.recall_all_of_boot(boot)?;
    }
    if let Some(restored) = ledger.restored()? {
        let heard = restored.heard.unwrap_or(now);
        if restored.heard.is_none() {
            ledger.hear(now)?;
        }
        if swept.is_some_and(|swept| swept >= heard) {
            ledger.await_no_more(boot)?;
        }
    }
    // Nobody knows what has not happened.
    let revision = ledger.revision()?;
    let since = request.since.filter(|since| *since <= revision);
    Ok(ledger.see_boot(boot, gateway, now, (swept, since))?)
}

#[cfg(test)]
mod tests;
