//! `tollgate usage --by …`: what calls looked like.

use super::super::output::{Csv, Left, Right, Table, minute, or_dash, or_empty};
use super::missing;
use crate::core::usage::detail::{By, DetailLine, DetailReport, Key};

pub(super) fn text(report: &DetailReport) -> String {
    if report.lines.is_empty() && report.ledger.billable == 0 && report.ledger.waived == 0 {
        return "No usage yet.\n".to_owned();
    }
    let mut table = Table::new([
        (first_column(report.by), Left),
        ("operation", Left),
        ("billable", Right),
        ("waived", Right),
        ("refused", Right),
        ("no key", Right),
        ("bytes", Right),
        ("units", Right),
        ("mean ms", Right),
        ("p50", Right),
        ("p95", Right),
        ("p99", Right),
    ]);
    for line in &report.lines {
        table.row(cells(line));
    }
    table.row(unknown(report));
    let (billable, waived) = (report.ledger.billable.to_string(), report.ledger.waived.to_string());
    table.row(last_cells(["ledger".to_owned(), billable, waived, String::new(), String::new()]));
    hide_unused(&mut table, report);
    let mut text = table.print();
    missing(&mut text, report.missing_batches);
    text
}

/// Hides columns that say nothing in any line.
fn hide_unused(table: &mut Table<12>, report: &DetailReport) {
    let lines = &report.lines;
    let no_open = report.unknown.open_operations == 0;
    let unused = [
        ("operation", lines.iter().all(|line| !matches!(line.key, Key::Operation { .. }))),
        ("no key", no_open && lines.iter().all(|line| line.open_operations == 0)),
        ("bytes", lines.iter().all(|line| line.bytes == 0)),
        ("units", lines.iter().all(|line| line.units == 0)),
    ];
    let no_spread = lines.iter().all(|line| line.spread.is_none());
    let times = ["p50", "p95", "p99"].map(|column| (column, no_spread));
    for (column, _) in unused.into_iter().chain(times).filter(|(_, is_unused)| *is_unused) {
        table.hide(column);
    }
}

fn first_column(by: By) -> &'static str {
    match by {
        By::Operation => "api",
        By::Status => "status",
        By::Country => "country",
        By::Hour => "hour",
    }
}

fn cells(line: &DetailLine) -> [String; 12] {
    let (first, operation) = match &line.key {
        Key::Operation { api, operation } => (or_dash(api.as_ref()), or_dash(operation.as_ref())),
        Key::Status { status: 0 } => ("none".to_owned(), String::new()),
        Key::Status { status } => (status.to_string(), String::new()),
        Key::Country { country } => (country.clone(), String::new()),
        Key::Hour { hour } => (minute(*hour), String::new()),
        Key::Others { others } => (format!("{others} others"), String::new()),
    };
    let spread = line.spread;
    [
        first,
        operation,
        line.billable.to_string(),
        line.waived.to_string(),
        line.refused.to_string(),
        line.open_operations.to_string(),
        line.bytes.to_string(),
        line.units.to_string(),
        milliseconds(line.mean_latency_us),
        or_dash(spread.map(|spread| milliseconds(spread.p50_us))),
        or_dash(spread.map(|spread| milliseconds(spread.p95_us))),
        or_dash(spread.map(|spread| milliseconds(spread.p99_us))),
    ]
}

fn unknown(report: &DetailReport) -> [String; 12] {
    let unknown = report.unknown;
    last_cells([
        "unknown".to_owned(),
        unknown.billable.to_string(),
        unknown.waived.to_string(),
        unknown.refused.to_string(),
        unknown.open_operations.to_string(),
    ])
}

/// A row of calls alone.
fn last_cells([name, billable, waived, refused, open]: [String; 5]) -> [String; 12] {
    let none = String::new;
    [name, none(), billable, waived, refused, open, none(), none(), none(), none(), none(), none()]
}

/// To a tenth.
fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1_000, us % 1_000 / 100)
}

