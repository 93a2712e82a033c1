//! How far it is, for people who wait at a terminal.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::output::printable;
use crate::clock;

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(1);
/// Lines after which it is looked whether it is time to: that costs as much as some lines.
pub(super) const PROGRESS_LINES: u64 = 1_024;
/// What people who wait see on a terminal.
pub(super) struct Progress {
    told: Instant,
    is_shown: bool,
    is_wanted: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_wanted = io::stderr().is_terminal();
        Self { told: clock::instant(), is_shown: false, is_wanted }
    }

    pub(super) fn tell(&mut self, file: &Path, bytes: u64, spills: u64) {
        if !self.is_wanted || self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = clock::instant();
        self.is_shown = true;
        let (file, mib) = (printable(&file.display().to_string()), bytes >> 20);
        let _ = write!(io::stderr(), "\r{file}: {mib} MiB read, {spills} spills\u{1b}[K");
    }

    pub(super) fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
