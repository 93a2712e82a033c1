//! What a VM tells the host, and when: rows of its own, records it touched, questions; and for
//! the whole process, if elected, every record in turn. What nobody acknowledges goes to the log.

mod apply;
mod batch;
mod questions;
mod reach;
pub mod rows;
mod spill;
mod sweep;
mod touched;

use std::collections::{BTreeSet, HashMap, HashSet};

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::key::KeyHash;
use tollgate_pricing::sync::{
    LeaseAsk, MAX_ASKS, MAX_REQUEST_BYTES, PROTOCOL, RATE_PERIOD, RecordReport, SYNC_PATH,
    SyncRequest,
};

use self::batch::Batch;
use self::questions::{Asked, MAX_POSTS, Questions};
pub(crate) use self::questions::{Question, TooMany};
use self::reach::Failing;
use self::rows::Rows;
use self::spill::Spills;
use self::sweep::Sweep;
use self::touched::Touched;
use crate::gate::{Gate, Want};
use crate::host::{Host, Level, Post};
use crate::metrics::Metric;
use crate::shared::{self, Failed};

/// How often a VM that has something to say says it.
const INTERVAL_NS: u64 = 1_000_000_000;
/// Envoy itself answers a call that takes longer.
const TIMEOUT_MS: u32 = 2_000;
/// After this long no answer comes any more, not even Envoy's: the root that asked is gone.
const FORGET_NS: u64 = 3_000_000_000;
/// After a failure, a VM does not stand for election for this long: two syncs of another.
const RESIGNED_NS: u64 = 2 * INTERVAL_NS;

/// A question for units with every number at its longest.
const ASK_BYTES: usize = 280;
/// The rest of a request, and the last record, which may pass its bound.
const OTHER_BYTES: usize = 32 * 1024;

const _: () = assert!(
    rows::MAX_BATCH_BYTES + batch::RECORD_BYTES + MAX_ASKS * ASK_BYTES + OTHER_BYTES
        <= MAX_REQUEST_BYTES,
    "a host reads the largest request"
);
#[allow(clippy::as_conversions)] // a widening one; `From` is not const yet
const _: () = assert!(FORGET_NS > TIMEOUT_MS as u64 * 1_000_000);

/// A VM's side of the conversation.
#[derive(Default)]
pub struct Sync {
    /// Descriptive rows.
    pub rows: Rows,
    /// Records changed here since they were last reported.
    touched: Touched,
    /// Records that gave units back: others wait for them.
    returned: BTreeSet<SubscriptionId>,
    /// Leases that run low.
    low: Vec<LeaseAsk>,
    /// What streams wait for.
    questions: Questions,
    /// Calls under way, by the proxy's token.
    calls: HashMap<u32, Sent>,
    sweep: Sweep,
    last_sync_ns: u64,
    failing: Failing,
    resigned_until_ns: u64,
    spills: Spills,
    /// What was last said in the log of the host's answers.
    said: Option<String>,
}

/// A call under way.
struct Sent {
    at_ns: u64,
    /// The ledger's epoch as it was known.
    epoch: u32,
    keys: Vec<KeyHash>,
    leases: Vec<LeaseAsk>,
    what: What,
}

/// What a call is for.
enum What {
    /// Each second: rows, records, the sweep.
    Regular { touched: Vec<SubscriptionId>, reports: Vec<RecordReport>, swept: Option<sweep::Step> },
    /// At once: questions, and records that gave units back.
    Urgent { questions: Vec<Question>, returned: Vec<SubscriptionId> },
}

impl Sent {
    fn questions(&self) -> &[Question] {
        match &self.what {
            What::Regular { .. } => &[],
            What::Urgent { questions, .. } => questions,
        }
    }
}

/// The proxy refused to send.
pub(crate) struct NotSent;

impl Sync {
    /// Notes that a record changed here.
    pub(crate) fn touch(&mut self, subscription: SubscriptionId) {
        self.touched.insert(subscription);
    }

    /// Asks for leases that run low: for a quota with the next sync; for a rate, whose units last
    /// no longer than that, with the next question.
    pub(crate) fn ask_soon(&mut self, low: Vec<LeaseAsk>, now_ns: u64) {
        let (rates, quotas): (Vec<LeaseAsk>, Vec<LeaseAsk>) =
            low.into_iter().partition(|ask| ask.lease.period == RATE_PERIOD);
        for ask in rates {
            // With too many, whoever finds it empty asks.
            let _ = self.questions.add(Want::Lease(ask), now_ns);
        }
        self.low.extend(quotas);
        // An election that is not used lapses after two seconds, and another call asks.
        self.low.truncate(MAX_ASKS);
    }

