//! Group commit: many requests, a savepoint each, one commit, then the answers.

use jiff::Timestamp;
use rusqlite::Connection;

use super::ledger::{Catalogs, Identity, Ledger};
use crate::core::{Refusal, Request};

/// An answer held back until the commit; it is given the reason if that failed.
type Held<'a> = Box<dyn FnOnce(Result<(), &str>) + 'a>;

/// A transaction being filled with requests.
pub struct Batch<'s, 'a> {
    ledger: Ledger<'s>,
    held: Vec<Held<'a>>,
    /// Why nothing of this batch can be committed any more.
    failed: Option<String>,
}

impl<'s, 'a> Batch<'s, 'a> {
    pub(super) fn begin(
        connection: &'s Connection,
        identity: &'s Identity,
        catalogs: &'s mut Catalogs,
    ) -> Self {
        let ledger = Ledger::new(connection, identity, catalogs);
        let failed = ledger.run("BEGIN IMMEDIATE").err();
        Self { ledger, held: Vec::new(), failed: failed.map(|error| error.to_string()) }
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
        if self.ledger.lost() {
            let reason = match &outcome {
                Err(refusal) => refusal.to_string(),
                Ok(_) => "the transaction was lost".to_owned(),
            };
            self.failed = Some(reason);
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

    pub(super) fn finish(mut self) {
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
    }
}

fn unavailable<T>(committed: Result<(), &str>) -> Result<T, Refusal> {
    let reason = committed.err().unwrap_or("the batch failed before");
    Err(Refusal::Unavailable(reason.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::core::gateways::{AddGateway, ListGateways};
    use crate::core::testing::World;

    fn add(name: &str, random: u8) -> AddGateway {
        AddGateway { name: name.to_owned(), random: [random; 16] }
    }

    fn names(world: &mut World) -> Vec<String> {
        let gateways = world.ask(ListGateways).unwrap();
        gateways.into_iter().map(|gateway| gateway.name).collect()
    }

    #[test]
    fn answers_come_after_the_commit_and_refusals_undo_one_request() {
        let mut world = World::empty();
        let answers = RefCell::new(Vec::new());
        let now = world.now;
        world.store.commit(|batch| {
            assert!(batch.is_empty());
            for (name, random) in [("a", 1), ("a", 2), ("b", 1), ("c", 3)] {
                batch.apply(now, add(name, random), |answer| {
                    let answer = answer.map(|added| added.gateway.name);
                    answers.borrow_mut().push(answer.map_err(|refusal| refusal.reason()));
                });
            }
            assert_eq!(batch.len(), 4);
            assert_eq!(*answers.borrow(), []);
        });
        let expected =
            [Ok("a".to_owned()), Err("gateway_exists"), Err("chance_spent"), Ok("c".to_owned())];
        assert_eq!(answers.into_inner(), expected);
        assert_eq!(names(&mut world), ["a", "c"]);
    }

    /// Leaves a reference to nothing behind, which only the commit finds.
    struct BreakCommit;

    impl Request for BreakCommit {
        type Answer = ();

        fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
            ledger.run("PRAGMA defer_foreign_keys = ON")?;
            ledger.run(
                "INSERT INTO keys (subscription, hash, imported, created_ms, revision)
                 VALUES (99, zeroblob(16), 0, 0, 0)",
            )?;
            Ok(())
        }
    }

    /// Loses the whole transaction, as a full disk does.
    struct LoseTransaction;

    impl Request for LoseTransaction {
        type Answer = ();

        fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
            ledger.run("ROLLBACK")?;
            Err(Refusal::Unavailable("the disk is full".to_owned()))
        }
    }

    fn a_failed_batch<R: Request>(breaking: R) {
        let mut world = World::empty();
        let answers = RefCell::new(Vec::new());
        let now = world.now;
        let note = |ok: Result<(), Refusal>| answers.borrow_mut().push(ok.map_err(|r| r.reason()));
        world.store.commit(|batch| {
            batch.apply(now, add("a", 1), |answer| note(answer.map(drop)));
            batch.apply(now, breaking, |answer| note(answer.map(drop)));
            batch.apply(now, add("b", 2), |answer| note(answer.map(drop)));
        });
        let expected = [Err("unavailable"), Err("unavailable"), Err("unavailable")];
        assert_eq!(answers.into_inner(), expected);
        // The next batch works, and finds nothing of the one that failed.
        assert_eq!(names(&mut world), [""; 0]);
        world.ask(add("a", 1)).unwrap();
        assert_eq!(names(&mut world), ["a"]);
    }

    #[test]
    fn a_commit_that_fails_answers_nobody_with_success() {
        a_failed_batch(BreakCommit);
    }

    #[test]
    fn a_transaction_that_is_lost_answers_nobody_with_success() {
        a_failed_batch(LoseTransaction);
    }
}
