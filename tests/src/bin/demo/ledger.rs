//! What the host says: usage, invoices, and what the provider received.

use std::iter::Sum;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use serde::Deserialize;
use tollgate_tests::signals;

use crate::failure::Failure;
use crate::progress::Progress;
use crate::stage::Stage;
use crate::traffic::Played;

/// Several times what a gateway needs to report everything. What is missing then, the checks name.
const REPORTED_WITHIN: Duration = Duration::from_secs(20);
/// Several times what `serve` needs to close a period, and to send its charge.
const BILLED_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Everything the host has on paper.
pub(crate) struct Books {
    pub(crate) usage: Vec<PeriodUsage>,
    /// Oldest first.
    pub(crate) invoices: Vec<Invoice>,
    pub(crate) charges: Vec<Charge>,
}

#[derive(Deserialize)]
struct UsageReport {
    periods: Vec<PeriodUsage>,
}

#[derive(Deserialize)]
struct InvoiceList {
    invoices: Vec<Invoice>,
}

/// A line of `tollgate usage`.
#[derive(Deserialize)]
pub(crate) struct PeriodUsage {
    pub(crate) subscription: String,
    pub(crate) product: String,
    pub(crate) state: PeriodState,
    #[serde(flatten)]
    pub(crate) counters: Counters,
}

/// Calls by what became of them: admitted = billable + waived + open.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Counters {
    pub(crate) admitted: u64,
    pub(crate) billable: u64,
    pub(crate) waived: u64,
    pub(crate) open: u64,
    pub(crate) refused: u64,
}

impl AddAssign for Counters {
    fn add_assign(&mut self, more: Self) {
        self.admitted += more.admitted;
        self.billable += more.billable;
        self.waived += more.waived;
        self.open += more.open;
        self.refused += more.refused;
    }
}

impl Sum for Counters {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        let mut sum = Self::default();
        parts.for_each(|part| sum += part);
        sum
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PeriodState {
    Open,
    Closed,
}

/// An invoice of `tollgate invoice list`.
#[derive(Deserialize)]
pub(crate) struct Invoice {
    pub(crate) number: String,
    pub(crate) subscription: String,
    pub(crate) period: u32,
    pub(crate) calls: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) total: Amount,
}

impl Invoice {
    /// The calls its lines bill.
    pub(crate) fn calls_of_lines(&self) -> u64 {
        self.lines.iter().map(|line| line.calls).sum()
    }
}

#[derive(Deserialize)]
pub(crate) struct Line {
    pub(crate) calls: u64,
    pub(crate) amount: Amount,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Amount {
    pub(crate) minor: i64,
    pub(crate) currency: String,
}

/// A line of `tollgate charges`.
#[derive(Deserialize)]
pub(crate) struct Charge {
    pub(crate) invoice: String,
    pub(crate) amount: Amount,
}

impl Books {
    fn read(stage: &Stage) -> Result<Self, Failure> {
        let host = &stage.host;
        // Charges first, usage last: what a later answer holds may be missing in an earlier one,
        // and then the books are read again.
        let charges = host.ask(&["charges"])?;
        let InvoiceList { mut invoices } = host.ask(&["invoice", "list"])?;
        invoices.sort_by(|a, b| a.number.cmp(&b.number));
        let usage: UsageReport = host.ask(&["usage"])?;
        Ok(Self { usage: usage.periods, invoices, charges })
    }

    /// What one subscription used, over all its periods.
    pub(crate) fn used_by(&self, subscription: &str) -> Counters {
        self.periods_of(subscription).map(|it| it.counters).sum()
    }

    /// The billable calls of one subscription that were billed.
    pub(crate) fn billed_to(&self, subscription: &str) -> u64 {
        self.periods_of(subscription)
            .filter(|it| it.state == PeriodState::Closed)
            .map(|it| it.counters.billable)
            .sum()
    }

    fn periods_of<'a>(&'a self, subscription: &'a str) -> impl Iterator<Item = &'a PeriodUsage> {
        let its = move |it: &&PeriodUsage| it.subscription == subscription;
        self.usage.iter().filter(its)
    }

    /// Whether what was called by the minute is closed, and what was closed is charged.
    fn are_billed(&self, played: &[Played<'_>]) -> bool {
        let closed = |it: &Played<'_>| {
            self.periods_of(&it.subscriber.subscription.id)
                .filter(|period| period.counters.admitted > 0)
                .all(|period| period.state == PeriodState::Closed)
        };
        let charged =
            |invoice: &&Invoice| self.charges.iter().any(|it| it.invoice == invoice.number);
        let owed = |invoice: &&Invoice| invoice.total.minor > 0;
        let by_the_minute = |it: &&Played<'_>| it.subscriber.part.by_the_minute();
        played.iter().filter(by_the_minute).all(closed)
            && self.invoices.iter().filter(owed).all(|invoice| charged(&invoice))
    }
}

/// Waits until the gateway has reported every call, or should have.
pub(crate) fn wait_until_reported(stage: &Stage, played: &[Played<'_>]) -> Result<(), Failure> {
    let reported = |it: &Played<'_>, books: &Books| {
        books.used_by(&it.subscriber.subscription.id) == it.tally.counters
    };
    let all = |books: &Books| played.iter().all(|it| reported(it, books));
    wait(stage, REPORTED_WITHIN, "the gateway reports to the ledger", all).map(|_| ())
}

/// Waits until the host has billed every minute with calls, or should have.
pub(crate) fn wait_until_billed(stage: &Stage, played: &[Played<'_>]) -> Result<Books, Failure> {
    let billed = |books: &Books| books.are_billed(played);
    wait(stage, BILLED_WITHIN, "the host closes the minute", billed)
}

fn wait(
    stage: &Stage,
    within: Duration,
    what: &str,
    done: impl Fn(&Books) -> bool,
) -> Result<Books, Failure> {
    let deadline = Instant::now() + within;
    let progress = Progress::new();
    loop {
        let books = Books::read(stage)?;
        if done(&books) || Instant::now() >= deadline {
            return Ok(books);
        }
        progress.show(|| what.to_owned());
        signals::pause(ASK_EVERY)?;
    }
}
