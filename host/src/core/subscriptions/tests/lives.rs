//! Any life of a subscription: what is always so, whatever is asked in whichever order.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use proptest::prelude::*;
use tollgate_pricing::id::Tag;
use tollgate_pricing::key::{KeyHash, KeySecrets};

use super::super::super::id::{GatewayId, KeyId};
use super::super::super::keys::{ImportKeys, KeyState, RetireKeys, RotateKey};
use super::super::super::testing::{boot, nothing};
use super::plan::CATALOG;
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Approve,
    Reject,
    Suspend,
    Resume,
    Cancel,
    Expire { after_s: Option<i64> },
    AddKey,
    Rotate { key: u64, overlap_s: i64 },
    Revoke { key: u64 },
    Import { keys: Vec<u8> },
    Plan { product: &'static str },
    Own { limit: &'static str, units: u64 },
    Catalog { comment: u8, units: u64 },
    Pass { seconds: i64 },
    Tick,
}

fn act() -> impl Strategy<Value = Act> {
    let key = || 1_u64..6;
    let product = prop::sample::select(vec!["small", "large", "hourly", "weekly"]);
    let limit = prop::sample::select(vec!["most", "rate", "only"]);
    let after = proptest::option::of(1_i64..400);
    prop_oneof![
        3 => Just(Act::Approve),
        1 => Just(Act::Reject),
        2 => Just(Act::Suspend),
        2 => Just(Act::Resume),
        1 => Just(Act::Cancel),
        1 => after.prop_map(|after_s| Act::Expire { after_s }),
        2 => Just(Act::AddKey),
        4 => (key(), prop_oneof![Just(0), 1_i64..200])
            .prop_map(|(key, overlap_s)| Act::Rotate { key, overlap_s }),
        2 => key().prop_map(|key| Act::Revoke { key }),
        2 => proptest::collection::vec(0_u8..3, 1..3).prop_map(|keys| Act::Import { keys }),
        3 => product.prop_map(|product| Act::Plan { product }),
        2 => (limit, 0_u64..5).prop_map(|(limit, units)| Act::Own { limit, units }),
        2 => (0_u8..3, 1_u64..4).prop_map(|(comment, units)| Act::Catalog { comment, units }),
        5 => (1_i64..100).prop_map(|seconds| Act::Pass { seconds }),
        4 => Just(Act::Tick),
    ]
}

/// What a gateway's process believes that only ever hears of changes, and what it may check.
struct Follower {
    gateway: GatewayId,
    since: u64,
    state: Option<SubscriptionState>,
    keys: BTreeMap<KeyHash, Option<SubscriptionId>>,
}

impl Follower {
    /// Hears what changed: revisions only grow, and nothing changes without one.
    fn follow(&mut self, world: &mut World) {
        let request = SyncRequest { since: Some(self.since), ..nothing(boot(1)) };
        let answer = world.sync(self.gateway, request);
        assert!(answer.revision >= self.since);
        for state in answer.subscriptions {
            assert!(state.revision > self.since);
            self.state = Some(state);
        }
        self.keys.extend(answer.keys.iter().map(|key| (key.hash, key.subscription)));
        self.since = answer.revision;
    }

    /// What it believes is so: it has missed no change.
    fn check(&self, world: &mut World, made: &[KeyHash]) {
        let request = SyncRequest { keys: made.to_vec(), ..nothing(boot(2)) };
        let answer = world.sync(self.gateway, request);
        for key in &answer.keys {
            let believed = self.keys.get(&key.hash).copied().flatten();
            assert_eq!(believed, key.subscription, "a key that changed without a revision");
        }
        if let (Some(told), Some(believed)) = (answer.subscriptions.first(), &self.state) {
            let gist = |state: &SubscriptionState| {
                let SubscriptionState { revision, product, catalog, access, .. } = *state;
                (revision, product, catalog, access, state.expires_ms, state.overrides.clone())
            };
            assert_eq!(gist(told), gist(believed));
        }
    }
}

/// What was so once and stays so.
#[derive(Default)]
struct Past {
    ended: Option<(State, Timestamp)>,
    /// Start, end, product and catalog of periods that have begun, by number.
    begun: BTreeMap<u32, [String; 4]>,
    revoked: BTreeMap<KeyId, Timestamp>,
}

impl Past {
    fn check(&mut self, world: &mut World, id: SubscriptionId) {
        let details = world.ask(ReadSubscription(id)).unwrap();
        let now = details.subscription.ended.map(|at| (details.subscription.state, at));
        if self.ended.is_some() {
            assert_eq!(now, self.ended, "an ended subscription stays as it is");
        }
        self.ended = now;

        let count = |state| details.keys.iter().filter(|key| key.state == state).count();
        assert!(count(KeyState::Live) <= 2, "{:?}", details.keys);
        assert!(count(KeyState::Retiring) <= 1, "{:?}", details.keys);
        for key in &details.keys {
            if let Some(at) = self.revoked.get(&key.id) {
                assert_eq!(key.revoked, Some(*at), "a revoked key stays so");
            }
            self.revoked.extend(key.revoked.map(|at| (key.id, at)));
        }
        let product = &details.subscription.product;
        if details.subscription.ended.is_none() {
            let limits: Vec<&str> =
                details.limits.iter().map(|own| own.limit.id.as_str()).collect();
            for line in world.dump(&["overrides"]).lines() {
                let limit = line.split(' ').nth(2).unwrap();
                assert!(limits.contains(&limit), "{limit} is not of {product}");
            }
        }
        self.check_periods(world, &details.subscription);
    }

    fn check_periods(&mut self, world: &mut World, subscription: &Subscription) {
        let mut rows: Vec<(u32, [String; 4])> = world
            .dump(&["periods"])
            .lines()
            .map(|line| {
                let columns: Vec<&str> = line.split(' ').collect();
                (columns[2].parse().unwrap(), [3, 4, 5, 6].map(|at| columns[at].to_owned()))
            })
            .collect();
        rows.sort();
        let mut next = (1, subscription.anchor.as_millisecond().to_string());
        for (number, row) in rows {
            let [start, end, ..] = &row;
            assert_eq!((number, start), (next.0, &next.1), "periods follow each other");
            next = (number + 1, end.clone());
            if start.parse::<i64>().unwrap() <= world.now.as_millisecond() {
                let before = self.begun.entry(number).or_insert_with(|| row.clone());
                assert_eq!(*before, row, "a period that has begun keeps its price");
            }
        }
    }

    /// Every period is on one invoice at most, by its own product, and none that began after the
    /// end.
    fn check_invoices(&self, world: &mut World) {
        for invoice in world.ask(ListInvoices).unwrap() {
            let [_, _, product, _] = &self.begun[&invoice.period];
            assert_eq!(*product, invoice.product);
            if let Some((_, ended)) = self.ended {
                assert!(invoice.start < ended || invoice.start == ended && invoice.calls > 0);
            }
        }
    }
}

/// Does it; what is refused changes nothing.
fn perform(world: &mut World, id: SubscriptionId, act: &Act, made: &mut Vec<KeyHash>) {
    let secrets = KeySecrets::derive(&BIRTH.secret);
    let mut hash = |text: &str| made.push(secrets.lookup_hash(text.as_bytes()));
    let revision = world.ask(ReadHealth).unwrap().revision;
    let random = world.chance();
    let at = |world: &World, after: i64| world.now + SignedDuration::from_secs(after);
    let refused = match act {
        Act::Approve => world.ask(ApproveSubscription(id)).is_err(),
        Act::Reject => world.ask(RejectSubscription(id)).is_err(),
        Act::Suspend => world.ask(SuspendSubscription(id)).is_err(),
        Act::Resume => world.ask(ResumeSubscription(id)).is_err(),
        Act::Cancel => world.ask(CancelSubscription(id)).is_err(),
        Act::Expire { after_s } => {
            let at = after_s.map(|after| at(world, after));
            world.ask(ExpireSubscription { subscription: id, at }).is_err()
        }
        Act::AddKey => world
            .ask(AddKey { subscription: id, random })
            .map(|added| hash(added.key.reveal()))
            .is_err(),
        Act::Rotate { key, overlap_s } => {
            let overlap = SignedDuration::from_secs(*overlap_s);
            let rotated = world.ask(RotateKey { key: KeyId(*key), overlap, random });
            rotated.map(|rotated| hash(rotated.added.key.reveal())).is_err()
        }
        Act::Revoke { key } => world.ask(RevokeKey(KeyId(*key))).is_err(),
        Act::Import { keys } => {
            let texts: Vec<String> = keys.iter().map(|n| format!("brought-by-acme-{n}")).collect();
            for text in &texts {
                hash(text);
            }
            let keys = texts.into_iter().map(Clear::new).collect();
            world.ask(ImportKeys { subscription: id, keys }).is_err()
        }
        Act::Plan { product } => {
            let product = (*product).to_owned();
            world.ask(ChangePlan { subscription: id, product }).is_err()
        }
        Act::Own { limit, units } => {
            let own = NonZeroU64::new(*units).map(|units| Own { units, burst: None });
            let limit = (*limit).to_owned();
            world.ask(SetOverride { subscription: id, limit, own }).is_err()
        }
        Act::Catalog { comment, units } => {
            let units = format!("{{ calls: {units}00, period: 30d }}");
            let text = CATALOG.replace("{ calls: 100, period: 30d }", &units);
            world.load(&format!("{text}# {comment}\n")).is_err()
        }
        Act::Pass { seconds } => {
            world.pass(*seconds);
            false
        }
        Act::Tick => {
            world.ask(RetireKeys).unwrap();
            let now = Close { grace: SignedDuration::ZERO, serving_since: Timestamp::MIN };
            world.ask(now).unwrap();
            false
        }
    };
    if refused {
        assert_eq!(world.ask(ReadHealth).unwrap().revision, revision, "{act:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_is_asked(
        submitted in any::<bool>(),
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let mut world = World::empty();
        world.load(CATALOG).unwrap();
        let gateway = world.gateway("edge");
        let added = world.add("small", submitted, None);
        let id = added.subscription.id;
        let secrets = KeySecrets::derive(&BIRTH.secret);
        let mut made = vec![secrets.lookup_hash(added.key.reveal().as_bytes())];
        let mut follower =
            Follower { gateway, since: 0, state: None, keys: BTreeMap::new() };
        let mut past = Past::default();
        for act in acts {
            perform(&mut world, id, &act, &mut made);
            follower.follow(&mut world);
            follower.check(&mut world, &made);
            past.check(&mut world, id);
        }
        let state = follower.state.as_ref().unwrap();
        let product = world.ask(ReadSubscription(id)).unwrap().subscription.product;
        prop_assert_eq!(state.product, Tag::of(&product));
        world.pass(60);
        perform(&mut world, id, &Act::Tick, &mut made);
        past.check(&mut world, id);
        past.check_invoices(&mut world);
    }
}
