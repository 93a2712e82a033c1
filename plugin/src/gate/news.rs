//! What this VM knows of the host, and what other VMs published.

use std::rc::Rc;

use tollgate_pricing::id::Hex128;

use super::{Gate, Loaded};
use crate::admit::Now;
use crate::host::Host;
use crate::metrics::Metric;
use crate::shared::{self, Head};
use crate::sync::Question;

/// Hex digits of the process's id that operators see as a number.
const BOOT_DIGITS: u32 = 13;
/// Longer than between two syncs of a process whose host answers.
const SILENT_SECONDS: u64 = 3;

impl<H: Host> Gate<H> {
    /// Takes over what other VMs published in shared data.
    pub(crate) fn look_around(&mut self) {
        if let Some(head) = shared::head(&self.host) {
            self.take_head(head);
        }
    }

    /// Takes over what the process knows of the host.
    pub(crate) fn take_head(&mut self, head: Head) {
        if head.epoch != self.head.epoch {
            self.sync.begin_again();
        }
        if head.revision != self.head.revision {
            self.spent.clear();
        }
        self.keys.at_revision(head.revision);
        if head.catalog > self.catalog_revision() {
            self.load_newer_catalog();
        }
        self.head = head;
    }

    /// Loads the process's catalog if it is newer than this VM's.
    pub(crate) fn load_newer_catalog(&mut self) -> bool {
        let newer = shared::catalog(&self.host)
            .filter(|catalog| catalog.revision > self.catalog_revision());
        let is_newer = newer.is_some();
        if let Some(catalog) = newer {
            self.loaded = Some(Rc::new(Loaded::new(catalog)));
        }
        is_newer
    }

    pub(crate) fn catalog_revision(&self) -> u32 {
        self.loaded.as_ref().map_or(0, |loaded| loaded.catalog.revision)
    }

    /// Whether the host is not to be waited for.
    pub(crate) fn is_host_away(&self, now_ns: u64) -> bool {
        self.sync.is_host_away(now_ns, self.head.heard_ns)
    }

    /// Those who wait for this know that the host will answer.
    pub(crate) fn tell_to_wait(&mut self, question: Question) {
        self.room.tell_to_wait(question);
    }

    /// A moment by both clocks.
    pub(crate) fn now(&self, mono_ns: u64) -> Now {
        Now { wall_ms: self.head.wall_ms(mono_ns), mono_ns }
    }

    /// The host's clock now, unix milliseconds.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.head.wall_ms(self.host.monotonic_ns())
    }

    pub(super) fn minute(&self) -> u32 {
        u32::try_from(self.wall_ms().wrapping_div(60_000)).unwrap_or(u32::MAX)
    }

    /// Shows operators what is now.
    pub(super) fn show_gauges(&self, now_ns: u64) {
        // Before anything was heard, silence began with this VM.
        let heard_ns = self.head.heard_ns.max(self.born_ns);
        let heard_ns = if self.head.heard_ns > 0 { self.head.heard_ns } else { heard_ns };
        let silent = now_ns.saturating_sub(heard_ns).wrapping_div(1_000_000_000);
        self.host.show(Metric::HostHeardSeconds, silent);
        self.host.show(Metric::HostAway, u64::from(silent >= SILENT_SECONDS));
        if let Some(Hex128([a, b, c, d, e, f, g, ..])) = self.boot {
            // A number that JSON can hold.
            let first = u64::from_be_bytes([a, b, c, d, e, f, g, 0]);
            self.host.show(Metric::Boot, first.wrapping_shr(u64::BITS - 4 * BOOT_DIGITS));
        }
    }
}
