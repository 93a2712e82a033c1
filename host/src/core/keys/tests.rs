use tollgate_pricing::key::KeySecrets;
use tollgate_pricing::sync::SyncRequest;

use super::super::subscriptions::CancelSubscription;
use super::super::testing::{BIRTH, World, boot, nothing};
use super::*;

const CATALOG: &str = "
currency: USD
key: { imported: true }
apis: [{ id: address }]
products: [{ id: free, apis: [address], price: free }]
";

fn world() -> (World, SubscriptionId) {
    let mut world = World::empty();
    world.load(CATALOG).unwrap();
    let id = world.subscribe("free");
    (world, id)
}

fn rotate(world: &mut World, key: u64, overlap_s: i64) -> Result<KeyRotated, Refusal> {
    let overlap = SignedDuration::from_secs(overlap_s);
    let random = world.chance();
    world.ask(RotateKey { key: KeyId(key), overlap, random })
}

/// `1:retiring 2:live`, of all keys.
fn states(world: &mut World, id: SubscriptionId) -> String {
    let keys = world.ask(ListKeys(id)).unwrap();
    let keys = keys.iter().map(|key| format!("{}:{}", key.id.0, key.state.word()));
    keys.collect::<Vec<_>>().join(" ")
}

#[test]
fn one_of_two_keys_is_rotated_at_a_time() {
    let (mut world, id) = world();
    let random = world.chance();
    world.ask(AddKey { subscription: id, random }).unwrap();
    let check = |world: &mut World, key, overlap_s, expected: &str| {
        let done = match rotate(world, key, overlap_s) {
            Ok(_) => states(world, id),
            Err(refusal) => format!("{}: {refusal}", refusal.reason()),
        };
        assert_eq!(done, expected, "key_{key} in {overlap_s} s");
    };
    let bounds = "invalid: the overlap: expected 0 to 90 days, found";
    check(&mut world, 1, 90 * 86_400 + 1, &format!("{bounds} 2160h 1s"));
    check(&mut world, 1, -1, &format!("{bounds} 1s ago"));
    check(&mut world, 1, 60, "1:retiring 2:live 3:live");
    // Two that stay and one that retires: a second has to wait, or to go at once.
    check(
        &mut world,
        2,
        60,
        "rotation_under_way: sub_1 has a key that retires: revoke it now, or \
         wait for its end, to rotate another",
    );
    check(&mut world, 1, 0, "key_retires: key_1 retires: another has taken its place");
    check(&mut world, 2, 0, "1:retiring 2:revoked 3:live 4:live");
    check(&mut world, 2, 0, "key_revoked: key_2 is revoked");
    check(&mut world, 9, 0, "no_key: no key is key_9");
    let random = world.chance();
    assert_eq!(
        world.refused(AddKey { subscription: id, random }),
        "too_many_keys: sub_1 has two keys: revoke or rotate one"
    );
    world.pass(59);
    assert!(world.ask(RetireKeys).unwrap().keys.is_empty());
    world.pass(1);
    let retired = world.ask(RetireKeys).unwrap();
    let (key, now) = (&retired.keys[0], world.now);
    assert_eq!((key.id, key.revoked, key.retires), (KeyId(1), Some(now), Some(now)));
    assert!(world.ask(RetireKeys).unwrap().keys.is_empty());
    check(&mut world, 3, 60, "1:revoked 2:revoked 3:retiring 4:live 5:live");
    // A key that retires may be revoked before its time, once.
    world.ask(RevokeKey(KeyId(3))).unwrap();
    world.pass(60);
    assert!(world.ask(RetireKeys).unwrap().keys.is_empty());
    world.ask(CancelSubscription(id)).unwrap();
    check(&mut world, 4, 0, "subscription_ended: sub_1 has ended");
}

