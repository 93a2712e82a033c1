//! What the ledger tells beside its counters, at the end of a world: rows agree with them, meters
//! hold what callers took, and what is missing is shown.

use std::collections::BTreeMap;

use tollgate_host::core::unaccounted::ReadUnaccounted;
use tollgate_host::core::usage::ReadUsage;
use tollgate_host::core::usage::detail::{By, ReadDetail};

use super::book::{Bounds, Call, Lost};
use super::plan::{Meter, OPERATIONS, Rule};
use super::play::Play;

impl Play {
    /// Law 3: rows describe what counters bill. No row is without its call, and no call without
    /// its row unless something that had rows is lost.
    pub(super) fn check_rows(&mut self) {
        if self.was_restored {
            return;
        }
        for owner in 0..self.owners.len() {
            let id = self.owners[owner].of.id;
            let detail = self.world.ask(ReadDetail { by: By::Status, subscription: Some(id) });
            let unknown = [detail.unknown.billable, detail.unknown.waived];
            let is_less = unknown.iter().any(|calls| *calls < 0);
            assert!(!is_less, "law 3: rows of {id} tell more than its counters: {detail:?}");
            if self.is_lossless {
                assert_eq!(unknown, [0, 0], "law 3: rows of {id} tell less: {detail:?}");
                self.count("rows tell of every call");
            }
        }
    }

    /// Law 4: each meter of a product's quotas holds what the billable calls took.
    pub(super) fn check_meters(&mut self) {
        let mut found = BTreeMap::<_, u64>::new();
        for period in self.world.ask(ReadUsage { subscription: None }).periods {
            for (name, units) in period.meters {
                *found.entry((period.subscription, name)).or_default() += units;
            }
        }
        for (number, owner) in self.owners.iter().enumerate() {
            if owner.own_numbers {
                continue;
            }
            for limit in &self.plan.products[owner.product].limits {
                let Rule::Quota { meter, .. } = limit.rule else { continue };
                let (name, units): (_, fn(&Call) -> u64) = match meter {
                    Meter::Calls => continue,
                    Meter::Weight => ("weight", |call| OPERATIONS[call.operation].2),
                    Meter::Bytes => ("bytes", |call| call.bytes),
                    Meter::Header => ("header x-units", |call| call.units),
                };
                let mut bounds = Bounds::default();
                for call in self.book.calls.iter().filter(|call| call.owner == number) {
                    if call.was_let_through() && call.ended.is_some() && !call.is_waived() {
                        bounds.most += units(call);
                        bounds.least += units(call) * u64::from(call.lost == Lost::Nothing);
                    }
                }
                let found = found.get(&(owner.of.id, name.to_owned())).copied().unwrap_or(0);
                let id = owner.of.id;
                assert!(bounds.hold(found), "law 4: {id} has {found} {name}, not {bounds:?}");
                *self.played.events.entry("a meter is exact".to_owned()).or_default() += 1;
            }
        }
    }

    /// Law 3: what callers saw and the ledger does not have, the ledger says it may not have.
    pub(super) fn check_unaccounted(&mut self) {
        let report = self.world.ask(ReadUnaccounted);
        let mut billable = BTreeMap::<_, u64>::new();
        for period in self.world.ask(ReadUsage { subscription: None }).periods {
            *billable.entry(period.subscription).or_default() += period.billable;
        }
        for owner in 0..self.owners.len() {
            let id = self.owners[owner].of.id;
            let calls = self.book.calls.iter().filter(|call| call.owner == owner);
            let settled = |call: &&Call| call.was_let_through() && call.settled.is_some();
            let sure = calls.filter(settled).filter(|call| !call.is_waived()).count() as u64;
            let missing = sure.saturating_sub(billable.get(&id).copied().unwrap_or(0));
            if missing == 0 || report.restored.is_some() || self.was_killed_new {
                continue;
            }
            assert!(!report.boots.is_empty(), "law 3: {missing} calls of {id} are nowhere");
            // A process that does not name it has a span of time for all others.
            let told = report.boots.iter().map(|boot| {
                let mut lines = boot.subscriptions.iter();
                lines.find(|line| line.subscription == id).and_then(|line| line.at_most)
            });
            if let Some(told) = told.sum::<Option<u64>>() {
                assert!(missing <= told, "law 3: {missing} calls of {id}, told at most {told}");
                self.count("missing calls are bounded by a number");
            } else {
                self.count("missing calls are bounded by a time");
            }
        }
    }
}
