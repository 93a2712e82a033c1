//! A random world at play: calls begin, end and are watched, by many VMs at once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::book::{Book, Call, Fate, Lost, Moment, Refused};
use super::hosts::Backup;
use super::money::Money;
use super::plan::{OPERATIONS, Plan};
use super::stops::Log;
use crate::wasm::{End, Lies, Measured, Order, Process, Progress, Random, Request, Work};
use crate::world::{At, Subscribed, Weather, Wire, World};

/// A subscription, and what its caller and operator know of it.
#[derive(Clone)]
pub(super) struct Owner {
    pub(super) of: Subscribed,
    pub(super) product: usize,
    /// Since when it may not call, if the operator said so.
    pub(super) stopped: Option<Duration>,
    /// It was stopped before, and resumed.
    pub(super) was_resumed: bool,
    /// Its key is revoked: for good.
    pub(super) is_revoked: bool,
    /// When it subscribed, on the wall clock.
    pub(super) subscribed: Duration,
    /// It has numbers of its own, or its product was changed.
    pub(super) own_numbers: bool,
    /// Its limits were other ones for a while: the most each allowed.
    pub(super) most: Vec<u64>,
    /// Lives of processes, and their VMs, that have refused it as one that may not call.
    pub(super) refused_by: BTreeMap<(u64, usize), Moment>,
}

/// What happened how often.
pub(super) type Counts = BTreeMap<String, u64>;

/// A world that was played to its end.
#[derive(Debug, Default)]
pub(super) struct Played {
    /// How long it lasted, by its own clock.
    pub(super) time: Duration,
    pub(super) events: Counts,
    pub(super) faults: Counts,
    /// How often each law was checked.
    pub(super) laws: BTreeMap<u8, u64>,
}

/// A VM enters it with its first request, whatever becomes of that.
const ROSTER: &str = "/roster";

#[allow(clippy::struct_excessive_bools, reason = "what happened, each for itself")]
pub(super) struct Play {
    pub(super) world: World,
    pub(super) random: Random,
    pub(super) plan: Plan,
    pub(super) owners: Vec<Owner>,
    pub(super) book: Book,
    /// Calls that are undecided, and calls that were let through and have not ended.
    pub(super) undecided: Vec<usize>,
    /// Calls whose end a VM may still be at work on.
    pub(super) unsettled: Vec<usize>,
    pub(super) under_way: Vec<usize>,
    /// VMs of each process, and its life.
    pub(super) vms: Vec<usize>,
    pub(super) lives: Vec<u64>,
    pub(super) last_life: u64,
    pub(super) money: Money,
    /// What was found in logs of processes that ended.
    pub(super) logs: Vec<Log>,
    pub(super) backup: Option<Backup>,
    /// Whether backups are ever put back, and whether one was.
    pub(super) is_restoring: bool,
    pub(super) was_restored: bool,
    /// Whether nothing is gone that had rows to tell.
    pub(super) is_lossless: bool,
    /// When each process had its code updated last, and whether one was killed soon after.
    pub(super) updated: BTreeMap<u64, Duration>,
    pub(super) was_killed_new: bool,
    /// Whether the clock of the host's machine steps, and how far its time was ever off.
    pub(super) has_odd_clock: bool,
    pub(super) off: (SignedDuration, SignedDuration),
    pub(super) killed: u64,
    /// Whether processes are killed at all: what they held is out of reach, and proves little.
    pub(super) is_deadly: bool,
    /// Processes whose proxy refuses to send calls.
    pub(super) refusing: Vec<bool>,
    /// The last moment at which anything was wrong with network, VMs or processes.
    pub(super) trouble: Duration,
    /// There ever was any, before the end.
    pub(super) was_troubled: bool,
    /// The longest way a message ever took.
    pub(super) longest_way: Duration,
    pub(super) played: Played,
    /// Whether that is told as it happens.
    pub(super) traced: bool,
    /// What is wrong on purpose with its processes.
    pub(super) lies: Lies,
}

