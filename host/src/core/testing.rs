//! A small world for tests: a ledger in memory, a clock that is set, chance that is counted.

use jiff::{SignedDuration, Timestamp};
use rusqlite::types::Value;
use serde_json::value::RawValue;
use tollgate_pricing::catalog::Catalog;
use tollgate_pricing::gate::Limit;
use tollgate_pricing::id::{BootId, Hex128, SubscriptionId, Tag};
use tollgate_pricing::key::KeySecrets;
use tollgate_pricing::sync::spill::Spill;
use tollgate_pricing::sync::{
    LeaseAsk, LeaseReport, PROTOCOL, RecordReport, Row, RowBatch, Slot, SyncAnswer, SyncRequest,
};

use super::catalog::LoadCatalog;
use super::close::{Close, Closed};
use super::gateways::AddGateway;
use super::id::GatewayId;
use super::subscriptions::{AddSubscription, SubscriptionAdded};
use super::sync::Sync;
use super::{Refusal, Request, apply};
use crate::store::{Birth, Ledger, Store};

/// One product per price model that matters here, with a quota where leases matter.
pub(crate) const CATALOG: &str = "
currency: USD
apis: [{ id: address }]
products:
  - { id: free, apis: [address], every: minute, price: free }
  - { id: payg, apis: [address], every: minute, price: { metered: { per: 10, amount: 0.15 } } }
  - id: tier
    apis: [address]
    every: month
    price: { tier: { amount: 14.95, included: 100 } }
    limits: [{ id: included, quota: { calls: 100, period: billing } }]
  - id: over
    apis: [address]
    every: minute
    price: { tier_with_overage: { amount: 5, included: 10, overage: { per: 1, amount: 0.5 } } }
  - id: quota
    apis: [address]
    every: month
    price: free
    limits: [{ id: monthly, quota: { calls: 100, period: 30d } }]
  - id: short
    apis: [address]
    every: month
    price: free
    limits: [{ id: hourly, quota: { calls: 10, period: 1h } }]
";

/// What tests say 'now' when they begin.
pub(crate) const START: &str = "2026-11-22T15:00:10Z";

pub(crate) const BIRTH: Birth = Birth { ledger: [1; 16], secret: [2; 32], operator: [3; 16] };

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) now: Timestamp,
    chance: u128,
}

impl World {
    /// A ledger without a catalog.
    pub(crate) fn empty() -> Self {
        Self::with(Store::in_memory(BIRTH).unwrap())
    }

    pub(crate) fn with(store: Store) -> Self {
        Self { store, now: START.parse().unwrap(), chance: 0 }
    }

    /// A ledger with [`CATALOG`].
    pub(crate) fn new() -> Self {
        let mut world = Self::empty();
        world.load(CATALOG).unwrap();
        world
    }

    pub(crate) fn ask<R: Request>(&mut self, request: R) -> Result<R::Answer, Refusal> {
        apply(&mut self.store, self.now, request)
    }

    /// What a request is refused as.
    pub(crate) fn refused<R: Request>(&mut self, request: R) -> String {
        match self.ask(request) {
            Ok(_) => "nothing refused".to_owned(),
            Err(refusal) => format!("{}: {refusal}", refusal.reason()),
        }
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    pub(crate) fn chance(&mut self) -> [u8; 16] {
        self.chance += 1;
        self.chance.to_be_bytes()
    }

    pub(crate) fn load(&mut self, text: &str) -> Result<u32, Refusal> {
        let text = text.to_owned();
        self.ask(LoadCatalog { text }).map(|loaded| loaded.revision)
    }

    pub(crate) fn gateway(&mut self, name: &str) -> GatewayId {
        let random = self.chance();
        let name = name.to_owned();
        self.ask(AddGateway { name, random }).unwrap().gateway.id
    }

    pub(crate) fn subscribe(&mut self, product: &str) -> SubscriptionId {
        self.add(product, false, None).subscription.id
    }

    /// A subscription that waits for its approval, and expires after so many seconds.
    pub(crate) fn submit(&mut self, product: &str, expires_after: Option<i64>) -> SubscriptionId {
        let expires = expires_after.map(|seconds| self.now + SignedDuration::from_secs(seconds));
        self.add(product, true, expires).subscription.id
    }

    pub(crate) fn add(
        &mut self,
        product: &str,
        submitted: bool,
        expires: Option<Timestamp>,
    ) -> SubscriptionAdded {
        let random = self.chance();
        let request = AddSubscription {
            product: product.to_owned(),
            consumer: "acme".to_owned(),
            name: None,
            submitted,
            expires,
            random,
        };
        self.ask(request).unwrap()
    }

    pub(crate) fn sync(&mut self, gateway: GatewayId, request: SyncRequest) -> SyncAnswer {
        self.ask(Sync { gateway, request }).unwrap()
    }

    /// Gives a product these limits in the catalog that is in force, whatever can be written.
    pub(crate) fn limit(&mut self, product: &str, limits: Vec<Limit>) {
        struct SetLimits(String, Vec<Limit>);
        impl Request for SetLimits {
            type Answer = ();

            fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
                let (revision, catalog) = super::catalog::in_force(ledger)?;
                let mut catalog = Catalog::clone(&catalog);
                let product = catalog.products.iter_mut().find(|product| product.id == self.0);
                product.unwrap().limits = self.1;
                ledger.replace_catalog(revision, catalog);
                Ok(())
            }
        }
        self.ask(SetLimits(product.to_owned(), limits)).unwrap();
    }

