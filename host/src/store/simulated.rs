//! What happens to a ledger in simulations: its program dies before a commit, and backups are made
//! and put back within memory.

use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;

use super::ledger::{Catalogs, Identity};
use super::{Batch, Store, StoreError, open, schema};

impl Store {
    /// Does what [`Store::commit`] does, and dies before the commit: nothing is changed, and nobody
    /// is answered.
    pub fn die_before_commit<'a>(
        &mut self,
        fill: impl FnOnce(&mut Batch<'_, 'a>),
    ) -> Result<(), StoreError> {
        let mut batch = Batch::begin(&self.connection, &self.identity, &mut self.catalogs);
        fill(&mut batch);
        drop(batch);
        self.connection.execute_batch("ROLLBACK")?;
        self.catalogs = Catalogs::default();
        Ok(())
    }

    /// A copy in memory, as [`Store::backup`] makes one in a file. It is opened anew: of a ledger
    /// that [`Restore`](crate::core::restore::Restore) was asked of, it is the one to go on with.
    pub fn copy(&self) -> Result<Self, StoreError> {
        static COPIES: AtomicU64 = AtomicU64::new(0);
        let number = COPIES.fetch_add(1, Ordering::Relaxed);
        let place = format!("file:/tollgate-copy-{number}?vfs=memdb");
        let connection = Connection::open(&place)?;
        self.connection.execute("VACUUM INTO ?1", [&place])?;
        open::configure(&connection)?;
        connection.set_prepared_statement_cache_capacity(open::STATEMENT_CACHE);
        let row = schema::read(&connection)?;
        let identity = Identity {
            ledger: row.id,
            epoch: row.epoch,
            keys: self.identity.keys.clone(),
            tokens: self.identity.tokens,
            operator: self.identity.operator,
        };
        Ok(Self { connection, identity, catalogs: Catalogs::default() })
    }
}

#[cfg(test)]
mod tests {
    use crate::core::gateways::{AddGateway, ListGateways};
    use crate::core::testing::World;
    use crate::core::{apply, restore::Restore};

    fn add(name: &str, random: u8) -> AddGateway {
        AddGateway { name: name.to_owned(), random: [random; 16] }
    }

    #[test]
    fn a_ledger_that_dies_before_a_commit_knows_nothing_of_it() {
        let mut world = World::empty();
        let (now, mut answered) = (world.now, false);
        let died = world.store.die_before_commit(|batch| {
            batch.apply(now, add("a", 1), |_| answered = true);
        });
        died.unwrap();
        assert!(!answered);
        assert!(world.ask(ListGateways).unwrap().is_empty());
        world.ask(add("a", 1)).unwrap();
    }

    #[test]
    fn a_copy_goes_its_own_way() {
        let mut world = World::empty();
        world.ask(add("a", 1)).unwrap();
        let mut copy = world.store.copy().unwrap();
        world.ask(add("b", 2)).unwrap();
        let restored = apply(&mut copy, world.now, Restore).unwrap();
        let mut copy = copy.copy().unwrap();
        assert_eq!(copy.identity.epoch, restored.epoch);
        assert_eq!(apply(&mut copy, world.now, ListGateways).unwrap().len(), 1);
        assert_eq!(world.ask(ListGateways).unwrap().len(), 2);
    }
}
