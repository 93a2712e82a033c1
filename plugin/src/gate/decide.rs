//! What becomes of a request, as far as it is known now.

use std::rc::Rc;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::{LeaseAsk, MAX_STALE_SECONDS, Reason};

use super::{Gate, Loaded};
use crate::admit::{Admission, Call, Now, Permit, Reach, Refusal, admit};
use crate::host::{Host, Level};
use crate::request::{MAX_KEY_BYTES, Request};
use crate::route::{Route, RouteName};
use crate::shared::{self, Failed, Store};

const STALE_NS: u64 = MAX_STALE_SECONDS * 1_000_000_000;

/// What becomes of a request now.
pub(super) enum Decision {
    Go { permit: Option<Permit>, route: Option<Rc<RouteName>> },
    Refuse { refusal: Refusal, whose: Option<SubscriptionId>, route: Option<Rc<RouteName>> },
    Wait(Want),
}

/// What the host is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    Catalog,
    Key(KeyHash),
    Lease(LeaseAsk),
}

impl<H: Host> Gate<H> {
    pub(super) fn decide(&mut self, request: &Request) -> Decision {
        let Some(loaded) = self.loaded.clone() else {
            return Decision::Wait(Want::Catalog);
        };
        if request.preflight && loaded.routes.covers(request) {
            return Decision::Go { permit: None, route: None };
        }
        let Some(route) = loaded.routes.find(request) else {
            return refuse(Refusal::plain(Reason::NotFound), None, None);
        };
        let name = Some(route.name.clone());
        if route.open {
            return Decision::Go { permit: None, route: name };
        }
        let refuse_key = |reason| refuse(Refusal::plain(reason), None, Some(route.name.clone()));
        let Some(key) = request.key.as_deref().filter(|key| !key.is_empty()) else {
            return refuse_key(Reason::MissingKey);
        };
        if key.len() > MAX_KEY_BYTES || !loaded.catalog.secrets.recognises(key) {
            return refuse_key(Reason::InvalidKey);
        }
        let hash = loaded.catalog.secrets.lookup_hash(key);
        match self.owner(hash) {
            None => Decision::Wait(Want::Key(hash)),
            Some(None) => refuse_key(Reason::InvalidKey),
            Some(Some(subscription)) => {
                let decision = self.decide_known(subscription, hash, &loaded, route);
                match decision {
                    // The record is ahead of this VM's catalog, but not of the process's.
                    Decision::Wait(Want::Key(_)) if self.load_newer_catalog() => {
                        self.decide(request)
                    }
                    decision => decision,
                }
            }
        }
    }

    /// Whose key this is: from this VM's memory, then from shared data.
    #[allow(clippy::option_option)]
    fn owner(&mut self, key: KeyHash) -> Option<Option<SubscriptionId>> {
        if let Some(owner) = self.keys.get(key) {
            return Some(owner);
        }
        let owner = shared::key_owner(&self.host, key)?;
        self.keys.put(key, owner);
        Some(owner)
    }

    /// Admits a call of a known subscription, in one change of its record.
    fn decide_known(
        &mut self,
        subscription: SubscriptionId,
        key: KeyHash,
        loaded: &Loaded,
        route: &Route,
    ) -> Decision {
        let name = route.name.clone();
        if self.host.monotonic_ns().saturating_sub(self.head.heard_ns) > STALE_NS {
            return unavailable();
        }
        let spent = &self.exhausted;
        let changed = shared::update(&self.host, subscription, |record| {
            let is_known = record.catalog <= loaded.catalog.revision;
            let product = loaded.product(record.product).filter(|_| is_known);
            // Read anew in every try: a VM may have been held up since the last.
            let mono_ns = self.host.monotonic_ns();
            let now = Now { wall_ms: self.head.wall_ms(mono_ns), mono_ns };
            let call = Call {
                product,
                api: &route.name.api,
                operation: &route.name.operation,
                weight: route.weight,
                now,
                reach: Reach::Near,
                spent: &|limit, period| {
                    let until_ns = spent.get(&(subscription, limit, period))?;
                    until_ns.checked_sub(mono_ns).filter(|left| *left > 0)
                },
            };
            match admit(record, &call) {
                admission @ Admission::Admitted { .. } => (Store::Yes, admission),
                admission => (Store::No, admission),
            }
        });
        match changed {
            Ok(Admission::Admitted { permit, low, .. }) => {
                self.sync.touch(subscription);
                self.sync.ask_soon(low);
                Decision::Go { permit: Some(permit), route: Some(name) }
            }
            Ok(Admission::Refused(refusal)) => refuse(refusal, Some(subscription), Some(name)),
            Ok(Admission::Empty(ask)) => Decision::Wait(Want::Lease(ask)),
            Ok(Admission::Outdated) | Err(Failed::Missing) => Decision::Wait(Want::Key(key)),
            Err(failed @ (Failed::Busy | Failed::Damaged)) => {
                if failed == Failed::Damaged {
                    self.host
                        .log(Level::Error, &format!("the record of {subscription} is damaged"));
                }
                let refusal = Refusal::passing(Reason::Busy, 1_000);
                refuse(refusal, Some(subscription), Some(name))
            }
        }
    }
}

pub(super) fn refuse(
    refusal: Refusal,
    whose: Option<SubscriptionId>,
    route: Option<Rc<RouteName>>,
) -> Decision {
    Decision::Refuse { refusal, whose, route }
}

pub(super) fn unavailable() -> Decision {
    refuse(Refusal::passing(Reason::HostUnavailable, 1_000), None, None)
}
