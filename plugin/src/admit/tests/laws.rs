//! The laws on one record, whatever happens to it in whatever order: calls of several operations
//! and weights, endings, grants that come late, twice or out of order, recalls, time, a wall clock
//! that steps, other plans, other numbers.

use std::collections::HashMap;

use proptest::prelude::*;
use tollgate_pricing::gate::Override;
use tollgate_pricing::sync::{LeaseReport, Recall, Slot};

use super::*;
use crate::limit::LimitState;
use crate::settle::{Ending, Took, settle};

#[derive(Clone, Copy, Debug)]
enum Step {
    Call {
        find: bool,
        weight: u32,
    },
    Wait {
        ms: u64,
    },
    End {
        which: usize,
        waived: bool,
        units: u64,
    },
    /// The host hears of all leases.
    Report,
    /// The host answers a question.
    Answer {
        which: usize,
        units: u64,
    },
    /// An answer arrives, for the first time or again.
    Deliver {
        which: usize,
        keep: bool,
    },
    Recall {
        which: usize,
        all: bool,
    },
    PassTime,
    Clock {
        back: bool,
        ms: u64,
    },
    Plan {
        which: usize,
    },
    Own {
        id: usize,
        units: u64,
    },
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (any::<bool>(), 0_u32..4).prop_map(|(find, weight)| Step::Call { find, weight }),
        9 => (0_u64..1_200).prop_map(|ms| Step::Wait { ms }),
        12 => (any::<usize>(), any::<bool>(), 0_u64..9)
            .prop_map(|(which, waived, units)| Step::End { which, waived, units }),
        2 => Just(Step::Report),
        12 => (any::<usize>(), 1_u64..9).prop_map(|(which, units)| Step::Answer { which, units }),
        12 => (any::<usize>(), any::<bool>())
            .prop_map(|(which, keep)| Step::Deliver { which, keep }),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, all)| Step::Recall { which, all }),
        3 => Just(Step::PassTime),
        2 => (any::<bool>(), 0_u64..30_000).prop_map(|(back, ms)| Step::Clock { back, ms }),
        1 => (0_usize..3).prop_map(|which| Step::Plan { which }),
        1 => (0_usize..IDS.len(), 1_u64..20).prop_map(|(id, units)| Step::Own { id, units }),
        2 => Just(Step::Forget),
    ]
}

const IDS: [&str; 6] = ["rate", "burst", "fleet", "calls", "heavy", "bytes"];

/// The same ids mean other numbers, other operations and other kinds of limits in each plan.
fn plans() -> Vec<Rc<GateProduct>> {
    vec![
        product(vec![
            window("rate", 6, 2),
            on("find", bucket("burst", 3, 1, 4)),
            fleet("fleet", 9, 2),
            quota("calls", 30),
            on("find", metered("heavy", 40, Meter::Weight)),
            metered("bytes", 50, Meter::Bytes),
        ]),
        product(vec![
            on("find", window("rate", 3, 5)),
            bucket("burst", 1, 1, 2),
            on("find", quota("calls", 20)),
            soft(metered("heavy", 10, Meter::Weight)),
            observed(fleet("fleet", 5, 2)),
        ]),
        product(vec![quota("rate", 9), window("fleet", 4, 1), observed(window("calls", 5, 3))]),
    ]
}

/// One lease as the host knows it, by the rules of the contract.
#[derive(Clone, Copy, Default)]
struct Hosts {
    granted: u64,
    returned: u64,
    spent: u64,
    /// The most it was ever allowed to have out.
    most: u64,
}

/// An id may mean limits of several kinds; each counts for itself.
fn kind(rule: &Rule) -> u8 {
    match rule {
        Rule::SlidingWindow { scope: Scope::Fleet, .. }
        | Rule::TokenBucket { scope: Scope::Fleet, .. } => 0,
        Rule::SlidingWindow { .. } => 1,
        Rule::TokenBucket { .. } => 2,
        Rule::Quota { .. } => 3,
    }
}