#[test]
fn gateways_hear_of_a_key_when_it_is_revoked_and_not_when_it_retires() {
    let (mut world, id) = world();
    let gateway = world.gateway("edge");
    let mut since = world.sync(gateway, nothing(boot(1))).revision;
    let mut changes = |world: &mut World| {
        let request = SyncRequest { since: Some(since), ..nothing(boot(1)) };
        let answer = world.sync(gateway, request);
        since = answer.revision;
        answer.keys.iter().map(|key| key.subscription).collect::<Vec<_>>()
    };
    rotate(&mut world, 1, 60).unwrap();
    assert_eq!(changes(&mut world), [Some(id)], "the new one");
    world.pass(60);
    world.ask(RetireKeys).unwrap();
    assert_eq!(changes(&mut world), [None], "the old one");
    rotate(&mut world, 2, 0).unwrap();
    assert_eq!(changes(&mut world), [None, Some(id)], "both at once");
}

fn import(subscription: SubscriptionId, keys: &[&str]) -> ImportKeys {
    let keys = keys.iter().map(|key| Clear::new((*key).to_owned())).collect();
    ImportKeys { subscription, keys }
}

const BROUGHT: &str = "sk_live_0123456789";

#[test]
fn keys_are_taken_over_all_or_none() {
    let (mut world, id) = world();
    let other = world.subscribe("free");
    let gateway = world.gateway("edge");
    let long = "a".repeat(257);
    let secret = "0123456789 secret";
    for (whose, keys, refusal) in [
        (id, &[][..], "invalid: keys: expected one or two, one a line, found none"),
        (
            id,
            &["short"],
            "key_unfit: key 1: expected 16 to 256 bytes of visible ASCII, found 5 bytes",
        ),
        (
            id,
            &[BROUGHT, &long],
            "key_unfit: key 2: expected 16 to 256 bytes of visible ASCII, found 257 bytes",
        ),
        (
            id,
            &[secret],
            "key_unfit: key 1: expected 16 to 256 bytes of visible ASCII, found another at byte 11",
        ),
        (
            id,
            &[BROUGHT, "0123456789abcdef"],
            "too_many_keys: sub_1 has two keys: revoke or rotate one",
        ),
    ] {
        let found = world.refused(import(whose, keys));
        assert_eq!(found, refusal);
        assert!(!found.contains("secret"));
        assert_eq!(states(&mut world, id), "1:live");
    }
    let taken = world.ask(import(id, &[BROUGHT])).unwrap();
    assert_eq!((taken.len(), taken[0].imported, taken[0].state), (1, true, KeyState::Live));
    // Twice is once, and whoever else brings it is not told whose it is.
    assert_eq!(
        world.ask(import(id, &[BROUGHT, BROUGHT])).unwrap(),
        [&taken[..], &taken[..]].concat()
    );
    let taken_words = "key_taken: key 1 cannot be taken over: it is in use, or was revoked";
    assert_eq!(world.refused(import(other, &[BROUGHT])), taken_words);
    // Gateways find it as they find others.
    let hash = KeySecrets::derive(&BIRTH.secret).lookup_hash(BROUGHT.as_bytes());
    let request = SyncRequest { keys: vec![hash], ..nothing(boot(1)) };
    assert_eq!(world.sync(gateway, request).keys[0].subscription, Some(id));
    let dump = world.dump(&["keys", "subscriptions", "conflicts"]);
    assert!(!dump.contains("sk_live"), "{dump}");
    assert!(!format!("{:?}", import(id, &[BROUGHT])).contains("sk_live"));
    // It is rotated like others, and never comes back.
    rotate(&mut world, taken[0].id.0, 0).unwrap();
    for whose in [id, other] {
        assert_eq!(world.refused(import(whose, &[BROUGHT])), taken_words);
    }
}

#[test]
fn keys_are_taken_over_only_where_they_are_looked_up() {
    let mut world = World::new();
    let id = world.subscribe("free");
    assert_eq!(
        world.refused(import(id, &[BROUGHT])),
        "keys_not_imported: the catalog takes no keys of consumers' own: write `key: { imported: \
         true }` in it"
    );
}
