//! A world in virtual time: the real plugin in the processes of a gateway, the real core with its
//! ledger in memory, and a network between them that does as the test says.
//!
//! [`World`] moves time and carries messages; [`network`] is what may happen to one on its way;
//! [`host`] is the core; [`books`] compares what callers saw with what the ledger holds.

mod books;
mod carry;
mod host;
mod network;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tollgate_host::core::spill::{IngestSpill, Ingested};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::spill::Spill;

use tollgate_tests::build::BuildError;

use crate::wasm::{
    Answer, Call, Clock, Code, End, Measured, Order, Process, Progress, Reply, Request, Setup,
    Stream, Work,
};
use books::{Ending, Tally};
pub(crate) use host::{Host, Subscribed};
pub(crate) use network::{Message, Network};
pub(crate) use wire::{Weather, Wire};

/// How long the gate may hold a request back: two bounded waits of 2 s, and some.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How finely time passes while a request is held back.
const STEP: Duration = Duration::from_millis(50);
/// Long enough for every VM to have synced twice.
pub(crate) const SETTLE: Duration = Duration::from_secs(4);

/// Products small enough for a test to use up.
pub(crate) const CATALOG: &str = include_str!("catalog.yaml");

/// The plugin, as Envoy gets it.
pub(crate) fn plugin() -> &'static Code {
    static PLUGIN: OnceLock<Code> = OnceLock::new();
    PLUGIN.get_or_init(|| code(tollgate_tests::build::plugin()))
}

/// The same, with the mistakes that can be asked of it.
fn plugin_with_faults() -> &'static Code {
    static PLUGIN: OnceLock<Code> = OnceLock::new();
    PLUGIN.get_or_init(|| code(tollgate_tests::build::plugin_with_faults()))
}

fn code(built: Result<&'static Path, BuildError>) -> Code {
    let file = built.unwrap_or_else(|error| panic!("{error}"));
    Code::from_file(file).unwrap_or_else(|error| panic!("{}: {error:#}", file.display()))
}

/// A worker: which process, which of its VMs. A plain number is a VM of the first process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct At(pub(crate) usize, pub(crate) usize);

impl From<usize> for At {
    fn from(vm: usize) -> Self {
        Self(0, vm)
    }
}

/// A request under way, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Open {
    pub(crate) at: At,
    stream: Stream,
    owner: Option<SubscriptionId>,
}

/// How a call was answered.
#[derive(Clone, Debug)]
pub(crate) struct Called {
    /// The status its caller got; 0 if none.
    pub(crate) status: u32,
    /// The answer, if the gate made it.
    pub(crate) reply: Option<Reply>,
    /// How long the gate held it back.
    pub(crate) waited: Duration,
}

impl Called {
    /// The word of a refusal; empty for a call that went on.
    pub(crate) fn reason(&self) -> String {
        self.field("reason")
    }

    /// A text in the refusal's body.
    pub(crate) fn field(&self, name: &str) -> String {
        let Some(reply) = &self.reply else {
            return String::new();
        };
        let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        match &body[name] {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// `Retry-After`, in seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.reply.as_ref()?.header("retry-after")?.parse().ok()
    }
}

/// Processes of one gateway, a host, and the time they share.
pub(crate) struct World {
    pub(crate) host: Host,
    /// What happens to messages from now on.
    pub(crate) network: Network,
    /// Every message a process sent, and what became of it.
    pub(crate) messages: Vec<Message>,
    /// A VM of every process whose messages reach nobody.
    pub(crate) deaf: Option<usize>,
    /// A network with distances, instead.
    pub(crate) wire: Option<Wire>,
    /// What the plugin is told to do wrong.
    pub(crate) fault: Option<&'static str>,
    processes: Vec<Process>,
    /// Which life of its each process is in.
    born: Vec<u64>,
    lives: u64,
    clock: Clock,
    tallies: BTreeMap<SubscriptionId, Tally>,
    /// Requests that were seen going to the API and have not ended.
    let_through: BTreeSet<Open>,
}

impl World {
    /// A host with a catalog, and no process yet.
    pub(crate) fn new(catalog: &str) -> Self {
        let clock = Clock::default();
        Self {
            host: Host::new(catalog, clock.wall),
            network: Network::Up,
            messages: Vec::new(),
            deaf: None,
            wire: None,
            fault: None,
            processes: Vec::new(),
            born: Vec::new(),
            lives: 0,
            clock,
            tallies: BTreeMap::new(),
            let_through: BTreeSet::new(),
        }
    }

    /// The same, with a process of two VMs that has heard from the host.
    pub(crate) fn running(catalog: &str) -> Self {
        let mut world = Self::new(catalog);
        world.start();
        world.run(SETTLE);
        world
    }

