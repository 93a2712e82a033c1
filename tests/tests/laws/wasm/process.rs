//! One life of an Envoy process: its VMs, and what they share.

use std::time::Duration;

use super::inside::{Inside, Lies, Outside, Shared};
use super::random::Random;
use super::workers::Worker;
use super::{Answer, Call, Clock, Code, Status, Vm};

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Worker VMs.
    pub(crate) vms: usize,
    /// `configuration` of the VM.
    pub(crate) vm_configuration: String,
    /// Environment of the VM.
    pub(crate) environment: Vec<(String, String)>,
    /// `root_id` of the plugin.
    pub(crate) root_id: String,
    /// What `random_get` is drawn from.
    pub(crate) seed: u64,
    /// What its clocks show.
    pub(crate) clock: Clock,
}

/// A running process.
pub(crate) struct Process {
    code: &'static Code,
    root_id: String,
    pub(super) shared: Shared,
    pub(super) workers: Vec<Worker>,
    lives: u32,
}

impl Process {
    /// Starts a VM that is thrown away, as Envoy does to try a configuration, and then the workers.
    pub(crate) fn start(code: &'static Code, setup: Setup) -> Self {
        let shared = Shared::new(Outside {
            clock: setup.clock,
            random: Random(setup.seed),
            environment: setup.environment,
            vm_configuration: setup.vm_configuration.into_bytes(),
            ..Outside::default()
        });
        let root_id = setup.root_id;
        let mut process = Self { code, root_id, shared, workers: Vec::new(), lives: 0 };
        drop(process.new_vm(0));
        process.workers = (0..setup.vms).map(|vm| Worker::Here(process.new_vm(vm))).collect();
        process
    }

    /// A worker's VM.
    pub(crate) fn vm(&mut self, vm: usize) -> &mut Vm {
        self.workers[vm].here_mut().expect("a VM that is not away at work")
    }

    /// Puts a new VM in a worker's place, as Envoy does at the first request after a trap.
    pub(crate) fn reload(&mut self, vm: usize) {
        self.workers[vm] = Worker::Here(self.new_vm(vm));
    }

    /// Updates the code of the plugin: each worker gets a new VM, and the old one lives as long as
    /// its streams, under its old number.
    pub(crate) fn update_code(&mut self) {
        for vm in 0..self.workers.len() {
            if self.vm(vm).is_open() {
                let new = self.new_vm(self.workers.len());
                self.workers.push(Worker::Here(new));
                self.vm(vm).retire();
            }
        }
    }

    /// Whether a worker takes new calls, now or when its VM is loaded again.
    pub(crate) fn is_open_for_calls(&self, vm: usize) -> bool {
        self.workers[vm].here().is_none_or(|vm| !vm.is_retired())
    }

    /// Updates the configuration of the plugin.
    pub(crate) fn update_configuration(&mut self) {
        for vm in self.workers.iter_mut().filter_map(Worker::here_mut) {
            if vm.is_open() {
                vm.reconfigure();
            }
        }
    }

    /// Ends as at SIGTERM: worker by worker streams are reset, then roots are done.
    pub(crate) fn stop(&mut self) {
        for vm in self.workers.iter_mut().filter_map(Worker::here_mut) {
            vm.stop();
        }
    }

    /// How many values there are in shared data, and the bytes of the largest.
    pub(crate) fn shared_sizes(&self) -> (usize, usize) {
        self.shared.lock().data.sizes()
    }

    /// A metric's value.
    pub(crate) fn metric(&self, name: &str) -> Option<u64> {
        self.shared.lock().metrics.read(name)
    }

    /// What the clocks show.
    pub(crate) fn clock(&self) -> Clock {
        self.shared.lock().clock
    }

    /// Shows its VMs what is not so.
    pub(crate) fn lie(&mut self, lies: Lies) {
        self.shared.lock().lies = lies;
    }

    /// Steps the wall clock to another time, as an operator or NTP may; no time passes.
    pub(crate) fn step_wall_clock(&mut self, to: Duration) {
        self.shared.lock().clock.wall = to;
    }

    /// Lets time pass: ticks and timeouts happen when they are due.
    pub(crate) fn advance(&mut self, by: Duration) {
        let end = self.clock().monotonic + by;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.pass_until(due);
            self.time_out(due);
            for vm in self.workers.iter_mut().filter_map(Worker::here_mut) {
                if vm.tick_due().is_some_and(|tick| tick <= due) {
                    vm.tick();
                }
            }
        }
        self.pass_until(end);
    }

    /// When something happens by itself next, on the monotonic clock.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let ticks = self.workers.iter().filter_map(Worker::here).filter_map(Vm::tick_due);
        let outside = self.shared.lock();
        let timeouts = outside.calls.under_way.iter().map(|call| call.deadline);
        ticks.chain(timeouts).min()
    }

    /// Calls that wait for an answer, oldest first.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.under_way.clone()
    }

    /// Calls made since this was last asked.
    pub(crate) fn new_calls(&self) -> Vec<Call> {
        let mut outside = self.shared.lock();
        let calls = &mut outside.calls;
        let new = calls.under_way.iter().filter(|call| call.token > calls.collected).cloned();
        let new: Vec<Call> = new.collect();
        calls.collected = new.iter().map(|call| call.token).fold(calls.collected, u32::max);
        new
    }

    /// How many workers it has.
    pub(crate) fn vms(&self) -> usize {
        self.workers.len()
    }

    /// Ends a call. An answer to one that has ended already, or whose VM has, reaches nobody.
    pub(crate) fn answer(&mut self, call: &Call, answer: Answer) {
        let mut outside = self.shared.lock();
        let calls = &mut outside.calls.under_way;
        let Some(place) = calls.iter().position(|known| known.token == call.token) else {
            return;
        };
        calls.remove(place);
        drop(outside);
        if let Some(worker) = self.workers.get_mut(call.vm) {
            worker.answer(call, answer);
        }
    }

    /// Refuses every new call at once, or no longer.
    pub(crate) fn refuse_calls(&mut self, refusal: Option<Status>) {
        self.shared.lock().calls.refusal = refusal;
    }

    /// Lines logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.shared.lock().log.clone()
    }

    /// A value in shared data.
    pub(crate) fn shared_value(&self, key: &[u8]) -> Option<Vec<u8>> {
        let outside = self.shared.lock();
        outside.data.get(key).map(|(value, _)| value.to_vec())
    }

    /// How often its VMs have written shared data, but keys that end so.
    pub(crate) fn writes_but(&self, end: &str) -> u64 {
        self.shared.lock().data.writes_but(end)
    }

    /// Whether any VM has written shared data or called anyone.
    pub(crate) fn untouched(&self) -> bool {
        let outside = self.shared.lock();
        outside.data.is_empty() && outside.calls.under_way.is_empty()
    }

    fn new_vm(&mut self, vm: usize) -> Vm {
        self.lives += 1;
        let inside = Inside::new(self.shared.clone(), vm, self.lives, &self.root_id);
        Vm::start(self.code, inside)
    }

    fn pass_until(&mut self, monotonic: Duration) {
        let clock = &mut self.shared.lock().clock;
        clock.advance(monotonic.saturating_sub(clock.monotonic));
    }

    fn time_out(&mut self, now: Duration) {
        for call in self.calls() {
            if call.deadline <= now {
                self.answer(&call, Answer::timed_out());
            }
        }
    }
}