struct World {
    record: Record,
    plans: Vec<Rc<GateProduct>>,
    plan: usize,
    now: Now,
    open: Vec<Permit>,
    dropped: Vec<Slot>,
    ended: HashMap<u32, (u64, u64)>,
    /// What billed calls of a period took of a meter.
    took: HashMap<(u32, Tag), u64>,
    /// Every admission, with when and in which plan and under which numbers; and per limit.
    admitted: Vec<((Tag, u8), u64, u32)>,
    numbers: u32,
    /// Lengths of windows.
    lengths_ns: HashMap<Tag, u64>,
    asks: Vec<LeaseAsk>,
    mail: Vec<(LeaseAnswer, u64)>,
    host: HashMap<(Tag, u32), Hosts>,
    seen: HashMap<(Tag, u32), LeaseReport>,
    /// Units that calls hold of quotas, as settled or open.
    held: HashMap<(Tag, u32), u64>,
    lasts_until_ns: HashMap<Tag, u64>,
}

impl World {
    fn new() -> Self {
        let quotas = [("rate", 9), ("calls", 20), ("heavy", 30), ("bytes", 45)];
        Self {
            record: record(line(30, 40), &quotas),
            plans: plans(),
            plan: 0,
            now: at(0),
            open: Vec::new(),
            dropped: Vec::new(),
            ended: HashMap::new(),
            took: HashMap::new(),
            admitted: Vec::new(),
            numbers: 0,
            lengths_ns: HashMap::new(),
            asks: Vec::new(),
            mail: Vec::new(),
            host: HashMap::new(),
            seen: HashMap::new(),
            held: HashMap::new(),
            lasts_until_ns: HashMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call { find, weight } => self.call(if find { "find" } else { "list" }, weight),
            Step::Wait { ms } => {
                self.now.wall_ms += ms;
                self.now.mono_ns += ms * MS + 77;
            }
            Step::End { which, waived, units } => self.end(which, waived, units),
            Step::Report => {
                self.leases().iter().for_each(|lease| self.hear(lease));
            }
            Step::Answer { which, units } => self.answer(which, units),
            Step::Deliver { which, keep } => self.deliver(which, keep),
            Step::Recall { which, all } => {
                let leases = self.leases();
                let Some(lease) = leases.get(which % leases.len().max(1)) else { return };
                let (limit, period) = (lease.limit, lease.period);
                let recall = Recall { subscription: SubscriptionId(7), limit, period, all };
                let unspent = lease.unspent();
                assert_eq!(self.record.give_back(&recall, self.now), unspent > 0);
            }
            Step::PassTime => {
                let before = self.record.encode();
                let changed = self.record.pass_time(self.now);
                assert_eq!(changed, self.record.encode() != before);
                assert!(!self.record.pass_time(self.now), "once is enough");
            }
            Step::Clock { back, ms } => {
                let ms =
                    if back { self.now.wall_ms.saturating_sub(ms) } else { self.now.wall_ms + ms };
                self.now.wall_ms = ms.max(START_MS);
            }
            Step::Plan { which } => (self.plan, self.numbers) = (which, self.numbers + 1),
            Step::Own { id, units } => {
                let (limit, units) = (Tag::of(IDS[id]), NonZeroU64::new(units).unwrap());
                self.record.overrides = vec![Override { limit, units, burst: None }];
                self.numbers += 1;
            }
            Step::Forget => {
                let oldest = self.record.slots.first().cloned();
                self.dropped.extend(oldest.filter(|slot| self.record.forget_slot(slot)));
            }
        }
    }

    fn call(&mut self, operation: &str, weight: u32) {
        let product = self.plans[self.plan].clone();
        let spent = |limit, period| {
            let known = self.host.get(&(limit, period))?;
            (known.granted % 5 == 4).then_some(MS)
        };
        let call = Call { weight, spent: &spent, ..call(&product, operation, self.now) };
        let before = self.record.clone();
        match admit_or_leave(&mut self.record, &call) {
            Admission::Admitted { permit, low, overdrawn, .. } => {
                assert!(!overdrawn, "the host is near");
                assert!(permit.period() >= before.period, "billing periods never go back");
                self.asks.extend(low);
                self.held(&permit, 1);
                let counting = product.limits.iter().filter(|l| l.counts("address", operation));
                for limit in counting {
                    let kind = kind(&limit.rule);
                    self.fit_window(limit);
                    self.admitted.push(((limit.tag(), kind), self.now.mono_ns, self.numbers));
                    self.check_admitted(limit, &before, weight);
                }
                self.open.push(permit);
            }
            Admission::Empty(ask) => self.asks.push(ask),
            Admission::Refused(_) | Admission::Outdated => {}
        }
    }