    /// Does something with the ledger.
    pub(crate) fn with_ledger<T>(
        &mut self,
        body: impl FnOnce(&mut Ledger<'_>) -> Result<T, Refusal>,
    ) -> T {
        struct Do<F>(F);
        impl<T, F: FnOnce(&mut Ledger<'_>) -> Result<T, Refusal>> Request for Do<F> {
            type Answer = T;

            fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<T, Refusal> {
                self.0(ledger)
            }
        }
        self.ask(Do(body)).unwrap()
    }

    pub(crate) fn pass_ms(&mut self, ms: i64) {
        self.now += SignedDuration::from_millis(ms);
    }

    /// Closes what may be closed, with an hour's grace.
    pub(crate) fn close(&mut self) -> Closed {
        let grace = SignedDuration::from_hours(1);
        self.ask(Close { grace, serving_since: Timestamp::MIN }).unwrap()
    }

    /// Everything in these tables, one row a line.
    pub(crate) fn dump(&mut self, tables: &[&'static str]) -> String {
        struct Dump(Vec<&'static str>);
        impl Request for Dump {
            type Answer = String;

            fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<String, Refusal> {
                Ok(self.0.into_iter().map(|table| ledger.dump(table)).collect())
            }
        }
        self.ask(Dump(tables.to_vec())).unwrap()
    }
}

pub(crate) fn boot(number: u8) -> BootId {
    Hex128([number; 16])
}

/// A sync that says nothing.
pub(crate) fn nothing(boot: BootId) -> SyncRequest {
    SyncRequest {
        epoch: 1,
        protocol: PROTOCOL,
        boot,
        ledger: None,
        since: None,
        catalog: None,
        swept_through_ms: None,
        rows: None,
        records: Vec::new(),
        keys: Vec::new(),
        leases: Vec::new(),
    }
}

/// A sync of one record with one slot: (number, period, admitted, billable, waived).
pub(crate) fn slot(
    boot: BootId,
    subscription: SubscriptionId,
    (number, period, admitted, billable, waived): (u32, u32, u64, u64, u64),
) -> SyncRequest {
    let slot = Slot { number, period, admitted, billable, waived, ..Slot::default() };
    SyncRequest {
        records: vec![RecordReport {
            subscription,
            known_until_ms: u64::MAX,
            slots: vec![slot],
            leases: Vec::new(),
        }],
        ..nothing(boot)
    }
}

/// A sync of one record with one lease.
pub(crate) fn record(
    boot: BootId,
    subscription: SubscriptionId,
    lease: LeaseReport,
) -> SyncRequest {
    SyncRequest {
        records: vec![RecordReport {
            subscription,
            known_until_ms: u64::MAX,
            slots: Vec::new(),
            leases: vec![lease],
        }],
        ..nothing(boot)
    }
}

/// A sync that asks for units of the quota's first period.
pub(crate) fn ask(
    boot: BootId,
    subscription: SubscriptionId,
    quota: &str,
    granted: u64,
    want: u64,
) -> SyncRequest {
    SyncRequest {
        leases: vec![question(subscription, Tag::of(quota), 1, granted, want)],
        ..nothing(boot)
    }
}

pub(crate) fn batch(incarnation: u8, sequence: u64, rows: &[Row]) -> RowBatch {
    let rows = tollgate_pricing::sync::Rows { calls: rows.to_vec(), ..Default::default() };
    let text = serde_json::to_string(&rows).unwrap();
    let rows = RawValue::from_string(text).unwrap();
    RowBatch::new(Hex128([incarnation; 16]), sequence, rows)
}

/// What a gateway of a [`World`]'s ledger would have written.
pub(crate) fn sealed(spill: Spill) -> Spill {
    spill.sealed(&KeySecrets::derive(&BIRTH.secret))
}

/// A value of a dump.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => format!("{number}!"),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => bytes.first().map_or_else(String::new, |b| format!("x{b:02x}")),
    }
}

/// Asks for units that a call waits for.
pub(crate) fn question(
    subscription: SubscriptionId,
    limit: Tag,
    period: u32,
    granted: u64,
    want: u64,
) -> LeaseAsk {
    let lease = LeaseReport { limit, period, granted, ..LeaseReport::default() };
    LeaseAsk { subscription, lease, want, need: 1 }
}
