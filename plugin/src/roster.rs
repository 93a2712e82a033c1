//! The roster: the live gate VMs of a process, in one value of shared data, each with what it
//! still has to deliver. So the gauges of a process are sums over VMs that live, and a VM that
//! died is missed.
//!
//! A VM that dies or leaves may have changed records that nobody was told of, and what a lost ledger
//! was told the restored one may not know: the process then owes the host a complete sweep that
//! begins later, and has not delivered everything before.

use tollgate_pricing::id::Hex128;

use crate::host::{Cas, Host};
use crate::shared::{Head, MAX_TRIES};

const ROSTER: &[u8] = b"tollgate/3/roster";
/// Envoy runs a VM a worker and one more. Past that many a process never says that all is
/// delivered.
pub const MAX_VMS: usize = 256;
/// A VM ticks four times a second: one that was not seen for this long may be dead, and what it did
/// since is not known; …
const UNSEEN_NS: u64 = 750_000_000;
/// … and after so long it is.
pub const SILENT_NS: u64 = 3_000_000_000;

const HEAD_BYTES: usize = 24;
const VM_BYTES: usize = 40;

/// What a VM has to do yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// Streams held back, for the host's word.
    pub waiting: u64,
    /// Calls that ended and are not counted yet.
    pub unsettled: u64,
    /// Calls under way and unsettled, records and rows that the host has not acknowledged.
    pub undelivered: u64,
}

/// A live VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vm {
    /// Drawn when it began to work.
    pub incarnation: Hex128,
    /// When it was last seen, monotonic.
    pub seen_ns: u64,
    /// What it has to do yet.
    pub load: Load,
}

/// The live VMs of a process.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    /// When a VM was last found dead, monotonic; 0 if none was.
    lost_ns: u64,
    /// When one last left before all it did was acknowledged, likewise.
    left_ns: u64,
    /// When a VM last found no place in it, monotonic.
    full_ns: u64,
    vms: Vec<Vm>,
}

impl Roster {
    /// Reads what [`Roster::encode`] wrote; bytes of nobody are an empty roster.
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return Self::default() };
        let (vms, []) = rest.as_chunks::<VM_BYTES>() else { return Self::default() };
        let mut head = Words(head);
        Self {
            lost_ns: head.next(),
            left_ns: head.next(),
            full_ns: head.next(),
            vms: vms.iter().take(MAX_VMS).map(Vm::decode).collect(),
        }
    }

    /// As bytes of shared data.
    pub fn encode(&self) -> Vec<u8> {
        let vms = self.vms.iter().flat_map(|vm| {
            let Load { waiting, unsettled, undelivered } = vm.load;
            let half = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
            let seen = vm.seen_ns.to_le_bytes();
            let small = [half(waiting), half(unsettled)].concat();
            [&vm.incarnation.0[..], &seen, &small, &undelivered.to_le_bytes()].concat()
        });
        let head = [self.lost_ns, self.left_ns, self.full_ns].map(u64::to_le_bytes);
        head.into_iter().flatten().chain(vms).collect()
    }

    /// Enters a VM as it is now.
    fn enter(&mut self, vm: Vm) {
        let is_it = |other: &&mut Vm| other.incarnation == vm.incarnation;
        if let Some(known) = self.vms.iter_mut().find(is_it) {
            *known = vm;
        } else if self.vms.len() < MAX_VMS {
            self.vms.push(vm);
        } else {
            self.full_ns = vm.seen_ns;
        }
    }

    /// Drops the VMs that were silent for too long: how many they were.
    fn bury(&mut self, now_ns: u64) -> u32 {
        let before = self.vms.len();
        self.vms.retain(|vm| now_ns.saturating_sub(vm.seen_ns) <= SILENT_NS);
        let dead = before.saturating_sub(self.vms.len());
        if dead > 0 {
            self.lost_ns = self.lost_ns.max(now_ns).max(1);
        }
        u32::try_from(dead).unwrap_or(u32::MAX)
    }

    /// Whether no gate VM of the process is left.
    pub fn is_empty(&self) -> bool {
        self.vms.is_empty()
    }

    /// Whether none of its VMs was seen just now.
    pub fn is_unseen(&self, now_ns: u64) -> bool {
        self.vms.iter().all(|vm| vm.is_unseen(now_ns))
    }

    /// Whether a VM died or the ledger was restored, and no sweep that began since is complete:
    /// then more is to be said than VMs know of themselves.
    pub fn owes_all(&self, head: &Head) -> bool {
        is_owed(self.lost_ns.max(head.restored_ns), head)
    }

    /// What the process has to do yet: at least something while it owes a sweep, or does not know
    /// of some VM how it is.
    pub fn sums(&self, head: &Head, now_ns: u64) -> Load {
        let is_full = self.full_ns > 0 && now_ns.saturating_sub(self.full_ns) <= SILENT_NS;
        let is_owed = self.owes_all(head) || is_owed(self.left_ns, head);
        let unknown = u64::from(is_owed).saturating_add(is_full.into());
        let none = Load { undelivered: unknown, ..Load::default() };
        self.vms.iter().fold(none, |sum, vm| {
            let load = vm.load;
            let undelivered = load.undelivered.saturating_add(vm.is_unseen(now_ns).into());
            Load {
                waiting: sum.waiting.saturating_add(load.waiting),
                unsettled: sum.unsettled.saturating_add(load.unsettled),
                undelivered: sum.undelivered.saturating_add(undelivered),
            }
        })
    }
}

