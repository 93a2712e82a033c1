//! What happens to the host: it dies before a commit, is away, is put back from a backup, and the
//! clock of its machine steps.

use std::time::Duration;

use jiff::SignedDuration;
use tollgate_host::core::gateways::ReleaseGateways;
use tollgate_host::store::Store;

use super::book::Lost;
use super::plan::Plan;
use super::play::{Owner, Play};

const SECOND: Duration = Duration::from_secs(1);
/// As long as the outages that products must get through.
const LONG_OUTAGE: Duration = Duration::from_mins(10);

/// A copy of the ledger, and what the operator had made of it by then.
pub(super) struct Backup {
    ledger: Store,
    plan: Plan,
    owners: Vec<Owner>,
}

impl Play {
    /// Something happens to the host.
    pub(super) fn host_trouble(&mut self) {
        match self.random.below(16) {
            0..5 => self.die_before_commit(),
            5..8 => {
                let by = SECOND * u32::try_from(1 + self.random.below(20)).expect("few");
                self.host_away(by, "host away");
                self.pass_some_time();
            }
            8 if self.random.one_in(4) => self.long_outage(),
            9..13 => self.back_up_or_restore(),
            _ if self.has_odd_clock => self.step_host_clock(),
            _ => {}
        }
    }

    fn die_before_commit(&mut self) {
        self.world.host.die_before_commit();
        self.fault("group commit lost with the host");
        self.is_in_trouble();
    }

    fn host_away(&mut self, by: Duration, fault: &str) {
        let now = self.world.now();
        self.world.host.go_away(now, by);
        self.fault(fault);
        self.is_in_trouble();
        self.trouble = self.trouble.max(self.world.monotonic() + by);
    }

    /// Calls come and go meanwhile.
    fn long_outage(&mut self) {
        self.host_away(LONG_OUTAGE, "host away for 10 minutes");
        for _ in 0..10 {
            self.one_call();
            self.one_end();
            self.pass(LONG_OUTAGE / 10);
        }
    }

    fn back_up_or_restore(&mut self) {
        if self.is_restoring && self.backup.is_some() && self.random.one_in(2) {
            self.restore();
            return;
        }
        let ledger = self.world.host.copy();
        let (plan, owners) = (self.plan.clone(), self.owners.clone());
        self.backup = Some(Backup { ledger, plan, owners });
        self.count("the ledger is backed up");
    }

    /// The ledger is what it was: what the operator did since then is undone, and what only dead
    /// processes or the lost ledger knew is gone.
    fn restore(&mut self) {
        let Some(backup) = self.backup.take() else { return };
        let now = self.world.now();
        self.world.host.restore(&backup.ledger, now);
        for call in &mut self.book.calls {
            let owner = &self.owners[call.owner];
            // A slot whose period is over leaves its process when the ledger has it.
            let was_dropped = self.plan.products[owner.product].minutely || owner.own_numbers;
            let is_dead = !self.lives.contains(&call.life);
            call.forgotten |= is_dead;
            // What a process told the lost ledger and then ended, nobody tells again.
            if was_dropped || is_dead {
                call.lost = Lost::Everything;
            }
        }
        for (owner, before) in self.owners.iter_mut().zip(backup.owners.clone()) {
            let now = std::mem::replace(owner, before);
            let same = now.product == owner.product;
            let larger = owner.most.iter().zip(&now.most).map(|(before, now)| before.max(now));
            owner.most =
                if same { larger.copied().collect() } else { vec![u64::MAX; owner.most.len()] };
            owner.own_numbers |= now.own_numbers;
            owner.was_resumed = true;
            owner.refused_by.clear();
        }
        self.plan = backup.plan.clone();
        self.backup = Some(backup);
        self.money.restored();
        self.was_restored = true;
        self.fault("host restored from a backup");
        self.is_in_trouble();
    }

    /// What waits for processes that are gone is let go by the operator.
    pub(super) fn release(&mut self) {
        if self.was_restored && self.world.try_ask(ReleaseGateways).is_ok() {
            self.count("a restored ledger is released");
        }
    }

    fn step_host_clock(&mut self) {
        let seconds = match self.random.below(4) {
            0 => -i64::try_from(self.random.below(120)).expect("short"),
            1 => i64::try_from(self.random.below(60)).expect("short"),
            _ => i64::try_from(61 + self.random.below(3_600)).expect("short"),
        };
        self.world.host.step_clock(SignedDuration::from_secs(seconds));
        self.fault("wall clock of the host steps");
        self.is_in_trouble();
    }
}
