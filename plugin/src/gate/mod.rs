//! One VM's gate: every stream from its headers to its log.
//!
//! A stream whose decision needs the host is paused and its request kept; whenever something is
//! learnt, the decision is simply made again from the start. So there is one path to every
//! answer, and a stream that went away while paused leaves nothing behind.

mod decide;
mod ending;
mod life;
mod loaded;
mod news;
mod room;
mod spent;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use tollgate_pricing::id::{BootId, Hex128, SubscriptionId};
use tollgate_pricing::sync::{Country, Outcome, Reason};

pub(crate) use self::decide::Want;
use self::decide::{Decision, Pass, Patience, Refused, refuse};
use self::ending::Unsettled;
use self::life::Life;
use self::loaded::Loaded;
use self::room::{Room, Waiting};
use self::spent::Spent;
use crate::admit::{Permit, Refusal};
use crate::faults;
use crate::host::Host;
use crate::keys::Keys;
use crate::metrics::Metric;
use crate::reply::{self, Reply, status_of};
use crate::request::Request;
use crate::route::RouteName;
use crate::settings::{Mode, Settings};
use crate::shared::Head;
use crate::sync::rows::Described;
use crate::sync::{Question, Sync};

/// How often a VM looks around.
pub const TICK_MS: u32 = 250;
/// How long a stream waits for the host: with the tick that ends it, two seconds.
const WAIT_NS: u64 = 1_750_000_000;
/// What an Envoy that adds `RateLimit` headers to answers reads them from.
const LIMITS_NOTE: &str = "tollgate_ratelimit";
const POLICIES_NOTE: &str = "tollgate_ratelimit_policy";

/// A VM's state. Everything that must survive the VM is in shared data.
pub struct Gate<H> {
    pub(crate) host: H,
    pub(crate) settings: Settings,
    /// The gateway's bearer token.
    pub(crate) token: String,
    /// Drawn when the VM began to work.
    pub(crate) incarnation: Hex128,
    born_ns: u64,
    pub(crate) boot: Option<BootId>,
    pub(crate) head: Head,
    pub(crate) loaded: Option<Rc<Loaded>>,
    pub(crate) keys: Keys,
    pub(crate) sync: Sync,
    pub(crate) spent: Spent,
    room: Room,
    going: HashMap<u32, Call>,
    unsettled: Vec<Unsettled>,
    /// Subscriptions whose records were complained about in the log.
    noted: HashSet<SubscriptionId>,
    pub(crate) life: Life,
}

