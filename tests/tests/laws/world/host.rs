//! The real core, on a ledger in memory and the world's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tollgate_host::core::catalog::LoadCatalog;
use tollgate_host::core::gateways::AddGateway;
use tollgate_host::core::id::KeyId;
use tollgate_host::core::secret::{AsGateway, Clear};
use tollgate_host::core::subscriptions::AddSubscription;
use tollgate_host::core::{Kind, Refusal, Request, apply};
use tollgate_host::store::{Birth, Store};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::SyncRequest;

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
        apply(&mut self.store, timestamp(now), request)
    }

    /// One POST to the sync endpoint, as the edge answers it.
    pub(super) fn sync(&mut self, token: &str, request: SyncRequest, now: Duration) -> Answer {
        let token = Clear::new(token.to_owned());
        match apply(&mut self.store, timestamp(now), AsGateway { token, request }) {
            Ok(answer) => Answer::json(200, serde_json::to_vec(&answer).expect("JSON")),
            Err(refusal) => {
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
        }
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

fn timestamp(now: Duration) -> Timestamp {
    let now = now.try_into().expect("a time this side of the year 9999");
    Timestamp::from_duration(now).expect("likewise")
}
