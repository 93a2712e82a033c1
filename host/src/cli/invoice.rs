//! `tollgate invoice`: what was billed, and what would be.

use std::fmt::Write as _;

use clap::Subcommand;
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::money::Amount;
use tollgate_pricing::quote::Line;

use super::error::Error;
use super::output::{Left, Output, Right, Table, minute, or_dash, printable};
use super::remote::Remote;
use crate::core::charges::ChargeState;
use crate::core::invoice::{Invoice, InvoiceNumber};
use crate::serve::body::InvoiceList;

/// Show invoices, and preview the one of an open period
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the newest invoices, newest first
    List,
    /// Show one invoice with its lines
    Show {
        /// Which, like `2026-000001`
        number: InvoiceNumber,
    },
    /// Show what a subscription's open period costs so far
    Preview {
        /// Whose, like `sub_1`
        subscription: SubscriptionId,
    },
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let client = args.remote.client()?;
    match args.command {
        Command::List => {
            let list: InvoiceList = client.get("/v1/invoices")?;
            output.print(&list, table)
        }
        Command::Show { number } => {
            let one: Invoice = client.get(&format!("/v1/invoices/{number}"))?;
            output.print(&one, text)
        }
        Command::Preview { subscription } => {
            let path = format!("/v1/subscriptions/{subscription}/invoice-preview");
            let preview: Invoice = client.get(&path)?;
            output.print(&preview, text)
        }
    }
}

fn table(list: &InvoiceList) -> String {
    let mut table = Table::new([
        ("invoice", Left),
        ("subscription", Left),
        ("consumer", Left),
        ("product", Left),
        ("period begins", Left),
        ("calls", Right),
        ("total", Right),
        ("charge", Left),
    ]);
    for invoice in &list.invoices {
        table.row([
            or_dash(invoice.number),
            invoice.subscription.to_string(),
            invoice.consumer.clone(),
            invoice.product.clone(),
            minute(invoice.start),
            invoice.calls.to_string(),
            invoice.total.to_string(),
            or_dash(invoice.charge.as_ref().map(charge_word)),
        ]);
    }
    let mut text = table
        .print_or("No invoice yet: one is made when a billing period with usage or a price ends.");
    if list.truncated {
        let _ = writeln!(text, "\nThe newest {}; older ones are left out.", list.invoices.len());
    }
    text
}

fn text(invoice: &Invoice) -> String {
    let title = match invoice.number {
        Some(number) => format!("Invoice {number}"),
        None => "Preview of the open period; no invoice yet".to_owned(),
    };
    let charge = match &invoice.charge {
        None => String::new(),
        Some(state @ (ChargeState::Pending | ChargeState::InFlight)) => {
            format!("charge {}\n", charge_word(state))
        }
        Some(ChargeState::Accepted { reference }) => {
            format!("charge accepted as {}\n", printable(reference))
        }
        Some(ChargeState::Rejected { message }) => {
            format!("charge rejected: {}\n", printable(message))
        }
    };
    let rows = invoice.lines.iter().map(|line| {
        let late = line.adjusts.map(|period| format!(" (late, for period {period})"));
        (late.unwrap_or_default(), &line.line)
    });
    format!(
        "{title}\n{} · {} · {}\nperiod {}, {} to {}\n\n{}\n{charge}",
        invoice.subscription,
        printable(&invoice.consumer),
        printable(&invoice.product),
        invoice.period,
        minute(invoice.start),
        minute(invoice.end),
        line_table(rows, invoice.total),
    )
}

fn charge_word(state: &ChargeState) -> &'static str {
    match state {
        ChargeState::Pending => "pending",
        ChargeState::InFlight => "in flight",
        ChargeState::Accepted { .. } => "accepted",
        ChargeState::Rejected { .. } => "rejected",
    }
}

/// Lines of an invoice or a quote, and their sum.
pub(super) fn lines(lines: &[Line], total: Amount) -> String {
    line_table(lines.iter().map(|line| (String::new(), line)), total)
}

fn line_table<'a>(lines: impl Iterator<Item = (String, &'a Line)>, total: Amount) -> String {
    let mut table = Table::new([
        ("", Left),
        ("calls", Right),
        ("units", Right),
        ("price", Left),
        ("amount", Right),
    ]);
    for (note, line) in lines {
        table.row([
            format!("{}{note}", line.description),
            line.calls.to_string(),
            line.quantity.to_string(),
            line.unit_price.clone(),
            line.amount.to_string(),
        ]);
    }
    let empty = String::new;
    table.row(["Total".to_owned(), empty(), empty(), empty(), total.to_string()]);
    table.print()
}

#[cfg(test)]
mod tests {
    use tollgate_pricing::money::Currency;

    use super::*;
    use crate::core::invoice::InvoiceLine;

    fn invoice() -> Invoice {
        let currency: Currency = "USD".parse().unwrap();
        let line = |description: &str, calls, quantity, price: &str, minor| Line {
            description: description.to_owned(),
            calls,
            quantity,
            unit_price: price.to_owned(),
            amount: Amount::new(minor, currency),
        };
        let beyond = "Pro, calls beyond 500000";
        Invoice {
            number: Some("2026-000042".parse().unwrap()),
            subscription: SubscriptionId(7),
            consumer: "acme".to_owned(),
            product: "pro".to_owned(),
            period: 3,
            start: "2026-11-01T00:05:00Z".parse().unwrap(),
            end: "2026-12-01T00:05:00Z".parse().unwrap(),
            issued: "2026-12-01T00:05:03Z".parse().unwrap(),
            calls: 512_345,
            lines: vec![
                InvoiceLine {
                    adjusts: None,
                    line: line(
                        "Pro, 500000 calls included",
                        500_000,
                        1,
                        "449.95 USD per month",
                        44995,
                    ),
                },
                InvoiceLine {
                    adjusts: None,
                    line: line(beyond, 12_345, 123, "0.06 USD per 100 calls", 738),
                },
                InvoiceLine {
                    adjusts: Some(2),
                    line: line(beyond, 100, 1, "0.06 USD per 100 calls", 6),
                },
            ],
            total: Amount::new(45739, currency),
            charge: Some(ChargeState::Accepted { reference: "sandbox_000009".to_owned() }),
        }
    }

    #[test]
    fn an_invoice_as_it_is_shown() {
        insta::assert_snapshot!(text(&invoice()), @r"
        Invoice 2026-000042
        sub_7 · acme · pro
        period 3, 2026-11-01 00:05Z to 2026-12-01 00:05Z

                                                        calls  units  price                       amount
        Pro, 500000 calls included                     500000      1  449.95 USD per month    449.95 USD
        Pro, calls beyond 500000                        12345    123  0.06 USD per 100 calls    7.38 USD
        Pro, calls beyond 500000 (late, for period 2)     100      1  0.06 USD per 100 calls    0.06 USD
        Total                                                                                 457.39 USD

        charge accepted as sandbox_000009
        ");
        insta::assert_snapshot!(table(&InvoiceList::new(vec![invoice()])), @r"
        invoice      subscription  consumer  product  period begins       calls       total  charge
        2026-000042  sub_7         acme      pro      2026-11-01 00:05Z  512345  457.39 USD  accepted
        ");
        let full = InvoiceList::new(vec![invoice(); 10_000]);
        assert!(table(&full).ends_with("\n\nThe newest 10000; older ones are left out.\n"));
    }
}
