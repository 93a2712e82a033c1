//! A VM at work on a thread of its own, as Envoy's workers are: it stands still before every
//! hostcall that other VMs could notice, until it is told to go on.
//!
//! One thread runs at a time: the test's, or the one it told to go on. So the order in which VMs
//! meet in shared data is the test's choice, and the same again when it chooses the same.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::{Answer, Call, End, Measured, Request, Stream, Vm};

/// The hostcalls by which VMs of a process, and the world outside, notice each other.
const NOTICED: [&str; 3] = ["proxy_get_shared_data", "proxy_set_shared_data", "proxy_http_call"];
/// A plugin's callbacks need little.
const STACK_BYTES: usize = 1024 * 1024;

/// A callback, and those that Envoy has follow it.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// A request arrives.
    Request(Request),
    /// A request ends.
    Finish(Stream, End, Measured),
    /// The root context's tick.
    Tick,
    /// A call ends.
    Answer(Call, Answer),
}

/// A VM that is away at work.
pub(super) struct Away {
    thread: JoinHandle<Vm>,
    go: Sender<u32>,
    stopped: Receiver<()>,
}

/// The thread's side of it.
#[derive(Debug)]
pub(super) struct Baton {
    /// Noticed hostcalls that it may still make.
    steps: u32,
    go: Receiver<u32>,
    stopped: Sender<()>,
}

impl Away {
    /// Sends a VM to work. It stands still before the first hostcall that others could notice.
    pub(super) fn begin(mut vm: Vm, work: Work) -> Self {
        let (go, may_go) = channel();
        let (stops, stopped) = channel();
        vm.take_baton(Baton { steps: 0, go: may_go, stopped: stops });
        let job = move || {
            vm.work(work);
            vm.drop_baton();
            vm
        };
        let thread = Builder::new().stack_size(STACK_BYTES).spawn(job).expect("a thread");
        // An error means that it has finished already, and the next step will tell.
        let _ = stopped.recv();
        Self { thread, go, stopped }
    }

    /// Lets it make so many more hostcalls that others could notice: whether it has finished.
    pub(super) fn go_on(&self, steps: u32) -> bool {
        self.go.send(steps).is_err() || self.stopped.recv().is_err()
    }

    /// Lets it finish, and gives the VM back.
    pub(super) fn join(self) -> Vm {
        drop(self.go);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Baton {
    /// Called before every hostcall, with nothing locked.
    pub(super) fn pass(&mut self, hostcall: &str) {
        if !NOTICED.contains(&hostcall) {
            return;
        }
        while self.steps == 0 {
            if self.stopped.send(()).is_err() {
                return;
            }
            // Nobody holds the other end any more: the rest is done in one go.
            self.steps = self.go.recv().unwrap_or(u32::MAX);
        }
        self.steps -= 1;
    }
}
