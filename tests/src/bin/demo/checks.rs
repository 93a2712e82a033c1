//! Does it add up? Every number is taken twice, from places that do not know of each other.

use std::collections::BTreeSet;

use serde::Serialize;
use tollgate_tests::sample_api::Counts;

use crate::cast::Refused;
use crate::failure::Failure;
use crate::ledger::{Books, Counters, Invoice, PeriodState};
use crate::stage::Stage;
use crate::traffic::{Played, first_refused};

/// The run in numbers: the last line of `cargo demo -- --exit`.
#[derive(Serialize)]
pub(crate) struct Summary {
    /// By the callers.
    sent: u64,
    /// By the sample API.
    upstream_calls: u64,
    /// By the callers' own count of the answers.
    admitted: u64,
    billable: u64,
    waived: u64,
    refused: u64,
    /// By the ledger.
    ledger_admitted: u64,
    ledger_billable: u64,
    /// By the ledger, in closed periods.
    billable_closed: u64,
    /// By the invoices' lines.
    invoiced_calls: u64,
    /// By the provider.
    provider_charges: u64,
}

/// Checks that hold or do not, printed as they are made.
#[derive(Default)]
struct Verdict {
    broken: Vec<String>,
}

impl Verdict {
    /// One check; `detail` says what was compared.
    fn that(&mut self, holds: bool, detail: &str) {
        println!("  {}  {detail}", if holds { "ok" } else { "NO" });
        if !holds {
            self.broken.push(detail.to_owned());
        }
    }

    /// One check over many subscriptions: names those for which it does not hold.
    fn that_all(&mut self, what: &str, broken: &[String]) {
        if broken.is_empty() {
            self.that(true, what);
        } else {
            self.that(false, &format!("{what}: not so for {}", broken.join(", ")));
        }
    }
}

