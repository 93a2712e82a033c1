//! `tollgate close`: what `serve` does by itself every second, now.

use std::fmt::Write as _;

use super::error::Error;
use super::output::{Left, Output, Table, minute, or_dash, printable, time};
use super::remote::Remote;
use crate::core::close::{Closed, Waiting, WaitingPeriod};

/// Close billing periods that are over, and see what waits and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
`tollgate serve` does this by itself every second. A period is closed once every gateway has
reported all of it, or the grace after its end has run out.")]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let closed: Closed = args.remote.client()?.post("/v1/close", &())?;
    output.print(&closed, text)
}

fn text(answer: &Closed) -> String {
    let mut closed = Table::new([("closed", Left), ("period", Left), ("invoice", Left)]);
    for period in &answer.closed {
        closed.row([
            period.subscription.to_string(),
            period.period.to_string(),
            or_dash(period.invoice),
        ]);
    }
    let mut waiting =
        Table::new([("waiting", Left), ("period", Left), ("ended", Left), ("for", Left)]);
    for period in &answer.waiting {
        waiting.row([
            period.subscription.to_string(),
            period.period.to_string(),
            minute(period.ended),
            reason(period),
        ]);
    }
    let nothing =
        if answer.waiting.is_empty() { "Nothing to close." } else { "Nothing is ready to close." };
    let mut text = closed.print_or(nothing);
    if !answer.corrections.is_empty() {
        let invoices: Vec<String> = answer.corrections.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "\nFor late usage of ended subscriptions: {}", invoices.join(", "));
    }
    if !answer.waiting.is_empty() {
        let _ = write!(text, "\n{}", waiting.print());
        text.push_str(
            "\nWho stays silent is waited for until `serve --close-grace` has passed, 1h by \
             default; `tollgate gateways forget` gives up one that is dead.\n",
        );
    }
    if answer.more {
        text.push_str("\nThere is more to close: ask again, or leave it to `tollgate serve`.\n");
    }
    text
}

fn reason(period: &WaitingPeriod) -> String {
    match &period.reason {
        Waiting::Unswept { boots, gateways, until } => {
            let processes =
                if *boots == 1 { "1 process".to_owned() } else { format!("{boots} processes") };
            let names: Vec<String> = gateways.iter().map(|name| printable(name)).collect();
            format!("{processes} of {} to report, until {}", names.join(", "), time(*until))
        }
        Waiting::OpenCalls { calls, until } => {
            format!("{calls} calls to end, until {}", time(*until))
        }
        Waiting::Unpriced { message } => format!("somebody to look: {}", printable(message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invoices_for_late_usage_are_shown() {
        let corrections = vec!["2026-000003".parse().unwrap(), "2026-000004".parse().unwrap()];
        let shown = text(&Closed { corrections, ..Closed::default() });
        assert_eq!(
            shown,
            "Nothing to close.\n\nFor late usage of ended subscriptions: 2026-000003, 2026-000004\n"
        );
    }
}
