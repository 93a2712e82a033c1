//! `tollgate quote`: what so many calls of a product would cost.

use std::path::PathBuf;

use serde::Serialize;
use tollgate_pricing::catalog::Catalog;
use tollgate_pricing::money::Amount;
use tollgate_pricing::quote::{Line, Usage, quote};

use super::error::Error;
use super::invoice;
use super::output::Output;
use crate::catalog_file;

/// Price a number of calls in one billing period of a product
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tollgate quote catalog.yaml basic 75000

The lines are those of an invoice for that many billable calls.")]
pub(super) struct Args {
    /// The catalog, YAML or JSON
    #[arg(value_name = "CATALOG")]
    file: PathBuf,
    /// The product's id in it
    product: String,
    /// Billable calls in the period
    #[arg(value_parser = calls)]
    calls: u64,
}

#[derive(Serialize)]
struct Quote<'a> {
    product: &'a str,
    calls: u64,
    lines: Vec<Line>,
    total: Amount,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let text = catalog_file::read(&args.file)
        .map_err(|error| Error::Read { path: args.file.clone(), error })?;
    let catalog = Catalog::parse(&text).map_err(|mistakes| {
        let lines = catalog_file::lines(&args.file, &mistakes);
        Error::Catalog(lines.trim_end().to_owned())
    })?;
    let product = catalog.product(&args.product).ok_or_else(|| {
        let known: Vec<&str> = catalog.products.iter().map(|p| p.id.as_str()).collect();
        Error::NoProduct {
            path: args.file.clone(),
            product: args.product.clone(),
            known: known.join(", "),
        }
    })?;
    let lines = quote(product, Usage { calls: args.calls })?;
    let amounts = lines.iter().map(|line| line.amount);
    let quote = Quote {
        product: &product.id,
        calls: args.calls,
        total: Amount::sum(catalog.currency, amounts)?,
        lines,
    };
    output.print(&quote, |quote| invoice::lines(&quote.lines, quote.total))
}

fn calls(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "expected a whole number of calls")
}
