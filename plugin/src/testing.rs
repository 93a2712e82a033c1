//! A process to test in: shared data, a clock and a network in memory, and gates over them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU32, NonZeroU64};
use std::rc::Rc;

use tollgate_pricing::gate::{
    Answers, Api, Billable, GateCatalog, GateProduct, KeyPlaces, Limit, Meter, OnOutage, Operation,
    QuotaPeriod, Rule, Scope,
};
use tollgate_pricing::id::{Hex128, SubscriptionId, Tag};
use tollgate_pricing::key::{KeyHash, KeySecrets};
use tollgate_pricing::sync::spill::{Reader, Spill};
use tollgate_pricing::sync::{
    Access, KeyAnswer, LeaseAnswer, LeaseAsk, LeaseOutcome, PROTOCOL, QuotaPeriods, Recall,
    RowsAck, SlotAck, SubscriptionState, SyncAnswer, SyncRequest,
};
use tollgate_pricing::timeline::{Period, Timeline};

use crate::gate::{Action, Gate};
use crate::host::{Cas, Host, Level, Lost, Post};
use crate::metrics::Metric;
use crate::reply::Reply;
use crate::settings::Settings;
use crate::shared;

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
pub(crate) const START_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
const ROOT: u32 = 1;

/// An API `/a` with the operation `find`, and `/a/open` for everyone, under some products.
pub(crate) fn catalog(products: Vec<GateProduct>) -> GateCatalog {
    let operation = |id: &str, path: &str| Operation {
        id: id.to_owned(),
        method: None,
        path: path.to_owned(),
        open: id == "open",
        weight: 1,
    };
    GateCatalog {
        revision: 1,
        secrets: KeySecrets::derive(&[7; 32]),
        key: KeyPlaces {
            header: "x-api-key".to_owned(),
            query: Some("api-key".to_owned()),
            imported: false,
        },
        max_stale_seconds: 60,
        answers: Answers::default(),
        apis: vec![Api {
            id: "a".to_owned(),
            host: None,
            path: "/a".to_owned(),
            operations: vec![operation("open", "/open"), operation("find", "/*")],
        }],
        products,
    }
}

/// A product that opens the API.
pub(crate) fn product(id: &str, limits: Vec<Limit>) -> GateProduct {
    let on_outage = OnOutage::Deny;
    let meters = meters_of(&limits);
    GateProduct {
        id: id.to_owned(),
        apis: vec!["a".to_owned()],
        limits,
        on_outage,
        billable: Billable::default(),
        meters,
    }
}

/// The meters of a product with these limits, as a host lists them.
pub(crate) fn meters_of(limits: &[Limit]) -> Vec<Meter> {
    let mut meters: Vec<Meter> = Vec::new();
    for limit in limits {
        if let Rule::Quota { meter, .. } = &limit.rule
            && *meter != Meter::Calls
            && !meters.contains(meter)
        {
            meters.push(meter.clone());
        }
    }
    meters
}

/// A hard quota of each billing period.
pub(crate) fn quota(units: u64, meter: Meter) -> Limit {
    let units = NonZeroU64::new(units).unwrap();
    let rule = Rule::Quota { units, meter, period: QuotaPeriod::Billing, hard: true };
    Limit { id: "quota".to_owned(), on: None, rule, enforce: true }
}

/// A rate of this process.
pub(crate) fn rate(calls: u32) -> Limit {
    let (calls, period_seconds) = (NonZeroU32::new(calls).unwrap(), NonZeroU32::new(60).unwrap());
    let rule = Rule::SlidingWindow { calls, period_seconds, scope: Scope::Gateway };
    Limit { id: "rate".to_owned(), on: None, rule, enforce: true }
}

/// A call that a VM posted and nobody has answered yet.
pub(crate) struct Posted {
    pub(crate) vm: usize,
    pub(crate) token: u32,
    pub(crate) request: SyncRequest,
}

/// What all VMs of a process share.
#[derive(Default)]
pub(crate) struct Outside {
    pub(crate) now_ns: u64,
    data: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
    cas: u32,
    chance: u64,
    tokens: u32,
    pub(crate) posted: Vec<Posted>,
    pub(crate) log: Vec<String>,
    pub(crate) metrics: BTreeMap<String, i64>,
    /// How often shared data was read, …
    pub(crate) reads: u64,
    /// … and of that the catalog, which may be large.
    pub(crate) catalog_reads: u64,
    /// At records, other VMs always get ahead.
    pub(crate) contended: bool,
}

