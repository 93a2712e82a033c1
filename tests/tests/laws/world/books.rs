//! What callers saw against what the ledger holds: laws 2, 3 and 4.

use std::collections::BTreeMap;

use tollgate_host::core::usage::ReadUsage;
use tollgate_pricing::id::SubscriptionId;

use super::{SETTLE, World};
use crate::wasm::End;

impl End {
    /// The status that callers get; 0 for none.
    pub(crate) fn status(self) -> u32 {
        match self {
            Self::Status(status) | Self::NoUpstream(status) => status.into(),
            Self::Aborted => 0,
        }
    }
}

/// What became of a call that was let through, as far as anyone outside can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Billable,
    Waived,
    /// Its VM died while it was under way: it stays open.
    Never,
    /// Its VM died while it was let through: it is open, or it never was.
    DiedAtAdmission,
    /// Its VM died while it was settled: it is settled, or open.
    DiedAtSettling,
}

impl Ending {
    /// The rule for what is billed.
    pub(super) fn of(end: End) -> Self {
        match end {
            End::Status(status) if status >= 500 => Self::Waived,
            End::NoUpstream(_) => Self::Waived,
            End::Status(_) | End::Aborted => Self::Billable,
        }
    }
}

/// Calls of one subscription.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) admitted: u64,
    pub(crate) billable: u64,
    pub(crate) waived: u64,
    pub(crate) open: u64,
}

/// The same from outside: what is certain, and what is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) certain: Counters,
    perhaps_admitted: u64,
    perhaps_settled: u64,
}

impl Tally {
    pub(super) fn add(&mut self, ending: Ending) {
        self.certain.admitted += u64::from(ending != Ending::DiedAtAdmission);
        *match ending {
            Ending::Billable => &mut self.certain.billable,
            Ending::Waived => &mut self.certain.waived,
            Ending::Never => &mut self.certain.open,
            Ending::DiedAtAdmission => &mut self.perhaps_admitted,
            Ending::DiedAtSettling => &mut self.perhaps_settled,
        } += 1;
    }

    /// Whether the ledger's counters can be true.
    fn allows(&self, ledger: &Counters) -> bool {
        let within = |found: u64, least: u64, more: u64| (least..=least + more).contains(&found);
        let (certain, settled) = (&self.certain, self.perhaps_settled);
        within(ledger.admitted, certain.admitted, self.perhaps_admitted)
            && within(ledger.billable, certain.billable, settled)
            && within(ledger.waived, certain.waived, settled)
            && within(ledger.open, certain.open, settled + self.perhaps_admitted)
            && ledger.admitted == ledger.billable + ledger.waived + ledger.open
    }
}

impl World {
    /// What the ledger holds, over all periods.
    pub(crate) fn ledger(&mut self) -> BTreeMap<SubscriptionId, Counters> {
        let mut sums = BTreeMap::<_, Counters>::new();
        for period in self.ask(ReadUsage { subscription: None }).periods {
            let sum = sums.entry(period.subscription).or_default();
            sum.admitted += period.admitted;
            sum.billable += period.billable;
            sum.waived += period.waived;
            sum.open += period.open;
        }
        sums
    }

    /// What callers of one subscription saw.
    pub(crate) fn tally(&self, owner: SubscriptionId) -> Tally {
        self.tallies.get(&owner).copied().unwrap_or_default()
    }

    /// Lets every report arrive and compares the ledger with what callers saw, to the call.
    pub(crate) fn check_books(&mut self) {
        self.run(SETTLE);
        for (owner, ledger) in self.ledger() {
            let seen = self.tally(owner);
            assert!(seen.allows(&ledger), "{owner}: {ledger:?} in the ledger, but {seen:?}");
        }
    }
}