impl Play {
    pub(super) fn count(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.traced {
            eprintln!("{:>12.3?}  {what}", self.world.monotonic());
        }
        *self.played.events.entry(what).or_default() += 1;
    }

    /// Something goes wrong.
    pub(super) fn fault(&mut self, what: &str) {
        if self.traced {
            eprintln!("{:>12.3?}  fault: {what}", self.world.monotonic());
        }
        *self.played.faults.entry(what.to_owned()).or_default() += 1;
    }

    /// A law was checked, and holds.
    pub(super) fn holds(&mut self, law: u8) {
        *self.played.laws.entry(law).or_default() += 1;
    }

    pub(super) fn process(&mut self, process: usize) -> &mut Process {
        self.world.process(process)
    }

    pub(super) fn wire(&mut self) -> &mut Wire {
        self.world.wire.as_mut().expect("a network with distances")
    }

    pub(super) fn set_weather(&mut self, weather: Weather) {
        self.longest_way = self.longest_way.max(weather.way);
        self.wire().weather = weather;
    }

    /// Something is wrong now, and takes a while to recover from.
    pub(super) fn is_in_trouble(&mut self) {
        self.trouble = self.trouble.max(self.world.monotonic());
        self.was_troubled = true;
    }

    pub(super) fn is_away(&mut self, at: At) -> bool {
        self.process(at.0).away().contains(&at.1)
    }

    pub(super) fn start(&mut self, vms: usize) {
        let token = self.world.host.gateway_token.clone();
        self.world.start_with(&token, vms);
        self.vms.push(vms);
        self.last_life += 1;
        self.lives.push(self.last_life);
        self.refusing.push(false);
        self.world.process(self.vms.len() - 1).lie(self.lies);
    }

    /// A process is gone, and another one takes its place. Nobody knows what it had not reported.
    pub(super) fn replace(&mut self, process: usize) {
        let life = self.lives[process];
        for call in self.book.calls.iter_mut().filter(|call| call.life == life) {
            call.lost = Lost::Everything;
        }
        let gone = |book: &Book, call: &usize| book.calls[*call].life == life;
        self.undecided.retain(|call| !gone(&self.book, call));
        self.under_way.retain(|call| !gone(&self.book, call));
        self.world.restart(process);
        self.last_life += 1;
        self.lives[process] = self.last_life;
        self.refusing[process] = false;
        self.vms[process] = self.process(process).vms();
        self.world.process(process).lie(self.lies);
        self.killed += 1;
    }

    /// What a VM is to do for a call that arrives.
    pub(super) fn request(&mut self, owner: usize) -> (Work, usize, Request) {
        let operation = match self.random.below(6) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let request = self.owners[owner].of.get(OPERATIONS[operation].1);
        (Work::Request(request.clone()), operation, request)
    }

    /// Notes a call that began at this moment.
    fn note(
        &mut self,
        owner: usize,
        operation: usize,
        at: At,
        stream: crate::wasm::Stream,
        began: Moment,
    ) {
        let (bytes, units) = (100 + self.random.below(2_000), self.random.below(4));
        self.undecided.push(self.book.calls.len());
        self.book.calls.push(Call {
            owner,
            operation,
            life: self.lives[at.0],
            at,
            stream,
            began,
            undecided: began,
            held_since: began.at,
            fate: Fate::Undecided,
            known: began,
            ended: None,
            settled: None,
            lost: Lost::Nothing,
            forgotten: false,
            bytes,
            units,
        });
    }

    /// One call of one VM, while nobody else does anything: its number in the book.
    pub(super) fn open(&mut self, owner: usize, at: At) -> usize {
        let (_, operation, request) = self.request(owner);
        self.open_at(owner, operation, request, at)
    }

