//! `tollgate usage --unaccounted`: what processes may have let through and never reported.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::error::Error;
use super::output::{Csv, Left, Output, Right, Table, or_empty, time};
use crate::client::Client;
use crate::core::unaccounted::{Unaccounted, UnaccountedBoot};

pub(super) fn run(client: &Client, output: Output) -> Result<String, Error> {
    let report: Unaccounted = client.get("/v1/usage/unaccounted")?;
    output.list(&report, text, rows)
}

fn text(report: &Unaccounted) -> String {
    let mut table = Table::new([
        ("process", Left),
        ("gateway", Left),
        ("since", Left),
        ("until", Left),
        ("subscription", Left),
        ("billable calls", Right),
    ]);
    for boot in &report.boots {
        let life = || {
            [
                boot.boot.to_string(),
                boot.gateway.clone(),
                boot.since.map_or_else(|| "unknown".to_owned(), time),
                boot.until.map_or_else(|| "unknown".to_owned(), time),
            ]
        };
        for calls in &boot.subscriptions {
            let [id, gateway, since, until] = life();
            let at_most = calls.at_most.map(|calls| format!("at most {calls}"));
            let at_most = at_most.unwrap_or_else(|| "unknown".to_owned());
            table.row([id, gateway, since, until, calls.subscription.to_string(), at_most]);
        }
        let [id, gateway, since, until] = life();
        table.row([id, gateway, since, until, "any other".to_owned(), "unknown".to_owned()]);
    }
    let mut text = table.print_or("Everything is accounted for.");
    if !report.boots.is_empty() {
        text.push_str(
            "\nThese processes are silent, and nobody knows that they reported everything. What is \
             missing of\nthem was let through between these times. If their logs are there: \
             `tollgate ingest-spill FILE`.\n",
        );
    }
    if report.truncated || report.boots.iter().any(|boot| boot.truncated) {
        text.push_str("\nThere is more than one report holds: the oldest is left out.\n");
    }
    if let Some(restored) = report.restored {
        let _ = writeln!(
            text,
            "\nThis ledger was restored at {}: what was reported between its backup\nand then is \
             not in it.",
            time(restored)
        );
    }
    text
}

fn rows(report: &Unaccounted) -> Csv<8> {
    let mut csv = Csv::new([
        "boot",
        "gateway",
        "since",
        "last_seen",
        "until",
        "forgotten",
        "subscription",
        "at_most",
    ]);
    for boot in &report.boots {
        for calls in &boot.subscriptions {
            csv.row(row(boot, &calls.subscription.to_string(), calls.at_most));
        }
        csv.row(row(boot, "", None));
    }
    csv
}

/// A line; of any other subscription if it names none.
fn row(boot: &UnaccountedBoot, subscription: &str, at_most: Option<u64>) -> [String; 8] {
    let at = |time: Option<Timestamp>| or_empty(time);
    [
        boot.boot.to_string(),
        boot.gateway.clone(),
        at(boot.since),
        at(boot.last_seen),
        at(boot.until),
        boot.forgotten.to_string(),
        subscription.to_owned(),
        or_empty(at_most),
    ]
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::id::{Hex128, SubscriptionId};

    use super::*;
    use crate::core::unaccounted::UnaccountedCalls;

    #[test]
    fn what_may_be_missing_as_it_is_shown() {
        let none = Unaccounted::default();
        assert_eq!(text(&none), "Everything is accounted for.\n");
        let at = |text: &str| Some(text.parse::<Timestamp>().unwrap());
        let calls = |id, at_most| UnaccountedCalls { subscription: SubscriptionId(id), at_most };
        let boot = |number, until, subscriptions| UnaccountedBoot {
            boot: Hex128([number; 16]),
            gateway: "edge".to_owned(),
            since: at("2026-11-22T15:00:00Z"),
            last_seen: at("2026-11-22T15:00:01Z"),
            until,
            forgotten: false,
            subscriptions,
            truncated: false,
        };
        let boots = vec![
            boot(1, at("2026-11-22T15:15:06Z"), vec![calls(1, Some(20)), calls(2, None)]),
            boot(2, None, Vec::new()),
        ];
        let report = Unaccounted { boots, truncated: true, restored: at("2026-11-22T14:00:00Z") };
        insta::assert_snapshot!(text(&report), @r"
        process                           gateway  since                 until                 subscription  billable calls
        01010101010101010101010101010101  edge     2026-11-22 15:00:00Z  2026-11-22 15:15:06Z  sub_1             at most 20
        01010101010101010101010101010101  edge     2026-11-22 15:00:00Z  2026-11-22 15:15:06Z  sub_2                unknown
        01010101010101010101010101010101  edge     2026-11-22 15:00:00Z  2026-11-22 15:15:06Z  any other            unknown
        02020202020202020202020202020202  edge     2026-11-22 15:00:00Z  unknown               any other            unknown

        These processes are silent, and nobody knows that they reported everything. What is missing of
        them was let through between these times. If their logs are there: `tollgate ingest-spill FILE`.

        There is more than one report holds: the oldest is left out.

        This ledger was restored at 2026-11-22 14:00:00Z: what was reported between its backup
        and then is not in it.
        ");
        insta::assert_snapshot!(Output::Csv.list(&report, text, rows).unwrap(), @r"
        boot,gateway,since,last_seen,until,forgotten,subscription,at_most
        01010101010101010101010101010101,edge,2026-11-22T15:00:00Z,2026-11-22T15:00:01Z,2026-11-22T15:15:06Z,false,sub_1,20
        01010101010101010101010101010101,edge,2026-11-22T15:00:00Z,2026-11-22T15:00:01Z,2026-11-22T15:15:06Z,false,sub_2,
        01010101010101010101010101010101,edge,2026-11-22T15:00:00Z,2026-11-22T15:00:01Z,2026-11-22T15:15:06Z,false,,
        02020202020202020202020202020202,edge,2026-11-22T15:00:00Z,2026-11-22T15:00:01Z,,false,,
        ");
    }
}
