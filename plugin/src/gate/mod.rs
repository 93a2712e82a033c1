//! One VM's gate: every stream from its headers to its log.
//!
//! A stream whose decision needs the host is paused and its request kept; whenever something is
//! learnt, the decision is simply made again from the start. So there is one path to every
//! answer, and a stream that went away while paused leaves nothing behind.

mod decide;
mod loaded;

use std::collections::HashMap;
use std::rc::Rc;

use tollgate_pricing::gate::KeyPlaces;
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};
use tollgate_pricing::sync::{LeaseAsk, Outcome, Reason};

pub(crate) use self::decide::Want;
use self::decide::{Decision, refuse, unavailable};
use self::loaded::Loaded;
use crate::admit::{Permit, Refusal};
use crate::host::Host;
use crate::keys::Keys;
use crate::reply::{Reply, status_of};
use crate::request::Request;
use crate::route::RouteName;
use crate::settings::Settings;
use crate::settle::{Ending, Measured, NoSlot, settle};
use crate::shared::{self, Failed, Head, Store};
use crate::sync::Sync;
use crate::sync::rows::RowKey;

/// How often a VM looks around.
pub const TICK_MS: u32 = 250;
/// Streams that may wait for the host at once; more are answered 503.
const MAX_WAITING: usize = 1_024;
/// How long a stream waits for the host.
const WAIT_NS: u64 = 2_000_000_000;
/// Answers "spent" of the host hold for this long.
const EXHAUSTED_NS: u64 = 1_000_000_000;
/// Quotas remembered as spent.
const MAX_EXHAUSTED: usize = 10_000;

/// A VM's state. Everything that must survive the VM is in shared data.
pub struct Gate<H> {
    pub(crate) host: H,
    pub(crate) settings: Settings,
    /// The gateway's bearer token.
    pub(crate) token: String,
    /// Drawn when the VM began to work.
    pub(crate) incarnation: Hex128,
    pub(crate) boot: Option<BootId>,
    pub(crate) head: Head,
    pub(crate) loaded: Option<Rc<Loaded>>,
    pub(crate) keys: Keys,
    pub(crate) sync: Sync,
    streams: HashMap<u32, Stream>,
    exhausted: HashMap<(SubscriptionId, Tag, u32), u64>,
    unsettled: Vec<(Permit, Ending)>,
}

enum Stream {
    Waiting { request: Request, since_ns: u64 },
    Going(Call),
}

/// A call on its way to the upstream.
struct Call {
    /// None for calls that bill nothing.
    permit: Option<Permit>,
    route: Option<Rc<RouteName>>,
    minute: u32,
    started_ns: u64,
}

/// What the proxy is to do with a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Let it go on.
    Continue,
    /// Hold it.
    Pause,
}

impl<H: Host> Gate<H> {
    /// A gate that has not spoken to the host yet. Has no effect on anything outside.
    pub fn new(host: H, settings: Settings, token: String) -> Self {
        Self {
            incarnation: Hex128(host.random()),
            host,
            settings,
            token,
            boot: None,
            head: Head::default(),
            loaded: None,
            keys: Keys::default(),
            sync: Sync::default(),
            streams: HashMap::new(),
            exhausted: HashMap::new(),
            unsettled: Vec::new(),
        }
    }

    /// A request's headers are there.
    pub fn on_request_headers(&mut self, stream: u32) -> Action {
        let now_ns = self.host.monotonic_ns();
        if self.loaded.is_none() {
            self.look_around();
        }
        let Some(loaded) = self.loaded.clone() else {
            // Where keys are is not known before the catalog is: its headers are read then.
            let request = Request::default();
            return self.enact(stream, request, Decision::Wait(Want::Catalog), now_ns);
        };
        let (request, decision) = self.read_and_decide(&loaded.catalog.key);
        self.enact(stream, request, decision, now_ns)
    }

