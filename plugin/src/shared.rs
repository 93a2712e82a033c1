//! The keys and values in the proxy's shared data, which all VMs of a process see, and which
//! outlive a VM, its code and its configuration.
//!
//! Shared data has no delete and no list, so every family of keys is bounded or follows the
//! subscriptions; a directory of these is written before any of their records.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tollgate_pricing::gate::GateCatalog;
use tollgate_pricing::id::{BootId, Hex128, LedgerId, SubscriptionId};
use tollgate_pricing::key::KeyHash;

use crate::faults::{self, Fault};
use crate::host::{Cas, Host, Lost};
use crate::record::{Damaged, Record};

/// Keys begin with a name and the schema, so that other plugins and later versions do not meet.
const BOOT: &[u8] = b"tollgate/3/boot";
const HEAD: &[u8] = b"tollgate/3/head";
const CATALOG: &[u8] = b"tollgate/3/catalog";
const ELECTED: &[u8] = b"tollgate/3/elected";

/// Tries of a compare-and-swap before giving up: each lost one means another VM got ahead.
pub const MAX_TRIES: usize = 64;
/// Subscriptions in one value of the directory.
const DIRECTORY_PAGE: usize = 512;
/// How long an election holds without being renewed.
pub const ELECTED_NS: u64 = 3_000_000_000;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What the whole process knows of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Head {
    /// The ledger this process reports to.
    pub ledger: Option<LedgerId>,
    /// Raised by a restore of the ledger.
    pub epoch: u32,
    /// Changes up to here are applied.
    pub revision: u64,
    /// The catalog revision in shared data.
    pub catalog: u32,
    /// What the host's clock said, unix milliseconds, …
    pub host_ms: u64,
    /// … when this monotonic clock said that.
    pub at_ns: u64,
    /// When an answer last came, monotonic.
    pub heard_ns: u64,
    /// How far the last complete sweep under this epoch came, unix milliseconds by the host's
    /// clock.
    pub swept_through_ms: Option<u64>,
    /// When that sweep began, monotonic; 0 if there is none. For what this process owes: the
    /// host's clock may step, and stands still here after a step back.
    pub swept_ns: u64,
    /// When the process heard that the ledger it reports to was restored, monotonic; 0 if it did
    /// not.
    pub restored_ns: u64,
    /// How far any did: the clock is never before this.
    pub floor_ms: u64,
}

impl Head {
    /// The host's clock now, unix milliseconds: what it last said and the time that passed since,
    /// and never before what was swept. This machine's own wall clock may step, and is not asked.
    pub fn wall_ms(&self, now_ns: u64) -> u64 {
        let passed_ns = now_ns.saturating_sub(self.at_ns);
        let said_and_passed = self.host_ms.saturating_add(passed_ns.wrapping_div(NANOS_PER_MILLI));
        said_and_passed.max(self.floor_ms)
    }

    /// Corrects the clock by an answer. The host said `said_ms` somewhere between the sending and
    /// the hearing, so a clock within that is right, and one outside is moved to its edge.
    pub fn set_clock(&mut self, said_ms: u64, sent_ns: u64, heard_ns: u64) {
        let took_ns = heard_ns.saturating_sub(sent_ns);
        let latest_ms = said_ms.saturating_add(took_ns.wrapping_div(NANOS_PER_MILLI));
        self.host_ms = self.wall_ms(heard_ns).clamp(said_ms, latest_ms);
        self.at_ns = heard_ns;
    }
}

/// Why a record could not be changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// There is none.
    Missing,
    /// Its bytes are no record.
    Damaged,
    /// Other VMs got ahead every time.
    Busy,
}

/// The process's id, drawn by the first VM that asks. None if what is there is none of this
/// plugin's: counters reported under a second id would count twice.
pub fn boot(host: &impl Host) -> Option<BootId> {
    if host.shared_get(BOOT).is_none() {
        // A lost write means that another VM drew it just now.
        let _ = host.shared_set(BOOT, &host.random(), Cas::ABSENT);
    }
    let (bytes, _) = host.shared_get(BOOT)?;
    bytes.try_into().ok().map(Hex128)
}

/// What the process knows of the host, if it ever answered. A value that cannot be read, as after
/// a change of this plugin, counts as one that knows of no change yet.
pub fn head(host: &impl Host) -> Option<Head> {
    read_json(host, HEAD).map(|(head, _)| head.unwrap_or_default())
}

/// Changes what the process knows of the host.
pub fn update_head(host: &impl Host, mut change: impl FnMut(&mut Head)) -> Option<Head> {
    for _ in 0..MAX_TRIES {
        let (head, cas) = read_json::<Head>(host, HEAD).unwrap_or((None, Cas::ABSENT));
        let mut head = head.unwrap_or_default();
        change(&mut head);
        let bytes = serde_json::to_vec(&head).ok()?;
        if host.shared_set(HEAD, &bytes, cas).is_ok() {
            return Some(head);
        }
    }
    None
}

