//! The workers of a process: each has a VM, which is here or away at work.

use super::away::{Away, Work};
use super::order::Order;
use super::{Answer, Call, Process, Progress, Stream, Vm};

/// One worker's VM.
pub(super) enum Worker {
    Here(Vm),
    /// At work on its own thread, while answers to its calls wait for it.
    Away(Away, Vec<(Call, Answer)>),
    /// Between the two, within this file.
    Gone,
}

impl Worker {
    pub(super) fn here(&self) -> Option<&Vm> {
        match self {
            Self::Here(vm) => Some(vm),
            Self::Away(..) | Self::Gone => None,
        }
    }

    pub(super) fn here_mut(&mut self) -> Option<&mut Vm> {
        match self {
            Self::Here(vm) => Some(vm),
            Self::Away(..) | Self::Gone => None,
        }
    }

    /// Delivers the end of a call, or keeps it until the VM is back.
    pub(super) fn answer(&mut self, call: &Call, answer: Answer) {
        match self {
            Self::Here(vm) => vm.answer(call, answer),
            Self::Away(_, waiting) => waiting.push((call.clone(), answer)),
            Self::Gone => {}
        }
    }

    /// Waits for a VM whose work is done.
    fn come_back(&mut self) {
        if let Self::Away(away, waiting) = std::mem::replace(self, Self::Gone) {
            let mut vm = away.join();
            for (call, answer) in waiting {
                vm.answer(&call, answer);
            }
            *self = Self::Here(vm);
        }
    }
}

impl Process {
    /// Sends a VM to work on its own thread, and gives the stream if that is a request. Until it
    /// has finished it hears of nothing else: no tick, no answer.
    pub(crate) fn begin(&mut self, vm: usize, work: Work) -> Stream {
        let here = std::mem::replace(&mut self.workers[vm], Worker::Gone);
        let Worker::Here(here) = here else {
            panic!("VM {vm} is at work");
        };
        if let Work::Answer(call, _) = &work {
            self.shared.lock().calls.under_way.retain(|known| known.token != call.token);
        }
        let stream = here.next_stream();
        self.workers[vm] = Worker::Away(Away::begin(here, work), Vec::new());
        stream
    }

    /// Lets a VM that is away make so many more hostcalls that others could notice.
    pub(crate) fn go_on(&mut self, vm: usize, steps: u32) {
        if let Worker::Away(away, _) = &self.workers[vm]
            && away.go_on(steps)
        {
            self.workers[vm].come_back();
        }
    }

    /// VMs that are away at work.
    pub(crate) fn away(&self) -> Vec<usize> {
        let away = |worker: &Worker| matches!(worker, Worker::Away(..));
        self.workers.iter().enumerate().filter(|(_, it)| away(it)).map(|(vm, _)| vm).collect()
    }

    /// Lets every VM that is away finish.
    pub(crate) fn finish_all(&mut self, order: &mut Order) {
        let away = self.away();
        self.finish(&away, order);
    }

    /// Lets some VMs that are away finish, while others stand still.
    pub(crate) fn finish(&mut self, vms: &[usize], order: &mut Order) {
        loop {
            let away = self.away();
            let away: Vec<usize> = away.into_iter().filter(|vm| vms.contains(vm)).collect();
            if away.is_empty() {
                return;
            }
            let (vm, steps) = order.next(&away);
            self.go_on(vm, steps);
        }
    }

    /// How far a request has got; nothing is known while its VM is away.
    pub(crate) fn progress(&self, vm: usize, stream: Stream) -> Option<Progress> {
        self.workers[vm].here().map(|vm| vm.progress(stream))
    }
}
