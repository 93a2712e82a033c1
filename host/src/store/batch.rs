//! Group commit: many requests, a savepoint each, one commit, then the answers.

use jiff::Timestamp;
use rusqlite::Connection;

use super::ledger::{Catalogs, Identity, Ledger};
use crate::core::{Refusal, Request};

/// An answer held back until the commit; it is given the reason if that failed.
type Held<'a> = Box<dyn FnOnce(Result<(), &str>) + 'a>;

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Committed {
    /// There was nothing to write: whether anything can be written is not known.
    Nothing,
    /// It is on the disk.
    Changes,
    /// All of it, or at least one request, could not be written: why. Who asked knows.
    Failed(String),
}

/// A transaction being filled with requests.
pub struct Batch<'s, 'a> {
    ledger: Ledger<'s>,
    held: Vec<Held<'a>>,
    /// Why nothing of this batch can be committed any more.
    failed: Option<String>,
    /// Why a request of it could not be done, alone.
    refused: Option<String>,
    changes_before: u64,
}

impl<'s, 'a> Batch<'s, 'a> {
    pub(super) fn begin(
        connection: &'s Connection,
        identity: &'s Identity,
        catalogs: &'s mut Catalogs,
    ) -> Self {
        let ledger = Ledger::new(connection, identity, catalogs);
        let failed = ledger.run("BEGIN IMMEDIATE").err();
        Self {
            held: Vec::new(),
            failed: failed.map(|error| error.to_string()),
            refused: None,
            changes_before: ledger.changes(),
            ledger,
        }
    }

    /// Does one request. `deliver` gets its answer after the commit; a refusal undoes what this
    /// request did, and nothing else.
    pub fn apply<R: Request>(
        &mut self,
        now: Timestamp,
        request: R,
        deliver: impl FnOnce(Result<R::Answer, Refusal>) + 'a,
    ) where
        R::Answer: 'a,
    {
        if self.failed.is_some() {
            self.held.push(Box::new(|committed| deliver(unavailable(committed))));
            return;
        }
        let outcome = self.ledger.part(|ledger| request.apply(ledger, now));
        if let Err(Refusal::Unavailable(reason)) = &outcome {
            self.refused = Some(reason.clone());
        }
        if self.ledger.lost() {
            let lost = || "the transaction was lost".to_owned();
            self.failed = Some(self.refused.clone().unwrap_or_else(lost));
        }
        self.held.push(Box::new(move |committed| {
            deliver(match committed {
                Ok(()) => outcome,
                Err(_) => unavailable(committed),
            });
        }));
    }

    /// How many requests this transaction holds.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn finish(mut self) -> Committed {
        let has_changes = self.ledger.changes() > self.changes_before;
        if self.failed.is_none() {
            self.failed = self.ledger.run("COMMIT").err().map(|error| error.to_string());
        }
        if self.failed.is_some() {
            if !self.ledger.lost() {
                // A transaction that can be neither committed nor rolled back shows at the next
                // BEGIN, which refuses that batch in turn.
                let _ = self.ledger.run("ROLLBACK");
            }
            self.ledger.catalogs.undone();
        } else {
            self.ledger.catalogs.committed();
        }
        let committed = self.failed.as_deref().map_or(Ok(()), Err);
        for deliver in self.held {
            deliver(committed);
        }
        match self.failed.or(self.refused) {
            Some(reason) => Committed::Failed(reason),
            None if has_changes => Committed::Changes,
            None => Committed::Nothing,
        }
    }
}

fn unavailable<T>(committed: Result<(), &str>) -> Result<T, Refusal> {
    let reason = committed.err().unwrap_or("the batch failed before");
    Err(Refusal::Unavailable(reason.to_owned()))
}

#[cfg(test)]
mod tests;
