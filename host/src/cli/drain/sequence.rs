//! The order in which an Envoy is stopped. Until everything is delivered nothing is done that a
//! waiting caller would notice; if it takes too long, nothing is stopped. Whoever interrupts it may
//! begin again.

use std::time::{Duration, Instant};

use super::admin::{Admin, AdminError, Seen};
use super::boot_of;
use crate::core::gateways::BootPrefix;

/// Between two looks. Everything is delivered if two say so: the metric is a sum over VMs, each of
/// which writes its part four times a second.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long connections without calls are waited for, once all is delivered: clients keep some
/// open for their next call, and some of them close theirs when nothing listens any more.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a process that was told to stop may take: its last calls are cut, its log is written.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Time, and who watches.
pub(super) struct Outside<'a> {
    pub(super) now: &'a dyn Fn() -> Instant,
    pub(super) pause: &'a dyn Fn(Duration),
    pub(super) say: &'a dyn Fn(&str),
}

/// Why an Envoy was not stopped, or not seen to.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum DrainError {
    /// Its admin.
    #[error("{0}; nothing was stopped")]
    Admin(AdminError),
    /// The metrics are not there.
    #[error(
        "no tollgate gate reports in this Envoy: none of its workers has loaded the plugin, the \
         plugin is of a version before this command, or this is another Envoy. Nothing was \
         stopped: what an older plugin has not delivered is lost when you stop it, so wait until \
         its calls have ended and 3 s more"
    )]
    NoGate,
    /// Too much to deliver, or nobody who takes it.
    #[error(
        "{undelivered} calls and records are not delivered after {waited:?}, and nothing was \
         stopped: is the host up, and has the traffic moved away? The listeners go on draining; \
         run this again"
    )]
    NotDelivered { undelivered: u64, waited: Duration },
    /// Another process answers now.
    #[error("another process answers at the admin address than before: it ended by itself")]
    Other,
    /// It does not end.
    #[error(
        "Envoy was told to stop and is not seen to have ended after {0:?}: once it has, tell the \
         host with\n  tollgate gateways ended {1}"
    )]
    StillThere(Duration, BootPrefix),
}

/// An Envoy that is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Drained {
    /// How its process's id begins.
    pub(super) boot: BootPrefix,
    /// Connections that were open when it was told to stop; none if that is not known.
    pub(super) connections: Option<u64>,
}

/// One run.
pub(super) struct Drain<'a> {
    pub(super) admin: &'a Admin,
    pub(super) outside: &'a Outside<'a>,
}

impl Drain<'_> {
    pub(super) fn run(&self, timeout: Duration) -> Result<Drained, DrainError> {
        let begun = (self.outside.now)();
        let metric = self.look()?.boot.ok_or(DrainError::NoGate)?;
        let boot = boot_of(metric).map_err(|_| DrainError::NoGate)?;
        self.post("/drain_listeners?graceful")?;
        // Each connection ends with its next answer, not at some time in a drain of minutes.
        self.post("/healthcheck/fail")?;
        self.settle(metric, begun, timeout)?;
        // No new connection from here on, which a graceful drain takes to its end. What came in
        // between is waited for.
        self.post("/drain_listeners")?;
        let idle = (self.outside.now)();
        let connections = loop {
            let Seen { connections, .. } = self.settle(metric, begun, timeout)?;
            let may_end = connections.is_none_or(|open| open == 0);
            if may_end || self.since(idle) >= IDLE_TIMEOUT || self.since(begun) >= timeout {
                break connections;
            }
        };
        (self.outside.say)("everything is delivered: stopping Envoy");
        match self.admin.post("/quitquitquit") {
            // It may be gone before it has answered.
            Ok(()) | Err(AdminError::NoAnswer { .. } | AdminError::Refused(_)) => {}
            Err(error) => return Err(DrainError::Admin(error)),
        }
        self.wait_for_end(metric, &boot)?;
        Ok(Drained { boot, connections })
    }

    /// Waits until two looks in a row find everything delivered: the second.
    fn settle(&self, boot: u64, begun: Instant, timeout: Duration) -> Result<Seen, DrainError> {
        let mut told = None;
        let mut was_zero = false;
        loop {
            (self.outside.pause)(LOOK_INTERVAL);
            let seen = self.look()?;
            if seen.boot != Some(boot) {
                return Err(DrainError::Other);
            }
            // It appears when it first moves: a gate that never let a call through has none.
            let undelivered = seen.undelivered.unwrap_or(0);
            if undelivered == 0 && was_zero {
                return Ok(seen);
            }
            was_zero = undelivered == 0;
            if self.since(begun) >= timeout {
                return Err(DrainError::NotDelivered { undelivered, waited: timeout });
            }
            if !was_zero && told != Some(undelivered) {
                (self.outside.say)(&format!("waiting: {undelivered} not delivered"));
                told = Some(undelivered);
            }
        }
    }

    /// Waits until nobody listens at the admin address, or another process does.
    fn wait_for_end(&self, boot: u64, prefix: &BootPrefix) -> Result<(), DrainError> {
        let begun = (self.outside.now)();
        loop {
            match self.admin.look() {
                Err(AdminError::Refused(_)) => return Ok(()),
                // Another one began in its place.
                Ok(Seen { boot: Some(other), .. }) if other != boot => return Ok(()),
                // No answer is no proof: the network may be cut.
                Ok(_) | Err(_) => {}
            }
            if self.since(begun) >= EXIT_TIMEOUT {
                return Err(DrainError::StillThere(EXIT_TIMEOUT, prefix.clone()));
            }
            (self.outside.pause)(LOOK_INTERVAL);
        }
    }

    fn since(&self, time: Instant) -> Duration {
        (self.outside.now)().saturating_duration_since(time)
    }

    fn look(&self) -> Result<Seen, DrainError> {
        self.admin.look().map_err(DrainError::Admin)
    }

    fn post(&self, path: &str) -> Result<(), DrainError> {
        self.admin.post(path).map_err(DrainError::Admin)
    }
}
