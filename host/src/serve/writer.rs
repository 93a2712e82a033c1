//! The one thread that owns the ledger. Requests queue for it; what is queued shares one commit.

use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::http::MAX_REQUESTS;
use super::problem::Problem;
use crate::clock;
use crate::core::Request;
use crate::store::{Batch, Store};

type Job = Box<dyn FnOnce(&mut Batch<'_, 'static>, Timestamp) + Send>;

/// The way to the ledger. The thread ends, and the ledger is closed, when the last one is gone.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Hands the ledger to its thread.
    pub(super) fn start(store: Store) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(MAX_REQUESTS);
        let thread =
            thread::Builder::new().name("ledger".to_owned()).spawn(move || run(store, queue))?;
        Ok((Self { jobs }, thread))
    }

    /// Does a request and answers once it is committed. Dropped before its turn, it is not done:
    /// whoever gave up may ask again.
    pub(super) async fn ask<R>(&self, request: R) -> Result<R::Answer, Problem>
    where
        R: Request + Send + 'static,
        R::Answer: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |batch, now| {
            if answer.is_closed() {
                return;
            }
            batch.apply(now, request, |outcome| {
                // Whoever asked may have given up since.
                let _ = answer.send(outcome);
            });
        });
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::busy(),
            mpsc::error::TrySendError::Closed(_) => Problem::stopping(),
        })?;
        match answered.await {
            Ok(outcome) => outcome.map_err(|refusal| Problem::from(&refusal)),
            // Only a fault drops a job that somebody waits for.
            Err(_) => Err(Problem::fault()),
        }
    }

    /// Resolves when the thread is gone, which it should not be before the last [`Writer`].
    pub(super) async fn lost(&self) {
        self.jobs.closed().await;
    }
}

fn run(mut store: Store, mut queue: mpsc::Receiver<Job>) {
    while let Some(first) = queue.blocking_recv() {
        store.commit(|batch| {
            first(batch, clock::now());
            while batch.len() < MAX_REQUESTS
                && let Ok(next) = queue.try_recv()
            {
                next(batch, clock::now());
            }
        });
    }
}
