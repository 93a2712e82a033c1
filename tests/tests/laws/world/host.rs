//! The real core, on a ledger in memory and the world's clock.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_host::clock::Steady;
use tollgate_host::core::catalog::LoadCatalog;
use tollgate_host::core::gateways::AddGateway;
use tollgate_host::core::id::KeyId;
use tollgate_host::core::restore::Restore;
use tollgate_host::core::secret::{AsGateway, Clear};
use tollgate_host::core::subscriptions::AddSubscription;
use tollgate_host::core::sync::FollowClock;
use tollgate_host::core::usage::{PeriodState, ReadUsage};
use tollgate_host::core::{Kind, Refusal, Request, apply};
use tollgate_host::store::{Batch, Birth, Store};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{SyncAnswer, SyncRequest};

use crate::simulator::Memory;
use crate::wasm::{self, Answer, Random};

/// A subscription somebody has just made.
#[derive(Clone, Debug)]
pub(crate) struct Subscribed {
    pub(crate) id: SubscriptionId,
    pub(crate) key: String,
    pub(crate) key_id: KeyId,
}

impl Subscribed {
    /// `GET path` with its key in the header.
    pub(crate) fn get(&self, path: &str) -> wasm::Request {
        wasm::Request::get(path).header("x-api-key", &self.key)
    }
}

/// A ledger, and who may report to it.
pub(crate) struct Host {
    store: Store,
    /// What it tells the time by, when it last did, and how far its machine's clock is off.
    steady: Steady,
    told: Duration,
    off: SignedDuration,
    /// The epoch since it was restored; none if it never was.
    pub(crate) restored: Option<u32>,
    /// It is not there until then.
    away_until: Duration,
    /// The next requests are done, and it dies before they are committed.
    dies: bool,
    /// What it remembers if it is wrong on purpose.
    pub(crate) memory: Memory,
    pub(crate) gateway_token: String,
    /// Whose the keys are that were made here.
    owners: BTreeMap<String, SubscriptionId>,
    made: u64,
}

impl Host {
    pub(super) fn new(catalog: &str, now: Duration) -> Self {
        let birth = Birth { ledger: [1; 16], secret: [2; 32], operator: [3; 16] };
        let mut host = Self {
            store: Store::in_memory(birth).expect("a ledger"),
            steady: Steady::starting_at(timestamp(now)),
            told: now,
            off: SignedDuration::ZERO,
            restored: None,
            away_until: Duration::ZERO,
            dies: false,
            memory: Memory::default(),
            gateway_token: String::new(),
            owners: BTreeMap::new(),
            made: 0,
        };
        let text = catalog.to_owned();
        host.ask(LoadCatalog { text }, now);
        host.gateway_token = host.add_gateway("edge", now);
        host
    }

    /// Makes a gateway: its token.
    pub(crate) fn add_gateway(&mut self, name: &str, now: Duration) -> String {
        let request = AddGateway { name: name.to_owned(), random: self.random() };
        self.ask(request, now).token.reveal().to_owned()
    }

    pub(super) fn subscribe(&mut self, product: &str, now: Duration) -> Subscribed {
        let request = AddSubscription {
            product: product.to_owned(),
            consumer: "acme".to_owned(),
            name: None,
            submitted: false,
            expires: None,
            random: self.random(),
        };
        let added = self.ask(request, now);
        let (id, key) = (added.subscription.id, added.key.reveal().to_owned());
        self.owners.insert(key.clone(), id);
        Subscribed { id, key, key_id: added.key_id }
    }

    /// Asks the core what it must not refuse.
    pub(super) fn ask<R: Request>(&mut self, request: R, now: Duration) -> R::Answer {
        self.try_ask(request, now).unwrap_or_else(|refusal| panic!("the core refused: {refusal}"))
    }

    pub(super) fn try_ask<R: Request>(
        &mut self,
        request: R,
        now: Duration,
    ) -> Result<R::Answer, Refusal> {
        let now = self.time(now);
        apply(&mut self.store, now, request)
    }

    /// One POST to the sync endpoint, as the edge answers it.
    pub(crate) fn sync(&mut self, token: &str, request: SyncRequest, now: Duration) -> Answer {
        let answer = self.syncs(vec![(token.to_owned(), request)], now).pop().flatten();
        answer.expect("a host that lives")
    }

    /// POSTs to the sync endpoint that share a commit; none is answered if that fails.
    pub(super) fn syncs(
        &mut self,
        requests: Vec<(String, SyncRequest)>,
        now: Duration,
    ) -> Vec<Option<Answer>> {
        let now = self.time(now);
        let answers = RefCell::new(vec![None; requests.len()]);
        if std::mem::take(&mut self.dies) {
            let died = self.store.die_before_commit(|batch| fill(batch, requests, now, &answers));
            died.expect("a ledger");
        } else {
            self.store.commit(|batch| fill(batch, requests, now, &answers));
        }
        answers.into_inner()
    }