/// The catalog that was last published in this process.
pub fn catalog(host: &impl Host) -> Option<GateCatalog> {
    read_json(host, CATALOG)?.0
}

/// Publishes a catalog for all VMs, unless a later one is there. Before any record names it.
pub fn publish_catalog(host: &impl Host, catalog: &GateCatalog) -> Result<(), Lost> {
    for _ in 0..MAX_TRIES {
        let (present, cas) = read_json::<GateCatalog>(host, CATALOG).unwrap_or((None, Cas::ABSENT));
        if present.is_some_and(|present| present.revision >= catalog.revision) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(catalog).map_err(|_| Lost)?;
        if host.shared_set(CATALOG, &bytes, cas).is_ok() {
            return Ok(());
        }
    }
    Err(Lost)
}

/// Whose key this is: nothing if the process has not heard of it, `Some(None)` if it was revoked.
#[allow(clippy::option_option)]
pub fn key_owner(host: &impl Host, key: KeyHash) -> Option<Option<SubscriptionId>> {
    let (bytes, _) = host.shared_get(&key_name(key))?;
    Some(PublishedKey::read(&bytes)?.owner)
}

/// Publishes whose key this was at a revision, for all VMs, unless a later one is known.
pub fn publish_key(
    host: &impl Host,
    key: KeyHash,
    owner: Option<SubscriptionId>,
    revision: u64,
) -> Result<(), Lost> {
    let name = key_name(key);
    let news = PublishedKey { owner, revision };
    for _ in 0..MAX_TRIES {
        let cas = match host.shared_get(&name) {
            None => Cas::ABSENT,
            Some((bytes, cas)) => {
                let known = PublishedKey::read(&bytes);
                let is_old = known.is_some_and(|known| known.revision > revision);
                if is_old && !faults::is(Fault::ReviveKey) {
                    return Ok(());
                }
                cas
            }
        };
        if host.shared_set(&name, &news.write(), cas).is_ok() {
            return Ok(());
        }
    }
    Err(Lost)
}

/// Makes a key one that the process has not heard of: shared data has no delete.
pub fn forget_key(host: &impl Host, key: KeyHash) {
    let name = key_name(key);
    if let Some((_, cas)) = host.shared_get(&name) {
        // Lost to a VM that knows better.
        let _ = host.shared_set(&name, &[], cas);
    }
}

struct PublishedKey {
    owner: Option<SubscriptionId>,
    revision: u64,
}

impl PublishedKey {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (owner, revision) = bytes.split_first_chunk()?;
        // Numbers of subscriptions begin at 1.
        let owner = Some(u64::from_le_bytes(*owner)).filter(|number| *number > 0);
        let revision = u64::from_le_bytes(revision.try_into().ok()?);
        Some(Self { owner: owner.map(SubscriptionId), revision })
    }

    fn write(&self) -> [u8; 16] {
        let owner = self.owner.map_or(0, |id| id.0);
        let mut bytes = [0; 16];
        let (first, second) = bytes.split_at_mut(8);
        first.copy_from_slice(&owner.to_le_bytes());
        second.copy_from_slice(&self.revision.to_le_bytes());
        bytes
    }
}

/// Notes that a record cannot be read. True for the first of the process that does: whose turn it
/// is to say so.
pub fn note_damage(host: &impl Host, id: SubscriptionId) -> bool {
    let name = [b"tollgate/3/damaged/", id.0.to_le_bytes().as_slice()].concat();
    host.shared_get(&name).is_none() && host.shared_set(&name, &[1], Cas::ABSENT).is_ok()
}

/// A subscription's record.
pub fn record(host: &impl Host, id: SubscriptionId) -> Result<Record, Failed> {
    let (bytes, _) = host.shared_get(&record_name(id)).ok_or(Failed::Missing)?;
    Record::decode(&bytes).map_err(|Damaged| Failed::Damaged)
}

/// Makes a record, listed in the directory first, unless there is one. Without a place in the
/// directory there is none: no sweep would find it.
pub fn create_record(host: &impl Host, record: &Record) -> Result<(), Lost> {
    let name = record_name(record.id);
    let present = host.shared_get(&name);
    if faults::is(Fault::RecreateRecord)
        && let Some((_, cas)) = &present
    {
        return host.shared_set(&name, &record.encode(), *cas);
    }
    if present.is_none() {
        list(host, record.id)?;
        // A lost write means that another VM made it just now.
        let _ = host.shared_set(&name, &record.encode(), Cas::ABSENT);
    }
    Ok(())
}

