use jiff::Timestamp;
use tollgate_pricing::id::{Hex128, SubscriptionId};

use super::*;
use crate::core::gateways::{Boot, Held};
use crate::core::id::GatewayId;

fn boot(number: u8, awaited: bool, units: &[u64]) -> Boot {
    let seen = Timestamp::from_second(1_800_000_000).unwrap();
    let held = |units: &u64| Held {
        subscription: SubscriptionId(7),
        limit: "monthly".to_owned(),
        period: 3,
        units: *units,
    };
    Boot {
        id: Hex128([number; 16]),
        first_seen: Some(seen),
        last_seen: Some(seen),
        live: false,
        awaited,
        forgotten: false,
        holds: units.iter().map(held).collect(),
    }
}

#[test]
fn what_is_stranded_or_awaited_is_told() {
    let boots = vec![boot(1, true, &[70])];
    let gateway = Gateway {
        id: GatewayId(1),
        name: "edge".to_owned(),
        created: Timestamp::from_second(1_700_000_000).unwrap(),
        last_seen: None,
        live_boots: 0,
        stranded: 70,
        boots,
    };
    insta::assert_snapshot!(table(&[gateway]), @r"
    gateway  name  created               last seen  processes  stranded
    gw_1     edge  2023-11-14 22:13:20Z  -                  0        70

    Stranded units were leased to processes that are silent now. They stay charged; if the
    processes are dead, `tollgate gateways forget NAME` gives them to others.

    This ledger was restored, and grants nothing of what had begun until these processes
    have reported, or `tollgate gateways release`:
      01010101010101010101010101010101 of edge
    ");
}

#[test]
fn before_processes_are_forgotten_it_is_told_what_that_does() {
    let boots = vec![boot(1, false, &[70]), boot(2, false, &[])];
    let told = Forgotten { boots, units: 70, dry_run: true };
    insta::assert_snapshot!(forgotten_text(&told), @r"
    process                           last seen             subscription  limit    period  units
    01010101010101010101010101010101  2027-01-15 08:00:00Z  sub_7         monthly       3     70
    02020202020202020202020202020202  2027-01-15 08:00:00Z  -             -             -      0

    Nothing was done. With --yes these processes are taken for dead: 70 units they hold are
    granted to others, and no billing period waits for them. If one of them lives, calls beyond
    a quota may be let through.
    ");
    let none = Forgotten { boots: Vec::new(), units: 0, dry_run: false };
    assert_eq!(forgotten_text(&none), "No process of this gateway is silent: nothing to forget.\n");
}
