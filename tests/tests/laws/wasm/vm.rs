//! One worker thread's instance of the plugin, called in Envoy's order.

use std::collections::BTreeMap;
use std::time::Duration;

use wasmtime::{Instance, Store, WasmParams, WasmResults};

use super::away::{Baton, Work};
use super::inside::{Injected, Inside, Root, Tick};
use super::stream::State;
use super::{Answer, Call, Code, End, Measured, Progress, Reply, Request, Stream};

/// What a callback returns to let a request go on.
const CONTINUE: u32 = 0;
/// Lines of the plugin's log shown when it traps.
const LOG_LINES_SHOWN: usize = 8;

/// An instance, alive until it traps.
pub(crate) struct Vm {
    store: Store<Inside>,
    instance: Instance,
    alive: bool,
    last_context: u32,
    /// How streams ended that the VM no longer knows.
    ended: BTreeMap<Stream, Progress>,
    /// Another VM takes its calls; and it is over, for its last one has ended.
    is_retired: bool,
    is_over: bool,
}

impl Vm {
    /// Instantiates, and runs what Envoy runs before the first request.
    pub(super) fn start(code: &Code, inside: Inside) -> Self {
        let mut store = Store::new(code.engine(), inside);
        let instance = code.ready().instantiate(&mut store).expect("a linked module instantiates");
        let mut vm = Self {
            store,
            instance,
            alive: true,
            last_context: 0,
            ended: BTreeMap::new(),
            is_retired: false,
            is_over: false,
        };
        vm.call::<_, ()>(0, "_initialize", ());
        vm.begin_root();
        vm
    }

    /// Makes a root context, whose streams the next ones are.
    fn begin_root(&mut self) {
        let configuration = self.store.data().shared.lock().vm_configuration.len();
        let configuration = u32::try_from(configuration).expect("configurations are small");
        let id = self.last_context + 1;
        self.store.data_mut().roots.push(Root { id, tick: None, retires: false });
        assert_eq!(self.create_context(0), id);
        let started = self.call(id, "proxy_on_vm_start", (id, configuration));
        assert_ne!(started, Some(0), "the plugin refused its VM configuration");
        let configured = self.call(id, "proxy_on_configure", (id, 0));
        assert_ne!(configured, Some(0), "the plugin refused its configuration");
    }

    /// Updates the plugin's configuration, as Envoy does: a new root in the same VM, while the old
    /// one lives as long as its streams.
    pub(super) fn reconfigure(&mut self) {
        self.retire_roots();
        self.begin_root();
        self.end_roots();
    }

    /// Its roots are done when their streams have ended; the VM with the last of them.
    pub(super) fn retire(&mut self) {
        self.is_retired = true;
        self.retire_roots();
        self.end_roots();
    }

    /// Its process ends: streams are reset and logged, then the roots are done.
    pub(super) fn stop(&mut self) {
        let streams: Vec<u32> = self.store.data().streams.keys().copied().collect();
        for stream in streams {
            self.finish(Stream(stream), End::Aborted);
        }
        self.retire();
    }

    /// Whether it is alive and has a root that takes new streams.
    pub(crate) fn is_open(&self) -> bool {
        self.alive && self.store.data().roots.iter().any(|root| !root.retires)
    }

    /// Whether another VM has taken its place, or none will.
    pub(crate) fn is_retired(&self) -> bool {
        self.is_retired
    }

    /// Whether its last root is done: it did not trap.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Bytes of its linear memory.
    pub(crate) fn memory_bytes(&mut self) -> usize {
        let memory = self.instance.get_memory(&mut self.store, "memory");
        memory.map_or(0, |memory| memory.data_size(&self.store))
    }

    fn retire_roots(&mut self) {
        for root in &mut self.store.data_mut().roots {
            root.retires = true;
        }
    }

    fn end_roots(&mut self) {
        let inside = self.store.data();
        let has_streams = |root: u32| inside.streams.values().any(|stream| stream.root == root);
        let over = inside.roots.iter().filter(|root| root.retires && !has_streams(root.id));
        let over: Vec<u32> = over.map(|root| root.id).collect();
        for root in over {
            self.call::<_, u32>(root, "proxy_on_done", root);
            let inside = self.store.data_mut();
            inside.roots.retain(|known| known.id != root);
            let (vm, life) = (inside.vm, inside.life);
            // Nobody hears of the end of its calls.
            let mut outside = inside.shared.lock();
            outside
                .calls
                .under_way
                .retain(|call| (call.vm, call.life, call.root) != (vm, life, root));
            drop(outside);
            if !self.store.data().roots.is_empty() {
                self.call::<_, ()>(root, "proxy_on_delete", root);
            }
        }
        if self.alive && self.store.data().roots.is_empty() {
            (self.alive, self.is_over) = (false, true);
        }
    }

