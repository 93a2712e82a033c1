//! What happens in a random world: calls, time, faults, and an operator who changes things.

use std::num::NonZeroU64;
use std::time::Duration;

use tollgate_host::core::catalog::LoadCatalog;
use tollgate_host::core::keys::RevokeKey;
use tollgate_host::core::subscriptions::{
    ChangePlan, Own, ResumeSubscription, SetOverride, SuspendSubscription,
};

use super::plan::Rule;
use super::play::Play;
use crate::wasm::{End, Status};
use crate::world::{At, Weather};

/// VMs of a code update that are killed sooner may leave a log that says that nothing follows.
const NEW: Duration = Duration::from_secs(31);
const MILLISECOND: Duration = Duration::from_millis(1);

impl Play {
    /// One thing happens.
    pub(super) fn step(&mut self) {
        match self.random.below(72) {
            0..14 => self.some_process(Self::together),
            14..36 => self.one_call(),
            36..44 => self.one_end(),
            44..50 => self.pass_some_time(),
            50..53 => self.change_weather(),
            53 | 54 => self.trap(),
            55 => self.some_process(Self::kill),
            56 => self.some_process(Self::step_wall_clock),
            57 => self.some_process(Self::refuse_to_send),
            58 => self.change_a_subscription(),
            59 => self.change_a_plan(),
            60 => self.change_the_catalog(),
            61 => self.some_process(Self::freeze),
            62 => self.a_caller_leaves(),
            63 => self.bill(self.money.grace),
            64 => self.freeze_a_vm(),
            65 => self.some_process(Self::update),
            66 if self.random.one_in(2) => self.some_process(Self::stop),
            _ => self.host_trouble(),
        }
        self.observe();
        if !self.is_well() {
            self.is_in_trouble();
        }
    }

    fn some_process(&mut self, act: fn(&mut Self, usize)) {
        let process = self.random.index(self.vms.len());
        act(self, process);
    }

    /// A VM that is not away at work, if the first that is looked at is not.
    fn some_vm(&mut self) -> Option<At> {
        let process = self.random.index(self.vms.len());
        let at = self.open_vm(process);
        (!self.is_away(at)).then_some(at)
    }

    pub(super) fn one_call(&mut self) {
        let owner = self.random.index(self.owners.len());
        let Some(at) = self.some_vm() else { return };
        for _ in 0..=self.random.below(4) {
            if !self.process(at.0).vm(at.1).alive() {
                return;
            }
            let call = self.open(owner, at);
            let is_through = self.book.calls[call].was_let_through();
            if is_through && self.random.one_in(2) {
                let end = self.drawn_end();
                self.end(call, end);
            }
        }
    }

    pub(super) fn one_end(&mut self) {
        if !self.under_way.is_empty() {
            let call = self.random.of(&self.under_way);
            let end = self.drawn_end();
            self.end(call, end);
        }
    }

    /// Mostly little; sometimes as long as a period.
    pub(super) fn pass_some_time(&mut self) {
        let most = self.random.of(&[300, 300, 1_500, 4_000, 20_000, 70_000]);
        let time = MILLISECOND * u32::try_from(self.random.below(most)).expect("a short time");
        self.pass(time);
        if self.random.one_in(3) {
            // VMs that stood still go on.
            for process in 0..self.vms.len() {
                let mut order = crate::wasm::Order::drawn(&mut self.random, self.vms[process]);
                self.process(process).finish_all(&mut order);
            }
        }
    }

    fn change_weather(&mut self) {
        let some = self.random.index(self.vms.len());
        let of_it = self.random.index(self.vms[some]);
        let cut = match self.random.below(6) {
            0 => vec![(some, None)],
            1 => vec![(some, Some(of_it))],
            2 => (0..self.vms.len()).map(|process| (process, None)).collect(),
            _ => Vec::new(),
        };
        let way = MILLISECOND * self.random.of(&[0, 0, 0, 50, 400, 3_000]);
        let weather = Weather {
            way,
            lost: self.random.of(&[0, 0, 0, 12, 3]),
            twice: self.random.of(&[0, 0, 12, 2]),
            silent: self.random.one_in(3),
            cut,
        };
        let troubles = [
            (!weather.cut.is_empty(), "network cut"),
            (weather.lost > 0, "messages lost"),
            (weather.twice > 0, "messages duplicated"),
            (way > MILLISECOND * 100, "messages late and out of order"),
        ];
        for (_, trouble) in troubles.into_iter().filter(|(is, _)| *is) {
            self.fault(trouble);
        }
        self.set_weather(weather);
    }

    /// Whether nothing is wrong with anything.
    pub(super) fn is_well(&mut self) -> bool {
        let now = self.world.now();
        let is_host_well = self.world.host.is_up(now);
        let weather = &self.wire().weather;
        let is_network_well = weather.cut.is_empty()
            && weather.lost == 0
            && weather.way <= MILLISECOND * 50
            && !self.refusing.contains(&true);
        is_host_well
            && is_network_well
            && (0..self.vms.len()).all(|process| self.process(process).away().is_empty())
    }

    fn trap(&mut self) {
        let Some(at) = self.some_vm() else { return };
        let names = ["proxy_set_shared_data", "proxy_get_shared_data", "proxy_http_call"];
        let passes = u32::try_from(self.random.below(30)).expect("few");
        let name = self.random.of(&names);
        let any = self.random.one_in(2);
        let vm = self.process(at.0).vm(at.1);
        if any {
            vm.trap_after(passes);
        } else {
            vm.trap_at(name, passes / 8);
        }
        self.count("a trap is set");
    }

