//! A catalog with every kind of limit, and subscriptions to it.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::LazyLock;

use tollgate_pricing::gate::{
    Answers, Api, Billable, GateCatalog, GateProduct, KeyPlaces, Limit, Meter, OnOutage, Operation,
    QuotaPeriod, Rule, Scope,
};
use tollgate_pricing::id::{Hex128, LedgerId, SubscriptionId};
use tollgate_pricing::key::{KeyHash, KeySecrets};
use tollgate_pricing::sync::{Access, QuotaPeriods, SubscriptionState};
use tollgate_pricing::timeline::{Run, Timeline};

pub(super) const LEDGER: LedgerId = Hex128([0x1e; 16]);
/// What the host's clock says when a story begins.
pub(super) const START_MS: u64 = 1_800_000_000_000;
/// Subscription n is to product n − 1; the last key is nobody's.
pub(super) const PRODUCTS: u64 = 5;

static SECRETS: LazyLock<KeySecrets> = LazyLock::new(|| KeySecrets::derive(&[3; 32]));

/// The keys, in the order of their subscriptions, each with the hash it is known by.
pub(super) static KEYS: LazyLock<Vec<(String, KeyHash)>> = LazyLock::new(|| {
    let key = |number: u64| {
        let text = SECRETS.write([number as u8; 16]).reveal().to_owned();
        let hash = SECRETS.lookup_hash(text.as_bytes());
        (text, hash)
    };
    (1..=PRODUCTS + 1).map(key).collect()
});

pub(super) static CATALOG: LazyLock<GateCatalog> = LazyLock::new(catalog);

fn catalog() -> GateCatalog {
    let operation = |id: &str, method: Option<&str>, path: &str, open, weight| Operation {
        id: id.to_owned(),
        method: method.map(str::to_owned),
        path: path.to_owned(),
        open,
        weight,
    };
    let operations = vec![
        operation("find", Some("GET"), "/find/{id}", false, 1),
        operation("heavy", None, "/heavy", false, 3),
        operation("health", Some("GET"), "/health", true, 1),
    ];
    GateCatalog {
        revision: 1,
        secrets: SECRETS.clone(),
        key: KeyPlaces {
            header: "x-api-key".to_owned(),
            query: Some("api-key".to_owned()),
            imported: false,
        },
        max_stale_seconds: 900,
        answers: Answers::default(),
        apis: vec![
            Api { id: "a".to_owned(), host: None, path: "/a".to_owned(), operations },
            Api { id: "b".to_owned(), host: None, path: "/b".to_owned(), operations: Vec::new() },
        ],
        products: (0..PRODUCTS).map(product).collect(),
    }
}

fn product(number: u64) -> GateProduct {
    let limits = match number {
        0 => Vec::new(),
        1 => vec![window("window", Scope::Gateway), bucket()],
        2 => vec![quota("calls", Meter::Calls, true), quota("soft", Meter::Calls, false)],
        3 => vec![window("fleet", Scope::Fleet), quota("calls", Meter::Weight, true)],
        _ => vec![
            quota("bytes", Meter::Bytes, true),
            quota("units", Meter::Header("x-units".to_owned()), true),
            Limit { enforce: false, ..quota("seen", Meter::Calls, true) },
        ],
    };
    let meters = match number {
        3 => vec![Meter::Weight],
        4.. => vec![Meter::Bytes, Meter::Header("x-units".to_owned())],
        _ => Vec::new(),
    };
    let on_outage = match number {
        2 => OnOutage::Allow,
        3 => OnOutage::AllowUpTo(NonZeroU64::MIN),
        _ => OnOutage::Deny,
    };
    GateProduct {
        id: format!("p{number}"),
        apis: vec!["a".to_owned()],
        limits,
        on_outage,
        billable: Billable::default(),
        meters,
    }
}

fn non_zero(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN)
}

fn limit(id: &str, rule: Rule) -> Limit {
    Limit { id: id.to_owned(), on: None, rule, enforce: true }
}

fn window(id: &str, scope: Scope) -> Limit {
    limit(id, Rule::SlidingWindow { calls: non_zero(3), period_seconds: non_zero(10), scope })
}

fn bucket() -> Limit {
    let (calls, burst) = (non_zero(2), non_zero(4));
    let scope = Scope::Gateway;
    limit("bucket", Rule::TokenBucket { calls, period_seconds: non_zero(1), burst, scope })
}

fn quota(id: &str, meter: Meter, hard: bool) -> Limit {
    let period = QuotaPeriod::Seconds(non_zero(60));
    limit(id, Rule::Quota { units: NonZeroU64::from(non_zero(20)), meter, period, hard })
}

/// A subscription as the host knows it at `now_ms`: periods of a minute from then on.
pub(super) fn state(id: u64, revision: u64, now_ms: u64) -> SubscriptionState {
    let product = id.saturating_sub(1).min(PRODUCTS - 1);
    let minute = now_ms.saturating_sub(START_MS) / 60_000;
    let periods = Timeline {
        first: u32::try_from(minute + 1).unwrap_or(u32::MAX),
        start_ms: START_MS.saturating_add(minute.saturating_mul(60_000)),
        runs: vec![Run { seconds: 60, count: 20 }],
    };
    let product = &CATALOG.products[product as usize];
    let quotas = product.limits.iter().filter(|limit| matches!(limit.rule, Rule::Quota { .. }));
    SubscriptionState {
        id: SubscriptionId(id),
        revision,
        product: product.tag(),
        catalog: 1,
        access: Access::Active,
        expires_ms: None,
        quotas: quotas
            .map(|limit| QuotaPeriods { limit: limit.tag(), periods: periods.clone() })
            .collect(),
        overrides: Vec::new(),
        periods,
    }
}
