//! One story: what happens to a process, step by step, and what must hold after each.

use std::collections::HashMap;
use std::rc::Rc;

use tollgate_plugin::gate::{Action, Gate};
use tollgate_plugin::settings::Settings;
use tollgate_pricing::sync::SyncRequest;

use super::super::pairs::encode;
use super::super::{Seen, law};
use super::answer::Ledger;
use super::proxy::{Phase, Post, Proxy, Stream, World};
use super::stock::{KEYS, PRODUCTS, START_MS};
use crate::tape::Tape;

/// Every VM's root context.
pub(super) const ROOT: u32 = 1;
const VMS: usize = 2;
/// No token or stream has this bit.
const UNKNOWN: u32 = 1 << 31;
const MAX_STEPS: usize = 60;
const SECOND_NS: u64 = 1_000_000_000;
/// How long the gate may keep a stream waiting, if its VM ticks.
const PATIENCE_NS: u64 = 2 * SECOND_NS;

pub(super) struct Story<'s> {
    pub(super) world: Rc<World>,
    vms: Vec<Gate<Proxy>>,
    ledger: Ledger,
    last_stream: u32,
    /// Every counter ever reported, by what it counts.
    pub(super) reported: HashMap<(u64, u32, u32, &'static str), u64>,
    pub(super) garbage: bool,
    mode: &'static str,
    /// The host said what no host says.
    is_bent: bool,
    pub(super) seen: &'s mut Seen,
}

/// Which of the plugin's families of keys this is.
pub(super) fn family(key: &[u8]) -> &'static str {
    const FAMILIES: [&str; 9] =
        ["boot", "head", "catalog", "elected", "key", "record", "directory", "damaged", "roster"];
    let name = key.splitn(4, |byte| *byte == b'/').nth(2).unwrap_or_default();
    FAMILIES.into_iter().find(|family| family.as_bytes() == name).unwrap_or("other")
}

pub(super) fn run(input: &[u8], garbage: bool, seen: &mut Seen) -> Result<(), String> {
    let mut tape = Tape::new(input);
    let world = Rc::new(World::default());
    world.now_ns.set(1_000 * SECOND_NS);
    let mode = if tape.once_in(8) { "observe" } else { "enforce" };
    let vms = (0..VMS).map(|vm| gate(vm, &world, mode)).collect();
    let ledger = Ledger { revision: 1, epoch: 1, now_ms: START_MS };
    let mut story = Story {
        world,
        vms,
        ledger,
        last_stream: ROOT,
        reported: HashMap::new(),
        garbage,
        mode,
        is_bent: false,
        seen,
    };
    if !tape.once_in(8) {
        story.begin(&mut tape)?;
    }
    for step in 0..MAX_STEPS {
        if tape.is_over() {
            break;
        }
        story.step(&mut tape).map_err(|what| format!("{what}\n  in step {step}"))?;
    }
    Ok(())
}

fn gate(vm: usize, world: &Rc<World>, mode: &str) -> Gate<Proxy> {
    let settings = format!("{{\"mode\":\"{mode}\"}}");
    let settings = Settings::read(settings.as_bytes()).expect("the defaults are settings");
    Gate::new(Proxy { vm, world: world.clone() }, settings, "token".to_owned())
}

