//! What a refused caller may rely on: when to come again, and that no unit stays out of reach.

use std::time::Duration;

use super::book::Fate;
use super::laws;
use super::plan::{Limit, Meter, OPERATIONS, Period, Rule};
use super::play::Play;
use crate::wasm::End;
use crate::world::At;

const SECOND: Duration = Duration::from_secs(1);
/// None is refused for longer while a living process holds units.
const UNSPENT: Duration = Duration::from_millis(2_500);
/// Nobody waits longer here for a limit to let calls through again.
const PATIENCE_SECONDS: u64 = 130;
/// Calls made to use a limit up.
const MOST_CALLS: usize = 120;

impl Play {
    /// One caller alone, all being well: calls until it is refused for good, and comes again when
    /// it was told to.
    pub(super) fn check_refusals(&mut self, owner: usize) {
        let of = &self.owners[owner];
        let limits = &self.plan.products[of.product].limits;
        if of.stopped.is_some() || limits.len() != 1 || of.own_numbers {
            return;
        }
        let limit = limits[0].clone();
        if !limit.blocks() || limit.on.is_some() || of.most != [super::steps::number_of(limit.rule)]
        {
            return;
        }
        if matches!(limit.rule, Rule::Quota { meter: Meter::Bytes | Meter::Header, .. }) {
            return;
        }
        // Early in a minute: every period begins with one.
        self.world.run_to_next_minute();
        self.pass(3 * SECOND);
        // Every process holds a unit that nobody uses: its call is not billed.
        for process in 0..self.vms.len() {
            let call = {
                let at = self.open_vm(process);
                self.call_at(owner, at)
            };
            if self.book.calls[call].was_let_through() {
                self.end(call, End::Status(502));
            }
        }
        let Some((at, told)) = self.use_up(owner, &limit) else { return };
        self.check_retry_after(owner, &limit, at, told);
    }

    /// Calls until nothing is let through: where, and when to come again.
    fn use_up(&mut self, owner: usize, limit: &Limit) -> Option<(At, u64)> {
        let process = self.random.index(self.vms.len());
        let at = self.open_vm(process);
        let mut refused_since = None;
        for _ in 0..MOST_CALLS {
            let call = self.call_at(owner, at);
            match &self.book.calls[call].fate {
                Fate::LetThrough => refused_since = None,
                Fate::Refused(refused) => {
                    let told = refused.retry_after;
                    let since = *refused_since.get_or_insert(self.book.calls[call].known.at);
                    if self.book.calls[call].known.at - since > UNSPENT {
                        self.check_all_is_used(owner, limit);
                        // A lifetime has no end that could be told.
                        return told.map(|told| (at, told));
                    }
                    self.pass(SECOND / 5);
                }
                fate => panic!("all is well, but {fate:?}"),
            }
        }
        None
    }

    /// One call that weighs one, and its decision.
    fn call_at(&mut self, owner: usize, at: At) -> usize {
        let request = self.owners[owner].of.get(OPERATIONS[0].1);
        let call = self.open_at(owner, 0, request, at);
        while self.undecided.contains(&call) {
            self.pass(SECOND / 20);
        }
        call
    }

    /// Of a quota of calls all units are used while all processes live.
    fn check_all_is_used(&mut self, owner: usize, limit: &Limit) {
        let Rule::Quota { units, meter: Meter::Calls, .. } = limit.rule else { return };
        if self.killed > 0 || self.overdrawn(owner) {
            return;
        }
        let under = self.under(owner, 0);
        let calls = self.book.calls.iter().filter(|call| call.owner == owner);
        // What was let through about a period's beginning may be of either.
        let used = laws::used_at_end(&under, &calls.collect::<Vec<_>>(), self.world.monotonic());
        assert!(
            used.hold(units),
            "{} of {limit:?}: units are out of everybody's reach, {used:?} are used",
            self.owners[owner].of.id
        );
        self.count("a quota was used up to its last unit");
    }

    /// Too early it is refused, and not when it was told to come.
    fn check_retry_after(&mut self, owner: usize, limit: &Limit, at: At, told: u64) {
        assert!(!matches!(limit.rule, Rule::Quota { period: Period::Lifetime, .. }));
        if told > PATIENCE_SECONDS {
            return;
        }
        let is_fleet = matches!(
            limit.rule,
            Rule::Window { fleet: true, .. } | Rule::Bucket { fleet: true, .. }
        );
        let began = self.world.monotonic();
        // The seconds told are rounded up: what is earlier by more than one is too early.
        for part in 1..4 {
            let early = Duration::from_secs(told.saturating_sub(1)) * part / 4;
            self.pass((began + early).saturating_sub(self.world.monotonic()));
            let call = self.call_at(owner, at);
            assert!(
                is_fleet || told < 2 || !self.book.calls[call].was_let_through(),
                "told to come in {told} s under {limit:?}, let through after {early:?}"
            );
        }
        self.pass((began + Duration::from_secs(told)).saturating_sub(self.world.monotonic()));
        let call = self.call_at(owner, at);
        let call = &self.book.calls[call];
        assert!(
            call.was_let_through(),
            "told to come in {told} s, and refused then under {limit:?}: {call:?}"
        );
        self.count(match limit.rule {
            Rule::Quota { .. } => "came again when told: quota",
            _ if is_fleet => "came again when told: rate of the fleet",
            _ => "came again when told: rate",
        });
    }
}
