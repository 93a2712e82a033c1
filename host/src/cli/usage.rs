//! `tollgate usage`: what was called, by subscription and billing period, or by what the calls
//! looked like.

mod detail;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tollgate_pricing::id::SubscriptionId;

use super::error::Error;
use super::output::{Csv, Left, Output, Right, Table, minute, time};
use super::remote::Remote;
use super::unaccounted;
use crate::core::usage::{
    MAX_REPORTED_PERIODS, PeriodState, PeriodUsage, Unattributed, UsageReport,
};

/// Show calls by subscription and billing period
#[derive(Debug, clap::Args)]
#[command(after_help = "\
admitted = billable + waived + open: a call is open until it has ended, and then what its product
says; by default billable once the API answered it with anything but a 5xx, and waived if it did
not. Refused calls cost nothing. What is metered besides calls is that of the billable ones.

With --by, calls that were counted and of which nothing else is known are `unknown`: with them,
billable and waived add up to the ledger. While gateways report they may be below zero.")]
pub(super) struct Args {
    /// Whose, like `sub_1`; everybody's if left out
    subscription: Option<SubscriptionId>,
    /// Tell the calls apart by what they looked like, over all periods
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = ["operation", "status", "country", "hour"],
    )]
    by: Option<String>,
    /// Show instead what processes that are gone may have let through and never reported
    #[arg(long, conflicts_with_all = ["by", "subscription"])]
    unaccounted: bool,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    if args.unaccounted {
        return unaccounted::run(&client, output);
    }
    let by = args.by.as_ref().map(|by| format!("by={by}"));
    let whose = args.subscription.map(|id| format!("subscription={id}"));
    let query: Vec<String> = [by, whose].into_iter().flatten().collect();
    let path = format!("/v1/usage?{}", query.join("&"));
    if args.by.is_some() {
        return output.list(&client.get(&path)?, detail::text, detail::rows);
    }
    output.list(&client.get(&path)?, text, rows)
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
        ("metered", Left),
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
            metered(&period.meters),
        ]);
    }
    if report.periods.iter().all(|period| period.meters.is_empty()) {
        table.hide("metered");
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
    unattributed(&mut text, &report.unattributed);
    missing(&mut text, report.missing_batches);
    text
}

/// What this ledger cannot bill, if there is any.
fn unattributed(text: &mut String, found: &[Unattributed]) {
    if found.is_empty() {
        return;
    }
    let mut table = Table::new([
        ("subscription", Left),
        ("period", Right),
        ("first reported", Left),
        ("admitted", Right),
        ("billable", Right),
        ("waived", Right),
        ("metered", Left),
    ]);
    for one in found {
        table.row([
            one.subscription.to_string(),
            one.period.to_string(),
            time(one.first_reported),
            one.admitted.to_string(),
            one.billable.to_string(),
            one.waived.to_string(),
            metered(&one.meters),
        ]);
    }
    if found.iter().all(|one| one.meters.is_empty()) {
        table.hide("metered");
    }
    let _ = write!(
        text,
        "\nUnattributed: gateways counted these for subscriptions or periods that this ledger never \
         had,\nas after a restore from an old backup. They are billed to nobody.\n{}",
        table.print()
    );
}

/// What reports lack, if anything.
fn missing(text: &mut String, batches: u64) {
    if batches > 0 {
        let _ = writeln!(
            text,
            "\nRows of {batches} batches never came: counters have their calls, and nothing else \
             is known of them."
        );
    }
}

/// `bytes 4096, weight 7`.
fn metered(meters: &BTreeMap<String, u64>) -> String {
    let meters: Vec<String> =
        meters.iter().map(|(name, units)| format!("{name} {units}")).collect();
    meters.join(", ")
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
fn rows(report: &UsageReport) -> Csv<14> {
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
        "metered",
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
            metered(&period.meters),
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
mod tests;