    /// Whether it has not trapped.
    pub(crate) fn alive(&self) -> bool {
        self.alive
    }

    /// Lets the hostcall `name` trap, after `passes` of them that do not.
    pub(crate) fn trap_at(&mut self, name: &'static str, passes: u32) {
        self.store.data_mut().trap = Some((Some(name), passes));
    }

    /// Lets a hostcall trap, whichever it is, after `passes` that do not.
    pub(crate) fn trap_after(&mut self, passes: u32) {
        self.store.data_mut().trap = Some((None, passes));
    }

    /// No trap that was asked for happens any more.
    pub(crate) fn disarm(&mut self) {
        self.store.data_mut().trap = None;
    }

    /// The stream that the next request will be.
    pub(super) fn next_stream(&self) -> Stream {
        Stream(self.last_context + 1)
    }

    /// Runs a callback, and those that Envoy has follow it.
    pub(super) fn work(&mut self, work: Work) {
        match work {
            Work::Request(request) => {
                self.request(request);
            }
            Work::Finish(stream, end, measured) => self.finish_measured(stream, end, measured),
            Work::Tick => self.tick(),
            Work::Answer(call, answer) => self.answer(&call, answer),
        }
    }

    pub(super) fn take_baton(&mut self, baton: Baton) {
        self.store.data_mut().baton = Some(baton);
    }

    pub(super) fn drop_baton(&mut self) {
        self.store.data_mut().baton = None;
    }

    /// A request arrives. It has no body.
    pub(crate) fn request(&mut self, request: Request) -> Stream {
        let headers = u32::try_from(request.headers.len()).expect("headers are few");
        let stream = self.open(request, Progress::Paused);
        let action = self.call(stream.0, "proxy_on_request_headers", (stream.0, headers, 1));
        if let Some(state) = self.store.data_mut().streams.get_mut(&stream.0)
            && action.unwrap_or(CONTINUE) == CONTINUE
        {
            state.progress = Progress::Forwarded;
        }
        self.end_answered();
        stream
    }

    /// A request arrives that Envoy itself refuses, before the plugin: it is only logged.
    pub(crate) fn request_refused_by_envoy(&mut self, request: Request, status: u16) {
        let stream = self.open(request, Progress::Forwarded);
        self.finish(stream, End::NoUpstream(status));
    }

    /// How far a request has got.
    pub(crate) fn progress(&self, stream: Stream) -> Progress {
        let under_way = self.store.data().streams.get(&stream.0);
        under_way
            .map(|state| &state.progress)
            .or_else(|| self.ended.get(&stream))
            .cloned()
            .expect("a stream of this VM")
    }

    /// A request ends without the plugin. One that its VM took down stays as it is.
    pub(crate) fn finish(&mut self, stream: Stream, end: End) {
        self.finish_measured(stream, end, Measured::default());
    }

    /// The same, with an answer that is worth measuring.
    pub(crate) fn finish_measured(&mut self, stream: Stream, end: End, measured: Measured) {
        let Some(state) = self.store.data_mut().streams.get_mut(&stream.0) else {
            assert_eq!(self.progress(stream), Progress::Died, "a stream ends once");
            return;
        };
        let forwarded = state.progress == Progress::Forwarded;
        assert!(
            forwarded || end == End::Aborted,
            "nobody but the plugin answers what it holds back"
        );
        (state.status, state.upstream) = match end {
            End::Status(status) => (Some(status.into()), true),
            End::NoUpstream(status) => (Some(status.into()), false),
            End::Aborted => (None, forwarded),
        };
        state.measured = measured;
        self.close(stream);
    }

    /// When the root context's tick is due, on the monotonic clock.
    pub(super) fn tick_due(&self) -> Option<Duration> {
        let ticks = self.store.data().roots.iter().filter_map(|root| root.tick);
        ticks.map(|tick| tick.due).min().filter(|_| self.alive)
    }