    /// The same, of an operation.
    pub(super) fn open_at(
        &mut self,
        owner: usize,
        operation: usize,
        request: Request,
        at: At,
    ) -> usize {
        let began = self.book.moment(self.world.monotonic());
        let before = self.process(at.0).writes_but(ROSTER);
        let stream = self.process(at.0).vm(at.1).request(request);
        let writes = self.process(at.0).writes_but(ROSTER) - before;
        self.note(owner, operation, at, stream, began);
        let call = self.book.calls.len() - 1;
        if let Some(Progress::Answered(reply)) = self.process(at.0).progress(at.1, stream) {
            let Refused { reason, limit, .. } = Refused::read(&reply);
            // Without the host, its VM may give up speaking for the process.
            let changed = writes > 0 && reason != "host_unavailable";
            assert!(!changed, "a call refused as {reason} by {limit:?} has changed something");
        }
        self.observe();
        call
    }

    /// Several VMs of a process begin or end calls at the same time, in an order drawn by chance.
    /// One of them may stand still in the middle for longer.
    pub(super) fn together(&mut self, process: usize) {
        let mut order = Order::drawn(&mut self.random, self.vms[process]);
        for vm in 0..self.vms[process] {
            let at = At(process, vm);
            if !self.is_away(at) && self.process(process).vm(vm).alive() && !self.random.one_in(5) {
                self.begin(at);
            }
        }
        let away = self.process(process).away();
        if away.len() > 1 && self.random.one_in(4) {
            let steps = u32::try_from(self.random.below(6)).expect("few");
            let vm = self.random.of(&away);
            self.process(process).go_on(vm, steps);
            self.fault("VM stands still between two hostcalls");
            self.is_in_trouble();
            let others = away.into_iter().filter(|other| *other != vm);
            let others: Vec<usize> = others.collect();
            self.process(process).finish(&others, &mut order);
        } else {
            self.process(process).finish_all(&mut order);
        }
        self.count("VMs at the same time");
        self.observe();
    }

    /// A VM begins to do something on a thread of its own.
    fn begin(&mut self, at: At) {
        let own = self.under_way.iter().position(|call| self.book.calls[*call].at == at);
        match (self.random.below(4), own) {
            (0, Some(place)) => {
                let call = self.under_way.swap_remove(place);
                let end = self.drawn_end();
                let work = Work::Finish(self.book.calls[call].stream, end, self.measured(call));
                self.process(at.0).begin(at.1, work);
                self.note_end(call, end);
            }
            (1, _) => {
                self.process(at.0).begin(at.1, Work::Tick);
            }
            _ if self.is_retired(at) => {}
            _ => {
                let owner = self.random.index(self.owners.len());
                let (work, operation, _) = self.request(owner);
                let began = self.book.moment(self.world.monotonic());
                let stream = self.process(at.0).begin(at.1, work);
                self.note(owner, operation, at, stream, began);
            }
        }
    }

    pub(super) fn drawn_end(&mut self) -> End {
        let ends = [End::Status(200), End::Status(404), End::Status(502), End::NoUpstream(503)];
        match self.random.below(8) {
            0 => End::Aborted,
            some => self.random.of(&ends[..if some < 5 { 1 } else { ends.len() }]),
        }
    }

    fn measured(&self, call: usize) -> Measured {
        let call = &self.book.calls[call];
        let units = call.units.to_string().into_bytes();
        Measured {
            bytes: (call.bytes / 2, call.bytes - call.bytes / 2),
            headers: vec![(b"x-units".to_vec(), units)],
        }
    }

    pub(super) fn note_end(&mut self, call: usize, end: End) {
        let moment = self.book.moment(self.world.monotonic());
        self.book.calls[call].ended = Some((moment, end));
        self.unsettled.push(call);
    }

    /// A call that was let through ends, while nobody else does anything. Not if its VM is away.
    pub(super) fn end(&mut self, call: usize, end: End) {
        let Call { at, stream, .. } = self.book.calls[call];
        if self.is_away(at) {
            return;
        }
        self.under_way.retain(|open| *open != call);
        let measured = self.measured(call);
        if self.process(at.0).vm(at.1).alive() {
            self.process(at.0).vm(at.1).finish_measured(stream, end, measured);
            self.note_end(call, end);
        }
        self.observe();
    }
}