    /// The stream has ended, in whatever way: the point of metering.
    pub fn on_log(&mut self, stream: u32) {
        let Some(Stream::Going(call)) = self.streams.remove(&stream) else {
            return;
        };
        let status = self.host.number(&["response", "code"]);
        let status = status.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
        let subscription = call.permit.as_ref().map(Permit::subscription);
        let outcome = match call.permit {
            None => Outcome::Open,
            Some(permit) => {
                let ending = Ending::of(self.host.has(&["upstream", "address"]), status);
                self.settle(permit, ending);
                match ending {
                    Ending::Billable => Outcome::Billable,
                    Ending::Waived => Outcome::Waived,
                }
            }
        };
        let key = RowKey {
            subscription,
            route: call.route,
            status,
            outcome,
            would_refuse: None,
            minute: call.minute,
        };
        let elapsed_ns = self.host.monotonic_ns().saturating_sub(call.started_ns);
        self.sync.rows.add(key, elapsed_ns);
    }

    /// The proxy forgets the stream.
    pub fn on_delete(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    /// Looks at what other VMs published, and at what waits. `root` is the context ticking.
    pub fn on_tick(&mut self, root: u32) {
        self.look_around();
        for (permit, ending) in std::mem::take(&mut self.unsettled) {
            self.settle(permit, ending);
        }
        let now_ns = self.host.monotonic_ns();
        self.exhausted.retain(|_, until_ns| *until_ns > now_ns);
        self.sync_if_due(now_ns);
        self.reconsider(root);
    }

    /// Takes over what other VMs published in shared data.
    pub(crate) fn look_around(&mut self) {
        let Some(head) = shared::head(&self.host) else {
            return;
        };
        if head.epoch != self.head.epoch {
            self.sync.forget_acknowledged();
        }
        self.keys.at_revision(head.revision);
        if head.catalog > self.catalog_revision() {
            self.load_newer_catalog();
        }
        self.head = head;
    }

    /// Loads the process's catalog if it is newer than this VM's.
    fn load_newer_catalog(&mut self) -> bool {
        let newer = shared::catalog(&self.host)
            .filter(|catalog| catalog.revision > self.catalog_revision());
        let is_newer = newer.is_some();
        if let Some(catalog) = newer {
            self.loaded = Some(Rc::new(Loaded::new(catalog)));
        }
        is_newer
    }

    fn catalog_revision(&self) -> u32 {
        self.loaded.as_ref().map_or(0, |loaded| loaded.catalog.revision)
    }

    /// Decides every waiting stream again. Ends with `root` as the current context.
    pub(crate) fn reconsider(&mut self, root: u32) {
        let is_waiting =
            |(id, stream): (&u32, &Stream)| matches!(stream, Stream::Waiting { .. }).then_some(*id);
        let waiting: Vec<u32> = self.streams.iter().filter_map(is_waiting).collect();
        for id in waiting {
            let Some(Stream::Waiting { request, since_ns }) = self.streams.remove(&id) else {
                continue;
            };
            if !self.host.focus(id) {
                continue;
            }
            let (request, decision) = self.decide_again(request, since_ns);
            if self.enact(id, request, decision, since_ns) == Action::Continue {
                self.host.resume();
            }
        }
        self.host.focus(root);
    }

    fn decide_again(&mut self, request: Request, since_ns: u64) -> (Request, Decision) {
        let (request, decision) = match self.loaded.clone() {
            Some(loaded) if request.is_unread() => self.read_and_decide(&loaded.catalog.key),
            _ => {
                let decision = self.decide(&request);
                (request, decision)
            }
        };
        let late = self.host.monotonic_ns().saturating_sub(since_ns) >= WAIT_NS;
        match decision {
            Decision::Wait(_) if late => (request, unavailable()),
            decision => (request, decision),
        }
    }

    fn read_and_decide(&mut self, places: &KeyPlaces) -> (Request, Decision) {
        if let Ok(request) = Request::read(&self.host.request_headers(), places) {
            let decision = self.decide(&request);
            return (request, decision);
        }
        (Request::default(), refuse(Refusal::plain(Reason::BadRequest), None, None))
    }

    /// Does what was decided with the current stream.
    fn enact(
        &mut self,
        stream: u32,
        request: Request,
        decision: Decision,
        since_ns: u64,
    ) -> Action {
        match decision {
            Decision::Go { permit, route } => {
                let minute = self.minute();
                let call = Call { permit, route, minute, started_ns: since_ns };
                self.streams.insert(stream, Stream::Going(call));
                Action::Continue
            }
            Decision::Refuse { refusal, whose, route } => {
                self.refuse(&refusal, whose, route, since_ns);
                Action::Pause
            }
            Decision::Wait(want) => {
                if let Err(refusal) = self.wait_for(want) {
                    self.refuse(&refusal, None, None, since_ns);
                    return Action::Pause;
                }
                self.streams.insert(stream, Stream::Waiting { request, since_ns });
                Action::Pause
            }
        }
    }

    /// Asks the host, unless that is under way or hopeless.
    fn wait_for(&mut self, want: Want) -> Result<(), Refusal> {
        let now_ns = self.host.monotonic_ns();
        if self.sync.is_host_away(now_ns) {
            return Err(Refusal::passing(Reason::HostUnavailable, 1_000));
        }
        // Counted only when there are as many streams at all.
        if self.streams.len() >= MAX_WAITING {
            let waiting = |stream: &&Stream| matches!(stream, Stream::Waiting { .. });
            if self.streams.values().filter(waiting).count() >= MAX_WAITING {
                return Err(Refusal::passing(Reason::Busy, 1_000));
            }
        }
        self.ask_now(want, now_ns).map_err(|_| Refusal::passing(Reason::HostUnavailable, 1_000))
    }

    fn refuse(
        &mut self,
        refusal: &Refusal,
        subscription: Option<SubscriptionId>,
        route: Option<Rc<RouteName>>,
        since_ns: u64,
    ) {
        let places = self.loaded.as_ref().map(|loaded| &loaded.catalog.key);
        self.host.reply(&Reply::new(refusal, places));
        let status = status_of(refusal.reason);
        let outcome = Outcome::Refused(refusal.reason);
        let minute = self.minute();
        let key = RowKey { subscription, route, status, outcome, would_refuse: None, minute };
        let elapsed_ns = self.host.monotonic_ns().saturating_sub(since_ns);
        self.sync.rows.add(key, elapsed_ns);
    }

    /// Settles a call, or keeps it for the next tick: a settlement is never dropped.
    fn settle(&mut self, permit: Permit, ending: Ending) {
        let subscription = permit.subscription();
        let settled = shared::update(&self.host, subscription, |record| {
            match settle(record, &permit, ending, &Measured::default()) {
                Ok(()) => (Store::Yes, true),
                Err(NoSlot) => (Store::No, false),
            }
        });
        match settled {
            Ok(true) => self.sync.touch(subscription),
            // A missing or damaged record has nothing to settle in; its calls stay open.
            Err(Failed::Missing | Failed::Damaged) => {}
            Ok(false) | Err(Failed::Busy) => self.unsettled.push((permit, ending)),
        }
    }

    /// Remembers that the host said a quota is spent.
    pub(crate) fn remember_exhausted(&mut self, ask: &LeaseAsk) {
        if self.exhausted.len() < MAX_EXHAUSTED {
            let until_ns = self.host.monotonic_ns().saturating_add(EXHAUSTED_NS);
            self.exhausted.insert(ask.about(), until_ns);
        }
    }

    /// The host's clock now, unix milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.head.wall_ms(self.host.monotonic_ns())
    }

    fn minute(&self) -> u32 {
        u32::try_from(self.wall_ms().wrapping_div(60_000)).unwrap_or(u32::MAX)
    }
}