/// The lines, then one named `unknown`: in `billable` and `waived` they add up to the ledger.
pub(super) fn rows(report: &DetailReport) -> Csv<12> {
    let mut csv = Csv::new([
        first_column(report.by),
        "operation",
        "billable",
        "waived",
        "refused",
        "open_operations",
        "bytes",
        "units",
        "mean_latency_us",
        "p50_us",
        "p95_us",
        "p99_us",
    ]);
    for line in &report.lines {
        let (first, operation) = names(&line.key);
        let spread = line.spread;
        csv.row([
            first,
            operation,
            line.billable.to_string(),
            line.waived.to_string(),
            line.refused.to_string(),
            line.open_operations.to_string(),
            line.bytes.to_string(),
            line.units.to_string(),
            line.mean_latency_us.to_string(),
            or_empty(spread.map(|spread| spread.p50_us)),
            or_empty(spread.map(|spread| spread.p95_us)),
            or_empty(spread.map(|spread| spread.p99_us)),
        ]);
    }
    csv.row(unknown(report));
    csv
}

/// What the calls of a line have in common, in two columns.
fn names(key: &Key) -> (String, String) {
    let first = match key {
        Key::Operation { api, operation } => {
            return (or_empty(api.as_ref()), or_empty(operation.as_ref()));
        }
        Key::Status { status } => status.to_string(),
        Key::Country { country } => country.clone(),
        Key::Hour { hour } => hour.to_string(),
        Key::Others { .. } => "others".to_owned(),
    };
    (first, String::new())
}

#[cfg(test)]
mod tests {
    use super::super::super::output::Output;
    use super::*;
    use crate::core::usage::detail::{Settled, Spread, Unknown};

    fn line(key: Key, billable: u64) -> DetailLine {
        DetailLine {
            key,
            billable,
            waived: 2,
            open_operations: 0,
            refused: 7,
            bytes: 0,
            units: 0,
            mean_latency_us: 12_345,
            spread: None,
        }
    }

    fn operation(id: Option<&str>) -> Key {
        Key::Operation { api: Some("address".to_owned()), operation: id.map(str::to_owned) }
    }

    #[test]
    fn operations_as_they_are_shown() {
        let spread = Some(Spread { p50_us: 9_000, p95_us: 40_959, p99_us: 1_310_719 });
        let report = DetailReport {
            by: By::Operation,
            lines: vec![
                DetailLine {
                    bytes: 4_096,
                    units: 30,
                    spread,
                    ..line(operation(Some("find")), 100)
                },
                line(operation(None), 1),
                line(Key::Others { others: 17 }, 3),
            ],
            unknown: Unknown { billable: 5, waived: -1, ..Unknown::default() },
            ledger: Settled { billable: 109, waived: 5 },
            missing_batches: 2,
        };
        insta::assert_snapshot!(text(&report), @r"
        api        operation  billable  waived  refused  bytes  units  mean ms  p50   p95     p99
        address    find            100       2        7   4096     30     12.3  9.0  40.9  1310.7
        address    -                 1       2        7      0      0     12.3    -     -       -
        17 others                    3       2        7      0      0     12.3    -     -       -
        unknown                      5      -1        0
        ledger                     109       5

        Rows of 2 batches never came: counters have their calls, and nothing else is known of them.
        ");
        insta::assert_snapshot!(Output::Csv.list(&report, text, rows).unwrap(), @r"
        api,operation,billable,waived,refused,open_operations,bytes,units,mean_latency_us,p50_us,p95_us,p99_us
        address,find,100,2,7,0,4096,30,12345,9000,40959,1310719
        address,,1,2,7,0,0,0,12345,,,
        others,,3,2,7,0,0,0,12345,,,
        unknown,,5,-1,0,0,,,,,,
        ");
    }

    #[test]
    fn columns_that_say_nothing_are_left_out() {
        let lines =
            vec![line(Key::Status { status: 0 }, 1), line(Key::Status { status: 200 }, 100)];
        let report = DetailReport {
            by: By::Status,
            lines,
            unknown: Unknown::default(),
            ledger: Settled { billable: 101, waived: 4 },
            missing_batches: 0,
        };
        insta::assert_snapshot!(text(&report), @r"
        status   billable  waived  refused  mean ms
        none            1       2        7     12.3
        200           100       2        7     12.3
        unknown         0       0        0
        ledger        101       4
        ");
        let nothing = DetailReport { lines: Vec::new(), ledger: Settled::default(), ..report };
        assert_eq!(text(&nothing), "No usage yet.\n");
    }
}