/// Whether no sweep is complete that began since then.
fn is_owed(since_ns: u64, head: &Head) -> bool {
    since_ns > 0 && head.swept_ns <= since_ns
}

impl Vm {
    fn is_unseen(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.seen_ns) > UNSEEN_NS
    }

    fn decode(bytes: &[u8; VM_BYTES]) -> Self {
        let (incarnation, rest) = bytes.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let mut words = Words(rest);
        let seen_ns = words.next();
        let both = words.next();
        let load = Load {
            waiting: both & u64::from(u32::MAX),
            unsettled: both.wrapping_shr(u32::BITS),
            undelivered: words.next(),
        };
        Self { incarnation: Hex128(*incarnation), seen_ns, load }
    }
}

/// Numbers of eight bytes; zeros past the end.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> u64 {
        let (word, rest) = self.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        self.0 = rest;
        u64::from_le_bytes(*word)
    }
}

/// Notes that a VM lives, and drops those that do not, if it `may_bury`: the roster as it is now,
/// and how many were dropped by this VM. None if other VMs got ahead every time.
pub fn note(host: &impl Host, vm: Vm, may_bury: bool) -> Option<(Roster, u32)> {
    update(host, |roster| {
        roster.enter(vm);
        if may_bury { roster.bury(vm.seen_ns) } else { 0 }
    })
}

/// What a VM leaves behind that ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// The host has acknowledged all that it did.
    Nothing,
    /// The host has not, but the log has it.
    Said,
    /// Not even that: as if it had died.
    Unsaid,
}

/// Takes a VM off that ends: the roster without it.
pub fn leave(host: &impl Host, incarnation: Hex128, leaves: Leaves, now_ns: u64) -> Option<Roster> {
    let left = update(host, |roster| {
        roster.vms.retain(|vm| vm.incarnation != incarnation);
        match leaves {
            Leaves::Nothing => {}
            Leaves::Said => roster.left_ns = roster.left_ns.max(now_ns).max(1),
            Leaves::Unsaid => roster.lost_ns = roster.lost_ns.max(now_ns).max(1),
        }
    });
    left.map(|(roster, ())| roster)
}

/// One read, `change`, and one compare-and-swap; again from the start if another VM got ahead.
fn update<T>(host: &impl Host, mut change: impl FnMut(&mut Roster) -> T) -> Option<(Roster, T)> {
    for _ in 0..MAX_TRIES {
        let (bytes, cas) = host.shared_get(ROSTER).unwrap_or((Vec::new(), Cas::ABSENT));
        let mut roster = Roster::decode(&bytes);
        let value = change(&mut roster);
        if host.shared_set(ROSTER, &roster.encode(), cas).is_ok() {
            return Some((roster, value));
        }
    }
    None
}

#[cfg(test)]
mod tests;