    /// Whether the host is not to be waited for, when some VM last heard from it at `heard_ns`.
    pub(crate) fn is_host_away(&self, now_ns: u64, heard_ns: u64) -> bool {
        self.failing.is_away(now_ns, heard_ns)
    }

    /// Adds a question to those that go next.
    pub(crate) fn ask(&mut self, want: Want, now_ns: u64) -> Result<(), TooMany> {
        self.questions.add(want, now_ns)
    }

    /// The ledger was restored: everything is read and said again.
    pub(crate) fn begin_again(&mut self) {
        self.sweep.restart();
    }

    /// Records of which not all is known to be stored that this VM did to them. One that changed
    /// while a report of it is under way is among them twice.
    fn unacknowledged(&self) -> impl Iterator<Item = SubscriptionId> {
        let under_way = self.calls.values().flat_map(|sent| match &sent.what {
            What::Regular { touched, .. } => touched,
            What::Urgent { returned, .. } => returned,
        });
        self.touched.iter().chain(self.returned.iter().copied()).chain(under_way.copied())
    }

    /// Records and rows that are not known to be stored.
    pub(crate) fn undelivered(&self) -> u64 {
        let records = u64::try_from(self.unacknowledged().count()).unwrap_or(u64::MAX);
        records.saturating_add(self.rows.pending())
    }

    fn is_syncing(&self) -> bool {
        self.calls.values().any(|sent| matches!(sent.what, What::Regular { .. }))
    }
}

impl<H: Host> Gate<H> {
    /// Sends the regular sync, if it is time and there is something to say; and questions.
    pub(crate) fn sync_if_due(&mut self, now_ns: u64) {
        self.give_up_on_lost_calls(now_ns);
        self.sync.questions.forget_old(now_ns);
        let due = now_ns.saturating_sub(self.sync.last_sync_ns) >= INTERVAL_NS;
        if due && self.sync.failing.may_call(now_ns) && !self.sync.is_syncing() {
            self.sync_regularly(now_ns);
        }
        self.send_urgent(now_ns);
    }

    /// Sends what is urgent, unless enough of it is under way already: then it goes with the next
    /// answer. From whatever context is current.
    pub(crate) fn send_urgent(&mut self, now_ns: u64) {
        let under_way = self.sync.calls.values();
        let under_way = under_way.filter(|sent| matches!(sent.what, What::Urgent { .. })).count();
        let nothing = self.sync.questions.is_empty() && self.sync.returned.is_empty();
        if nothing || under_way >= MAX_POSTS || self.is_host_away(now_ns) {
            return;
        }
        let Some(mut request) = self.request() else { return };
        let Asked { questions, keys, leases } = self.sync.questions.take();
        let asks = u32::try_from(keys.len().saturating_add(leases.len())).unwrap_or(u32::MAX);
        self.host.count(Metric::Asks, asks);
        (request.keys, request.leases) = (keys, leases);
        let mut batch = Batch::default();
        let (now, mut returned) = (self.now(now_ns), Vec::new());
        while !batch.is_full()
            && let Some(id) = self.sync.returned.pop_first()
        {
            match sweep::visit(&self.host, id, now) {
                Ok(seen) => {
                    batch.push(seen.report);
                    returned.push(id);
                }
                // The next regular sync tells it.
                Err(Failed::Busy) => {
                    self.sync.touched.insert(id);
                }
                Err(Failed::Missing | Failed::Damaged) => {}
            }
        }
        request.records = batch.reports;
        // A failure is noted by `send`.
        let _ = self.send(request, What::Urgent { questions, returned });
    }

    /// An answer came, to any call.
    pub fn on_answer(&mut self, token: u32, root: u32) {
        // Past the end all is written, and nothing may be sent.
        if self.life.is_over() {
            return;
        }
        let Some(sent) = self.sync.calls.remove(&token) else {
            return;
        };
        let now_ns = self.host.monotonic_ns();
        self.sync.questions.answered(sent.questions(), now_ns);
        let catalog_before = self.catalog_revision();
        let pending = self.sync.rows.pending();
        let problem = self.apply(&sent).err();
        let stored_rows = self.sync.rows.pending() < pending;
        // What is known of the host by now, too.
        self.look_around();
        let failed = problem.is_some();
        self.say(problem);
        if failed {
            self.failed(&sent);
        } else {
            self.sync.failing.clear();
            self.host.count(Metric::SyncsOk, 1);
            if matches!(sent.what, What::Regular { .. }) {
                self.sync.spills.acknowledged();
            }
        }
        let answered: HashSet<Question> = sent.questions().iter().copied().collect();
        let is_news = failed
            || matches!(sent.what, What::Regular { .. })
            || self.catalog_revision() != catalog_before;
        self.reconsider(root, |question| is_news || answered.contains(&question));
        // What an outage left goes batch by batch, as each is stored.
        if stored_rows && self.sync.rows.is_behind() && !self.sync.is_syncing() {
            self.sync_regularly(now_ns);
        }
        self.send_urgent(now_ns);
    }