/// A call on its way to the upstream.
struct Call {
    /// None for calls that bill nothing.
    permit: Option<Permit>,
    whose: Option<SubscriptionId>,
    route: Option<Rc<RouteName>>,
    would_refuse: Option<Reason>,
    country: Option<Country>,
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
            born_ns: host.monotonic_ns(),
            host,
            settings,
            token,
            boot: None,
            head: Head::default(),
            loaded: None,
            keys: Keys::default(),
            sync: Sync::default(),
            spent: Spent::default(),
            room: Room::default(),
            going: HashMap::new(),
            unsettled: Vec::new(),
            noted: HashSet::new(),
            life: Life::default(),
        }
    }

    /// A request's headers are there.
    pub fn on_request_headers(&mut self, stream: u32) -> Action {
        let now_ns = self.host.monotonic_ns();
        self.enter_roster(now_ns);
        if self.loaded.is_none() {
            self.look_around();
        }
        // Where keys are is not known before the catalog is: without it, headers are read later.
        let request = self.read_request().unwrap_or_default();
        let decision = self.decide(&request, Patience::Left);
        self.enact(stream, request, decision, now_ns)
    }

    /// The proxy forgets the stream.
    pub fn on_delete(&mut self, stream: u32) {
        self.room.take(stream);
        self.going.remove(&stream);
        self.say_what_came_late();
    }

    /// Looks at what other VMs published, and at what waits. `root` is the context ticking.
    pub fn on_tick(&mut self, root: u32) {
        if self.life.is_over() {
            return;
        }
        self.look_around();
        self.settle_kept();
        let now_ns = self.host.monotonic_ns();
        self.spent.forget_old(now_ns);
        self.sync_if_due(now_ns);
        self.reconsider(root, |_| true);
        self.spill_if_due(now_ns);
        self.sign_roster(now_ns);
        self.show_gauges(now_ns);
    }

    /// Decides those waiting streams again that wait for such an answer. Ends with `root` as the
    /// current context.
    pub(crate) fn reconsider(&mut self, root: u32, is_it: impl Fn(Question) -> bool) {
        for stream in self.room.who(is_it) {
            if !self.host.focus(stream) {
                self.room.take(stream);
                continue;
            }
            let Some(waiting) = self.room.take(stream) else { continue };
            if self.decide_again(stream, waiting) == Action::Continue {
                self.host.resume();
            }
        }
        self.host.focus(root);
    }

    fn decide_again(&mut self, stream: u32, waiting: Waiting) -> Action {
        let Waiting { mut request, since_ns, question, told_to_wait } = waiting;
        if request.is_unread() {
            request = self.read_request().unwrap_or_default();
        }
        if self.host.monotonic_ns().saturating_sub(since_ns) >= WAIT_NS {
            let patience = match question {
                Question::Lease { subscription, limit, period, .. } if told_to_wait => {
                    Patience::ToldToWait(subscription, limit, period)
                }
                _ => Patience::Over,
            };
            let decision = self.decide_at_last(&request, patience);
            return self.enact(stream, request, decision, since_ns);
        }
        match self.decide(&request, Patience::Left) {
            Decision::Wait(want) => {
                let told_to_wait = told_to_wait && want.question() == question;
                self.hold(stream, request, &want, since_ns, told_to_wait)
            }
            decision => self.enact(stream, request, decision, since_ns),
        }
    }

    /// The current stream's request, if a catalog says where its key is. From then on its path
    /// has no key in it, whatever becomes of it: neither the API nor an access log sees one.
    fn read_request(&self) -> Option<Request> {
        let loaded = self.loaded.as_ref()?;
        let headers = self.host.request_headers();
        faults::trap_if_told(&headers);
        let country = self.settings.country_header.as_deref();
        let mut request = Request::read(&headers, &loaded.catalog.key, country);
        if let Some(path) = request.forward.take() {
            self.host.set_path(&path);
        }
        Some(request)
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
            Decision::Wait(want) => self.hold(stream, request, &want, since_ns, false),
            Decision::Go(pass) => self.let_go(stream, pass, request.country, since_ns),
            Decision::Refuse(Refused { refusal, whose, route })
                if self.settings.mode == Mode::Observe =>
            {
                let would_refuse = Some(refusal.reason);
                let pass = Pass { whose, route, would_refuse, ..Pass::default() };
                self.let_go(stream, pass, request.country, since_ns)
            }
            Decision::Refuse(refused) => {
                self.refuse(refused, request.country, since_ns);
                Action::Pause
            }
        }
    }

    /// Lets the current stream go on to the API.
    fn let_go(
        &mut self,
        stream: u32,
        pass: Pass,
        country: Option<Country>,
        started_ns: u64,
    ) -> Action {
        if !pass.limits.is_empty() {
            self.host.note(LIMITS_NOTE, &reply::standings(&pass.limits));
            self.host.note(POLICIES_NOTE, &reply::policies(&pass.limits));
        }
        let metric = if pass.permit.is_some() { Metric::Admitted } else { Metric::Open };
        self.host.count(metric, 1);
        if let Some(reason) = pass.would_refuse {
            self.host.count(Metric::WouldRefuse(reason), 1);
        }
        let Pass { permit, whose, route, would_refuse, .. } = pass;
        let minute = self.minute();
        let call = Call { permit, whose, route, would_refuse, country, minute, started_ns };
        self.going.insert(stream, call);
        Action::Continue
    }

    /// Holds the current stream back and asks the host, unless that is hopeless.
    fn hold(
        &mut self,
        stream: u32,
        request: Request,
        want: &Want,
        since_ns: u64,
        told_to_wait: bool,
    ) -> Action {
        let (now_ns, question) = (self.host.monotonic_ns(), want.question());
        if !self.is_host_away(now_ns) {
            if !self.room.fits(question) || self.sync.ask(*want, now_ns).is_err() {
                let whose = match want {
                    Want::Lease(ask) => Some(ask.subscription),
                    Want::Catalog | Want::Key { .. } => None,
                };
                let busy = refuse(Refusal::passing(Reason::Busy, 1_000), whose, None);
                return self.enact(stream, request, busy, since_ns);
            }
            self.send_urgent(now_ns);
        }
        // Also when that was found out just now.
        if self.is_host_away(now_ns) {
            let decision = self.decide_at_last(&request, Patience::Over);
            return self.enact(stream, request, decision, since_ns);
        }
        self.room.put(stream, Waiting { request, since_ns, question, told_to_wait });
        Action::Pause
    }

    fn refuse(&mut self, refused: Refused, country: Option<Country>, since_ns: u64) {
        let Refused { refusal, whose, route } = refused;
        let catalog = self.loaded.as_ref().map(|loaded| &loaded.catalog);
        self.host.reply(&Reply::new(&refusal, catalog));
        self.host.count(Metric::Refused(refusal.reason), 1);
        let status = status_of(refusal.reason, catalog.map(|catalog| &catalog.answers));
        self.describe(Described {
            subscription: whose,
            period: 0,
            route,
            status,
            outcome: Outcome::Refused(refusal.reason),
            would_refuse: None,
            minute: self.minute(),
            country,
            latency_us: self.micros_since(since_ns),
            bytes: 0,
            units: 0,
        });
    }
}

#[cfg(test)]
mod tests;
