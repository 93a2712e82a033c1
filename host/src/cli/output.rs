//! Tables for people, JSON and CSV for programs.

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

use super::error::Error;

/// How answers are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Output {
    // For people; comments that are documentation would stretch every help page.
    Table,
    // For programs: field names are stable.
    Json,
    // For programs: column names are stable. Only of what is a list.
    Csv,
}

impl Output {
    /// The answer as asked for, with a line end. It is no list, and so never CSV.
    pub(super) fn print<T: Serialize>(
        self,
        answer: &T,
        table: impl FnOnce(&T) -> String,
    ) -> Result<String, Error> {
        match self {
            Self::Table => Ok(table(answer)),
            Self::Json => {
                let mut json = serde_json::to_string_pretty(answer).map_err(Error::Json)?;
                json.push('\n');
                Ok(json)
            }
            Self::Csv => Err(Error::NotCsv),
        }
    }

    /// A list as asked for: `text` for people, `rows` for CSV.
    pub(super) fn list<T: Serialize, const N: usize>(
        self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
        rows: impl FnOnce(&T) -> Csv<N>,
    ) -> Result<String, Error> {
        match self {
            Self::Csv => Ok(rows(answer).text),
            Self::Table | Self::Json => self.print(answer, text),
        }
    }
}

/// Rows under a head, as in RFC 4180 but for the line ends, which are this system's.
pub(super) struct Csv<const N: usize> {
    text: String,
}

impl<const N: usize> Csv<N> {
    pub(super) fn new(head: [&str; N]) -> Self {
        let mut csv = Self { text: String::new() };
        csv.row(head.map(str::to_owned));
        csv
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        let cells = cells.map(|cell| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell
            }
        });
        self.text.push_str(&cells.join(","));
        self.text.push('\n');
    }
}

/// What is there, or nothing.
pub(super) fn or_empty(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Align {
    Left,
    Right,
}
pub(super) use Align::{Left, Right};

/// Rows under a head, in columns as wide as what is in them.
pub(super) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
    hidden: Vec<&'static str>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new(), hidden: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
    }

    /// Leaves a column out, for when it says the same in every row.
    pub(super) fn hide(&mut self, column: &'static str) {
        self.hidden.push(column);
    }

    /// The table, or a sentence for none.
    pub(super) fn print_or(&self, none: &str) -> String {
        if self.rows.is_empty() {
            return format!("{none}\n");
        }
        self.print()
    }

    /// The table, with a head even if there are no rows.
    pub(super) fn print(&self) -> String {
        let head = self.columns.map(|(name, _)| name.to_owned());
        let lines = || std::iter::once(&head).chain(&self.rows);
        let mut widths = [0; N];
        for line in lines() {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in lines() {
            let cells = line.iter().zip(widths).zip(self.columns);
            let cells = cells.filter(|(_, (name, _))| !self.hidden.contains(name));
            let cells = cells.map(|((cell, width), (_, align))| match align {
                Left => format!("{cell:<width$}"),
                Right => format!("{cell:>width$}"),
            });
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names come from outside, and a terminal obeys control characters.
pub(super) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

/// What is there, or `-` for nothing.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A bound of a period, which is a whole minute, in UTC.
pub(super) fn minute(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// To the second, in UTC, without the letters between.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_of_csv_holds_anything() {
        let rows = |answer: &[&str; 2]| {
            let mut csv = Csv::new(["name", "calls"]);
            csv.row(answer.map(str::to_owned));
            csv
        };
        let csv = |name| Output::Csv.list(&[name, "7"], |_| String::new(), rows).unwrap();
        assert_eq!(csv("a b"), "name,calls\na b,7\n");
        assert_eq!(csv("a,\"b\"\n"), "name,calls\n\"a,\"\"b\"\"\n\",7\n");
        let refused = Output::Csv.print(&(), |()| String::new()).unwrap_err();
        assert_eq!(refused.to_string(), "this answer is no list: leave out `--output csv`");
    }

    #[test]
    fn columns_line_up_and_control_characters_are_shown() {
        let mut table = Table::new([("name", Left), ("calls", Right)]);
        assert_eq!(table.print_or("none yet"), "none yet\n");
        table.row(["Müller".to_owned(), "7".to_owned()]);
        table.row(["a\u{1b}[2J".to_owned(), "12345678".to_owned()]);
        insta::assert_snapshot!(table.print(), @r"
        name           calls
        Müller             7
        a\u{1b}[2J  12345678
        ");
    }
}