    fn kill(&mut self, process: usize) {
        if self.is_deadly {
            self.kept_log(process);
            self.was_killed_new |= self.is_newly_updated(self.lives[process]);
            self.replace(process);
            self.is_lossless = false;
            self.is_in_trouble();
            self.fault("process killed");
        }
    }

    /// Whether its log may say that nothing follows, because its VMs were replaced just now.
    pub(super) fn is_newly_updated(&self, life: u64) -> bool {
        let since = self.updated.get(&life).map(|updated| self.world.monotonic() - *updated);
        since.is_some_and(|since| since < NEW)
    }

    fn step_wall_clock(&mut self, process: usize) {
        let wall = self.world.now();
        let by = Duration::from_secs(self.random.below(7_200));
        let to = if self.random.one_in(2) { wall + by } else { wall.saturating_sub(by) };
        self.process(process).step_wall_clock(to);
        self.fault("wall clock of a gateway steps");
    }

    fn refuse_to_send(&mut self, process: usize) {
        let refuse = !self.refusing[process];
        let status = self.random.of(&[Status::BadArgument, Status::InternalFailure]);
        self.process(process).refuse_calls(refuse.then_some(status));
        self.refusing[process] = refuse;
        self.fault("calls refused at dispatch");
    }

    /// All of a process stands still for a while, as on a machine that swaps.
    fn freeze(&mut self, process: usize) {
        if self.process(process).away().is_empty() {
            for vm in 0..self.vms[process] {
                if self.process(process).vm(vm).alive() {
                    self.begin_tick(At(process, vm));
                }
            }
            self.fault("process stands still");
            self.pass_some_time();
        }
    }

    fn change_a_subscription(&mut self) {
        let number = self.random.index(self.owners.len());
        let now = self.world.monotonic();
        let owner = &mut self.owners[number];
        let (id, key) = (owner.of.id, owner.of.key_id);
        if owner.is_revoked {
            return;
        }
        if owner.stopped.is_some() {
            owner.stopped = None;
            owner.refused_by.clear();
            owner.was_resumed = true;
            self.world.ask(ResumeSubscription(id));
            self.count("change: resumed");
            return;
        }
        owner.stopped = Some(now);
        if self.random.one_in(3) {
            self.owners[number].is_revoked = true;
            self.world.ask(RevokeKey(key));
            self.count("change: a key is revoked");
        } else {
            self.world.ask(SuspendSubscription(id));
            self.count("change: suspended");
        }
    }

    fn change_the_catalog(&mut self) {
        let mut plan = self.plan.clone();
        plan.change(&mut self.random);
        self.world.ask(LoadCatalog { text: plan.text() });
        for owner in &mut self.owners {
            for (most, limit) in owner.most.iter_mut().zip(&plan.products[owner.product].limits) {
                *most = (*most).max(number_of(limit.rule));
            }
        }
        self.plan = plan;
        self.count("change: a limit's number");
    }

    /// Another product, or a number of its own for one limit.
    fn change_a_plan(&mut self) {
        let number = self.random.index(self.owners.len());
        let owner = &mut self.owners[number];
        owner.own_numbers = true;
        let id = owner.of.id;
        let limits = &self.plan.products[owner.product].limits;
        if self.random.one_in(2) {
            let to = self.random.index(self.plan.products.len());
            let product = &self.plan.products[to];
            let request = ChangePlan { subscription: id, product: product.id.clone() };
            if self.world.try_ask(request).is_err() {
                return self.count("a change of plan was refused");
            }
            let most = product.limits.iter().map(|limit| {
                let place = limits.iter().position(|old| old == limit);
                place.map_or(u64::MAX, |place| owner.most[place])
            });
            (owner.most, owner.product) = (most.collect(), to);
            self.count("change: a subscription's plan");
        } else if !limits.is_empty() {
            let place = self.random.index(limits.len());
            let limit = &limits[place];
            let units = 3 + self.random.below(20);
            if matches!(limit.rule, Rule::Bucket { .. }) {
                return;
            }
            let own = Own { units: NonZeroU64::new(units).expect("some"), burst: None };
            let limit = limit.id.clone();
            let request = SetOverride { subscription: id, limit, own: Some(own) };
            if self.world.try_ask(request).is_err() {
                return self.count("an override was refused");
            }
            owner.most[place] = owner.most[place].max(units);
            self.count("change: a number of one's own");
        }
    }

    fn a_caller_leaves(&mut self) {
        let Some(call) = self.undecided.first().copied() else { return };
        let (at, stream) = (self.book.calls[call].at, self.book.calls[call].stream);
        if !self.is_away(at) {
            self.undecided.remove(0);
            self.process(at.0).vm(at.1).finish(stream, End::Aborted);
            self.leaves(call);
        }
    }

    /// A VM stands still for a minute, and goes on.
    fn freeze_a_vm(&mut self) {
        let Some(at) = self.some_vm() else { return };
        if self.process(at.0).vm(at.1).alive() {
            self.begin_tick(at);
            self.fault("VM frozen for a minute");
            self.is_in_trouble();
            for _ in 0..4 {
                self.one_call();
                self.pass(Duration::from_secs(15));
            }
            let mut order = crate::wasm::Order::drawn(&mut self.random, self.vms[at.0]);
            self.process(at.0).finish_all(&mut order);
        }
    }
}

/// The number that a limit's law is about.
pub(super) fn number_of(rule: Rule) -> u64 {
    match rule {
        Rule::Window { calls, .. } => calls,
        Rule::Bucket { burst, .. } => burst,
        Rule::Quota { units, .. } => units,
    }
}