    /// A window that becomes longer knows the calls of its old length: older ones are forgotten.
    fn fit_window(&mut self, limit: &Limit) {
        if let Rule::SlidingWindow { period_seconds, scope: Scope::Gateway, .. } = limit.rule {
            let (tag, now_ns) = (limit.tag(), self.now.mono_ns);
            let length_ns = u64::from(period_seconds.get()) * 1_000_000_000;
            let before_ns = self.lengths_ns.insert(tag, length_ns).unwrap_or(length_ns);
            let is_known = |at: u64| before_ns >= length_ns || at + before_ns > now_ns;
            self.admitted.retain(|(of, at, _)| *of != (tag, 1) || is_known(*at));
        }
    }

    /// Law 1, by brute force on what was admitted.
    fn check_admitted(&self, limit: &Limit, before: &Record, weight: u32) {
        if !limit.blocks() {
            return;
        }
        let (tag, now_ns) = (limit.tag(), self.now.mono_ns);
        let rule = self.record.rule(tag, &limit.rule);
        let of_it = || self.admitted.iter().filter(|(of, ..)| *of == (tag, kind(&rule)));
        match *rule {
            Rule::SlidingWindow { scope: Scope::Fleet, .. } => {
                assert!(now_ns < self.lasts_until_ns[&tag], "a unit that expired");
                let report = self.lease(tag, RATE_PERIOD);
                assert!(report.used + report.returned <= report.granted, "{report:?}");
            }
            Rule::SlidingWindow { calls, period_seconds, .. } => {
                let length_ns = u64::from(period_seconds.get()) * 1_000_000_000;
                let inside = of_it().filter(|(_, at, _)| at + length_ns > now_ns).count();
                assert!(inside <= calls.get() as usize, "{inside} in a window of {calls}");
            }
            Rule::TokenBucket { calls, period_seconds, burst, .. } => {
                // Under the same numbers: other numbers allowed other calls before.
                let times = of_it().filter(|(.., under)| *under == self.numbers);
                let times: Vec<u64> = times.map(|(_, at, _)| *at).collect();
                let gain_ns = u128::from(period_seconds.get()) * 1_000_000_000;
                for (place, from) in times.iter().enumerate() {
                    let gained = u128::from(now_ns - from) * u128::from(calls.get()) / gain_ns;
                    let inside = (times.len() - place) as u128;
                    assert!(inside <= u128::from(burst.get()) + gained, "{inside} since {from}");
                }
            }
            Rule::Quota { meter: Meter::Weight, .. } if weight == 0 => {}
            Rule::Quota { ref meter, .. } => {
                let number = self.record.state(tag, &rule).unwrap();
                let crate::limit::Kind::Quota(quota) = &number.kind else { unreachable!() };
                let report = self.lease(tag, quota.entered);
                if meter.is_known_late() {
                    let before = before.clone().lease_mut(tag, quota.entered).unwrap().left();
                    assert!(before > 0, "a quota that was used up");
                } else {
                    let key = (tag, report.period);
                    assert!(report.spent() + report.returned <= report.granted, "{report:?}");
                    assert!(self.held[&key] <= self.host[&key].most, "more than there ever was");
                }
            }
        }
    }

    fn held(&mut self, permit: &Permit, sign: i64) {
        for charged in permit.quotas() {
            if let Counted::Units(units) = charged.what {
                let held = self.held.entry((charged.limit, charged.period)).or_default();
                *held = held.checked_add_signed(sign * i64::try_from(units).unwrap()).unwrap();
            }
        }
    }

    fn end(&mut self, which: usize, waived: bool, units: u64) {
        if self.open.is_empty() {
            return;
        }
        let permit = self.open.swap_remove(which % self.open.len());
        let took = Took::measure(&permit, |_| units).meters;
        let ending = if waived { Ending::Waived } else { Ending::Billable(took.clone()) };
        settle(&mut self.record, &permit, &ending).unwrap();
        for (meter, units) in took.as_slice().iter().filter(|_| !waived) {
            *self.took.entry((permit.period(), *meter)).or_default() += units;
        }
        let ended = self.ended.entry(permit.period()).or_default();
        *(if waived { &mut ended.1 } else { &mut ended.0 }) += 1;
        if waived {
            self.held(&permit, -1);
        }
    }

    fn leases(&self) -> Vec<LeaseReport> {
        self.record.limits.iter().flat_map(LimitState::leases).collect()
    }

