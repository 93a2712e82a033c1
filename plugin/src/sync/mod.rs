//! What a VM tells the host, and when: rows of its own, records it touched, questions; and for
//! the whole process, if elected, every record in turn.

mod apply;
mod batch;
pub mod rows;
mod sweep;

use std::collections::{HashMap, HashSet};

use tollgate_pricing::id::{SubscriptionId, Tag};
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::{LeaseAsk, MAX_ASKS, PROTOCOL, RecordReport, SYNC_PATH, SyncRequest};

use self::batch::Batch;
use self::rows::Rows;
use self::sweep::Sweep;
use crate::gate::{Gate, Want};
use crate::host::{Host, Level, Post};
use crate::shared;

/// How often a VM that has something to say says it.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Envoy itself answers a call that takes longer.
const TIMEOUT_MS: u32 = 2_000;
/// After this long no answer comes any more, not even Envoy's: the root that asked is gone.
const FORGET_NS: u64 = 3_000_000_000;
/// A question is not asked again sooner than this, unless its answer says that it may be.
const ASK_AGAIN_NS: u64 = 250_000_000;
/// After a failure, nobody waits for the host for this long.
const AWAY_NS: u64 = 1_000_000_000;
/// After a failure, a VM does not stand for election for this long: two syncs of another.
const RESIGNED_NS: u64 = 2 * INTERVAL_NS;

#[allow(clippy::as_conversions)] // a widening one; `From` is not const yet
const _: () = assert!(FORGET_NS > TIMEOUT_MS as u64 * 1_000_000);

/// A VM's side of the conversation.
#[derive(Default)]
pub struct Sync {
    /// Descriptive rows.
    pub rows: Rows,
    /// Records changed here since they were last reported.
    touched: HashSet<SubscriptionId>,
    /// Leases that run low.
    low: Vec<LeaseAsk>,
    /// Questions under way, each with when it may be asked again.
    asked: Vec<(Question, u64)>,
    /// Calls under way, by the proxy's token.
    calls: HashMap<u32, Sent>,
    sweep: Sweep,
    last_sync_ns: u64,
    away_until_ns: u64,
    resigned_until_ns: u64,
    /// What was last said in the log of the host's answers.
    said: Option<String>,
}

/// What a question is about: the same one is not asked twice at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Question {
    Catalog,
    Key(KeyHash),
    Lease(SubscriptionId, Tag, u32),
}

/// A call under way.
struct Sent {
    at_ns: u64,
    keys: Vec<KeyHash>,
    leases: Vec<LeaseAsk>,
    /// Of the regular sync; a question has none.
    regular: Option<Regular>,
}

impl Sent {
    fn asks(&self, question: Question) -> bool {
        match question {
            // Every answer brings it.
            Question::Catalog => true,
            Question::Key(key) => self.keys.contains(&key),
            Question::Lease(subscription, limit, period) => {
                self.leases.iter().any(|ask| ask.about() == (subscription, limit, period))
            }
        }
    }
}

/// What a regular sync carried.
struct Regular {
    touched: Vec<SubscriptionId>,
    reports: Vec<RecordReport>,
    swept: Option<sweep::Step>,
}

/// The proxy refused to send.
pub(crate) struct NotSent;

impl Sync {
    /// Notes that a record changed here.
    pub(crate) fn touch(&mut self, subscription: SubscriptionId) {
        self.touched.insert(subscription);
    }

    /// Asks for leases that run low, with the next sync.
    pub(crate) fn ask_soon(&mut self, low: Vec<LeaseAsk>) {
        self.low.extend(low);
        // An election that is not used lapses after two seconds, and another call asks.
        self.low.truncate(MAX_ASKS);
    }

    /// Whether the host failed just now.
    pub(crate) fn is_host_away(&self, now_ns: u64) -> bool {
        now_ns < self.away_until_ns
    }

    /// The ledger was restored: everything is said again.
    pub(crate) fn forget_acknowledged(&mut self) {
        self.sweep.forget_acknowledged();
    }

    /// This lease may be asked for again: the question was answered.
    fn may_ask_again(&mut self, ask: &LeaseAsk) {
        let (subscription, limit, period) = ask.about();
        let answered = Question::Lease(subscription, limit, period);
        self.asked.retain(|(question, _)| *question != answered);
    }

    fn is_syncing(&self) -> bool {
        self.calls.values().any(|sent| sent.regular.is_some())
    }
}

impl<H: Host> Gate<H> {
    /// Sends the regular sync, if it is time and there is something to say.
    pub(crate) fn sync_if_due(&mut self, now_ns: u64) {
        self.give_up_on_lost_calls(now_ns);
        let due = now_ns.saturating_sub(self.sync.last_sync_ns) >= INTERVAL_NS;
        if due && !self.sync.is_syncing() {
            self.sync_regularly(now_ns);
        }
    }

    /// Asks the host at once, from whatever context is current.
    pub(crate) fn ask_now(&mut self, want: Want, now_ns: u64) -> Result<(), NotSent> {
        self.sync.asked.retain(|(_, until_ns)| *until_ns > now_ns);
        let question = match want {
            Want::Catalog => Question::Catalog,
            Want::Key(key) => Question::Key(key),
            Want::Lease(ask) => {
                let (subscription, limit, period) = ask.about();
                Question::Lease(subscription, limit, period)
            }
        };
        let is_asked = self.sync.asked.iter().any(|(asked, _)| *asked == question);
        if is_asked || self.sync.calls.values().any(|sent| sent.asks(question)) {
            return Ok(());
        }
        let mut request = self.request().ok_or(NotSent)?;
        match want {
            Want::Catalog => {}
            Want::Key(key) => request.keys.push(key),
            Want::Lease(ask) => request.leases.push(ask),
        }
        self.send(request, None)?;
        self.sync.asked.push((question, now_ns.saturating_add(ASK_AGAIN_NS)));
        Ok(())
    }

