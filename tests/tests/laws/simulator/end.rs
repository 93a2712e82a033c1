//! The end of a random world: all is well again, and everything must come out right.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use tollgate_host::core::usage::ReadUsage;

use super::book::{Book, Fate};
use super::laws::{self, Under};
use super::money::Money;
use super::plan::{Outage, Plan};
use super::play::{Owner, Play, Played};
use super::watch::RECOVERY;
use crate::wasm::{End, Lies, Order, Random, Work};
use crate::world::{At, Weather, World};

/// A host whose clock was set back goes half as fast until it agrees.
const ODD_CLOCK: Duration = Duration::from_mins(5);
const SECOND: Duration = Duration::from_secs(1);

impl Play {
    pub(super) fn new(world: World, mut random: Random, plan: Plan, owners: Vec<Owner>) -> Self {
        let is_deadly = random.one_in(3);
        let grace = random.of(&[SignedDuration::from_hours(1), SignedDuration::from_secs(5)]);
        let (is_restoring, has_odd_clock) = (random.one_in(4), random.one_in(6));
        Self {
            is_deadly,
            lies: Lies::default(),
            traced: false,
            world,
            random,
            plan,
            owners,
            book: Book::default(),
            undecided: Vec::new(),
            unsettled: Vec::new(),
            under_way: Vec::new(),
            vms: Vec::new(),
            lives: Vec::new(),
            last_life: 0,
            killed: 0,
            money: Money::new(grace),
            backup: None,
            logs: Vec::new(),
            is_restoring,
            was_restored: false,
            is_lossless: true,
            updated: BTreeMap::new(),
            was_killed_new: false,
            has_odd_clock,
            off: (SignedDuration::ZERO, SignedDuration::ZERO),
            refusing: Vec::new(),
            trouble: Duration::ZERO,
            was_troubled: false,
            longest_way: Duration::ZERO,
            played: Played::default(),
        }
    }

    pub(super) fn begin_tick(&mut self, at: At) {
        self.process(at.0).begin(at.1, Work::Tick);
    }

    /// A caller goes away while its call is held back.
    pub(super) fn leaves(&mut self, call: usize) {
        self.book.calls[call].fate = Fate::Left;
        self.count("left while held back");
    }

    /// Whether the plan may have let calls pass beyond their leases.
    pub(super) fn overdrawn(&self, owner: usize) -> bool {
        let product = &self.plan.products[self.owners[owner].product];
        product.on_outage != Outage::Deny && self.was_troubled
    }

    /// All is well again, every call ends, and the laws are checked.
    pub(super) fn end_all(&mut self) {
        self.heal();
        if self.was_restored {
            self.pass(RECOVERY);
            self.release();
        }
        for call in self.under_way.clone() {
            let end = self.drawn_end();
            self.end(call, end);
        }
        self.pass(RECOVERY);
        assert!(self.undecided.is_empty(), "law 6: somebody waits though all is well");
        for owner in 0..self.owners.len() {
            self.check_stopped(owner);
            if !self.has_odd_clock {
                self.check_refusals(owner);
            }
        }
        for call in self.under_way.clone() {
            self.end(call, End::Status(200));
        }
        self.pass(RECOVERY);
        if self.has_odd_clock {
            // Of periods that have not begun by its clock the host tells nothing.
            self.pass(ODD_CLOCK);
        }
        self.ingest_all();
        self.check_sizes();
        self.check_ledger();
        self.check_rows();
        self.check_meters();
        self.check_limits();
        self.check_money();
        self.check_unaccounted();
        let fates = self.wire().fates.clone();
        for (fate, times) in fates {
            *self.played.events.entry(format!("message: {fate}")).or_default() += times;
        }
    }

    /// Who was stopped passes nowhere.
    fn check_stopped(&mut self, owner: usize) {
        if self.owners[owner].stopped.is_none() {
            return;
        }
        for process in 0..self.vms.len() {
            let at = self.open_vm(process);
            self.open(owner, at);
            // [`Play::decided`] says what is wrong with one that passes.
            self.pass(SECOND);
        }
    }