/// Makes every check, and fails if one does not hold.
pub(crate) fn check(
    stage: &Stage,
    played: &[Played<'_>],
    books: &Books,
) -> Result<Summary, Failure> {
    println!("\nDoes it add up?");
    let upstream = stage.api.counts();
    let mut verdict = Verdict::default();
    check_limits(&mut verdict, played);
    check_ledger(&mut verdict, played, books, &upstream);
    check_invoices(&mut verdict, played, books);
    check_charges(&mut verdict, books);
    let sums = Summary::of(played, books, &upstream);
    verdict.that(
        sums.upstream_calls == sums.ledger_admitted,
        &format!(
            "{} calls reached the API = {} admitted in the ledger",
            sums.upstream_calls, sums.ledger_admitted
        ),
    );
    verdict.that(
        sums.billable_closed == sums.invoiced_calls && sums.invoiced_calls > 0,
        &format!(
            "{} billable calls in closed periods = {} invoiced",
            sums.billable_closed, sums.invoiced_calls
        ),
    );
    if verdict.broken.is_empty() { Ok(sums) } else { Err(Failure::Checks(verdict.broken)) }
}

/// Each plan refuses what it must and nothing else; called one by one, from the right call on.
fn check_limits(verdict: &mut Verdict, played: &[Played<'_>]) {
    let mut broken = Vec::new();
    for it in played {
        let part = it.subscriber.part;
        let expected = part.refused.iter().map(|refused| {
            let kind = (refused.status, refused.reason.to_owned());
            (kind, refused.calls)
        });
        if it.tally.refused_by_reason != expected.collect() {
            broken.push(format!("{} {:?}", part.product, it.tally.refused_by_reason));
        }
        if let (Some(refused), 1) = (&part.refused, part.connections.get()) {
            check_first_refused(verdict, it, refused);
        }
    }
    verdict.that_all("every plan refused what it must, and nothing else", &broken);
}

fn check_first_refused(verdict: &mut Verdict, it: &Played<'_>, refused: &Refused) {
    let product = it.subscriber.part.product;
    let expected = (it.tally.sent.saturating_sub(refused.calls) + 1, refused.status);
    let found = first_refused(&it.replies).map(|(call, reply)| (call, reply.status));
    let (call, status) = expected;
    let detail = format!("{product} is refused ({status}) from exactly call {call} on");
    if found == Some(expected) {
        verdict.that(true, &detail);
    } else {
        verdict.that(false, &format!("{detail}: found (call, status) {found:?}"));
    }
}

/// For each subscription: the API's count, the callers' count and the ledger are one.
fn check_ledger(verdict: &mut Verdict, played: &[Played<'_>], books: &Books, upstream: &Counts) {
    let (mut not_reached, mut not_told) = (Vec::new(), Vec::new());
    for it in played {
        let id = &it.subscriber.subscription.id;
        let ledger = books.used_by(id);
        let reached = calls_of(upstream, id);
        if reached != ledger.admitted {
            let admitted = ledger.admitted;
            not_reached.push(format!("{id} ({reached} reached it, {admitted} admitted)"));
        }
        let seen = it.tally.counters;
        if seen != ledger {
            not_told.push(format!("{id} (callers: {seen:?}, ledger: {ledger:?})"));
        }
    }
    verdict
        .that_all("by subscription, what reached the API = what the ledger admitted", &not_reached);
    verdict.that_all("by subscription, the ledger's counters = what the callers saw", &not_told);
}

/// Each closed minute is on one invoice, to the call.
fn check_invoices(verdict: &mut Verdict, played: &[Played<'_>], books: &Books) {
    let mut broken = Vec::new();
    for it in played.iter().filter(|it| it.subscriber.part.by_the_minute()) {
        let id = &it.subscriber.subscription.id;
        let its = books.invoices.iter().filter(|invoice| invoice.subscription == *id);
        let invoiced: u64 = its.map(Invoice::calls_of_lines).sum();
        let (used, billed) = (books.used_by(id).billable, books.billed_to(id));
        if used != billed || billed != invoiced {
            broken.push(format!(
                "{id} ({used} billable, {billed} of it closed, {invoiced} invoiced)"
            ));
        }
    }
    verdict.that_all("every call of the minute products is closed and invoiced", &broken);

    let periods = books.invoices.iter().map(|it| (&it.subscription, it.period));
    let once = periods.collect::<BTreeSet<_>>().len();
    let all = books.invoices.len();
    verdict.that(once == all, &format!("{all} invoices for {once} periods: each once"));

    let sound = |it: &&Invoice| {
        let total: i64 = it.lines.iter().map(|line| line.amount.minor).sum();
        it.calls == it.calls_of_lines() && it.total.minor == total
    };
    let unsound = books.invoices.iter().filter(|it| !sound(it));
    let unsound: Vec<_> = unsound.map(|it| it.number.clone()).collect();
    verdict.that_all("every invoice is the sum of its lines", &unsound);
}

/// Each invoice with something to pay was charged once, with its total.
fn check_charges(verdict: &mut Verdict, books: &Books) {
    let owed = books.invoices.iter().filter(|it| it.total.minor > 0);
    let mut owed: Vec<_> = owed.map(|it| (&it.number, &it.total)).collect();
    let mut charged: Vec<_> = books.charges.iter().map(|it| (&it.invoice, &it.amount)).collect();
    owed.sort();
    charged.sort();
    verdict.that(
        owed == charged && !charged.is_empty(),
        &format!(
            "{} invoices with something to pay = {} charges at the provider, each its total",
            owed.len(),
            charged.len()
        ),
    );
}

fn calls_of(upstream: &Counts, subscription: &str) -> u64 {
    let its = |((label, _), _): &(&(String, u16), &u64)| label == subscription;
    upstream.iter().filter(its).map(|(_, calls)| calls).sum()
}

impl Summary {
    fn of(played: &[Played<'_>], books: &Books, upstream: &Counts) -> Self {
        let seen: Counters = played.iter().map(|it| it.tally.counters).sum();
        let ledger: Counters = books.usage.iter().map(|it| it.counters).sum();
        let closed = books.usage.iter().filter(|it| it.state == PeriodState::Closed);
        Self {
            sent: played.iter().map(|it| it.tally.sent).sum(),
            upstream_calls: upstream.values().sum(),
            admitted: seen.admitted,
            billable: seen.billable,
            waived: seen.waived,
            refused: seen.refused,
            ledger_admitted: ledger.admitted,
            ledger_billable: ledger.billable,
            billable_closed: closed.map(|it| it.counters.billable).sum(),
            invoiced_calls: books.invoices.iter().map(Invoice::calls_of_lines).sum(),
            provider_charges: u64::try_from(books.charges.len()).unwrap_or(u64::MAX),
        }
    }

    /// One line.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| error.to_string())
    }
}