    /// The same, in which somebody has subscribed to a product.
    pub(crate) fn subscribed(product: &str) -> (Self, Subscribed) {
        let mut world = Self::running(CATALOG);
        let subscription = world.subscribe(product);
        (world, subscription)
    }

    /// Starts a process of two VMs, and gives its number.
    pub(crate) fn start(&mut self) -> usize {
        let token = self.host.gateway_token.clone();
        self.start_with_token(&token)
    }

    /// The same, with a token of its own.
    pub(crate) fn start_with_token(&mut self, token: &str) -> usize {
        self.start_with(token, 2)
    }

    /// The same, with so many VMs.
    pub(crate) fn start_with(&mut self, token: &str, vms: usize) -> usize {
        let process = self.new_process(token, vms);
        self.processes.push(process);
        self.born.push(self.lives);
        self.processes.len() - 1
    }

    /// A process ends as if killed, and another one starts in its place.
    pub(crate) fn restart(&mut self, number: usize) {
        let token = self.host.gateway_token.clone();
        let process = &mut self.processes[number];
        let vms = (0..process.vms()).filter(|vm| process.is_open_for_calls(*vm)).count().max(1);
        self.processes[number] = self.new_process(&token, vms);
        self.born[number] = self.lives;
        // Streams of the old one have the numbers of coming ones.
        self.let_through.retain(|open| open.at.0 != number);
    }

    fn new_process(&mut self, token: &str, vms: usize) -> Process {
        self.lives += 1;
        let token = ("TOLLGATE_GATEWAY_TOKEN".to_owned(), token.to_owned());
        let fault = self.fault.map(|fault| ("TOLLGATE_FAULT".to_owned(), fault.to_owned()));
        let code = if self.fault.is_some() { plugin_with_faults() } else { plugin() };
        let setup = Setup {
            vms,
            vm_configuration: r#"{"cluster":"tollgate_host","authority":"tollgate-host"}"#.into(),
            environment: [token].into_iter().chain(fault).collect(),
            root_id: "gate".into(),
            seed: self.lives,
            clock: self.clock,
        };
        Process::start(code, setup)
    }

    /// A process.
    pub(crate) fn process(&mut self, number: usize) -> &mut Process {
        &mut self.processes[number]
    }

    /// An operator reports what was found in a log.
    pub(crate) fn ingest(&mut self, spill: &Spill) -> Ingested {
        self.ask(IngestSpill { spill: spill.clone(), gateway: None })
    }

    /// Since the Unix epoch.
    pub(crate) fn now(&self) -> Duration {
        self.clock.wall
    }

    /// How far the host's time is off.
    pub(crate) fn host_off(&mut self) -> SignedDuration {
        self.host.is_off(self.clock.wall)
    }

    /// The host's time.
    pub(crate) fn host_time(&mut self) -> Timestamp {
        self.host.time(self.clock.wall)
    }

    /// Since the machines started.
    pub(crate) fn monotonic(&self) -> Duration {
        self.clock.monotonic
    }

    /// Subscribes somebody to a product.
    pub(crate) fn subscribe(&mut self, product: &str) -> Subscribed {
        self.host.subscribe(product, self.clock.wall)
    }

    /// Asks the core.
    pub(crate) fn ask<R: tollgate_host::core::Request>(&mut self, request: R) -> R::Answer {
        self.host.ask(request, self.clock.wall)
    }

    /// Asks the core for what it may refuse.
    pub(crate) fn try_ask<R: tollgate_host::core::Request>(
        &mut self,
        request: R,
    ) -> Result<R::Answer, tollgate_host::core::Refusal> {
        self.host.try_ask(request, self.clock.wall)
    }

    /// Lets time pass everywhere, and messages arrive as the network has it.
    pub(crate) fn run(&mut self, by: Duration) {
        let end = self.clock.monotonic + by;
        self.carry();
        while self.clock.monotonic < end {
            let due = self.processes.iter().filter_map(Process::next_due);
            let due = due.chain(self.wire.as_ref().and_then(Wire::next_due)).min();
            let next = due.map_or(end, |due| due.clamp(self.clock.monotonic, end));
            let step = next - self.clock.monotonic;
            for process in &mut self.processes {
                process.advance(step);
            }
            self.clock.advance(step);
            self.carry();
        }
    }

    /// Runs until the host's clock shows a whole minute.
    pub(crate) fn run_to_next_minute(&mut self) {
        let into = self.host_time().as_nanosecond().rem_euclid(60_000_000_000);
        let into = Duration::from_nanos(u64::try_from(into).expect("less than a minute"));
        self.run(Duration::from_mins(1) - into);
    }

