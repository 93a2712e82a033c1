//! What can happen to a record, in any order.

use std::rc::Rc;

use tollgate_plugin::admit::{Admission, Call, Now, Permit, Reach, admit};
use tollgate_plugin::record::Record;
use tollgate_plugin::settle::{Ending, Took, settle};
use tollgate_pricing::gate::{GateProduct, Limit, Rule};
use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{Access, LeaseReport, Recall, RecordReport, Slot};

use super::super::{Seen, law};
use super::made::{IDS, grant, product, state};
use crate::tape::Tape;

/// A clock that counts from a start does not get further than a century.
const MAX_MONO_NS: u64 = u64::MAX >> 2;

/// A record, its product, and the calls under way.
pub(super) struct Life {
    pub(super) record: Record,
    product: Rc<GateProduct>,
    now: Now,
    permits: Vec<Permit>,
}

impl Life {
    pub(super) fn begin(tape: &mut Tape<'_>) -> Self {
        let mut state = state(tape);
        let mut record = Record::unconfirmed(&state);
        // Most choices would refuse every call of it.
        if !tape.once_in(16) {
            state.revision = state.revision.max(1);
            state.access = Access::Active;
            state.expires_ms = None;
        }
        record.take(&state);
        Self::of(record, tape)
    }

    pub(super) fn of(record: Record, tape: &mut Tape<'_>) -> Self {
        let wall_ms = record.periods.start_ms.saturating_add(tape.number());
        // Nanoseconds since a start: not 146 years of them.
        let now = Now { wall_ms, mono_ns: tape.number() >> 2 };
        Self { record, product: Rc::new(product(tape)), now, permits: Vec::new() }
    }

    pub(super) fn step(&mut self, tape: &mut Tape<'_>, seen: &mut Seen) -> Result<(), String> {
        match tape.below(16) {
            0..=5 => return self.admit(tape, seen),
            6..=7 => return self.settle(tape, seen),
            8..=9 => {
                seen.mark("granted");
                let answer = grant(tape, &self.record);
                self.record.grant(&answer, tape.number());
            }
            10 => {
                self.now.mono_ns =
                    self.now.mono_ns.saturating_add(tape.number() >> 2).min(MAX_MONO_NS);
                self.now.wall_ms = self.now.wall_ms.saturating_add(tape.number());
                if self.record.pass_time(self.now) {
                    seen.mark("time passed");
                }
            }
            11 if tape.flag() => {
                let (limit, period) = (Tag::of(tape.pick(&IDS)), tape.number32());
                let recall = self.record.report().leases.first().map_or(
                    Recall { subscription: self.record.id, limit, period, all: tape.flag() },
                    |lease| Recall {
                        subscription: self.record.id,
                        limit: lease.limit,
                        period: lease.period,
                        all: tape.flag(),
                    },
                );
                if self.record.give_back(&recall, self.now) {
                    seen.mark("given back");
                }
            }
            11 => self.now = Now { wall_ms: tape.number(), mono_ns: tape.number() >> 2 },
            12 => {
                let state = state(tape);
                if self.record.is_behind(&state) {
                    seen.mark("state taken");
                    self.record.take(&state);
                }
            }
            13 if tape.once_in(16) => {
                // As after more periods than anyone will see.
                self.record.slots.clear();
                self.record.last_slot = u32::MAX;
            }
            13 => self.product = Rc::new(product(tape)),
            14 => {
                let slot = self.record.slots.get(tape.below(4)).cloned();
                if slot.is_some_and(|slot| self.record.forget_slot(&slot)) {
                    seen.mark("slot forgotten");
                }
            }
            _ => {
                let mut bytes = self.record.encode();
                let place = usize::from(tape.byte()) * 256 + usize::from(tape.byte());
                let place = place % bytes.len();
                bytes[place] ^= 1 << tape.below(8);
                if let Ok(other) = Record::decode(&bytes) {
                    seen.mark("flipped into another record");
                    self.record = other;
                }
            }
        }
        Ok(())
    }

