use proptest::prelude::*;
use serde_json::value::RawValue;
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{
    Country, Histogram, Latency, Outcome, PlaceRow, Reason, Row, RowBatch, Rows, SyncRequest,
};

use super::super::super::id::GatewayId;
use super::super::super::testing::{World, boot, nothing, slot};
use super::*;

const WAYS: [By; 4] = [By::Operation, By::Status, By::Country, By::Hour];

fn row(id: SubscriptionId, outcome: Outcome, status: u16, calls: u64) -> Row {
    Row {
        subscription: Some(id),
        period: match outcome {
            Outcome::Billable | Outcome::Waived => 1,
            Outcome::Open | Outcome::Refused(_) => 0,
        },
        api: Some("address".to_owned()),
        operation: Some(format!("op{}", status % 3)),
        status,
        outcome,
        would_refuse: None,
        minute: 60 * u32::from(status),
        calls,
        latency_us: calls * 1_000,
        bytes: calls * 10,
        units: calls * 2,
    }
}

fn place(id: SubscriptionId, country: &str, outcome: Outcome, calls: u64) -> PlaceRow {
    PlaceRow {
        subscription: Some(id),
        country: Country::read(country.as_bytes()).unwrap(),
        status: 200,
        outcome,
        hour: 7,
        calls,
        latency_us: calls * 1_000,
        bytes: calls * 10,
    }
}

fn rows(sequence: u64, rows: &Rows) -> SyncRequest {
    let text = RawValue::from_string(serde_json::to_string(rows).unwrap()).unwrap();
    SyncRequest { rows: Some(RowBatch::new(Hex128([9; 16]), sequence, text)), ..nothing(boot(1)) }
}

fn world() -> (World, GatewayId, SubscriptionId) {
    let mut world = World::new();
    let gateway = world.gateway("edge");
    let id = world.subscribe("free");
    (world, gateway, id)
}

/// A line each: `200: 5+3, …`, billable and waived, then the rest.
fn shown(report: &DetailReport) -> String {
    let mut lines: Vec<String> = report.lines.iter().map(shown_line).collect();
    let Unknown { billable, waived, open_operations, refused } = report.unknown;
    lines.push(format!("unknown: {billable}+{waived}, {open_operations} open, {refused} refused"));
    lines.push(format!("ledger: {}+{}\n", report.ledger.billable, report.ledger.waived));
    lines.join("\n")
}

fn shown_line(line: &DetailLine) -> String {
    let or_dash = |id: &Option<String>| id.clone().unwrap_or_else(|| "-".to_owned());
    let key = match &line.key {
        Key::Operation { api, operation } => format!("{}/{}", or_dash(api), or_dash(operation)),
        Key::Status { status } => status.to_string(),
        Key::Country { country } => country.clone(),
        Key::Hour { hour } => hour.to_string(),
        Key::Others { others } => format!("{others} others"),
    };
    let DetailLine { billable, waived, open_operations, refused, bytes, units, .. } = line;
    let times = match line.spread {
        Some(Spread { p50_us, p95_us, p99_us }) => {
            format!(", within {p50_us} {p95_us} {p99_us} us")
        }
        None => String::new(),
    };
    format!(
        "{key}: {billable}+{waived}, {open_operations} open, {refused} refused, {bytes} bytes, \
         {units} units, {} us{times}",
        line.mean_latency_us
    )
}

fn four_ways(world: &mut World) -> String {
    let shown = WAYS.map(|by| shown(&world.ask(ReadDetail { by, subscription: None }).unwrap()));
    shown.join("\n")
}