    /// A request arrives; whatever it waits for is still to come.
    pub(crate) fn open(&mut self, at: impl Into<At>, request: Request) -> Open {
        let (at, owner) = (at.into(), self.host.owner_of(&request));
        let stream = self.processes[at.0].vm(at.1).request(request);
        let open = Open { at, stream, owner };
        self.progress(open);
        open
    }

    /// The API ends a call that was let through, as soon as its VM gets to it.
    pub(crate) fn ending(&mut self, open: Open, end: End) -> Work {
        assert!(self.let_through.remove(&open), "a call that was let through");
        if let Some(owner) = open.owner {
            self.tallies.entry(owner).or_default().add(Ending::of(end));
        }
        Work::Finish(open.stream, end, Measured::default())
    }

    /// VMs of a process work at the same time, in this order: the requests among what they do.
    pub(crate) fn together(
        &mut self,
        process: usize,
        works: Vec<(usize, Work)>,
        order: &mut Order,
    ) -> Vec<Open> {
        let mut opened = Vec::new();
        for (vm, work) in works {
            let owner = match &work {
                Work::Request(request) => Some(self.host.owner_of(request)),
                Work::Finish(..) | Work::Tick | Work::Answer(..) => None,
            };
            let stream = self.processes[process].begin(vm, work);
            opened.extend(owner.map(|owner| Open { at: At(process, vm), stream, owner }));
        }
        self.processes[process].finish_all(order);
        for open in &opened {
            self.progress(*open);
        }
        opened
    }

    /// How far it has got; while its VM is away at work, it has got nowhere.
    pub(crate) fn progress(&mut self, open: Open) -> Progress {
        let progress = self.processes[open.at.0].progress(open.at.1, open.stream);
        if progress == Some(Progress::Forwarded) {
            self.let_through.insert(open);
        }
        progress.unwrap_or(Progress::Paused)
    }

    /// A whole call, which the API answers with 200 if it gets there.
    pub(crate) fn call(&mut self, at: impl Into<At>, request: Request) -> Called {
        self.call_ending(at, request, End::Status(200))
    }

    /// A whole call, with its end if it gets as far as the API.
    pub(crate) fn call_ending(&mut self, at: impl Into<At>, request: Request, end: End) -> Called {
        let open = self.open(at, request);
        let began = self.clock.monotonic;
        self.carry();
        while self.progress(open) == Progress::Paused {
            assert!(
                self.clock.monotonic - began <= LONGEST_WAIT,
                "a request is held back for longer than {LONGEST_WAIT:?}"
            );
            self.run(STEP);
        }
        let waited = self.clock.monotonic - began;
        let (status, reply) = match self.progress(open) {
            Progress::Answered(reply) => (reply.status, Some(reply)),
            Progress::Forwarded => (end.status(), None),
            Progress::Died | Progress::Paused => (0, None),
        };
        self.end(open, end);
        Called { status, reply, waited }
    }

    /// The API ends a call; a caller who is still held back goes away.
    pub(crate) fn end(&mut self, open: Open, end: End) {
        let progress = self.progress(open);
        let known = self.let_through.remove(&open);
        let vm = self.processes[open.at.0].vm(open.at.1);
        let ending = match progress {
            Progress::Paused => {
                vm.finish(open.stream, End::Aborted);
                return;
            }
            Progress::Answered(_) => return,
            Progress::Died if known => Ending::Never,
            Progress::Died => Ending::DiedAtAdmission,
            Progress::Forwarded => {
                vm.finish(open.stream, end);
                if vm.alive() { Ending::of(end) } else { Ending::DiedAtSettling }
            }
        };
        if let Some(owner) = open.owner {
            self.tallies.entry(owner).or_default().add(ending);
        }
    }

    /// Every way a call can end, each of them twice and over both VMs: 14 calls.
    pub(crate) fn mixed_calls(&mut self, owner: &Subscribed) {
        let ends = [
            End::Status(200),
            End::Status(404),
            End::Status(499),
            End::Status(500),
            End::Status(599),
            End::NoUpstream(503),
            End::Aborted,
        ];
        for (call, end) in ends.iter().chain(&ends).enumerate() {
            self.call_ending(call % 2, owner.get("/weather"), *end);
        }
    }

    /// What the host answers to the calls of a process that are under way. It is not delivered.
    pub(crate) fn answers(&mut self, process: usize) -> Vec<(Call, Answer)> {
        let calls = self.processes[process].calls();
        let mut answered = |call: Call| {
            let now = self.clock.wall;
            let (_, answer) = network::carry(Network::Up, &mut self.host, &call, now);
            (call, answer.expect("the network is up"))
        };
        calls.into_iter().map(&mut answered).collect()
    }
}