    fn admit(&mut self, tape: &mut Tape<'_>, seen: &mut Seen) -> Result<(), String> {
        let reach = tape.pick(&[Reach::Near, Reach::Near, Reach::Away, Reach::Stale]);
        let spent_ns = tape.once_in(4).then(|| tape.number());
        let spent = |_: Tag, _: u32| spent_ns;
        let call = Call {
            product: (!tape.once_in(32)).then_some(&self.product),
            api: tape.pick(&["a", "a", "a", "b"]),
            operation: tape.pick(&["o", "p"]),
            weight: tape.number32() % 1_000_001,
            now: self.now,
            reach,
            spent: &spent,
        };
        let before = self.record.report();
        let mut after = self.record.clone();
        match admit(&mut after, &call) {
            Admission::Admitted { permit, low, would_refuse, overdrawn } => {
                seen.mark("admitted");
                if !low.is_empty() {
                    seen.mark("admitted, and asks for more");
                }
                if would_refuse.is_some() {
                    seen.mark("would have refused");
                }
                if overdrawn {
                    seen.mark("overdrawn");
                } else if reach == Reach::Near {
                    is_within_leases(&before, &after.report(), &self.product)?;
                }
                counts_one(&before, &after.report(), |slot| slot.admitted, "admitted")?;
                self.permits.push(permit);
                // The gate stores it, and only then.
                self.record = after;
                return Ok(());
            }
            Admission::Refused(refusal) => {
                seen.mark("refused");
                if refusal.by.is_some() {
                    seen.mark("refused by a limit");
                }
                // A refusal that charged would tell less room the second time.
                let again = match admit(&mut after, &call) {
                    Admission::Refused(again) => again == refusal,
                    _ => false,
                };
                law(again, || format!("a refused call changed what is told\n  {refusal:?}"))?;
            }
            Admission::Empty(ask) => {
                seen.mark("empty");
                // What is left of a rate's may have expired.
                let is_it = |limit: &&Limit| limit.tag() == ask.lease.limit;
                let limit = self.product.limits.iter().find(is_it);
                let is_quota = limit.is_some_and(|it| matches!(it.rule, Rule::Quota { .. }));
                law(!is_quota || ask.lease.unspent() < u64::from(call.weight.max(1)), || {
                    format!("asks for a lease that has room\n  {ask:?}")
                })?;
            }
            Admission::Outdated => seen.mark("outdated"),
        }
        let counted = |report: &RecordReport| totals(report, |slot| slot.admitted);
        law(counted(&before) == counted(&after.report()), || "a refused call counts".to_owned())?;
        let used = |report: &RecordReport| -> u128 {
            report.leases.iter().map(|lease| u128::from(lease.used)).sum()
        };
        law(used(&after.report()) <= used(&before), || "a refused call is charged".to_owned())
    }

    fn settle(&mut self, tape: &mut Tape<'_>, seen: &mut Seen) -> Result<(), String> {
        if self.permits.is_empty() {
            return Ok(());
        }
        let permit = self.permits.swap_remove(tape.below(self.permits.len()));
        let took = Took::measure(&permit, |_| tape.number()).meters;
        let is_billable = tape.flag();
        let ending = if is_billable { Ending::Billable(took.clone()) } else { Ending::Waived };
        let before = self.record.report();
        if settle(&mut self.record, &permit, &ending).is_err() {
            seen.mark("no slot");
            return law(self.record.report() == before, || "no slot, and yet a change".to_owned());
        }
        let after = self.record.report();
        seen.mark(if is_billable { "billable" } else { "waived" });
        let (of, name): (fn(&_) -> u64, _) = if is_billable {
            (|slot: &Slot| slot.billable, "billable")
        } else {
            (|slot: &Slot| slot.waived, "waived")
        };
        for (meter, units) in took.as_slice() {
            let of = |report: &RecordReport| -> u128 {
                report.slots.iter().map(|slot| u128::from(slot.meters.get(*meter))).sum()
            };
            let grew = of(&after).saturating_sub(of(&before));
            let is_full = after.slots.iter().any(|slot| slot.meters.get(*meter) == u64::MAX);
            let counted = grew == if is_billable { u128::from(*units) } else { 0 };
            law(counted || is_full, || format!("{units} units were counted as {grew}"))?;
        }
        counts_one(&before, &after, of, name)
    }
}

fn totals(report: &RecordReport, of: fn(&Slot) -> u64) -> u128 {
    report.slots.iter().map(|slot| u128::from(of(slot))).sum()
}

fn counts_one(
    before: &RecordReport,
    after: &RecordReport,
    of: fn(&Slot) -> u64,
    name: &str,
) -> Result<(), String> {
    let is_full = before.slots.iter().any(|slot| of(slot) == u64::MAX);
    let (before, after) = (totals(before, of), totals(after, of));
    law(after == before + 1 || is_full, || format!("{name} went from {before} to {after}"))
}

/// Law 1, as far as one process can break it: an admitted call had its units.
fn is_within_leases(
    before: &RecordReport,
    after: &RecordReport,
    product: &GateProduct,
) -> Result<(), String> {
    for lease in &after.leases {
        let is_it =
            |other: &&LeaseReport| other.limit == lease.limit && other.period == lease.period;
        // A rate and a quota of period 0, which no host numbers, have one name.
        if after.leases.iter().filter(is_it).count() > 1 {
            continue;
        }
        let known = before.leases.iter().find(is_it).copied();
        let known = known.unwrap_or(LeaseReport { used: 0, ..*lease });
        let limit = product.limits.iter().find(|limit| limit.tag() == lease.limit);
        let took = lease.used.saturating_sub(known.used);
        let is_hard = limit.is_some_and(|limit| {
            limit.blocks()
                && !matches!(&limit.rule, Rule::Quota { meter, .. } if meter.is_known_late())
        });
        law(!is_hard || took <= known.unspent(), || {
            format!("admitted beyond a lease\n  {known:?}\n  {lease:?}")
        })?;
    }
    Ok(())
}
