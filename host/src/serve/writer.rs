//! The one thread that owns the ledger. Requests queue for it; what is queued shares one commit.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use axum::http::StatusCode;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::http::MAX_REQUESTS;
use super::problem::Problem;
use crate::clock::{Reading, SteadyClock};
use crate::core::Request;
use crate::core::sync::FollowClock;
use crate::store::{Batch, Committed, OpenError, Store};

enum Job {
    /// A request: together with others, in one commit.
    Ask(Ask),
    /// A copy of the ledger into a new file, between two commits.
    Copy(PathBuf, oneshot::Sender<Result<(), OpenError>>),
}

type Ask = Box<dyn FnOnce(&mut Batch<'_, 'static>, Timestamp) + Send>;

/// The way to the ledger. The thread ends, and the ledger is closed, when the last one is gone.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    trouble: Trouble,
}

/// Why the ledger cannot be written; none if the last change was.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn get(&self) -> MutexGuard<'_, Option<String>> {
        // Whoever held it only assigned: what is in it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a commit, and says so when things change.
    fn note(&self, committed: Committed) {
        let mut trouble = self.get();
        match (committed, trouble.is_some()) {
            (Committed::Failed(reason), was_there) => {
                if !was_there {
                    tracing::error!(
                        "the ledger cannot be written: {reason}; nothing is acknowledged until it \
                         can, and gateways keep what they have"
                    );
                }
                *trouble = Some(reason);
            }
            (Committed::Changes, true) => {
                tracing::info!("the ledger is written again");
                *trouble = None;
            }
            (Committed::Changes, false) | (Committed::Nothing, _) => {}
        }
    }
}

impl Writer {
    /// Hands the ledger to its thread.
    pub(super) fn start(store: Store) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(MAX_REQUESTS);
        let trouble = Trouble::default();
        let noted = trouble.clone();
        let thread = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || run(store, queue, &noted))?;
        Ok((Self { jobs, trouble }, thread))
    }

    /// Does a request and answers once it is committed. Dropped before its turn, it is not done:
    /// whoever gave up may ask again.
    pub(super) async fn ask<R>(&self, request: R) -> Result<R::Answer, Problem>
    where
        R: Request + Send + 'static,
        R::Answer: Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let ask: Ask = Box::new(move |batch, now| {
            if answer.is_closed() {
                return;
            }
            batch.apply(now, request, |outcome| {
                // Whoever asked may have given up since.
                let _ = answer.send(outcome);
            });
        });
        self.send(Job::Ask(ask))?;
        match answered.await {
            Ok(outcome) => outcome.map_err(|refusal| Problem::from(&refusal)),
            // Only a fault drops a job that somebody waits for.
            Err(_) => Err(Problem::fault()),
        }
    }

    /// Copies the ledger into a new file. Meanwhile nobody else is answered.
    pub(super) async fn copy(&self, path: PathBuf) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Copy(path, answer))?;
        let copied = answered.await.map_err(|_| Problem::fault())?;
        copied.map_err(|error| Problem::new(StatusCode::CONFLICT, "no_backup", error.to_string()))
    }

    fn send(&self, job: Job) -> Result<(), Problem> {
        self.jobs.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Problem::busy(),
            mpsc::error::TrySendError::Closed(_) => Problem::stopping(),
        })
    }

    /// Why the ledger cannot be written; none if it was the last time there was something to write.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.get().clone()
    }

    /// Resolves when the thread is gone, which it should not be before the last [`Writer`].
    pub(super) async fn lost(&self) {
        self.jobs.closed().await;
    }
}

fn run(mut store: Store, mut queue: mpsc::Receiver<Job>, trouble: &Trouble) {
    let mut clock = SteadyClock::start();
    while let Some(mut next) = queue.blocking_recv() {
        loop {
            let ask = match next {
                Job::Ask(ask) => ask,
                Job::Copy(path, answer) => {
                    // Whoever asked may have given up since; the copy is there.
                    let _ = answer.send(store.backup(&path));
                    break;
                }
            };
            match commit(&mut store, &mut clock, ask, &mut queue, trouble) {
                Some(copy) => next = copy,
                None => break,
            }
        }
    }
}

/// Commits this and what is queued, up to something that is not to be committed: that.
fn commit(
    store: &mut Store,
    clock: &mut SteadyClock,
    first: Ask,
    queue: &mut mpsc::Receiver<Job>,
    trouble: &Trouble,
) -> Option<Job> {
    let mut other = None;
    let committed = store.commit(|batch| {
        let mut next = first;
        loop {
            let now = time(clock, batch);
            next(batch, now);
            if batch.len() >= MAX_REQUESTS {
                break;
            }
            match queue.try_recv() {
                Ok(Job::Ask(ask)) => next = ask,
                Ok(copy @ Job::Copy(..)) => {
                    other = Some(copy);
                    break;
                }
                Err(_) => break,
            }
        }
    });
    trouble.note(committed);
    other
}

/// The ledger's time. What rates remember goes along with a clock that jumps.
fn time(clock: &mut SteadyClock, batch: &mut Batch<'_, 'static>) -> Timestamp {
    let Reading { now, jumped } = clock.read();
    if let Some(by) = jumped {
        tracing::warn!("the machine's clock was set forward by {by:#}: this host follows");
        batch.apply(now, FollowClock { by }, |followed| {
            if let Err(refusal) = followed {
                tracing::error!("rates could not follow the clock: {refusal}");
            }
        });
    }
    now
}