    /// An answer came, to any call.
    pub fn on_answer(&mut self, token: u32, root: u32) {
        let Some(sent) = self.sync.calls.remove(&token) else {
            return;
        };
        match self.apply(&sent) {
            Ok(()) => {
                self.sync.away_until_ns = 0;
                self.say(None);
            }
            Err(problem) => {
                self.say(Some(problem));
                self.failed(sent);
            }
        }
        self.look_around();
        self.reconsider(root);
    }

    fn failed(&mut self, sent: Sent) {
        let now_ns = self.host.monotonic_ns();
        self.sync.away_until_ns = now_ns.saturating_add(AWAY_NS);
        if let Some(regular) = sent.regular {
            // This VM's own way to the host may be the broken one: another's turn to speak.
            shared::resign(&self.host, self.incarnation);
            self.sync.resigned_until_ns = now_ns.saturating_add(RESIGNED_NS);
            self.sync.touched.extend(regular.touched);
        }
    }

    /// A root that is gone takes the answers to its calls with it.
    fn give_up_on_lost_calls(&mut self, now_ns: u64) {
        let lost: Vec<u32> = self
            .sync
            .calls
            .iter()
            .filter(|(_, sent)| now_ns.saturating_sub(sent.at_ns) >= FORGET_NS)
            .map(|(token, _)| *token)
            .collect();
        for token in lost {
            if let Some(sent) = self.sync.calls.remove(&token) {
                self.failed(sent);
            }
        }
    }

    fn sync_regularly(&mut self, now_ns: u64) {
        let elected =
            now_ns >= self.sync.resigned_until_ns && shared::elect(&self.host, self.incarnation);
        let Some(mut request) = self.request() else {
            self.say(Some("the process's id cannot be read: restart Envoy".to_owned()));
            return;
        };
        let (records, touched, swept) = self.gather_records(elected);
        request.records = records;
        request.rows = self.sync.rows.batch(self.incarnation);
        request.leases = std::mem::take(&mut self.sync.low);
        let something = !request.records.is_empty() || !request.leases.is_empty();
        if !elected && !something && request.rows.is_none() {
            return;
        }
        self.sync.last_sync_ns = now_ns;
        let reports = request.records.clone();
        let regular = Regular { touched, reports, swept };
        if self.send(request, Some(regular)).is_err() {
            let cluster = &self.settings.cluster;
            let problem = format!(
                "no call can be sent: is there a cluster {cluster:?}, and is a host in it?"
            );
            self.say(Some(problem));
        }
    }

    /// Reports of touched records and, if elected, of the next step of the sweep.
    fn gather_records(
        &mut self,
        elected: bool,
    ) -> (Vec<RecordReport>, Vec<SubscriptionId>, Option<sweep::Step>) {
        let mut batch = Batch::default();
        let mut touched = Vec::new();
        let wall_ms = self.wall_ms();
        for id in std::mem::take(&mut self.sync.touched) {
            // Half of the room is the sweep's, which would stand still otherwise.
            if batch.is_half_full() {
                self.sync.touched.insert(id);
                continue;
            }
            touched.push(id);
            if let Ok(seen) = sweep::visit(&self.host, id, wall_ms) {
                batch.push(seen.report);
            }
        }
        if !elected {
            self.sync.sweep.restart();
            return (batch.reports, touched, None);
        }
        let step = self.sync.sweep.step(&self.host, wall_ms, &mut batch);
        (batch.reports, touched, Some(step))
    }

    /// What every request says.
    fn request(&mut self) -> Option<SyncRequest> {
        if self.boot.is_none() {
            self.boot = shared::boot(&self.host);
        }
        let boot = self.boot?;
        let head = shared::head(&self.host);
        Some(SyncRequest {
            protocol: PROTOCOL,
            boot,
            ledger: head.as_ref().and_then(|head| head.ledger),
            epoch: head.as_ref().map_or(0, |head| head.epoch),
            since: head.as_ref().map(|head| head.revision),
            catalog: head.as_ref().map(|head| head.catalog),
            swept_through_ms: head.as_ref().and_then(|head| head.swept_through_ms),
            rows: None,
            records: Vec::new(),
            keys: Vec::new(),
            leases: Vec::new(),
        })
    }

    fn send(&mut self, request: SyncRequest, regular: Option<Regular>) -> Result<(), NotSent> {
        let at_ns = self.host.monotonic_ns();
        let body = serde_json::to_vec(&request).map_err(|_| NotSent)?;
        let sent = Sent { at_ns, keys: request.keys, leases: request.leases, regular };
        let post = Post {
            cluster: &self.settings.cluster,
            authority: &self.settings.authority,
            path: SYNC_PATH,
            token: &self.token,
            body: &body,
            timeout_ms: TIMEOUT_MS,
        };
        if let Some(token) = self.host.post(post) {
            self.sync.calls.insert(token, sent);
            Ok(())
        } else {
            self.failed(sent);
            Err(NotSent)
        }
    }

    /// Says once in the log how the host answers, and again when that changes.
    fn say(&mut self, problem: Option<String>) {
        if self.sync.said == problem {
            return;
        }
        match &problem {
            Some(problem) => self.host.log(Level::Warn, problem),
            None => self.host.log(Level::Info, "the host answers again"),
        }
        self.sync.said = problem;
    }
}