    fn lease(&self, tag: Tag, period: u32) -> LeaseReport {
        let leases = self.leases();
        *leases.iter().find(|lease| (lease.limit, lease.period) == (tag, period)).unwrap()
    }

    fn hear(&mut self, lease: &LeaseReport) {
        let known = self.host.entry((lease.limit, lease.period)).or_default();
        known.granted = known.granted.max(lease.granted);
        known.returned = known.returned.max(lease.returned);
        known.spent = known.spent.max(lease.spent());
    }

    /// Grants what is free of the limit as it is in the current plan.
    fn answer(&mut self, which: usize, units: u64) {
        if self.asks.is_empty() {
            return;
        }
        let ask = self.asks.swap_remove(which % self.asks.len());
        self.hear(&ask.lease);
        let tag = ask.lease.limit;
        let limit = self.plans[self.plan].limits.iter().find(|limit| limit.tag() == tag);
        let is_rate = ask.lease.period == RATE_PERIOD;
        let Some(limit) = limit.filter(|limit| {
            limit.rule.is_leased() && is_rate != matches!(limit.rule, Rule::Quota { .. })
        }) else {
            return;
        };
        let most = super::examine::allowed(&self.record.rule(tag, &limit.rule));
        let known = self.host.entry((tag, ask.lease.period)).or_default();
        known.most = known.most.max(most);
        let out = known.granted.saturating_sub(known.returned).max(known.spent);
        // A rate's window makes room again: only a quota's units are gone for good.
        let free = if is_rate { most } else { most.saturating_sub(out) };
        known.granted = known.granted.max(known.spent + known.returned) + units.min(free);
        let answer = granted(tag, ask.lease.period, known.granted);
        self.mail.push((answer, self.now.mono_ns));
    }

    fn deliver(&mut self, which: usize, keep: bool) {
        if self.mail.is_empty() {
            return;
        }
        let which = which % self.mail.len();
        let (answer, sent_ns) = self.mail[which];
        self.record.grant(&answer, sent_ns);
        let before = self.record.encode();
        assert!(!self.record.grant(&answer, sent_ns), "twice is once");
        assert_eq!(self.record.encode(), before);
        if let Some(lasts_ms) = answer.lasts_ms {
            let until_ns = self.lasts_until_ns.entry(answer.limit).or_default();
            *until_ns = (*until_ns).max(sent_ns + lasts_ms * MS);
        }
        if !keep {
            self.mail.swap_remove(which);
        }
    }

    /// What holds after every step.
    fn check(&mut self) {
        assert_eq!(Record::decode(&self.record.encode()).as_ref(), Ok(&self.record));
        for period in 1..=40 {
            let slots = self.record.slots.iter().chain(&self.dropped);
            let of_it: Vec<&Slot> = slots.filter(|slot| slot.period == period).collect();
            let sum = |of: fn(&Slot) -> u64| of_it.iter().map(|slot| of(slot)).sum::<u64>();
            let open = self.open.iter().filter(|permit| permit.period() == period).count() as u64;
            let (billable, waived) = self.ended.get(&period).copied().unwrap_or_default();
            let counted =
                (sum(|slot| slot.admitted), sum(|slot| slot.billable), sum(|slot| slot.waived));
            assert_eq!(counted, (billable + waived + open, billable, waived), "law 4 in {period}");
            for meter in [Meter::Weight, Meter::Bytes].map(|meter| meter.tag()) {
                let counted: u64 = of_it.iter().map(|slot| slot.meters.get(meter)).sum();
                let took = self.took.get(&(period, meter)).copied().unwrap_or_default();
                assert_eq!(counted, took, "what was billed in {period}");
            }
        }
        for lease in self.leases() {
            let key = (lease.limit, lease.period);
            let before = self.seen.insert(key, lease).unwrap_or_default();
            let grew = lease.granted >= before.granted
                && lease.used >= before.used
                && lease.waived >= before.waived
                && lease.returned >= before.returned;
            assert!(grew, "{before:?} became {lease:?}");
            assert!(lease.waived <= lease.used && lease.returned <= lease.granted, "{lease:?}");
            let is_new = before == LeaseReport::default();
            assert!(!is_new || lease.used <= 4, "a lease that was forgotten and came again");
            if let Some(held) = self.held.get(&key) {
                assert_eq!(lease.spent(), *held, "the counter that blocks: {lease:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn the_laws_hold_whatever_happens(steps in proptest::collection::vec(step(), 1..160)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}
