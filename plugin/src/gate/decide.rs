//! What becomes of a request, as far as it is known now.

use std::rc::Rc;

use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::{LeaseAsk, Reason};

use super::{Gate, Loaded, WAIT_NS};
use crate::admit::{Admission, Call, LimitStatus, Permit, Reach, Refusal, admit, statuses};
use crate::faults::{self, Fault};
use crate::host::Host;
use crate::metrics::Metric;
use crate::request::{MAX_KEY_BYTES, Request};
use crate::route::{Route, RouteName};
use crate::shared::{self, Failed, Store};
use crate::sync::Question;

/// The shortest key that a consumer may have brought.
const MIN_FOREIGN_KEY_BYTES: usize = 16;
/// What a caller is told who waited for others to return their units, in vain.
const TRY_AGAIN_NS: u64 = 1_000_000_000;

/// What becomes of a request now.
pub(super) enum Decision {
    Go(Pass),
    Refuse(Refused),
    Wait(Want),
}

/// A call that goes on.
#[derive(Default)]
pub(super) struct Pass {
    /// None for calls that bill nothing.
    pub(super) permit: Option<Permit>,
    pub(super) whose: Option<SubscriptionId>,
    pub(super) route: Option<Rc<RouteName>>,
    /// What it would have been refused for, if all that observes enforced.
    pub(super) would_refuse: Option<Reason>,
    /// How its limits stand, if callers are to know.
    pub(super) limits: Vec<LimitStatus>,
}

/// A call that does not.
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    pub(super) whose: Option<SubscriptionId>,
    pub(super) route: Option<Rc<RouteName>>,
}

/// What the host is needed for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    Catalog,
    Key { hash: KeyHash, foreign: bool },
    Lease(LeaseAsk),
}

impl Want {
    /// What it is about.
    pub(crate) fn question(&self) -> Question {
        match self {
            Self::Catalog => Question::Catalog,
            Self::Key { hash, foreign } => Question::Key { hash: *hash, foreign: *foreign },
            Self::Lease(ask) => Question::lease(ask),
        }
    }
}

/// How long a stream has waited for the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// It still may.
    Left,
    /// It may not, and the host said to the end that others hold what it waits for.
    ToldToWait(SubscriptionId, Tag, u32),
    /// It may not, and the host said nothing.
    Over,
}