#[test]
fn calls_are_told_apart_four_ways() {
    let (mut world, gateway, id) = world();
    world.sync(gateway, slot(boot(1), id, (1, 1, 20, 12, 3)));
    let refused = Outcome::Refused(Reason::RateLimited);
    let mut histogram = Histogram::default();
    (1..=100).for_each(|ms| histogram.add(ms * 1_000));
    let latency = Latency {
        subscription: Some(id),
        api: Some("address".to_owned()),
        operation: Some("op2".to_owned()),
        hour: 7,
        min_us: 1_000,
        max_us: 100_000,
        histogram,
    };
    let told = Rows {
        calls: vec![
            row(id, Outcome::Billable, 200, 5),
            row(id, Outcome::Billable, 404, 3),
            row(id, Outcome::Waived, 503, 2),
            row(id, refused, 429, 7),
            Row { subscription: None, ..row(id, Outcome::Open, 200, 4) },
            // Merged by its gateway beyond its subscription.
            Row { subscription: None, period: 0, ..row(id, Outcome::Billable, 200, 1) },
        ],
        places: vec![
            place(id, "DE", Outcome::Billable, 6),
            place(id, "FR", Outcome::Waived, 1),
            place(id, "DE", refused, 2),
        ],
        latencies: vec![latency.clone(), Latency { hour: 8, ..latency }],
    };
    world.sync(gateway, rows(1, &told));
    insta::assert_snapshot!(four_ways(&mut world), @r"
    address/op2: 9+2, 4 open, 0 refused, 150 bytes, 30 units, 1000 us, within 53247 98303 100000 us
    address/op0: 0+0, 0 open, 7 refused, 70 bytes, 14 units, 1000 us
    unknown: 3+1, 0 open, 0 refused
    ledger: 12+3

    200: 6+0, 4 open, 0 refused, 100 bytes, 20 units, 1000 us
    404: 3+0, 0 open, 0 refused, 30 bytes, 6 units, 1000 us
    429: 0+0, 0 open, 7 refused, 70 bytes, 14 units, 1000 us
    503: 0+2, 0 open, 0 refused, 20 bytes, 4 units, 1000 us
    unknown: 3+1, 0 open, 0 refused
    ledger: 12+3

    DE: 6+0, 0 open, 2 refused, 80 bytes, 0 units, 1000 us
    FR: 0+1, 0 open, 0 refused, 10 bytes, 0 units, 1000 us
    unknown: 6+2, 4 open, 5 refused
    ledger: 12+3

    1970-01-09T08:00:00Z: 6+0, 4 open, 0 refused, 100 bytes, 20 units, 1000 us
    1970-01-17T20:00:00Z: 3+0, 0 open, 0 refused, 30 bytes, 6 units, 1000 us
    1970-01-18T21:00:00Z: 0+0, 0 open, 7 refused, 70 bytes, 14 units, 1000 us
    1970-01-21T23:00:00Z: 0+2, 0 open, 0 refused, 20 bytes, 4 units, 1000 us
    unknown: 3+1, 0 open, 0 refused
    ledger: 12+3
    ");
    // Its own, without what has no subscription.
    let own = world.ask(ReadDetail { by: By::Status, subscription: Some(id) }).unwrap();
    insta::assert_snapshot!(shown(&own), @r"
    200: 5+0, 0 open, 0 refused, 50 bytes, 10 units, 1000 us
    404: 3+0, 0 open, 0 refused, 30 bytes, 6 units, 1000 us
    429: 0+0, 0 open, 7 refused, 70 bytes, 14 units, 1000 us
    503: 0+2, 0 open, 0 refused, 20 bytes, 4 units, 1000 us
    unknown: 4+1, 0 open, 0 refused
    ledger: 12+3
    ");
    // Rows of a period or subscription that the ledger never had are with what is unattributed.
    let stranger = Rows {
        calls: vec![
            Row { period: 99, ..row(id, Outcome::Billable, 200, 50) },
            row(SubscriptionId(77), Outcome::Billable, 200, 50),
        ],
        places: vec![place(SubscriptionId(77), "DE", Outcome::Billable, 50)],
        latencies: Vec::new(),
    };
    let before = four_ways(&mut world);
    world.sync(gateway, rows(2, &stranger));
    assert_eq!(four_ways(&mut world), before);
    assert_eq!(
        world.refused(ReadDetail { by: By::Hour, subscription: Some(SubscriptionId(9)) }),
        "no_subscription: no subscription is sub_9"
    );
}

#[test]
fn what_does_not_fit_is_one_line() {
    let (mut world, gateway, id) = world();
    let calls: Vec<Row> = (0..1_500)
        .map(|n| Row {
            operation: Some(format!("op{n}")),
            minute: n * 60,
            status: u16::try_from(n).unwrap(),
            ..row(id, Outcome::Refused(Reason::NotFound), 0, u64::from(n) + 1)
        })
        .collect();
    world.sync(gateway, rows(1, &Rows { calls, ..Rows::default() }));
    for (by, first, rest) in
        [(By::Operation, 1_500, 125_250), (By::Status, 1_500, 125_250), (By::Hour, 501, 125_250)]
    {
        let report = world.ask(ReadDetail { by, subscription: None }).unwrap();
        assert_eq!(report.lines.len(), MAX_DETAIL_LINES + 1, "{by:?}");
        let (one, last) = (&report.lines[0], &report.lines[MAX_DETAIL_LINES]);
        assert_eq!((one.refused, last.refused), (first, rest), "{by:?}");
        assert_eq!(last.key, Key::Others { others: 500 });
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<DetailReport>(&text).unwrap(), report);
    }
}

/// A call of a process that ends as it may: in its counters, in a row, or on its way.
#[derive(Clone, Copy, Debug)]
struct Step {
    outcome: Outcome,
    status: u16,
    calls: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        Just(Outcome::Billable),
        Just(Outcome::Waived),
        Just(Outcome::Open),
        Just(Outcome::Refused(Reason::RateLimited)),
    ];
    (outcome, 200_u16..210, 1_u64..50).prop_map(|(outcome, status, calls)| Step {
        outcome,
        status,
        calls,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Law 4 in reports: whatever is lost, repeated or overtaken, each view adds up to the counters,
    /// and what it does not know is what was lost.
    #[test]
    fn every_view_adds_up_to_the_ledger(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 20..60),
    ) {
        let (mut world, gateway, id) = world();
        let (mut billable, mut waived) = (0, 0);
        let (mut lost_billable, mut lost_waived) = (0_i64, 0_i64);
        let mut messages = Vec::new();
        for (sequence, (step, is_lost)) in (1..).zip(&steps) {
            let signed = i64::try_from(step.calls).unwrap();
            let (sum, lost) = match step.outcome {
                Outcome::Billable => (&mut billable, &mut lost_billable),
                Outcome::Waived => (&mut waived, &mut lost_waived),
                Outcome::Open | Outcome::Refused(_) => (&mut 0, &mut 0),
            };
            *sum += step.calls;
            if *is_lost {
                *lost += signed;
            } else {
                let told = Rows {
                    calls: vec![row(id, step.outcome, step.status, step.calls)],
                    places: vec![place(id, "DE", step.outcome, step.calls)],
                    ..Rows::default()
                };
                messages.push(rows(sequence, &told));
            }
            messages.push(slot(boot(1), id, (1, 1, billable + waived, billable, waived)));
        }
        // In any order, many of them again, and in the end each at least once.
        let some = order.iter().map(|index| index.get(&messages).clone());
        for message in some.chain(messages.clone()) {
            world.sync(gateway, message);
        }
        for (by, whose) in WAYS.into_iter().flat_map(|by| [(by, None), (by, Some(id))]) {
            let report = world.ask(ReadDetail { by, subscription: whose }).unwrap();
            let sum = |calls: fn(&DetailLine) -> u64| report.lines.iter().map(calls).sum::<u64>();
            let ledger = [report.ledger.billable, report.ledger.waived];
            prop_assert_eq!(ledger, [billable, waived]);
            prop_assert_eq!(
                [report.unknown.billable, report.unknown.waived], [lost_billable, lost_waived]
            );
            let known = [sum(|line| line.billable), sum(|line| line.waived)];
            let lost = [lost_billable, lost_waived].map(|lost| u64::try_from(lost).unwrap());
            prop_assert_eq!([known[0] + lost[0], known[1] + lost[1]], ledger);
        }
    }
}
