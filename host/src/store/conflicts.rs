//! Reports that contradict the ledger and were kept aside.

use jiff::Timestamp;
use tollgate_pricing::id::BootId;

use super::{Ledger, StoreError};

/// Conflicts kept; those past it are only counted and logged.
const MAX_CONFLICTS: u64 = 10_000;

/// What became of a report that was to be kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kept {
    /// It is kept.
    New,
    /// It was kept before.
    Known,
    /// Too many are kept: it is counted.
    Full,
}

impl Ledger<'_> {
    /// Keeps a report aside, once.
    pub(crate) fn keep_conflict(
        &mut self,
        boot: BootId,
        now: Timestamp,
        problem: &str,
        reported: &str,
    ) -> Result<Kept, StoreError> {
        let mut hash = blake3::Hasher::new();
        hash.update(&boot.0);
        hash.update(problem.as_bytes());
        hash.update(reported.as_bytes());
        let hash = hash.finalize();
        if self.sql("SELECT 1 FROM conflicts WHERE hash = ?1")?.exists([hash.as_bytes()])? {
            return Ok(Kept::Known);
        }
        if self.conflicts()? >= MAX_CONFLICTS {
            self.sql("UPDATE ledger SET unkept_conflicts = unkept_conflicts + 1")?.execute([])?;
            return Ok(Kept::Full);
        }
        self.sql(
            "INSERT INTO conflicts (hash, boot, seen_ms, problem, reported)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((hash.as_bytes(), boot.0, now.as_millisecond(), problem, reported))?;
        Ok(Kept::New)
    }

    /// Reports that contradict the ledger, kept aside or past what is kept.
    pub(crate) fn conflicts(&self) -> Result<u64, StoreError> {
        // None is ever deleted.
        let mut statement = self.sql(
            "SELECT unkept_conflicts + (SELECT coalesce(max(id), 0) FROM conflicts) FROM ledger",
        )?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::health::ReadHealth;
    use crate::core::testing::{World, boot, nothing};
    use crate::core::{Refusal, Request};

    struct Keep(std::ops::Range<u64>);

    impl Request for Keep {
        type Answer = Option<Kept>;

        fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Self::Answer, Refusal> {
            let mut last = None;
            for number in self.0 {
                last = Some(ledger.keep_conflict(boot(1), now, "wrong", &number.to_string())?);
            }
            Ok(last)
        }
    }

    #[test]
    fn conflicts_past_the_bound_are_counted() {
        let mut world = World::new();
        let gateway = world.gateway("edge");
        world.sync(gateway, nothing(boot(1)));
        let most = MAX_CONFLICTS;
        for (numbers, kept, conflicts) in [
            (0..1, Kept::New, 1),
            (0..1, Kept::Known, 1),
            (0..most, Kept::New, most),
            (7..8, Kept::Known, most),
            (most..most + 2, Kept::Full, most + 2),
        ] {
            assert_eq!(world.ask(Keep(numbers)).unwrap(), Some(kept));
            assert_eq!(world.ask(ReadHealth).unwrap().conflicts, conflicts);
        }
        assert_eq!(world.dump(&["conflicts"]).lines().count(), usize::try_from(most).unwrap());
    }
}