    fn heal(&mut self) {
        self.set_weather(Weather::default());
        self.world.host.come_back();
        self.world.host.live();
        for process in 0..self.vms.len() {
            let mut order = Order::drawn(&mut self.random, self.vms[process]);
            self.process(process).finish_all(&mut order);
            self.process(process).refuse_calls(None);
            self.refusing[process] = false;
        }
        self.observe();
        for (process, vms) in self.vms.clone().into_iter().enumerate() {
            for vm in 0..vms {
                if !self.process(process).vm(vm).alive() && !self.is_retired(At(process, vm)) {
                    self.process(process).reload(vm);
                }
                self.process(process).vm(vm).disarm();
            }
        }
        self.trouble = self.world.monotonic();
    }

    /// Laws 2, 3 and 4.
    fn check_ledger(&mut self) {
        let tallies = self.book.tallies();
        let mut found = std::collections::BTreeMap::<_, [u64; 4]>::new();
        for period in self.world.ask(ReadUsage { subscription: None }).periods {
            let sum = period.billable + period.waived + period.open;
            assert_eq!(period.admitted, sum, "law 4: {period:?}");
            self.holds(4);
            let sums = found.entry(period.subscription).or_default();
            let counters = [period.admitted, period.billable, period.waived, period.open];
            for (sum, counter) in sums.iter_mut().zip(counters) {
                *sum += counter;
            }
        }
        for (owner, tally) in tallies {
            let id = self.owners[owner].of.id;
            let found = found.get(&id).copied().unwrap_or_default();
            if self.traced {
                let calls = self.book.calls.iter().filter(|call| call.owner == owner);
                calls
                    .filter(|call| call.was_let_through())
                    .for_each(|call| eprintln!("{id}: {call:?}"));
            }
            let expected = [tally.admitted, tally.billable, tally.waived, tally.open];
            for (bounds, counter) in expected.iter().zip(found) {
                assert!(
                    bounds.hold(counter),
                    "laws 2 and 3: {id} has {found:?} (admitted, billable, waived, open) in the \
                     ledger, but its callers saw {tally:?}"
                );
            }
            self.holds(2);
            self.holds(3);
        }
    }

    /// Law 1.
    fn check_limits(&mut self) {
        for owner in 0..self.owners.len() {
            let product = self.owners[owner].product;
            for limit in 0..self.plan.products[product].limits.len() {
                let under = self.under(owner, limit);
                let calls = self.book.calls.iter();
                let calls = calls.filter(|call| call.owner == owner && !call.forgotten);
                laws::check(&under, &calls.collect::<Vec<_>>());
                self.holds(1);
            }
        }
    }

    pub(super) fn under(&self, owner: usize, limit: usize) -> Under<'_> {
        let owner = &self.owners[owner];
        let product = &self.plan.products[owner.product];
        let anchor = Duration::from_secs(owner.subscribed.as_secs() / 60 * 60);
        Under {
            limit: &product.limits[limit],
            most: owner.most[limit],
            outage: product.on_outage,
            was_away: self.was_troubled,
            lives: self.last_life,
            anchor,
            minutely: product.minutely,
            // A round trip sets a gateway's clock, and is as exact as it is short.
            slack: (2 * self.longest_way).min(2 * SECOND) + Duration::from_millis(5),
            off: self.off,
            to_wall: self.world.now() - self.world.monotonic(),
        }
    }
}

impl Owner {
    pub(super) fn new(
        of: crate::world::Subscribed,
        product: usize,
        most: Vec<u64>,
        subscribed: Duration,
    ) -> Self {
        Self {
            of,
            product,
            stopped: None,
            was_resumed: false,
            is_revoked: false,
            own_numbers: false,
            most,
            subscribed,
            refused_by: std::collections::BTreeMap::new(),
        }
    }
}
