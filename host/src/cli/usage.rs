//! `tollgate usage`: what was called, by subscription and billing period.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Csv, Left, Output, Right, Table, minute};
use super::remote::Remote;
use crate::core::usage::{MAX_REPORTED_PERIODS, PeriodState, PeriodUsage, UsageReport};

/// Show calls by subscription and billing period
#[derive(Debug, clap::Args)]
#[command(after_help = "\
admitted = billable + waived + open: a call is billable once the API answered it with anything
but a 5xx, waived if it did not, and open until then. Refused calls cost nothing.")]
pub(super) struct Args {
    /// Whose, like `sub_1`; everybody's if left out
    subscription: Option<SubscriptionId>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let path = match args.subscription {
        Some(id) => format!("/v1/usage?subscription={id}"),
        None => "/v1/usage".to_owned(),
    };
    let report: UsageReport = args.remote.client()?.get(&path)?;
    output.list(&report, text, rows)
}

fn text(report: &UsageReport) -> String {
    let mut table = Table::new([
        ("subscription", Left),
        ("product", Left),
        ("period begins", Left),
        ("", Left),
        ("admitted", Right),
        ("billable", Right),
        ("waived", Right),
        ("open", Right),
        ("refused", Right),
        ("would refuse", Right),
    ]);
    for period in &report.periods {
        table.row([
            period.subscription.to_string(),
            period.product.clone(),
            minute(period.start),
            state(period).to_owned(),
            period.admitted.to_string(),
            period.billable.to_string(),
            period.waived.to_string(),
            period.open.to_string(),
            period.refused.to_string(),
            period.would_refuse.to_string(),
        ]);
    }
    if report.periods.iter().all(|period| period.would_refuse == 0) {
        // Few have something that only observes.
        table.hide("would refuse");
    }
    let mut text = table.print_or("No usage yet.");
    if report.truncated {
        let _ = writeln!(
            text,
            "\nThe newest {MAX_REPORTED_PERIODS} periods were looked at; older ones are left out."
        );
    }
    let unidentified = &report.unidentified;
    if unidentified.open_operations > 0 {
        let _ =
            writeln!(text, "\nopen operations, without a key: {}", unidentified.open_operations);
    }
    let refused = report.periods.iter().map(|period| &period.refused_by_reason);
    reasons(&mut text, "refused", refused.chain([&unidentified.refused_by_reason]));
    let would = report.periods.iter().map(|period| &period.would_refuse_by_reason);
    reasons(&mut text, "would refuse", would.chain([&unidentified.would_refuse_by_reason]));
    text
}

fn state(period: &PeriodUsage) -> &'static str {
    match period.state {
        PeriodState::Open => "open",
        PeriodState::Closed => "closed",
    }
}

/// A line of calls by reason; none if there are none.
fn reasons<'a>(
    text: &mut String,
    what: &str,
    parts: impl Iterator<Item = &'a BTreeMap<String, u64>>,
) {
    let mut sum: BTreeMap<&str, u64> = BTreeMap::new();
    for part in parts {
        add(&mut sum, part);
    }
    if !sum.is_empty() {
        let reasons: Vec<String> = sum.iter().map(|(why, n)| format!("{why} {n}")).collect();
        let _ = writeln!(text, "\n{what}: {}", reasons.join(", "));
    }
}

/// By period; calls without a subscription are in none.
fn rows(report: &UsageReport) -> Csv<13> {
    let mut csv = Csv::new([
        "subscription",
        "product",
        "consumer",
        "period",
        "start",
        "end",
        "state",
        "admitted",
        "billable",
        "waived",
        "open",
        "refused",
        "would_refuse",
    ]);
    for period in &report.periods {
        csv.row([
            period.subscription.to_string(),
            period.product.clone(),
            period.consumer.clone(),
            period.period.to_string(),
            period.start.to_string(),
            period.end.to_string(),
            state(period).to_owned(),
            period.admitted.to_string(),
            period.billable.to_string(),
            period.waived.to_string(),
            period.open.to_string(),
            period.refused.to_string(),
            period.would_refuse.to_string(),
        ]);
    }
    csv
}

fn add<'a>(sum: &mut BTreeMap<&'a str, u64>, more: &'a BTreeMap<String, u64>) {
    for (reason, calls) in more {
        let sum = sum.entry(reason).or_default();
        *sum = sum.saturating_add(*calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::usage::Unidentified;

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
        insta::assert_snapshot!(Output::Csv.list(&report, text, rows).unwrap(), @r"
        subscription,product,consumer,period,start,end,state,admitted,billable,waived,open,refused,would_refuse
        sub_1,developer,acme,1,2026-11-22T15:04:00Z,2026-11-22T15:05:00Z,closed,120,100,20,0,5,7
        ");
    }
}