fn is_record(key: &[u8]) -> bool {
    key.windows(8).any(|part| part == b"/record/")
}

/// A stream as its proxy sees it.
#[derive(Default)]
pub(crate) struct Stream {
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) notes: BTreeMap<String, String>,
    pub(crate) forwarded: bool,
    pub(crate) reply: Option<Reply>,
    /// Properties that were read, in their order.
    pub(crate) read: Vec<String>,
}

impl Stream {
    /// What the API would get.
    pub(crate) fn path(&self) -> String {
        let path = self.headers.iter().find(|(name, _)| name == b":path").unwrap();
        String::from_utf8(path.1.clone()).unwrap()
    }
}

#[derive(Default)]
struct Inside {
    vm: usize,
    focus: Cell<u32>,
    streams: RefCell<BTreeMap<u32, Stream>>,
    answer: RefCell<Option<(u16, Vec<u8>)>>,
}

/// The proxy around one VM.
#[derive(Clone)]
pub(crate) struct FakeHost {
    outside: Rc<RefCell<Outside>>,
    inside: Rc<Inside>,
}

impl FakeHost {
    fn with_stream<T>(&self, run: impl FnOnce(&mut Stream) -> T) -> Option<T> {
        self.inside.streams.borrow_mut().get_mut(&self.inside.focus.get()).map(run)
    }
}

impl Host for FakeHost {
    fn monotonic_ns(&self) -> u64 {
        self.outside.borrow().now_ns
    }

    fn random(&self) -> [u8; 16] {
        let mut outside = self.outside.borrow_mut();
        outside.chance = outside.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        [outside.chance.to_le_bytes(), outside.chance.rotate_left(32).to_le_bytes()]
            .concat()
            .try_into()
            .unwrap()
    }

    fn shared_get(&self, key: &[u8]) -> Option<(Vec<u8>, Cas)> {
        let mut outside = self.outside.borrow_mut();
        outside.reads += 1;
        outside.catalog_reads += u64::from(key.ends_with(b"/catalog"));
        outside.data.get(key).map(|(value, cas)| (value.clone(), Cas::read(*cas)))
    }

    fn shared_set(&self, key: &[u8], value: &[u8], cas: Cas) -> Result<(), Lost> {
        let mut outside = self.outside.borrow_mut();
        let overtaken = |(_, present): &(Vec<u8>, u32)| *present != cas.token();
        let contended = outside.contended && is_record(key);
        if contended || outside.data.get(key).is_some_and(overtaken) {
            return Err(Lost);
        }
        outside.cas += 1;
        let new = (value.to_vec(), outside.cas);
        outside.data.insert(key.to_vec(), new);
        Ok(())
    }

    fn request_headers(&self) -> Vec<u8> {
        let pairs = |stream: &mut Stream| {
            let word = |text: &[u8]| u32::try_from(text.len()).unwrap().to_le_bytes();
            let mut bytes = u32::try_from(stream.headers.len()).unwrap().to_le_bytes().to_vec();
            for (name, value) in &stream.headers {
                bytes.extend([word(name), word(value)].concat());
            }
            for (name, value) in &stream.headers {
                bytes.extend([name.as_slice(), b"\0", value, b"\0"].concat());
            }
            bytes
        };
        self.with_stream(pairs).unwrap_or_default()
    }