    /// Envoy sets the timer again when the callback has returned.
    pub(super) fn tick(&mut self) {
        let now = self.store.data().shared.lock().clock.monotonic;
        let roots = self.store.data().roots.clone();
        let is_due = |root: &&Root| root.tick.is_some_and(|tick| tick.due <= now);
        let mut due: Vec<u32> = roots.iter().filter(is_due).map(|root| root.id).collect();
        if due.is_empty() {
            due.extend(roots.last().map(|root| root.id));
        }
        for root in due {
            self.call::<_, ()>(root, "proxy_on_tick", root);
            let inside = self.store.data_mut();
            let now = inside.shared.lock().clock.monotonic;
            for known in inside.roots.iter_mut().filter(|known| known.id == root) {
                if let Some(Tick { every, due }) = &mut known.tick {
                    *due = now + *every;
                }
            }
            self.end_answered();
        }
    }

    /// Delivers the end of a call that this life of this VM sent.
    pub(super) fn answer(&mut self, call: &Call, answer: Answer) {
        let count = |length: usize| u32::try_from(length).expect("answers are small");
        let (headers, body) = (count(answer.headers.len()), count(answer.body.len()));
        if self.store.data().life != call.life || !self.store.data().has_root(call.root) {
            return;
        }
        self.store.data_mut().answer = Some(answer);
        let arguments = (call.root, call.token, headers, body, 0);
        self.call::<_, ()>(call.root, "proxy_on_http_call_response", arguments);
        self.store.data_mut().answer = None;
        self.end_answered();
    }

    fn open(&mut self, request: Request, progress: Progress) -> Stream {
        let stream = self.next_stream();
        let root = self.store.data().roots.last().map_or(0, |root| root.id);
        if self.alive {
            let state = State::new(root, request.headers, progress);
            self.store.data_mut().streams.insert(stream.0, state);
        } else {
            self.ended.insert(stream, Progress::Died);
        }
        assert_eq!(self.create_context(root), stream.0);
        stream
    }

    fn create_context(&mut self, parent: u32) -> u32 {
        self.last_context += 1;
        let context = self.last_context;
        self.call::<_, ()>(context, "proxy_on_context_create", (context, parent));
        context
    }

    /// Ends the streams that the plugin answered during the last callback.
    fn end_answered(&mut self) {
        let answered: Vec<(u32, Reply)> = self
            .store
            .data_mut()
            .streams
            .iter_mut()
            .filter_map(|(id, state)| Some((*id, state.reply.take()?)))
            .collect();
        for (id, reply) in answered {
            if let Some(state) = self.store.data_mut().streams.get_mut(&id) {
                state.status = Some(reply.status);
                state.progress = Progress::Answered(reply);
            }
            self.close(Stream(id));
        }
    }

    fn close(&mut self, stream: Stream) {
        if let Some(state) = self.store.data_mut().streams.get_mut(&stream.0) {
            state.logging = true;
        }
        self.call::<_, ()>(stream.0, "proxy_on_log", stream.0);
        self.call::<_, u32>(stream.0, "proxy_on_done", stream.0);
        self.call::<_, ()>(stream.0, "proxy_on_delete", stream.0);
        if let Some(state) = self.store.data_mut().streams.remove(&stream.0) {
            self.ended.insert(stream, state.progress);
        }
        self.end_roots();
    }

    /// Calls an export, if the module has it and the VM lives.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        context: u32,
        export: &str,
        arguments: P,
    ) -> Option<R> {
        if !self.alive {
            return None;
        }
        let function = self.instance.get_func(&mut self.store, export)?;
        let function = function
            .typed::<P, R>(&self.store)
            .unwrap_or_else(|error| panic!("{export} has another type than the ABI's: {error:#}"));
        let inside = self.store.data_mut();
        (inside.current, inside.effective) = (context, None);
        match function.call(&mut self.store, arguments) {
            Ok(results) => Some(results),
            Err(error) => {
                self.die(export, &error);
                None
            }
        }
    }

    /// Nothing calls into a VM that has trapped; its streams get Envoy's 503 and no log.
    fn die(&mut self, export: &str, error: &wasmtime::Error) {
        self.alive = false;
        let inside = self.store.data_mut();
        for (id, _) in std::mem::take(&mut inside.streams) {
            self.ended.insert(Stream(id), Progress::Died);
        }
        if error.downcast_ref::<Injected>().is_none() {
            let log = inside.shared.lock().log.clone();
            let last = &log[log.len().saturating_sub(LOG_LINES_SHOWN)..];
            panic!("the plugin trapped in {export}: {error:#}\n{}", last.join("\n"));
        }
    }
}
