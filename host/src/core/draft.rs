//! Pricing a period: the one way from counters to lines, for invoices and for their previews.

use jiff::Timestamp;
use tollgate_pricing::money::Amount;
use tollgate_pricing::quote::{Line, Usage, quote};

use super::Refusal;
use super::invoice::{Invoice, InvoiceLine};
use super::subscriptions::Subscription;
use crate::store::{Ledger, PeriodRow};

/// An invoice that has no number yet, and what its making would settle.
pub(super) struct Draft {
    pub(super) invoice: Invoice,
    /// Billable calls of the invoice's own period.
    pub(super) billable: u64,
    /// Closed periods whose late calls are on it, each with all its billable calls.
    pub(super) late: Vec<(PeriodRow, u64)>,
    /// Whether it has no period of its own.
    pub(super) correction: bool,
}

/// What a period costs as it stands, with what came late for earlier ones.
pub(super) fn draft(
    ledger: &mut Ledger<'_>,
    subscription: &Subscription,
    period: &PeriodRow,
    now: Timestamp,
) -> Result<Draft, Refusal> {
    let billable = billable_calls(ledger, period)?;
    let lines = price(ledger, period, billable)?
        .into_iter()
        .map(|line| InvoiceLine { adjusts: None, line })
        .collect();
    let mut draft = Draft {
        invoice: invoice(ledger, subscription, period, lines, now)?,
        billable,
        late: Vec::new(),
        correction: false,
    };
    add_late(ledger, subscription, &mut draft)?;
    Ok(draft)
}

/// What came late for periods of an ended subscription, the newest of which is given.
pub(super) fn correction(
    ledger: &mut Ledger<'_>,
    subscription: &Subscription,
    newest: &PeriodRow,
    now: Timestamp,
) -> Result<Draft, Refusal> {
    let mut draft = Draft {
        invoice: invoice(ledger, subscription, newest, Vec::new(), now)?,
        billable: billable_calls(ledger, newest)?,
        late: Vec::new(),
        correction: true,
    };
    add_late(ledger, subscription, &mut draft)?;
    Ok(draft)
}

fn invoice(
    ledger: &mut Ledger<'_>,
    subscription: &Subscription,
    period: &PeriodRow,
    lines: Vec<InvoiceLine>,
    now: Timestamp,
) -> Result<Invoice, Refusal> {
    let currency = ledger.catalog(period.catalog)?.currency;
    let mut invoice = Invoice {
        number: None,
        subscription: subscription.id,
        consumer: subscription.consumer.clone(),
        product: period.product.clone(),
        period: period.number,
        start: period.start,
        end: period.end,
        issued: now,
        calls: 0,
        lines,
        total: Amount::zero(currency),
        charge: None,
    };
    add_up(&mut invoice)?;
    Ok(invoice)
}

fn add_up(invoice: &mut Invoice) -> Result<(), Refusal> {
    let amounts = invoice.lines.iter().map(|line| line.line.amount);
    invoice.total = Amount::sum(invoice.total.currency(), amounts)
        .map_err(|_| Refusal::PastBounds("an invoice's total"))?;
    invoice.calls = invoice
        .lines
        .iter()
        .try_fold(0_u64, |sum, line| sum.checked_add(line.line.calls))
        .ok_or(Refusal::PastBounds("an invoice's calls"))?;
    Ok(())
}

/// Adds, line by line, by how much the price of closed periods has grown since they were billed.
fn add_late(
    ledger: &mut Ledger<'_>,
    subscription: &Subscription,
    draft: &mut Draft,
) -> Result<(), Refusal> {
    for period in ledger.late_periods(subscription.id)? {
        let billable = billable_calls(ledger, &period)?;
        let before = price(ledger, &period, period.billed)?;
        let after = price(ledger, &period, billable)?;
        for (place, line) in after.into_iter().enumerate() {
            let line = match before.get(place) {
                Some(before) => difference(&line, before)?,
                None => line,
            };
            if line.calls == 0 && line.quantity == 0 && line.amount.minor() == 0 {
                continue;
            }
            let number = period.number;
            draft.invoice.lines.push(InvoiceLine {
                adjusts: Some(number),
                line: Line {
                    description: format!("{}, late for period {number}", line.description),
                    ..line
                },
            });
        }
        draft.late.push((period, billable));
    }
    add_up(&mut draft.invoice)
}

/// Counters only grow, and so do the calls and units of each line. The amount has a sign, because
/// nothing says that a price must grow with them.
fn difference(after: &Line, before: &Line) -> Result<Line, Refusal> {
    let shrunk = || Refusal::Damaged("a closed period has fewer calls than were billed".to_owned());
    Ok(Line {
        description: after.description.clone(),
        calls: after.calls.checked_sub(before.calls).ok_or_else(shrunk)?,
        quantity: after.quantity.checked_sub(before.quantity).ok_or_else(shrunk)?,
        unit_price: after.unit_price.clone(),
        amount: after
            .amount
            .checked_sub(before.amount)
            .map_err(|_| Refusal::PastBounds("an adjustment"))?,
    })
}

fn billable_calls(ledger: &Ledger<'_>, period: &PeriodRow) -> Result<u64, Refusal> {
    let counters = ledger.counters(period.subscription, period.number)?;
    if !counters.are_exact() {
        return Err(Refusal::PastBounds("a period's calls"));
    }
    Ok(counters.billable)
}

/// The lines of a period with so many billable calls, by the product and the catalog the period is
/// bound to.
fn price(ledger: &mut Ledger<'_>, period: &PeriodRow, billable: u64) -> Result<Vec<Line>, Refusal> {
    let catalog = ledger.catalog(period.catalog)?;
    let product = catalog.product(&period.product).ok_or_else(|| {
        Refusal::Damaged(format!(
            "catalog {} has no product {:?}, but {} has a period under it",
            period.catalog, period.product, period.subscription
        ))
    })?;
    Ok(quote(product, Usage { calls: billable })?)
}
