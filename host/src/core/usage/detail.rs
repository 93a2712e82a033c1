//! What calls looked like: rows added up by operation, status, country or hour.
//!
//! Rows describe, counters bill, and a report of rows must agree with the bill: what the counters
//! have and no row tells is shown as unknown, as of a VM that trapped, or of a batch that never came.
//!
//! A report reads all rows there are, while nobody else is answered: below a second for a million.

mod cell;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;

use super::super::subscriptions::find;
use super::super::{Refusal, Request};
use crate::store::{Detail, DetailKey, Ledger};
use cell::Cell;

/// Lines of one report. What does not fit is one more line.
pub const MAX_DETAIL_LINES: usize = 1_000;

/// What calls looked like, of one subscription or of all -> [`DetailReport`].
#[derive(Debug)]
pub struct ReadDetail {
    /// What tells them apart.
    pub by: By,
    /// Whose; everybody's if none.
    pub subscription: Option<SubscriptionId>,
}

/// What tells calls apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// API and operation.
    Operation,
    /// The HTTP status that was sent.
    Status,
    /// The caller's country, where a gateway knows it.
    Country,
    /// The hour of admission or refusal, in UTC. A gateway that was cut off for long tells only the
    /// day: such calls are in its first hour.
    Hour,
}

/// What calls looked like. In each of `billable` and `waived`, the lines and `unknown` add up to
/// `ledger`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DetailReport {
    /// What tells them apart.
    pub by: By,
    /// By that, in its order; operations and countries by calls, most first.
    pub lines: Vec<DetailLine>,
    /// What no row tells of.
    pub unknown: Unknown,
    /// What is billed and waived, by the counters.
    pub ledger: Settled,
    /// Batches of rows that never came, of all processes.
    pub missing_batches: u64,
}

/// Calls that have something in common.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DetailLine {
    /// What.
    #[serde(flatten)]
    pub key: Key,
    /// Calls that are billed.
    pub billable: u64,
    /// Calls let through and not billed.
    pub waived: u64,
    /// Calls of open operations, and others that passed without being counted.
    pub open_operations: u64,
    /// Calls the gate answered itself.
    pub refused: u64,
    /// Bytes of request and response, where they are metered.
    pub bytes: u64,
    /// Units of the products' meters besides bytes.
    pub units: u64,
    /// Mean time from request to end, in microseconds.
    pub mean_latency_us: u64,
    /// How the times of those that went on to the API are spread, by operation alone.
    pub spread: Option<Spread>,
}

/// What calls have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// The status sent.
    Status {
        /// 0 if none was.
        status: u16,
    },
    /// From where.
    Country {
        /// Two letters.
        country: String,
    },
    /// When.
    Hour {
        /// It begins then.
        hour: Timestamp,
    },
    /// Whatever it is: past [`MAX_DETAIL_LINES`].
    Others {
        /// So many lines.
        others: usize,
    },
    /// What was called. Last: an object without any of its fields is one, too.
    Operation {
        /// The API's id, if one matched and was told.
        api: Option<String>,
        /// The operation's id, likewise.
        operation: Option<String>,
    },
}

/// Times within which so many of 100 calls ended, in microseconds: known to an eighth of
/// themselves, rounded up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub p50_us: u64,
    /// Of 95.
    pub p95_us: u64,
    /// Of 99.
    pub p99_us: u64,
}

/// Calls that counters have and rows do not tell of. While messages are under way rows may be ahead
/// of their counters: less than zero then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Unknown {
    /// Calls that are billed.
    pub billable: i64,
    /// Calls let through and not billed.
    pub waived: i64,
    /// By country: calls of open operations whose country is not known. They have no counter.
    pub open_operations: i64,
    /// By country: refused calls, likewise.
    pub refused: i64,
}

/// The ledger's counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Settled {
    /// Calls that are billed.
    pub billable: u64,
    /// Calls let through and not billed.
    pub waived: u64,
}

impl Request for ReadDetail {
    type Answer = DetailReport;

    fn apply(self, ledger: &mut Ledger<'_>, _now: Timestamp) -> Result<DetailReport, Refusal> {
        if let Some(id) = self.subscription {
            find(ledger, id)?;
        }
        let mut cells: BTreeMap<DetailKey, Cell> = BTreeMap::new();
        let mut told = Cell::default();
        for (key, fate, sums) in ledger.detail(self.by.detail(), self.subscription)? {
            told.add(fate, sums);
            cells.entry(key).or_default().add(fate, sums);
        }
        let mut times = match self.by {
            By::Operation => ledger.times(self.subscription)?,
            By::Status | By::Country | By::Hour => BTreeMap::new(),
        };
        let lines = cells.into_iter().map(|(key, cell)| {
            let times = times.remove(&key);
            cell.line(Key::from(key), times.as_ref())
        });
        let counters = ledger.counters_of(self.subscription)?;
        let all = match self.by {
            // Calls whose country is not known have rows all the same.
            By::Country => {
                let mut all = Cell::default();
                for (_, fate, sums) in ledger.detail(Detail::Status, self.subscription)? {
                    all.add(fate, sums);
                }
                all
            }
            By::Operation | By::Status | By::Hour => told,
        };
        Ok(DetailReport {
            by: self.by,
            lines: self.by.ordered(lines.collect()),
            unknown: Unknown {
                billable: difference(counters.billable, told.billable),
                waived: difference(counters.waived, told.waived),
                open_operations: difference(all.open_operations, told.open_operations),
                refused: difference(all.refused, told.refused),
            },
            ledger: Settled { billable: counters.billable, waived: counters.waived },
            missing_batches: ledger.missing_batches()?,
        })
    }
}

fn difference(one: u64, other: u64) -> i64 {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    signed(one).saturating_sub(signed(other))
}

impl By {
    fn detail(self) -> Detail {
        match self {
            Self::Operation => Detail::Operation,
            Self::Status => Detail::Status,
            Self::Country => Detail::Country,
            Self::Hour => Detail::Hour,
        }
    }

    /// The lines in their order, what does not fit in the last: hours that are older, and otherwise
    /// what was called least.
    fn ordered(self, mut lines: Vec<DetailLine>) -> Vec<DetailLine> {
        match self {
            Self::Hour => lines.reverse(),
            Self::Status if lines.len() <= MAX_DETAIL_LINES => {}
            Self::Operation | Self::Country | Self::Status => {
                lines.sort_by_key(|line| std::cmp::Reverse(line.calls()));
            }
        }
        let rest = lines.split_off(lines.len().min(MAX_DETAIL_LINES));
        if self == Self::Hour {
            lines.reverse();
        }
        if !rest.is_empty() {
            let mut sum = Cell::default();
            for line in &rest {
                sum.add_line(line);
            }
            lines.push(sum.line(Key::Others { others: rest.len() }, None));
        }
        lines
    }
}

impl From<DetailKey> for Key {
    fn from(key: DetailKey) -> Self {
        match key {
            DetailKey::Operation(api, operation) => Self::Operation { api, operation },
            DetailKey::Status(status) => Self::Status { status },
            DetailKey::Country(country) => Self::Country { country },
            DetailKey::Hour(hour) => {
                let second = hour.saturating_mul(3_600);
                Self::Hour { hour: Timestamp::from_second(second).unwrap_or(Timestamp::MAX) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
