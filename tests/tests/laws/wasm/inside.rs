//! State behind the host functions: of a process ([`Outside`]) and of one VM in it ([`Inside`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::away::Baton;
use super::clock::Clock;
use super::dispatch::{Answer, Calls};
use super::metrics::Metrics;
use super::random::Random;
use super::shared_data::SharedData;
use super::stream::State;

/// What all VMs of a process share.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) clock: Clock,
    pub(crate) data: SharedData,
    pub(crate) metrics: Metrics,
    pub(crate) calls: Calls,
    pub(crate) log: Vec<String>,
    pub(crate) random: Random,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) vm_configuration: Vec<u8>,
    pub(crate) lies: Lies,
}

/// What a process shows its VMs that is not so, to see that somebody notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Lies {
    /// A compare-and-swap always swaps.
    pub(crate) lost_updates: bool,
    /// The monotonic clock runs twice as fast.
    pub(crate) fast_clock: bool,
    /// Whatever the upstream answered was 200.
    pub(crate) all_well: bool,
}

/// A process, in the hands of each of its VMs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(Arc<Mutex<Outside>>);

impl Shared {
    pub(crate) fn new(outside: Outside) -> Self {
        Self(Arc::new(Mutex::new(outside)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Outside> {
        self.0.lock().expect("no test panics with a process locked")
    }
}

/// The repeated tick of a root context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tick {
    pub(crate) every: Duration,
    /// On the monotonic clock.
    pub(crate) due: Duration,
}

/// A root context: one configuration of the plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    pub(crate) id: u32,
    pub(crate) tick: Option<Tick>,
    /// No new stream is its, and it is done when its streams have ended.
    pub(crate) retires: bool,
}

/// What one VM's host functions know.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) shared: Shared,
    /// Which worker, and which of its lives.
    pub(crate) vm: usize,
    pub(crate) life: u32,
    pub(crate) root_id: String,
    /// Root contexts, newest last.
    pub(crate) roots: Vec<Root>,
    pub(crate) streams: BTreeMap<u32, State>,
    /// The context that a callback runs in, and the one it may have chosen instead.
    pub(crate) current: u32,
    pub(crate) effective: Option<u32>,
    /// The answer being delivered.
    pub(crate) answer: Option<Answer>,
    /// The hostcall that shall trap (any, if none is named), and how many of it pass before.
    pub(crate) trap: Option<(Option<&'static str>, u32)>,
    /// Held by a VM that works on a thread of its own.
    pub(super) baton: Option<Baton>,
}

/// A trap that a test asked for.
#[derive(Debug)]
pub(crate) struct Injected(&'static str);

impl std::error::Error for Injected {}

impl std::fmt::Display for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the test trapped {}", self.0)
    }
}

impl Inside {
    pub(crate) fn new(shared: Shared, vm: usize, life: u32, root_id: &str) -> Self {
        Self {
            shared,
            vm,
            life,
            root_id: root_id.to_owned(),
            roots: Vec::new(),
            streams: BTreeMap::new(),
            current: 0,
            effective: None,
            answer: None,
            trap: None,
            baton: None,
        }
    }

    /// Every hostcall comes through here before it does anything.
    pub(crate) fn enter(&mut self, hostcall: &'static str) -> Result<(), Injected> {
        if let Some(baton) = &mut self.baton {
            baton.pass(hostcall);
        }
        match &mut self.trap {
            Some((name, passes)) if name.is_none_or(|name| name == hostcall) => {
                *passes = passes.checked_sub(1).ok_or(Injected(hostcall))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The context that hostcalls act on.
    pub(crate) fn context(&self) -> u32 {
        self.effective.unwrap_or(self.current)
    }

    /// The root of the context that hostcalls act on; 0 before there is one.
    pub(crate) fn root(&self) -> u32 {
        let context = self.context();
        let of_stream = self.streams.get(&context).map(|stream| stream.root);
        of_stream.unwrap_or(context)
    }

    /// Whether a root of this number lives.
    pub(crate) fn has_root(&self, root: u32) -> bool {
        self.roots.iter().any(|known| known.id == root)
    }

    /// The stream that hostcalls act on; none in a root context.
    pub(crate) fn stream(&mut self) -> Option<&mut State> {
        let context = self.context();
        self.streams.get_mut(&context)
    }
}