    fn failed(&mut self, sent: &Sent) {
        let now_ns = self.host.monotonic_ns();
        // A call that is lost while the host answers others says nothing about the host.
        if self.head.heard_ns <= sent.at_ns {
            let chance = self.host.random();
            let chance = chance.first_chunk().copied().map_or(0, u64::from_le_bytes);
            self.sync.failing.note(sent.at_ns, now_ns, chance);
            self.sync.questions.give_up();
        }
        self.host.count(Metric::SyncsFailed, 1);
        if matches!(sent.what, What::Regular { .. }) {
            // This VM's own way to the host may be the broken one: another's turn to speak.
            shared::resign(&self.host, self.incarnation);
            self.sync.resigned_until_ns = now_ns.saturating_add(RESIGNED_NS);
        }
        self.tell_again(sent);
    }

    /// What a call told did not arrive.
    fn tell_again(&mut self, sent: &Sent) {
        let (What::Regular { touched: told, .. } | What::Urgent { returned: told, .. }) =
            &sent.what;
        self.sync.touched.extend(told.iter().copied());
    }

    /// A root that is gone takes the answers to its calls with it.
    fn give_up_on_lost_calls(&mut self, now_ns: u64) {
        let is_lost = |sent: &Sent| now_ns.saturating_sub(sent.at_ns) >= FORGET_NS;
        let lost = self.sync.calls.iter().filter(|(_, sent)| is_lost(sent));
        let lost: Vec<u32> = lost.map(|(token, _)| *token).collect();
        for token in lost {
            if let Some(sent) = self.sync.calls.remove(&token) {
                // Else they would count as under way, and nobody could ask them again.
                self.sync.questions.answered(sent.questions(), now_ns);
                self.failed(&sent);
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
        // A VM whose last call failed finds out whether the next one does.
        let probes = self.sync.failing.is_failing();
        if !elected && !something && request.rows.is_none() && !probes {
            return;
        }
        self.sync.last_sync_ns = now_ns;
        let reports = request.records.clone();
        if self.send(request, What::Regular { touched, reports, swept }).is_err() {
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
        let now = self.now(self.host.monotonic_ns());
        let mut busy = Vec::new();
        // Half of the room is the sweep's, which would stand still otherwise.
        while !batch.is_half_full()
            && let Some(id) = self.sync.touched.pop()
        {
            match sweep::visit(&self.host, id, now) {
                Ok(seen) => batch.push(seen.report),
                // It changes too fast to be read now.
                Err(Failed::Busy) => {
                    busy.push(id);
                    continue;
                }
                Err(Failed::Missing | Failed::Damaged) => {}
            }
            touched.push(id);
        }
        self.sync.touched.extend(busy);
        if !elected {
            self.sync.sweep.restart();
            return (batch.reports, touched, None);
        }
        let step = self.sync.sweep.step(&self.host, now, &mut batch);
        for damaged in self.sync.sweep.take_damaged() {
            self.note_damage(damaged);
        }
        (batch.reports, touched, Some(step))
    }

    /// What every request says.
    fn request(&mut self) -> Option<SyncRequest> {
        if self.boot.is_none() {
            self.boot = shared::boot(&self.host);
        }
        let boot = self.boot?;
        let head = shared::head(&self.host);
        if let Some(head) = &head {
            // What is said below is said under this epoch.
            self.take_head(head.clone());
        }
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

    fn send(&mut self, request: SyncRequest, what: What) -> Result<(), NotSent> {
        let at_ns = self.host.monotonic_ns();
        let body = serde_json::to_vec(&request).map_err(|_| NotSent)?;
        let SyncRequest { epoch, keys, leases, .. } = request;
        let sent = Sent { at_ns, epoch, keys, leases, what };
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
            self.failed(&sent);
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