impl Story<'_> {
    /// What most stories begin with: both VMs know the catalog, and two keys are known.
    fn begin(&mut self, tape: &mut Tape<'_>) -> Result<(), String> {
        for vm in 0..VMS {
            self.tick(vm, &mut Tape::new(&[]));
            self.answer(&mut Tape::new(&[]))?;
            let choices = [0, tape.byte(), u8::MAX];
            self.request(vm, &mut Tape::new(&choices));
            self.answer(&mut Tape::new(&[]))?;
        }
        self.look()
    }

    fn step(&mut self, tape: &mut Tape<'_>) -> Result<(), String> {
        let vm = tape.below(VMS);
        match tape.below(16) {
            0..=3 => self.request(vm, tape),
            4..=5 => self.end(tape),
            6..=7 => self.tick(vm, tape),
            8..=11 => self.answer(tape)?,
            12 => self.pass_time(tape),
            13 => self.disturb(vm, tape),
            14 if self.garbage => self.write_garbage(tape),
            // Most stories need both of these to get anywhere.
            _ => {
                self.tick(vm, &mut Tape::new(&[]));
                self.answer(tape)?;
            }
        }
        self.look()
    }

    fn request(&mut self, vm: usize, tape: &mut Tape<'_>) {
        let path = tape.pick(&[
            "/a/find/1",
            "/a/find/1",
            "/a/find/2?x",
            "/a/heavy",
            "/a/health",
            "/b/x",
            "/c",
            "/a/../b",
        ]);
        let (mut path, mut headers) = (path.to_owned(), Vec::new());
        let place = tape.below(KEYS.len());
        let (key, _) = &KEYS[place];
        let mut stranger = place as u64 >= PRODUCTS && !path.contains("health");
        match tape.below(16) {
            0 => stranger = !path.contains("health"),
            1 => {
                stranger = !path.contains("health");
                headers.push((b"x-api-key".to_vec(), tape.bytes(20).to_vec()));
            }
            2 => path = format!("{path}?api-key={key}"),
            _ => headers.push((b"x-api-key".to_vec(), key.clone().into_bytes())),
        }
        headers.push((b":method".to_vec(), tape.pick(&["GET", "POST", ""]).as_bytes().to_vec()));
        headers.push((b":path".to_vec(), path.into_bytes()));
        let is_raw = tape.once_in(32);
        let headers = if is_raw { tape.bytes(60).to_vec() } else { encode(&headers) };

        self.last_stream += 1;
        let id = self.last_stream;
        let stream = Stream { vm, headers, phase: Phase::Asked };
        self.world.streams.borrow_mut().insert(id, stream);
        self.world.focus_on(id);
        let since_ns = self.world.now_ns.get();
        let action = self.vms[vm].on_request_headers(id);
        let mut streams = self.world.streams.borrow_mut();
        let Some(stream) = streams.get_mut(&id) else { return };
        match (action, stream.phase) {
            (Action::Pause, Phase::Answered) => {}
            (Action::Pause, Phase::Asked) => {
                self.seen.mark("waited");
                stream.phase = Phase::Paused { since_ns };
            }
            (Action::Continue, Phase::Asked) => {
                self.seen.mark("let through");
                stream.phase = Phase::Going;
                let is_closed =
                    stranger && !is_raw && !self.is_bent && !self.garbage && self.mode == "enforce";
                law(!is_closed, || "a stranger is let through".to_owned())
                    .unwrap_or_else(|what| self.world.breaks(what));
            }
            (action, phase) => self.world.breaks(format!("{action:?} of a stream {phase:?}")),
        }
    }

    /// A stream ends, in whatever phase it is.
    fn end(&mut self, tape: &mut Tape<'_>) {
        let mut ids: Vec<u32> = self.world.streams.borrow().keys().copied().collect();
        ids.sort_unstable();
        if ids.is_empty() {
            return;
        }
        let id = ids[tape.below(ids.len().min(256))];
        let number = match tape.below(4) {
            0 => None,
            1 => Some(503),
            2 => Some(tape.number()),
            _ => Some(200),
        };
        let vm = self.world.streams.borrow()[&id].vm;
        self.world.number.set(number);
        self.world.focus_on(id);
        self.vms[vm].on_log(id);
        self.vms[vm].on_delete(id);
        self.world.streams.borrow_mut().remove(&id);
    }

    fn tick(&mut self, vm: usize, tape: &mut Tape<'_>) {
        let passed_ms = tape.pick(&[250, 250, 1_000, 1_000, 2_100]);
        self.pass(passed_ms);
        let before = self.world.now_ns.get();
        self.world.focus_on(ROOT);
        self.vms[vm].on_tick(ROOT);
        for (id, stream) in &*self.world.streams.borrow() {
            if let Phase::Paused { since_ns } = stream.phase
                && stream.vm == vm
                && before >= since_ns + PATIENCE_NS
            {
                self.world.breaks(format!("a stream waits too long: {id}"));
            }
        }
    }

    fn pass(&mut self, passed_ms: u64) {
        let now_ns = self.world.now_ns.get();
        self.world.now_ns.set(now_ns.saturating_add(passed_ms.saturating_mul(1_000_000)));
        self.ledger.now_ms = self.ledger.now_ms.saturating_add(passed_ms);
    }

    fn pass_time(&mut self, tape: &mut Tape<'_>) {
        let passed_ms = match tape.below(8) {
            0 if tape.once_in(4) => 16 * 60_000,
            1 => 60_000,
            2 => 30_000,
            3 => tape.number() % 100_000_000_000,
            _ => 5_000,
        };
        if passed_ms > 15 * 60_000 {
            self.seen.mark("long silence");
        }
        self.pass(passed_ms);
    }

    /// Answers a call under way, if there is one.
    fn answer(&mut self, tape: &mut Tape<'_>) -> Result<(), String> {
        let count = self.world.posts.borrow().len();
        if count == 0 {
            return Ok(());
        }
        let place = tape.below(count.min(256));
        let Post { vm, token, body, .. } = self.world.posts.borrow_mut().remove(place);
        let request: SyncRequest = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        if tape.once_in(16) {
            // Lost with its root.
            self.seen.mark("no answer at all");
            return Ok(());
        }
        let answer = self.ledger.answer(&request, tape);
        self.is_bent |= answer.is_bent;
        *self.world.answer.borrow_mut() = (answer.status, answer.body);
        let heard = |world: &World| {
            let shared = world.shared.borrow();
            shared.iter().find(|(key, _)| family(key) == "head").map(|(_, value)| value.clone())
        };
        let before = heard(&self.world);
        self.world.focus_on(ROOT);
        self.vms[vm].on_answer(token, ROOT);
        let is_taken = heard(&self.world) != before;
        self.seen.mark(match (is_taken, answer.is_bent) {
            (true, true) => "bent answer taken",
            (true, false) => "answer taken",
            (false, _) => "answer not taken",
        });
        Ok(())
    }

    fn disturb(&mut self, vm: usize, tape: &mut Tape<'_>) {
        match tape.below(4) {
            0 => {
                self.seen.mark("VM replaced");
                self.world.streams.borrow_mut().retain(|_, stream| stream.vm != vm);
                self.world.posts.borrow_mut().retain(|post| post.vm != vm);
                self.vms[vm] = gate(vm, &self.world, self.mode);
            }
            1 => {
                self.seen.mark("call refused");
                self.world.refused_calls.set(tape.pick(&[1, 1, 2, 20]));
            }
            2 => self.world.losing.set(tape.pick(&[1, 1, 2, 64])),
            _ => {
                self.world.focus_on(ROOT);
                // Of a call that nobody made, and a stream that nobody saw begin.
                self.vms[vm].on_answer(UNKNOWN | tape.number32(), ROOT);
                self.vms[vm].on_log(UNKNOWN | tape.number32());
                self.vms[vm].on_delete(UNKNOWN | tape.number32());
            }
        }
    }
}
