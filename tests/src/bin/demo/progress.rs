//! One line that moves on a terminal, and a line now and then where there is none.

use std::io::{IsTerminal, Write, stderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const ON_TERMINAL_EVERY: Duration = Duration::from_millis(100);
const ELSEWHERE_EVERY: Duration = Duration::from_secs(10);
/// Moves to the line's start and clears it.
const CLEAR: &str = "\r\u{1b}[2K";

/// A line on standard error that says how far something is.
pub(crate) struct Progress {
    terminal: bool,
    shown: Mutex<Option<Instant>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: stderr().is_terminal(), shown: Mutex::new(None) }
    }

    /// Shows a state, unless one was shown just before.
    pub(crate) fn show(&self, state: impl FnOnce() -> String) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let (every, start, end) = if self.terminal {
            (ON_TERMINAL_EVERY, CLEAR, "")
        } else {
            (ELSEWHERE_EVERY, "", "\n")
        };
        if shown.is_none_or(|at| at.elapsed() >= every) {
            *shown = Some(Instant::now());
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(stderr(), "{start}  {}{end}", state());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(stderr(), "{CLEAR}");
        }
    }
}
