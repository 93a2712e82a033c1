use super::*;
use crate::core::usage::{Unattributed, Unidentified};

#[test]
fn usage_as_it_is_shown() {
    let reasons = |reasons: &[(&str, u64)]| {
        let reasons = reasons.iter().map(|(why, calls)| ((*why).to_owned(), *calls));
        reasons.collect::<BTreeMap<_, _>>()
    };
    let period = PeriodUsage {
        subscription: SubscriptionId(1),
        product: "developer".to_owned(),
        consumer: "acme".to_owned(),
        period: 1,
        start: "2026-11-22T15:04:00Z".parse().unwrap(),
        end: "2026-11-22T15:05:00Z".parse().unwrap(),
        state: PeriodState::Closed,
        admitted: 120,
        billable: 100,
        waived: 20,
        open: 0,
        meters: BTreeMap::new(),
        refused: 5,
        refused_by_reason: reasons(&[("quota_exceeded", 2), ("rate_limited", 3)]),
        would_refuse: 0,
        would_refuse_by_reason: BTreeMap::new(),
    };
    let report = UsageReport {
        periods: vec![period],
        unidentified: Unidentified {
            open_operations: 9,
            refused: 4,
            refused_by_reason: reasons(&[("missing_key", 4)]),
            ..Unidentified::default()
        },
        unattributed: Vec::new(),
        missing_batches: 0,
        truncated: false,
    };
    assert!(!text(&report).contains("newest"));
    let report = UsageReport { truncated: true, ..report };
    insta::assert_snapshot!(text(&report), @r"
    subscription  product    period begins              admitted  billable  waived  open  refused
    sub_1         developer  2026-11-22 15:04Z  closed       120       100      20     0        5

    The newest 10000 periods were looked at; older ones are left out.

    open operations, without a key: 9

    refused: missing_key 4, quota_exceeded 2, rate_limited 3
    ");
    let mut report = UsageReport { truncated: false, ..report };
    report.periods[0].would_refuse = 7;
    report.periods[0].would_refuse_by_reason = reasons(&[("rate_limited", 7)]);
    insta::assert_snapshot!(text(&report), @r"
    subscription  product    period begins              admitted  billable  waived  open  refused  would refuse
    sub_1         developer  2026-11-22 15:04Z  closed       120       100      20     0        5             7

    open operations, without a key: 9

    refused: missing_key 4, quota_exceeded 2, rate_limited 3

    would refuse: rate_limited 7
    ");
    let units = [("bytes".to_owned(), 4_096), ("header x-tokens".to_owned(), 7)];
    report.periods[0].meters = units.into();
    insta::assert_snapshot!(Output::Csv.list(&report, text, rows).unwrap(), @r#"
    subscription,product,consumer,period,start,end,state,admitted,billable,waived,open,refused,would_refuse,metered
    sub_1,developer,acme,1,2026-11-22T15:04:00Z,2026-11-22T15:05:00Z,closed,120,100,20,0,5,7,"bytes 4096, header x-tokens 7"
    "#);
}

#[test]
fn what_belongs_to_nobody_is_shown() {
    let one = Unattributed {
        subscription: SubscriptionId(7),
        period: 3,
        admitted: 12,
        billable: 10,
        waived: 1,
        meters: [("weight".to_owned(), 20)].into(),
        first_reported: "2026-11-22T15:04:05Z".parse().unwrap(),
    };
    let report =
        UsageReport { unattributed: vec![one], missing_batches: 2, ..UsageReport::default() };
    insta::assert_snapshot!(text(&report), @r"
    No usage yet.

    Unattributed: gateways counted these for subscriptions or periods that this ledger never had,
    as after a restore from an old backup. They are billed to nobody.
    subscription  period  first reported        admitted  billable  waived  metered
    sub_7              3  2026-11-22 15:04:05Z        12        10       1  weight 20

    Rows of 2 batches never came: counters have their calls, and nothing else is known of them.
    ");
}