    fn number(&self, property: &[&str]) -> Option<u64> {
        self.bytes(property)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn has(&self, property: &[&str]) -> bool {
        self.bytes(property).is_some()
    }

    fn bytes(&self, property: &[&str]) -> Option<Vec<u8>> {
        let name = property.join(".");
        self.with_stream(|stream| {
            stream.read.push(name.clone());
            stream.properties.get(&name).cloned()
        })?
    }

    fn set_path(&self, path: &[u8]) {
        self.with_stream(|stream| {
            assert!(!stream.forwarded, "the path is set before the stream goes on");
            stream.headers.retain(|(name, _)| name != b":path");
            stream.headers.push((b":path".to_vec(), path.to_vec()));
        });
    }

    fn note(&self, name: &str, text: &str) {
        self.with_stream(|stream| stream.notes.insert(name.to_owned(), text.to_owned()));
    }

    fn focus(&self, context: u32) -> bool {
        let exists = context == ROOT || self.inside.streams.borrow().contains_key(&context);
        if exists {
            self.inside.focus.set(context);
        }
        exists
    }

    fn resume(&self) {
        self.with_stream(|stream| stream.forwarded = true);
    }

    fn reply(&self, reply: &Reply) {
        self.with_stream(|stream| stream.reply = Some(reply.clone()));
    }

    fn post(&self, post: Post<'_>) -> Option<u32> {
        let request = serde_json::from_slice(post.body).unwrap();
        let mut outside = self.outside.borrow_mut();
        outside.tokens += 1;
        let token = outside.tokens;
        outside.posted.push(Posted { vm: self.inside.vm, token, request });
        Some(token)
    }

    fn answer_status(&self) -> Option<u16> {
        self.inside.answer.borrow().as_ref().map(|(status, _)| *status)
    }

    fn answer_body(&self, max: usize) -> Vec<u8> {
        let answer = self.inside.answer.borrow();
        let body = answer.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
        body.into_iter().take(max).collect()
    }

    fn log(&self, _level: Level, line: &str) {
        self.outside.borrow_mut().log.push(line.to_owned());
    }

    fn count(&self, metric: Metric, by: u32) {
        *self.outside.borrow_mut().metrics.entry(metric.name()).or_default() += i64::from(by);
    }

    fn show(&self, metric: Metric, value: u64) {
        self.outside.borrow_mut().metrics.insert(metric.name(), value.try_into().unwrap());
    }
}

/// What the host answers a question for units.
pub(crate) type Grants = Box<dyn FnMut(&LeaseAsk) -> (u64, LeaseOutcome)>;

/// A process of several VMs, and the host it talks to.
pub(crate) struct Process {
    pub(crate) outside: Rc<RefCell<Outside>>,
    pub(crate) gates: Vec<Gate<FakeHost>>,
    insides: Vec<Rc<Inside>>,
    pub(crate) settings: Settings,
    pub(crate) catalog: GateCatalog,
    keys: BTreeMap<KeyHash, SubscriptionId>,
    /// Keys that were revoked, and at which revision.
    revoked: Vec<(KeyHash, u64)>,
    pub(crate) states: BTreeMap<SubscriptionId, SubscriptionState>,
    pub(crate) grants: Grants,
    recalls: Vec<Recall>,
    pub(crate) epoch: u32,
    pub(crate) revision: u64,
    /// How far the host's clock has been stepped forward.
    pub(crate) stepped_ms: u64,
    /// Calls are answered 503 by the proxy.
    pub(crate) down: bool,
    /// VMs that do not tick.
    pub(crate) still: BTreeSet<usize>,
    /// Subscriptions whose slots the host does not take.
    pub(crate) refused: BTreeSet<SubscriptionId>,
    /// The host stores rows, and says so.
    pub(crate) keeps_rows: bool,
    /// Every request that arrived.
    pub(crate) heard: Vec<SyncRequest>,
    streams: u32,
}

impl Process {
    /// A process that has heard from its host.
    pub(crate) fn new(vms: usize, catalog: GateCatalog) -> Self {
        Self::with_settings(vms, catalog, "{}")
    }

    pub(crate) fn with_settings(vms: usize, catalog: GateCatalog, settings: &str) -> Self {
        let outside = Outside { now_ns: 5_000 * SECOND, ..Outside::default() };
        let mut process = Self {
            outside: Rc::new(RefCell::new(outside)),
            gates: Vec::new(),
            insides: Vec::new(),
            settings: Settings::read(settings.as_bytes()).unwrap(),
            catalog,
            keys: BTreeMap::new(),
            revoked: Vec::new(),
            states: BTreeMap::new(),
            grants: Box::new(|ask| (ask.lease.granted + 10, LeaseOutcome::Granted)),
            recalls: Vec::new(),
            epoch: 1,
            revision: 1,
            stepped_ms: 0,
            down: false,
            still: BTreeSet::new(),
            refused: BTreeSet::new(),
            keeps_rows: true,
            heard: Vec::new(),
            streams: 100,
        };
        for vm in 0..vms {
            process.load(vm);
        }
        process.run(2 * SECOND);
        process
    }

