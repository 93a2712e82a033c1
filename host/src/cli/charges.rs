//! `tollgate charges`: what the payment provider received.

use super::error::Error;
use super::output::{Left, Output, Right, Table, time};
use super::remote::Remote;
use crate::provider::sandbox::Received;

/// List what the sandbox, the built-in payment provider, received
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let all: Vec<Received> = args.remote.client()?.get("/v1/charges")?;
    output.print(&all, |all| table(all))
}

fn table(all: &[Received]) -> String {
    let mut table = Table::new([
        ("charge", Left),
        ("invoice", Left),
        ("subscription", Left),
        ("consumer", Left),
        ("amount", Right),
        ("received", Left),
    ]);
    for charge in all {
        table.row([
            charge.reference.clone(),
            charge.invoice.to_string(),
            charge.subscription.to_string(),
            charge.consumer.clone(),
            charge.amount.to_string(),
            time(charge.received),
        ]);
    }
    table.print_or("No charge yet: one is sent when an invoice with something to pay is made.")
}