    /// The same, and what it did is lost.
    pub(crate) fn sync_in_vain(
        &mut self,
        token: &str,
        request: SyncRequest,
        now: Duration,
    ) -> Answer {
        let before = self.copy();
        let answer = self.sync(token, request, now);
        self.store = before;
        answer
    }

    /// Billing periods that are closed.
    pub(crate) fn closed_periods(&mut self, now: Duration) -> BTreeSet<(SubscriptionId, u32)> {
        let periods = self.ask(ReadUsage { subscription: None }, now).periods.into_iter();
        let closed = periods.filter(|period| period.state == PeriodState::Closed);
        closed.map(|period| (period.subscription, period.period)).collect()
    }

    /// Does not answer for so long.
    pub(crate) fn go_away(&mut self, now: Duration, by: Duration) {
        self.away_until = self.away_until.max(now + by);
    }

    /// Is there again.
    pub(crate) fn come_back(&mut self) {
        self.away_until = Duration::ZERO;
    }

    /// Whether it is there.
    pub(crate) fn is_up(&self, now: Duration) -> bool {
        now >= self.away_until
    }

    /// It will die when it has done the next requests, before it commits them.
    pub(crate) fn die_before_commit(&mut self) {
        self.dies = true;
    }

    /// It does not die, whatever was said before.
    pub(crate) fn live(&mut self) {
        self.dies = false;
    }

    /// Steps the clock of its machine.
    pub(crate) fn step_clock(&mut self, by: SignedDuration) {
        self.off += by;
    }

    /// How far its time is off.
    pub(crate) fn is_off(&mut self, now: Duration) -> SignedDuration {
        self.time(now).duration_since(timestamp(now))
    }

    /// A copy of the ledger as it is.
    pub(crate) fn copy(&self) -> Store {
        self.store.copy().expect("a copy")
    }

    /// Puts a copy in the ledger's place, as `tollgate restore` does.
    pub(crate) fn restore(&mut self, backup: &Store, now: Duration) {
        let mut draft = backup.copy().expect("a copy");
        self.steady = Steady::starting_at(self.machine(now));
        self.told = now;
        let restored = apply(&mut draft, self.machine(now), Restore);
        self.restored = Some(restored.expect("a ledger that can be restored").epoch);
        self.store = draft.copy().expect("a copy");
    }

    /// What its machine's clock shows.
    fn machine(&self, now: Duration) -> Timestamp {
        timestamp(now) + self.off
    }

    /// The ledger's time. What rates remember goes along with a clock that jumps.
    pub(super) fn time(&mut self, now: Duration) -> Timestamp {
        let passed = now.saturating_sub(std::mem::replace(&mut self.told, now));
        let reading = self.steady.advance(passed, self.machine(now));
        if let Some(by) = reading.jumped {
            apply(&mut self.store, reading.now, FollowClock { by }).expect("it follows");
        }
        reading.now
    }

    /// Whose key a request shows; the header wins.
    pub(super) fn owner_of(&self, request: &wasm::Request) -> Option<SubscriptionId> {
        let value = |name: &[u8]| {
            let (_, value) = request.headers.iter().find(|(known, _)| known == name)?;
            std::str::from_utf8(value).ok()
        };
        let in_query = || value(b":path")?.split_once("api-key=")?.1.split('&').next();
        let key = value(b"x-api-key").or_else(in_query)?;
        self.owners.get(key).copied()
    }

    fn random(&mut self) -> [u8; 16] {
        self.made += 1;
        let mut random = [0; 16];
        Random(self.made).fill(&mut random);
        random
    }
}

fn fill<'a>(
    batch: &mut Batch<'_, 'a>,
    requests: Vec<(String, SyncRequest)>,
    now: Timestamp,
    answers: &'a RefCell<Vec<Option<Answer>>>,
) {
    for (place, (token, request)) in requests.into_iter().enumerate() {
        let token = Clear::new(token);
        batch.apply(now, AsGateway { token, request }, move |outcome| {
            answers.borrow_mut()[place] = Some(as_answer(outcome));
        });
    }
}

fn as_answer(outcome: Result<SyncAnswer, Refusal>) -> Answer {
    let refusal = match outcome {
        Ok(answer) => return Answer::json(200, serde_json::to_vec(&answer).expect("JSON")),
        Err(refusal) => refusal,
    };
    let status = match refusal.kind() {
        Kind::Unauthenticated => 401,
        Kind::Forbidden => 403,
        Kind::NotFound => 404,
        Kind::Conflict => 409,
        Kind::Invalid => 422,
        Kind::Unavailable => 503,
        Kind::Damaged => 500,
    };
    Answer::json(status, refusal.to_string())
}

fn timestamp(now: Duration) -> Timestamp {
    let now = now.try_into().expect("a time this side of the year 9999");
    Timestamp::from_duration(now).expect("likewise")
}
