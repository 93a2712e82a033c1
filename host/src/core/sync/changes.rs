//! What changed since a revision, in order, and no more than an answer holds.

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::KeyAnswer;

use super::super::Refusal;
use crate::store::Ledger;

/// Changes, and how far they go.
pub(super) struct Changes {
    pub(super) revision: u64,
    pub(super) subscriptions: Vec<SubscriptionId>,
    pub(super) keys: Vec<KeyAnswer>,
}

enum Change {
    Subscription(SubscriptionId),
    Key(KeyAnswer),
}

/// At most `room` changes after `since`; without it, only how far the ledger is.
pub(super) fn since(
    ledger: &Ledger<'_>,
    since: Option<u64>,
    room: usize,
) -> Result<Changes, Refusal> {
    let mut changes =
        Changes { revision: ledger.revision()?, subscriptions: Vec::new(), keys: Vec::new() };
    // A revision past every integer of the ledger is past every change.
    let Some(since) = since.and_then(|since| i64::try_from(since).ok()) else {
        return Ok(changes);
    };
    // One more than fits of either kind, so that a cut shows.
    let fetched = room.saturating_add(1);
    let subscriptions = ledger.subscriptions_since(since, fetched)?;
    let keys = ledger.keys_since(since, fetched)?;
    let mut all: Vec<(u64, Change)> = subscriptions
        .into_iter()
        .map(|(revision, id)| (revision, Change::Subscription(id)))
        .chain(keys.into_iter().map(|(revision, key)| (revision, Change::Key(key))))
        .collect();
    all.sort_by_key(|(revision, _)| *revision);
    let cut = all.len() > room;
    all.truncate(room);
    if cut {
        changes.revision = all.last().map_or(since.unsigned_abs(), |(last, _)| *last);
    }
    for (_, change) in all {
        match change {
            Change::Subscription(id) => changes.subscriptions.push(id),
            Change::Key(key) => changes.keys.push(key),
        }
    }
    Ok(changes)
}
