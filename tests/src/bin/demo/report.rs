//! What is shown to people: answers as the callers saw them, and the host's books.

use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::ledger::{Books, Counters};
use crate::stage::Stage;
use crate::traffic::{Played, first_refused};

/// What each subscription's calls were answered.
pub(crate) fn print_answers(played: &[Played<'_>]) {
    println!("\nWhat the callers were answered");
    let mut table = Table::new(&[
        "subscription",
        "product",
        "calls",
        "200",
        "404",
        "500",
        "503",
        "403",
        "429",
        "refused from",
    ]);
    for it in played {
        let status = |status: u16| match it.tally.by_status.get(&status) {
            Some(calls) => calls.to_string(),
            None => String::new(),
        };
        // Calls over several connections have no order.
        let one_by_one = it.subscriber.part.connections.get() == 1;
        let from = first_refused(&it.replies).filter(|_| one_by_one);
        let from = from.map(|(call, _)| format!("call {call}"));
        table.row([
            it.subscriber.subscription.id.clone(),
            it.subscriber.part.product.to_owned(),
            it.tally.sent.to_string(),
            status(200),
            status(404),
            status(500),
            status(503),
            status(403),
            status(429),
            from.unwrap_or_default(),
        ]);
    }
    table.print();
    println!("  503: the sample API cut the connection. 403: the quota is used up. 429: too fast.");
}

/// Usage, invoices and charges, as the host has them.
pub(crate) fn print_books(stage: &Stage, books: &Books) -> Result<(), Failure> {
    print_usage(books);
    println!("\nInvoices that the host made by itself");
    for invoice in &books.invoices {
        println!();
        print_indented(&stage.host.run(&["invoice", "show", &invoice.number])?);
    }
    println!("\nWhat the payment provider received (the sandbox: it charges nobody)");
    print_indented(&stage.host.run(&["charges"])?);
    Ok(())
}

/// Usage by product and subscription, over all its billing periods.
fn print_usage(books: &Books) {
    println!("\nUsage in the ledger");
    let mut sums: BTreeMap<(&str, &str), Counters> = BTreeMap::new();
    for it in &books.usage {
        *sums.entry((&it.product, &it.subscription)).or_default() += it.counters;
    }
    let mut table = Table::new(&[
        "product",
        "subscription",
        "admitted",
        "billable",
        "waived",
        "open",
        "refused",
    ]);
    for ((product, subscription), used) in sums {
        table.row([
            product.to_owned(),
            subscription.to_owned(),
            used.admitted.to_string(),
            used.billable.to_string(),
            used.waived.to_string(),
            used.open.to_string(),
            used.refused.to_string(),
        ]);
    }
    table.print();
}

fn print_indented(text: &str) {
    for line in text.trim_end().lines() {
        println!("{}", format!("  {line}").trim_end());
    }
}

/// Columns as wide as what is in them; numbers end where their column ends.
struct Table<const N: usize>(Vec<[String; N]>);

impl<const N: usize> Table<N> {
    fn new(head: &[&str; N]) -> Self {
        Self(vec![head.map(str::to_owned)])
    }

    fn row(&mut self, cells: [String; N]) {
        self.0.push(cells);
    }

    fn print(&self) {
        let mut widths = [0; N];
        let mut numbers = [true; N];
        for (place, row) in self.0.iter().enumerate() {
            for ((cell, width), number) in row.iter().zip(&mut widths).zip(&mut numbers) {
                *width = cell.len().max(*width);
                *number &= place == 0 || cell.bytes().all(|it| it.is_ascii_digit());
            }
        }
        for row in &self.0 {
            let cells = row.iter().zip(widths).zip(numbers);
            let cells = cells.map(|((cell, width), number)| {
                if number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
            println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }
}