impl<H: Host> Gate<H> {
    pub(super) fn decide(&mut self, request: &Request, patience: Patience) -> Decision {
        let Some(loaded) = self.loaded.clone() else {
            return Decision::Wait(Want::Catalog);
        };
        if request.unreadable.is_some() {
            return refuse(Refusal::plain(Reason::BadRequest), None, None);
        }
        if request.preflight && loaded.routes.passes_preflight(request) {
            return Decision::Go(Pass::default());
        }
        let route = match loaded.routes.find(request) {
            Ok(Some(route)) => route,
            Ok(None) => return refuse(Refusal::plain(Reason::NotFound), None, None),
            Err(_) => return refuse(Refusal::plain(Reason::BadRequest), None, None),
        };
        let name = Some(route.name.clone());
        if route.open {
            return Decision::Go(Pass { route: name, ..Pass::default() });
        }
        let refuse_key = |reason| refuse(Refusal::plain(reason), None, Some(route.name.clone()));
        let Some(key) = request.key.as_deref() else {
            return refuse_key(Reason::MissingKey);
        };
        let secrets = &loaded.catalog.secrets;
        let foreign = !secrets.recognises(key);
        if foreign && !(loaded.catalog.key.imported && may_be_foreign(key)) {
            return refuse_key(Reason::InvalidKey);
        }
        let hash = secrets.lookup_hash(key);
        match self.owner(hash) {
            None => Decision::Wait(Want::Key { hash, foreign }),
            Some(None) => refuse_key(Reason::InvalidKey),
            Some(Some(subscription)) => {
                let want = Want::Key { hash, foreign };
                let decision = self.decide_known(subscription, want, &loaded, route, patience);
                match decision {
                    // The record is ahead of this VM's catalog, but not of the process's.
                    Decision::Wait(Want::Key { .. }) if self.load_newer_catalog() => {
                        self.decide(request, patience)
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

    /// Whether the host can be asked.
    fn reach(&self, patience: Patience, now_ns: u64, loaded: &Loaded) -> Reach {
        let max_ns = u64::from(loaded.catalog.max_stale_seconds).saturating_mul(1_000_000_000);
        if now_ns.saturating_sub(self.head.heard_ns) > max_ns {
            Reach::Stale
        } else if self.is_host_away(now_ns) || self.is_silent_to(patience, now_ns) {
            Reach::Away
        } else {
            Reach::Near
        }
    }

    /// Whether a stream waited in vain because the host said nothing to anybody: an overdraft is
    /// for outages, not for a stream whose questions came one after another.
    fn is_silent_to(&self, patience: Patience, now_ns: u64) -> bool {
        patience == Patience::Over && now_ns.saturating_sub(self.head.heard_ns) >= WAIT_NS
    }

    /// Admits a call of a known subscription, in one change of its record. `want` is the question
    /// for it, if what is known turns out to be out of date.
    fn decide_known(
        &mut self,
        subscription: SubscriptionId,
        want: Want,
        loaded: &Loaded,
        route: &Route,
        patience: Patience,
    ) -> Decision {
        let name = Some(route.name.clone());
        let reach = self.reach(patience, self.host.monotonic_ns(), loaded);
        let tells_limits = loaded.catalog.answers.limits_on_every_answer;
        let changed = shared::update(&self.host, subscription, |record| {
            let is_known = record.catalog <= loaded.catalog.revision;
            let product = loaded.product(record.product).filter(|_| is_known);
            // Read anew in every try: a VM may have been held up since the last.
            let now = self.now(self.host.monotonic_ns());
            let spent = |limit: Tag, period| {
                if patience == Patience::ToldToWait(subscription, limit, period) {
                    return Some(TRY_AGAIN_NS);
                }
                let it = product?.limits.iter().find(|it| it.tag() == limit);
                let refuses = it.is_some_and(tollgate_pricing::gate::Limit::blocks);
                self.spent.get((subscription, limit, period), refuses, now.mono_ns)
            };
            let call = Call {
                product,
                api: &route.name.api,
                operation: &route.name.operation,
                weight: route.weight,
                now,
                reach,
                spent: &spent,
            };
            match admit(record, &call) {
                admission @ Admission::Admitted { .. } => {
                    let limits = if tells_limits { statuses(record, &call) } else { Vec::new() };
                    (Store::Yes, (admission, limits))
                }
                admission if faults::is(Fault::ChargeBeforeCheck) => {
                    (Store::Yes, (admission, Vec::new()))
                }
                admission => (Store::No, (admission, Vec::new())),
            }
        });
        let (admission, limits) = match changed {
            Ok(decided) => decided,
            Err(Failed::Missing) => return Decision::Wait(want),
            Err(failed @ (Failed::Busy | Failed::Damaged)) => {
                self.note_failure(subscription, failed);
                let refusal = Refusal::passing(Reason::Busy, 1_000);
                return refuse(refusal, Some(subscription), name);
            }
        };
        match admission {
            Admission::Admitted { permit, low, would_refuse, overdrawn } => {
                self.sync.touch(subscription);
                if !low.is_empty() {
                    let now_ns = self.host.monotonic_ns();
                    self.sync.ask_soon(low, now_ns);
                    self.send_urgent(now_ns);
                }
                if overdrawn {
                    self.host.count(Metric::Overdrawn, 1);
                }
                let whose = Some(subscription);
                Decision::Go(Pass {
                    permit: Some(permit),
                    whose,
                    route: name,
                    would_refuse,
                    limits,
                })
            }
            Admission::Refused(mut refusal) => {
                if let Patience::ToldToWait(..) = patience {
                    self.soften(&mut refusal);
                }
                refuse(refusal, Some(subscription), name)
            }
            Admission::Empty(ask) => Decision::Wait(Want::Lease(ask)),
            Admission::Outdated => Decision::Wait(want),
        }
    }

    /// Units are on their way back from others: that a quota has none holds for no longer.
    fn soften(&self, refusal: &mut Refusal) {
        if !matches!(refusal.reason, Reason::QuotaExceeded | Reason::RateLimited) {
            return;
        }
        refusal.retry_after_ns = Some(TRY_AGAIN_NS);
        if let Some(by) = &mut refusal.by {
            by.until_ms = Some(self.wall_ms().saturating_add(TRY_AGAIN_NS.wrapping_div(1_000_000)));
        }
    }

    /// The decision about a stream that cannot wait any longer: never another wait.
    pub(super) fn decide_at_last(&mut self, request: &Request, patience: Patience) -> Decision {
        match self.decide(request, patience) {
            Decision::Wait(_) if patience != Patience::Over => {
                self.decide_at_last(request, Patience::Over)
            }
            Decision::Wait(_) => {
                let now_ns = self.host.monotonic_ns();
                let is_away = self.is_host_away(now_ns) || self.is_silent_to(patience, now_ns);
                let reason = if is_away { Reason::HostUnavailable } else { Reason::Busy };
                refuse(Refusal::passing(reason, 1_000), None, None)
            }
            decision => decision,
        }
    }
}

/// Whether a text may be a key that a consumer brought.
fn may_be_foreign(key: &[u8]) -> bool {
    (MIN_FOREIGN_KEY_BYTES..=MAX_KEY_BYTES).contains(&key.len())
        && key.iter().all(u8::is_ascii_graphic)
}

pub(super) fn refuse(
    refusal: Refusal,
    whose: Option<SubscriptionId>,
    route: Option<Rc<RouteName>>,
) -> Decision {
    Decision::Refuse(Refused { refusal, whose, route })
}
