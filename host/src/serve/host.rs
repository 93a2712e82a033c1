//! What handlers and tasks share: the ways to the ledger and to the provider, and what the tasks
//! saw last.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::problem::Problem;
use super::writer::Writer;
use crate::core::Request;
use crate::core::secret::{AsOperator, Clear};
use crate::provider::Provider;

/// Shared by handlers and tasks.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) writer: Writer,
    pub(super) provider: Arc<Mutex<Provider>>,
    pub(super) seen: Arc<Mutex<Seen>>,
    /// How long after a period's end silent gateways and open calls are waited for.
    pub(super) close_grace: SignedDuration,
    /// When this process began to hear gateways.
    pub(super) since: Timestamp,
}

/// Syncs with a token that nobody has: told once a minute, however many there are.
#[derive(Debug, Default)]
pub(super) struct UnknownTokens {
    told: Option<Instant>,
    since: u64,
}

impl UnknownTokens {
    const INTERVAL: Duration = Duration::from_mins(1);

    /// One more: how many to tell of, if it is time to.
    pub(super) fn another(&mut self, now: Instant) -> Option<u64> {
        self.since = self.since.saturating_add(1);
        let due = self.told.is_none_or(|told| now.duration_since(told) >= Self::INTERVAL);
        due.then(|| {
            self.told = Some(now);
            std::mem::take(&mut self.since)
        })
    }
}

/// What the tasks saw last, for `/healthz`.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the catalog's file is not what is in force; none if it is.
    pub(super) catalog_error: Option<String>,
    /// Gateways' tokens that nobody has.
    pub(super) unknown_tokens: UnknownTokens,
    /// Periods that ended and wait to be closed.
    pub(super) periods_waiting: usize,
    /// Of these, those that wait for somebody to look.
    pub(super) periods_unpriced: usize,
}

impl Host {
    /// Does what the operator with this token asks.
    pub(super) async fn operator<R>(&self, token: Clear, request: R) -> Result<R::Answer, Problem>
    where
        R: Request + Send + 'static,
        R::Answer: Send + 'static,
    {
        self.writer.ask(AsOperator { token, request }).await
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whoever held it only assigned: what is in it is whole.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the provider on a thread that may block.
    pub(super) async fn provider<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut Provider) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let provider = Arc::clone(&self.provider);
        let work = move || body(&mut provider.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| if error.is_panic() { Problem::fault() } else { Problem::stopping() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tokens_are_told_once_a_minute() {
        let mut tokens = UnknownTokens::default();
        let start = Instant::now();
        for (seconds, told) in [(0, Some(1)), (1, None), (59, None), (60, Some(3)), (61, None)] {
            let found = tokens.another(start + Duration::from_secs(seconds));
            assert_eq!(found, told, "after {seconds} s");
        }
    }
}