/// Changes a record: one read, `change`, one compare-and-swap, again from the start if another VM
/// got ahead. What `change` returns with `Store::No` leaves the record as it was.
pub fn update<T>(
    host: &impl Host,
    id: SubscriptionId,
    mut change: impl FnMut(&mut Record) -> (Store, T),
) -> Result<T, Failed> {
    let name = record_name(id);
    for _ in 0..MAX_TRIES {
        let (bytes, cas) = host.shared_get(&name).ok_or(Failed::Missing)?;
        let mut record = Record::decode(&bytes).map_err(|Damaged| Failed::Damaged)?;
        match change(&mut record) {
            (Store::No, value) => return Ok(value),
            (Store::Yes, value) => {
                if host.shared_set(&name, &record.encode(), cas).is_ok() {
                    return Ok(value);
                }
            }
        }
    }
    Err(Failed::Busy)
}

/// Whether a changed record is to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// The subscriptions on one page of the directory; none past the last page.
pub fn directory_page(host: &impl Host, page: u32) -> Option<Vec<SubscriptionId>> {
    let (bytes, _) = host.shared_get(&page_name(page))?;
    let numbers = bytes.as_chunks().0.iter().copied();
    Some(numbers.map(|number| SubscriptionId(u64::from_le_bytes(number))).collect())
}

/// Whether this VM speaks for the process now: it did, or whoever did has been silent.
pub fn elect(host: &impl Host, incarnation: Hex128) -> bool {
    let now = host.monotonic_ns();
    let cas = match term(host) {
        None => Cas::ABSENT,
        Some((holder, until, _)) if holder != incarnation && until > now => return false,
        Some((_, _, cas)) => cas,
    };
    hold(host, incarnation, now.saturating_add(ELECTED_NS), cas)
}

/// Leaves the office to whoever asks next, if this VM holds it.
pub fn resign(host: &impl Host, incarnation: Hex128) {
    if let Some((holder, _, cas)) = term(host)
        && holder == incarnation
    {
        // A lost write means that another VM holds it already.
        let _ = hold(host, incarnation, 0, cas);
    }
}

/// Who was elected last, and until when. Bytes that say neither are a term that is over.
fn term(host: &impl Host) -> Option<(Hex128, u64, Cas)> {
    let (bytes, cas) = host.shared_get(ELECTED)?;
    let held = bytes.split_first_chunk().and_then(|(holder, until)| {
        Some((Hex128(*holder), u64::from_le_bytes(until.try_into().ok()?)))
    });
    let (holder, until) = held.unwrap_or((Hex128([0; 16]), 0));
    Some((holder, until, cas))
}

fn hold(host: &impl Host, incarnation: Hex128, until_ns: u64, cas: Cas) -> bool {
    let mut term = incarnation.0.to_vec();
    term.extend(until_ns.to_le_bytes());
    host.shared_set(ELECTED, &term, cas).is_ok()
}

fn list(host: &impl Host, id: SubscriptionId) -> Result<(), Lost> {
    let mut page: u32 = 0;
    let mut tries = 0;
    while tries < MAX_TRIES {
        let name = page_name(page);
        let (mut bytes, cas) = host.shared_get(&name).unwrap_or((Vec::new(), Cas::ABSENT));
        if bytes.len() >= DIRECTORY_PAGE.saturating_mul(8) {
            page = page.saturating_add(1);
            continue;
        }
        bytes.extend(id.0.to_le_bytes());
        if host.shared_set(&name, &bytes, cas).is_ok() {
            return Ok(());
        }
        tries = tries.saturating_add(1);
    }
    Err(Lost)
}

/// A value and its token; no value if it is there but cannot be read.
fn read_json<T: DeserializeOwned>(host: &impl Host, key: &[u8]) -> Option<(Option<T>, Cas)> {
    let (bytes, cas) = host.shared_get(key)?;
    Some((serde_json::from_slice(&bytes).ok(), cas))
}

fn key_name(key: KeyHash) -> Vec<u8> {
    [b"tollgate/3/key/", key.0.as_slice()].concat()
}

fn record_name(id: SubscriptionId) -> Vec<u8> {
    [b"tollgate/3/record/", id.0.to_le_bytes().as_slice()].concat()
}

fn page_name(page: u32) -> Vec<u8> {
    [b"tollgate/3/directory/", page.to_le_bytes().as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_right_within_a_round_trip_and_never_before_what_was_swept() {
        let second = 1_000_000_000;
        let mut head = Head::default();
        head.set_clock(50_000, 7 * second, 9 * second);
        assert_eq!(head.wall_ms(9 * second), 50_000, "the first answer sets it");
        assert_eq!(head.wall_ms(10 * second), 51_000);
        head.set_clock(51_500, 10 * second, 11 * second);
        assert_eq!(head.wall_ms(11 * second), 52_000, "within the round trip: left alone");
        head.set_clock(40_000, 12 * second, 14 * second);
        assert_eq!(head.wall_ms(14 * second), 42_000, "ahead: as late as the answer allows");
        head.set_clock(90_000, 15 * second, 16 * second);
        assert_eq!(head.wall_ms(16 * second), 90_000, "behind: as early as the answer allows");
        head.floor_ms = 95_000;
        assert_eq!(head.wall_ms(16 * second), 95_000);
        assert_eq!(head.wall_ms(22 * second), 96_000);
    }
}
