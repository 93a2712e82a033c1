//! `tollgate check`: the catalog's mistakes, all at once.

use std::path::{Path, PathBuf};

use serde::Serialize;
use tollgate_pricing::catalog::{Catalog, Mistake};

use super::error::Error;
use super::output::Output;
use crate::catalog_file;

/// List all mistakes in a catalog, each with its place
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A mistake is printed as FILE:LINE:COLUMN PATH: MESSAGE, one a line, and the exit code is 1.
`tollgate serve` refuses to start on a catalog with mistakes, and keeps the last good one
when one turns up while it runs.")]
pub(super) struct Args {
    /// The catalog, YAML or JSON
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a str,
    /// How many; none if there are mistakes.
    apis: Option<usize>,
    products: Option<usize>,
    mistakes: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    line: usize,
    column: usize,
    path: &'a str,
    message: &'a str,
}

pub(super) fn run(args: &Args, output: Output) -> Result<String, Error> {
    let text = catalog_file::read(&args.file)
        .map_err(|error| Error::Read { path: args.file.clone(), error })?;
    report(&args.file, &text, output)
}

fn report(path: &Path, text: &str, output: Output) -> Result<String, Error> {
    let file = &path.display().to_string();
    match Catalog::parse(text) {
        Ok(catalog) => {
            let report = Report {
                file,
                apis: Some(catalog.apis.len()),
                products: Some(catalog.products.len()),
                mistakes: Vec::new(),
            };
            output.print(&report, |_| {
                let count = |n: usize, one: &str, many: &str| match n {
                    1 => format!("1 {one}"),
                    n => format!("{n} {many}"),
                };
                format!(
                    "{file} is a good catalog: {}, {}\n",
                    count(catalog.apis.len(), "API", "APIs"),
                    count(catalog.products.len(), "product", "products")
                )
            })
        }
        Err(mistakes) => {
            let report = Report {
                file,
                apis: None,
                products: None,
                mistakes: mistakes.iter().map(entry).collect(),
            };
            Err(Error::Found(output.print(&report, |_| catalog_file::lines(path, &mistakes))?))
        }
    }
}

fn entry(mistake: &Mistake) -> Entry<'_> {
    Entry {
        line: mistake.line,
        column: mistake.column,
        path: &mistake.path,
        message: &mistake.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BROKEN: &str = "\
currency: USD
colour: red
apis:
  - { id: a, path: /a }
products:
  - id: p
    apis: [b]
    price: { metered: { per: 1, amount: -1 } }
    limits:
      - { id: q, quota: { calls: 0, period: 30d } }
";

    fn found(text: &str, output: Output) -> String {
        match report(Path::new("shop.yaml"), text, output) {
            Err(Error::Found(report)) => report,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_mistakes_are_listed_with_their_places() {
        insta::assert_snapshot!(found(BROKEN, Output::Table), @r"
        shop.yaml:2:1 colour: unknown field: expected currency, key, answers, max_stale, apis, products
        shop.yaml:7:12 products[0].apis[0]: no API has the id `b` (did you mean `a`?)
        shop.yaml:8:41 products[0].price.metered.amount: expected a price of zero or more, found -1
        shop.yaml:10:34 products[0].limits[0].quota.calls: expected a whole number from 1 to 1000000000000000, found 0
        ");
        let json: serde_json::Value = serde_json::from_str(&found(BROKEN, Output::Json)).unwrap();
        assert_eq!(json["mistakes"].as_array().unwrap().len(), 4);
        assert_eq!(json["mistakes"][0]["line"], 2);
    }

    #[test]
    fn a_good_catalog_is_counted() {
        let good = BROKEN
            .replace("colour: red\n", "")
            .replace("[b]", "[a]")
            .replace("-1", "0.01")
            .replace("calls: 0", "calls: 5");
        let said = report(Path::new("shop.yaml"), &good, Output::Table).unwrap();
        assert_eq!(said, "shop.yaml is a good catalog: 1 API, 1 product\n");
    }
}