    /// Starts a VM, or starts it anew as after a trap: it has forgotten everything.
    pub(crate) fn load(&mut self, vm: usize) {
        let inside = Rc::new(Inside { vm, focus: Cell::new(ROOT), ..Inside::default() });
        let host = FakeHost { outside: self.outside.clone(), inside: inside.clone() };
        let mut gate = Gate::new(host, self.settings.clone(), "token".to_owned());
        gate.on_configure(ROOT);
        self.still.remove(&vm);
        if vm < self.gates.len() {
            self.outside.borrow_mut().posted.retain(|posted| posted.vm != vm);
            (self.gates[vm], self.insides[vm]) = (gate, inside);
        } else {
            self.gates.push(gate);
            self.insides.push(inside);
        }
    }

    /// A VM traps, and no request comes that would start it anew.
    pub(crate) fn trap(&mut self, vm: usize) {
        self.outside.borrow_mut().posted.retain(|posted| posted.vm != vm);
        self.still.insert(vm);
    }

    /// The proxy ends a VM. What it sent arrives; the answers do not.
    pub(crate) fn end_vm(&mut self, vm: usize) {
        self.gates[vm].on_done(ROOT);
        self.gates[vm].on_delete(ROOT);
        self.trap(vm);
    }

    /// A VM that was ended is given a root context again.
    pub(crate) fn go_on(&mut self, vm: usize) {
        self.gates[vm].on_configure(ROOT);
        self.still.remove(&vm);
    }

    /// What is in the log for `tollgate ingest-spill`.
    pub(crate) fn spills(&self) -> Vec<Spill> {
        let mut reader = Reader::default();
        let log = &self.outside.borrow().log;
        let spills = log.iter().filter_map(|line| reader.read(line).unwrap()).collect();
        assert_eq!(reader.incomplete().count(), 0);
        spills
    }

    /// A subscription to the first product, and its key.
    pub(crate) fn subscribe(&mut self) -> (SubscriptionId, String) {
        let number = u8::try_from(self.states.len() + 1).unwrap();
        let key = self.catalog.secrets.write([number; 16]).reveal().to_owned();
        (self.subscribe_with(&key), key)
    }

    /// The same, with a key of its own.
    pub(crate) fn subscribe_with(&mut self, key: &str) -> SubscriptionId {
        let id = SubscriptionId(self.states.len() as u64 + 1);
        let start_ms = START_MS - HOUR_MS;
        let period = |number: u32| Period {
            number,
            start_ms: start_ms + u64::from(number - 1) * 24 * HOUR_MS,
            end_ms: start_ms + u64::from(number) * 24 * HOUR_MS,
        };
        let periods = Timeline::of(&(1..=30).map(period).collect::<Vec<Period>>());
        let product = &self.catalog.products[0];
        let is_quota = |limit: &&Limit| matches!(limit.rule, Rule::Quota { .. });
        let quotas = product.limits.iter().filter(is_quota).map(Limit::tag);
        let quotas = quotas.map(|limit| QuotaPeriods { limit, periods: periods.clone() });
        let state = SubscriptionState {
            id,
            revision: 1,
            product: Tag::of(&product.id),
            catalog: 1,
            access: Access::Active,
            expires_ms: None,
            quotas: quotas.collect(),
            periods,
            overrides: Vec::new(),
        };
        self.keys.insert(self.catalog.secrets.lookup_hash(key.as_bytes()), id);
        self.states.insert(id, state);
        id
    }

    /// A key is nobody's from now on.
    pub(crate) fn revoke(&mut self, key: &str) {
        let hash = self.catalog.secrets.lookup_hash(key.as_bytes());
        self.keys.remove(&hash);
        self.revision += 1;
        self.revoked.push((hash, self.revision));
    }

    /// The process has never heard of a key.
    pub(crate) fn forget_key(&mut self, key: &str) {
        let hash = self.catalog.secrets.lookup_hash(key.as_bytes());
        shared::forget_key(&self.gates[0].host, hash);
    }

