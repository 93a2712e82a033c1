//! A VM's life in its process: its root contexts, its place in the roster, and its end.
//!
//! A proxy may end a VM as soon as its last root context is done: at its own end, when the filter
//! is removed, or when its code changes. Nothing can be sent then, so all that the host has not
//! acknowledged is written to the log. A VM may also go on afterwards, with a new root.

use std::collections::BTreeSet;

use super::{Gate, TICK_MS};
use crate::host::Host;
use crate::metrics::Metric;
use crate::roster::{self, Leaves, Load, Roster, SILENT_NS, Vm};
use crate::shared;

/// A VM that did not tick for longer was asleep, and maybe the whole process: it cannot tell yet
/// who else should have.
const ASLEEP_NS: u64 = 1_500_000_000;

#[allow(clippy::as_conversions)] // a widening one; `From` is not const yet
const _: () = assert!(
    ASLEEP_NS + TICK_MS as u64 * 1_000_000 < SILENT_NS,
    "who slept no longer than that finds nobody silent who slept as long"
);

/// What a VM knows of its own life.
#[derive(Debug, Default)]
pub(crate) struct Life {
    /// Root contexts that are configured.
    roots: BTreeSet<u32>,
    /// The last one is done.
    is_over: bool,
    is_on_roster: bool,
    /// When it last signed the roster, monotonic.
    signed_ns: u64,
    /// Since when it ticks as it should, monotonic, …
    awake_ns: u64,
    /// … and when it last did.
    ticked_ns: u64,
}

impl Life {
    /// Whether the VM may be gone with the next callback.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The VM ticks. Whether it has done so for long enough to know who else should have.
    fn may_bury(&mut self, now_ns: u64) -> bool {
        if now_ns.saturating_sub(self.ticked_ns) > ASLEEP_NS {
            self.awake_ns = now_ns;
        }
        self.ticked_ns = now_ns;
        now_ns.saturating_sub(self.awake_ns) >= SILENT_NS
    }
}

impl<H: Host> Gate<H> {
    /// A root context is configured. Has no effect on anything outside.
    pub fn on_configure(&mut self, root: u32) {
        self.life.roots.insert(root);
        self.life.is_over = false;
    }

    /// The proxy is done with a context: a stream, or a root.
    pub fn on_done(&mut self, context: u32) {
        if self.life.roots.remove(&context) && self.life.roots.is_empty() {
            self.life.is_over = true;
            self.begin_last_spill();
            self.end();
        }
    }

    /// A stream was forgotten. After the end nothing waits for a tick.
    pub(super) fn say_what_came_late(&mut self) {
        if self.life.is_over {
            self.end();
        }
    }

    /// Counts what is kept, writes what nobody acknowledged, and leaves the roster; the last VM of
    /// the process says so. Does nothing in one that never worked, or when nothing came since.
    fn end(&mut self) {
        self.look_around();
        self.settle_kept();
        let has_said = self.spill_rest();
        if !has_said && !self.life.is_on_roster {
            return;
        }
        self.life.is_on_roster = false;
        shared::resign(&self.host, self.incarnation);
        let leaves = match self.load().undelivered {
            0 => Leaves::Nothing,
            _ if self.has_spill_gap() => Leaves::Unsaid,
            _ => Leaves::Said,
        };
        let now_ns = self.host.monotonic_ns();
        let left = roster::leave(&self.host, self.incarnation, leaves, now_ns);
        let Some(roster) = left else { return };
        // Who is not seen may have died just now, and nobody else is left to say what it did.
        let misses_some = !roster.is_empty() && roster.is_unseen(now_ns);
        if misses_some || roster.is_empty() && roster.owes_all(&self.head) {
            self.spill_all();
        }
        if roster.is_empty() {
            self.spill_last();
        }
        self.show_sums(&roster);
    }

    /// Is on the roster before it does anything with a request: no tick may have come yet, or none
    /// for so long that it was taken for dead.
    pub(super) fn enter_roster(&mut self, now_ns: u64) {
        if !self.life.is_on_roster || now_ns.saturating_sub(self.life.signed_ns) > ASLEEP_NS {
            self.note_in_roster(now_ns, false);
        }
    }

    /// Tells the process that this VM lives, and what it has to deliver yet.
    pub(super) fn sign_roster(&mut self, now_ns: u64) {
        let may_bury = self.life.may_bury(now_ns);
        self.note_in_roster(now_ns, may_bury);
    }

    fn note_in_roster(&mut self, now_ns: u64, may_bury: bool) {
        let vm = Vm { incarnation: self.incarnation, seen_ns: now_ns, load: self.load() };
        // None if other VMs wrote it all the time: the next tick is soon.
        if let Some((roster, dead)) = roster::note(&self.host, vm, may_bury) {
            self.life.is_on_roster = true;
            self.life.signed_ns = now_ns;
            if dead > 0 {
                self.host.count(Metric::VmsLost, dead);
            }
            self.show_sums(&roster);
        }
    }

    fn load(&self) -> Load {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let unsettled = number(self.unsettled.len());
        let calls = number(self.going.len()).saturating_add(unsettled);
        Load {
            waiting: number(self.room.len()),
            unsettled,
            undelivered: calls.saturating_add(self.sync.undelivered()),
        }
    }

    fn show_sums(&self, roster: &Roster) {
        let Load { waiting, unsettled, undelivered } =
            roster.sums(&self.head, self.host.monotonic_ns());
        self.host.show(Metric::Waiting, waiting);
        self.host.show(Metric::Unsettled, unsettled);
        self.host.show(Metric::Undelivered, undelivered);
    }
}
