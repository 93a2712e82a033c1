//! Tables for people, JSON for programs.

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
}

impl Output {
    /// The answer as asked for, with a line end.
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
        }
    }
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
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| printable(&cell)));
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