    /// Whose key this is.
    pub(crate) fn owner(&self, key: KeyHash) -> SubscriptionId {
        self.keys[&key]
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.outside.borrow().now_ns
    }

    pub(crate) fn metric(&self, metric: Metric) -> i64 {
        self.outside.borrow().metrics.get(&metric.name()).copied().unwrap_or(0)
    }

    /// The values of all records, as bytes.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        let outside = self.outside.borrow();
        let records = outside.data.iter().filter(|(key, _)| is_record(key));
        records.map(|(_, (value, _))| value.clone()).collect()
    }

    /// Something else writes over all records.
    pub(crate) fn damage_records(&mut self, bytes: &[u8]) {
        let mut outside = self.outside.borrow_mut();
        let records = outside.data.iter_mut();
        for (_, (value, _)) in records.filter(|(key, _)| is_record(key)) {
            *value = bytes.to_vec();
        }
    }

    /// The next answers call units back, until some come.
    pub(crate) fn recall(&mut self, key: &str, limit: &str, period: u32) {
        let subscription = self.keys[&self.catalog.secrets.lookup_hash(key.as_bytes())];
        let limit = Tag::of(limit);
        self.recalls.push(Recall { subscription, limit, period, all: false });
    }

    /// A request arrives at a VM.
    pub(crate) fn open(&mut self, vm: usize, headers: &[(&str, &str)]) -> u32 {
        self.streams += 1;
        let text = |text: &str| text.as_bytes().to_vec();
        let headers = headers.iter().map(|(name, value)| (text(name), text(value))).collect();
        let stream = Stream { headers, ..Stream::default() };
        self.insides[vm].streams.borrow_mut().insert(self.streams, stream);
        self.insides[vm].focus.set(self.streams);
        if self.gates[vm].on_request_headers(self.streams) == Action::Continue {
            self.look(vm, self.streams, |stream| stream.forwarded = true);
        }
        self.insides[vm].focus.set(ROOT);
        self.streams
    }

    /// A GET of a path with a key.
    pub(crate) fn get(&mut self, vm: usize, path: &str, key: &str) -> u32 {
        self.open(vm, &[(":method", "GET"), (":path", path), ("x-api-key", key)])
    }

    pub(crate) fn look<T>(&self, vm: usize, stream: u32, run: impl FnOnce(&mut Stream) -> T) -> T {
        run(self.insides[vm].streams.borrow_mut().get_mut(&stream).expect("an open stream"))
    }

    /// `forwarded`, `waits`, or the reason of a refusal.
    pub(crate) fn fate(&self, vm: usize, stream: u32) -> String {
        self.look(vm, stream, |stream| match &stream.reply {
            Some(reply) => {
                let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
                body["reason"].as_str().unwrap().to_owned()
            }
            None if stream.forwarded => "forwarded".to_owned(),
            None => "waits".to_owned(),
        })
    }

    /// The proxy says that a stream has ended, which it still knows.
    pub(crate) fn log(&mut self, vm: usize, stream: u32) {
        self.insides[vm].focus.set(stream);
        self.gates[vm].on_log(stream);
        self.insides[vm].focus.set(ROOT);
    }

    /// A stream ends; those that were forwarded by an answer of the API.
    pub(crate) fn end(&mut self, vm: usize, stream: u32, status: u64) {
        self.look(vm, stream, |stream| {
            if stream.forwarded {
                stream.properties.insert("upstream.local_address".to_owned(), b"api".to_vec());
                let code = status.to_le_bytes().to_vec();
                stream.properties.insert("response.code".to_owned(), code);
            }
        });
        self.log(vm, stream);
        self.gates[vm].on_delete(stream);
        self.insides[vm].streams.borrow_mut().remove(&stream);
    }

    /// A whole call of a path; its fate, once that is decided.
    pub(crate) fn call(&mut self, vm: usize, path: &str, key: &str) -> String {
        let stream = self.get(vm, path, key);
        self.settle_messages();
        while self.fate(vm, stream) == "waits" {
            self.run(50 * MS);
        }
        let fate = self.fate(vm, stream);
        self.end(vm, stream, 200);
        fate
    }

