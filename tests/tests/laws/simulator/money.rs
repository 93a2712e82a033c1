//! Laws 5 and 9: what is closed stays closed, an invoice is made once, what all invoices say of a
//! period is its price, and the provider has charged each invoice once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_host::core::charges::{ClaimCharges, SettleCharge};
use tollgate_host::core::close::Close;
use tollgate_host::core::invoice::{Invoice, InvoiceNumber, ListInvoices};
use tollgate_host::core::keys::RetireKeys;
use tollgate_host::core::usage::{PeriodState, PeriodUsage, ReadUsage};
use tollgate_host::provider::{ProviderError, Sandbox};
use tollgate_pricing::id::SubscriptionId;

use super::play::Play;

/// Charges claimed at once.
const CLAIM: u32 = 16;

/// What is billed, by whoever asks; and the provider.
pub(super) struct Money {
    provider: Sandbox,
    /// How long those who do not report are waited for.
    pub(super) grace: SignedDuration,
    closed: BTreeSet<(SubscriptionId, u32)>,
    invoices: BTreeMap<InvoiceNumber, Invoice>,
}

impl Money {
    pub(super) fn new(grace: SignedDuration) -> Self {
        let provider = Sandbox::in_memory().expect("a sandbox");
        Self { provider, grace, closed: BTreeSet::new(), invoices: BTreeMap::new() }
    }

    /// What the lost ledger had closed is open again, unless it was before.
    pub(super) fn restored(&mut self) {
        self.closed.clear();
        self.invoices.clear();
    }

    /// Invoices are added, and never change.
    fn note(&mut self, invoices: Vec<Invoice>) {
        let mut left = std::mem::take(&mut self.invoices);
        for mut invoice in invoices {
            let number = invoice.number.expect("an invoice that was made");
            invoice.charge = None;
            if let Some(before) = left.remove(&number) {
                assert_eq!(before, invoice, "law 9: an invoice has changed");
            }
            self.invoices.insert(number, invoice);
        }
        assert!(left.is_empty(), "law 9: invoices are gone: {left:?}");
    }
}

impl Play {
    /// What `serve` does every second: closes what may be closed, and sends what is due.
    pub(super) fn bill(&mut self, grace: SignedDuration) {
        self.world.ask(RetireKeys);
        let closed = self.world.ask(Close { grace, serving_since: Timestamp::MIN });
        for period in closed.closed {
            let is_new = self.money.closed.insert((period.subscription, period.period));
            assert!(is_new, "law 9: closed twice: {period:?}");
            self.count("a period is closed");
        }
        let invoices = self.world.ask(ListInvoices);
        self.money.note(invoices);
        for charge in self.world.ask(ClaimCharges { limit: CLAIM }) {
            let now = self.world.host_time();
            let sent = self.money.provider.charge(now, &charge);
            // What was sent and not settled is sent again.
            if self.random.one_in(8) {
                self.count("a charge's answer is lost");
                continue;
            }
            match sent {
                Ok(outcome) => self.world.ask(SettleCharge { id: charge.id, outcome }),
                Err(ProviderError::KeyReused(_)) if self.was_restored => {}
                Err(error) => panic!("laws 2 and 9: {error}"),
            }
        }
    }

    /// Everything was reported. Closes what there is, and compares.
    pub(super) fn check_money(&mut self) {
        for _ in 0..2 {
            self.world.run_to_next_minute();
            self.pass(Duration::from_secs(3));
            self.bill(SignedDuration::ZERO);
        }
        for _ in 0..4 {
            // Charges whose answer was lost are due again.
            self.pass(Duration::from_secs(90));
            self.bill(self.money.grace);
        }
        let report = self.world.ask(ReadUsage { subscription: None });
        assert!(!report.truncated, "few periods");
        let billed = self.billed();
        for period in report.periods {
            self.check_period(&period, &billed);
        }
        self.check_provider();
    }

    /// What invoices say, by subscription and period.
    fn billed(&self) -> BTreeMap<(SubscriptionId, u32), i64> {
        let mut billed = BTreeMap::<_, i64>::new();
        for invoice in self.money.invoices.values() {
            let lines: i64 = invoice.lines.iter().map(|line| line.line.amount.minor()).sum();
            assert_eq!(lines, invoice.total.minor(), "law 5: {invoice:?}");
            for line in &invoice.lines {
                let period = line.adjusts.unwrap_or(invoice.period);
                *billed.entry((invoice.subscription, period)).or_default() +=
                    line.line.amount.minor();
            }
        }
        billed
    }

    fn check_period(
        &mut self,
        period: &PeriodUsage,
        billed: &BTreeMap<(SubscriptionId, u32), i64>,
    ) {
        let key = (period.subscription, period.period);
        if period.state == PeriodState::Open {
            assert!(!self.money.closed.contains(&key), "law 9: {period:?} was closed");
            return;
        }
        let product = self.plan.products.iter().find(|product| product.id == period.product);
        let price = product.expect("a product of the plan").price;
        let (owed, found) = (price.of(period.billable), billed.get(&key).copied().unwrap_or(0));
        assert_eq!(found, owed, "law 9: invoices of {period:?} under {price:?}");
        self.holds(5);
        self.holds(9);
    }

    /// The provider has every invoice that is owed, once.
    fn check_provider(&mut self) {
        let charges = self.money.provider.charges().expect("a sandbox");
        let mut received = BTreeMap::<_, i64>::new();
        for charge in &charges {
            let twice = received.insert(charge.invoice, charge.amount.minor());
            assert!(self.was_restored || twice.is_none(), "law 2: charged twice: {charge:?}");
        }
        if self.was_restored {
            // Invoices of the lost ledger were charged too.
            return;
        }
        let owed = self.money.invoices.iter().map(|(number, it)| (*number, it.total.minor()));
        let owed: BTreeMap<_, _> = owed.filter(|(_, minor)| *minor > 0).collect();
        assert_eq!(received, owed, "law 9: what the provider has, and what is owed");
        if !owed.is_empty() {
            self.count("the provider has what is owed");
            self.holds(2);
        }
    }
}
