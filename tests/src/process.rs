//! Programs that end with their owner: started with a log file, watched, stopped, never left.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

/// How often a condition outside this process is looked at.
pub const POLL: Duration = Duration::from_millis(10);
/// How long a program may take to end after SIGTERM before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Lines of a log shown when its program fails.
const TAIL_LINES: usize = 15;

/// What went wrong with a program.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot start {name}: {cause}")]
    Start {
        /// The program.
        name: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// It ended by itself.
    #[error("{name} ended with {status}; the end of its log:\n{tail}")]
    Ended {
        /// The program.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The end of its log.
        tail: String,
    },
    /// It runs, but what was waited for did not happen.
    #[error("{name} did not {what} within {} s; the end of its log:\n{tail}", within.as_secs())]
    TooLate {
        /// The program.
        name: &'static str,
        /// What was expected.
        what: &'static str,
        /// For how long.
        within: Duration,
        /// The end of its log.
        tail: String,
    },
}

/// A running program. Dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// What the log held before: an earlier life of the same program may have written it.
    log_begins: usize,
}

impl Process {
    /// Starts a program whose output goes to `log`, added at its end.
    ///
    /// It gets a process group of its own: Ctrl-C reaches the owner, who ends it in good order.
    pub fn spawn(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, ProcessError> {
        let mut start = || -> io::Result<(Child, usize)> {
            let out = File::options().create(true).append(true).open(log)?;
            let begins = usize::try_from(out.metadata()?.len()).unwrap_or(usize::MAX);
            let err = out.try_clone()?;
            let child =
                command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0).spawn()?;
            Ok((child, begins))
        };
        let (child, log_begins) = start().map_err(|cause| ProcessError::Start { name, cause })?;
        Ok(Self { name, child, log: log.to_owned(), log_begins })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Looks at `condition` until it gives a value, the program ends, or time is up.
    pub fn wait_until<T>(
        &mut self,
        what: &'static str,
        within: Duration,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Result<T, ProcessError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(value) = condition() {
                return Ok(value);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(ProcessError::Ended { name: self.name, status, tail: self.log_tail() });
            }
            if Instant::now() >= deadline {
                return Err(ProcessError::TooLate {
                    name: self.name,
                    what,
                    within,
                    tail: self.log_tail(),
                });
            }
            sleep(POLL);
        }
    }

    /// Waits for a line of its output in which `find` finds something.
    pub fn wait_for_line<T>(
        &mut self,
        what: &'static str,
        within: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let (log, begins) = (self.log.clone(), self.log_begins);
        self.wait_until(what, within, || {
            let text = String::from_utf8_lossy(fs::read(&log).ok()?.get(begins..)?).into_owned();
            // Only whole lines: the last one may still grow.
            let whole = text.rfind('\n').and_then(|end| text.get(..end))?;
            whole.lines().find_map(&find)
        })
    }

    /// What it has written so far.
    pub fn log_text(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.log_begins..).unwrap_or_default()).into_owned()
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(TAIL_LINES);
        lines.get(start..).unwrap_or_default().join("\n")
    }

    /// Stops it where it is, as if its machine hung: it keeps its ports and says nothing.
    pub fn freeze(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::STOP)?)
    }

    /// Lets it go on.
    pub fn thaw(&self) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), Signal::CONT)?)
    }

    /// Lets no file of it grow past so many bytes, or any again: what it writes beyond fails.
    ///
    /// A program that does not ignore SIGXFSZ dies of it.
    pub fn limit_files(&self, bytes: Option<u64>) -> io::Result<()> {
        let pid = Pid::from_child(&self.child);
        let maximum = prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None });
        maximum.map(drop).map_err(io::Error::from)
    }

    /// Asks it to end, waits, and kills it if it does not. Does nothing once it has ended.
    pub fn stop(&mut self) {
        if self.ended() {
            return;
        }
        let pid = Pid::from_child(&self.child);
        let deadline = Instant::now() + STOP_WITHIN;
        if kill_process(pid, Signal::TERM).is_ok() {
            // A frozen one hears nothing before it goes on.
            let _ = kill_process(pid, Signal::CONT);
            while Instant::now() < deadline {
                if self.ended() {
                    return;
                }
                sleep(POLL);
            }
        }
        self.kill();
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // Both fail only for a child that is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}