    /// Time passes: messages arrive, and VMs tick.
    pub(crate) fn run(&mut self, by_ns: u64) {
        let end = self.now_ns() + by_ns;
        self.settle_messages();
        while self.now_ns() < end {
            let step = (end - self.now_ns()).min(50 * MS);
            let before = self.now_ns();
            self.outside.borrow_mut().now_ns += step;
            if before / (250 * MS) != self.now_ns() / (250 * MS) {
                for (vm, gate) in self.gates.iter_mut().enumerate() {
                    if !self.still.contains(&vm) {
                        gate.on_tick(ROOT);
                    }
                }
            }
            self.settle_messages();
        }
    }

    /// Answers all calls, and those that come of that.
    pub(crate) fn settle_messages(&mut self) {
        while let Some(posted) = self.next_posted() {
            self.answer(&posted);
        }
    }

    /// The oldest call that is not answered.
    pub(crate) fn next_posted(&mut self) -> Option<Posted> {
        let mut outside = self.outside.borrow_mut();
        (!outside.posted.is_empty()).then(|| outside.posted.remove(0))
    }

    /// The answer to a call comes.
    pub(crate) fn answer(&mut self, posted: &Posted) {
        let answer = self.word_to(posted);
        self.answer_with(posted, answer);
    }

    /// What would come as the answer to a call now.
    pub(crate) fn word_to(&mut self, posted: &Posted) -> (u16, Vec<u8>) {
        if self.down {
            return (503, b"no healthy upstream".to_vec());
        }
        self.heard.push(posted.request.clone());
        (200, serde_json::to_vec(&self.answer_to(&posted.request)).unwrap())
    }

    /// A status and a body come as the answer to a call.
    pub(crate) fn answer_with(&mut self, posted: &Posted, answer: (u16, Vec<u8>)) {
        *self.insides[posted.vm].answer.borrow_mut() = Some(answer);
        self.gates[posted.vm].on_answer(posted.token, ROOT);
        *self.insides[posted.vm].answer.borrow_mut() = None;
    }

    fn answer_to(&mut self, request: &SyncRequest) -> SyncAnswer {
        let keys: Vec<KeyAnswer> = request
            .keys
            .iter()
            .map(|hash| KeyAnswer { hash: *hash, subscription: self.keys.get(hash).copied() })
            .collect();
        let asked = keys.iter().filter_map(|key| key.subscription);
        let since = request.since.unwrap_or(u64::MAX);
        let gone = self.revoked.iter().filter(|(_, revision)| *revision > since);
        let gone = gone.map(|(hash, _)| KeyAnswer { hash: *hash, subscription: None });
        let changed = self.states.values().filter(|state| state.revision > since);
        let changed: Vec<SubscriptionId> = asked.chain(changed.map(|state| state.id)).collect();
        let leases = request.leases.iter().map(|ask| {
            let (granted, outcome) = (self.grants)(ask);
            let (subscription, limit, period) = ask.about();
            LeaseAnswer { subscription, limit, period, granted, lasts_ms: Some(1_000), outcome }
        });
        let leases = leases.collect();
        let taken = request.records.iter().filter(|it| !self.refused.contains(&it.subscription));
        let slots = taken.flat_map(|report| {
            let subscription = report.subscription;
            report.slots.iter().map(move |slot| SlotAck { subscription, slot: slot.clone() })
        });
        let came_back = request.records.iter().flat_map(|it| &it.leases).any(|it| it.returned > 0);
        self.recalls.retain(|_| !came_back);
        let is_known = request.catalog == Some(self.catalog.revision);
        SyncAnswer {
            protocol: PROTOCOL,
            ledger: Hex128([9; 16]),
            epoch: self.epoch,
            now_ms: START_MS + self.stepped_ms + (self.now_ns() - 5_000 * SECOND) / MS,
            rows: request
                .rows
                .as_ref()
                .filter(|_| self.keeps_rows)
                .map(|rows| RowsAck { incarnation: rows.incarnation, sequence: rows.sequence }),
            slots: slots.collect(),
            revision: self.revision,
            catalog: (!is_known).then(|| self.catalog.clone()),
            subscriptions: changed.iter().filter_map(|id| self.states.get(id)).cloned().collect(),
            keys: keys.iter().cloned().chain(gone).collect(),
            leases,
            recalls: self.recalls.clone(),
        }
    }
}
