//! A proxy that keeps shared data and streams, and remembers which of its rules were broken.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tollgate_plugin::host::{self, Cas, Host, Level, Lost};
use tollgate_plugin::metrics::Metric;
use tollgate_plugin::record::Record;
use tollgate_plugin::reply::Reply;

use crate::targets::record::is_stored_as_it_is;

/// Where a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Its headers are with the gate.
    Asked,
    Paused {
        since_ns: u64,
    },
    Going,
    Answered,
}

/// A request and where it is.
pub(super) struct Stream {
    pub(super) vm: usize,
    pub(super) headers: Vec<u8>,
    pub(super) phase: Phase,
}

/// Values and their compare-and-swap tokens.
type SharedData = BTreeMap<Vec<u8>, (Vec<u8>, u32)>;

/// A call to the host.
pub(super) struct Post {
    pub(super) vm: usize,
    pub(super) token: u32,
    pub(super) body: Vec<u8>,
    pub(super) is_judged: bool,
}

/// What all VMs of a process share, and what they did with it.
#[derive(Default)]
pub(super) struct World {
    pub(super) now_ns: Cell<u64>,
    pub(super) shared: RefCell<SharedData>,
    last_cas: Cell<u32>,
    /// Writes that are lost from now on.
    pub(super) losing: Cell<u32>,
    pub(super) lost: Cell<bool>,
    /// Calls to the host that are refused from now on.
    pub(super) refused_calls: Cell<u32>,
    pub(super) streams: RefCell<HashMap<u32, Stream>>,
    focus: Cell<u32>,
    /// Calls under way.
    pub(super) posts: RefCell<Vec<Post>>,
    last_token: Cell<u32>,
    pub(super) answer: RefCell<(Option<u16>, Vec<u8>)>,
    pub(super) number: Cell<Option<u64>>,
    drawn: Cell<u64>,
    /// Statuses answered since they were last looked at.
    pub(super) replies: RefCell<Vec<u16>>,
    pub(super) resumed: Cell<bool>,
    pub(super) answered_late: Cell<bool>,
    pub(super) broken: RefCell<Option<String>>,
}

impl World {
    pub(super) fn focus_on(&self, context: u32) {
        self.focus.set(context);
    }

    pub(super) fn breaks(&self, what: String) {
        self.broken.borrow_mut().get_or_insert(what);
    }

    pub(super) fn write(&self, key: &[u8], value: &[u8]) {
        self.last_cas.set(self.last_cas.get() + 1);
        self.shared.borrow_mut().insert(key.to_vec(), (value.to_vec(), self.last_cas.get()));
    }

    fn with_stream(&self, what: &str, change: impl FnOnce(&mut Stream) -> Option<Phase>) {
        let mut streams = self.streams.borrow_mut();
        let Some(stream) = streams.get_mut(&self.focus.get()) else {
            return self.breaks(format!("{what} where no stream is"));
        };
        let before = stream.phase;
        match change(stream) {
            Some(phase) => stream.phase = phase,
            None => self.breaks(format!("{what} of a stream that is {before:?}")),
        }
    }
}

/// One VM's view of it.
pub(super) struct Proxy {
    pub(super) vm: usize,
    pub(super) world: Rc<World>,
}

impl Host for Proxy {
    fn monotonic_ns(&self) -> u64 {
        // No two readings are the same.
        self.world.now_ns.set(self.world.now_ns.get() + 100);
        self.world.now_ns.get()
    }

    fn random(&self) -> [u8; 16] {
        self.world.drawn.set(self.world.drawn.get() + 1);
        u128::from(self.world.drawn.get()).to_be_bytes()
    }

    fn shared_get(&self, key: &[u8]) -> Option<(Vec<u8>, Cas)> {
        let shared = self.world.shared.borrow();
        shared.get(key).map(|(value, cas)| (value.clone(), Cas::read(*cas)))
    }

    fn shared_set(&self, key: &[u8], value: &[u8], cas: Cas) -> Result<(), Lost> {
        if super::story::family(key) == "record" {
            let stored = Record::decode(value).map_err(|_| "stored a damaged record".to_owned());
            if let Err(what) = stored.and_then(|record| is_stored_as_it_is(&record)) {
                self.world.breaks(what);
            }
        }
        let present = self.world.shared.borrow().get(key).map(|(_, cas)| *cas);
        let is_lost = self.world.losing.get() > 0;
        self.world.losing.set(self.world.losing.get().saturating_sub(1));
        self.world.lost.set(self.world.lost.get() || is_lost);
        if is_lost || present.is_some_and(|present| present != cas.token()) {
            return Err(Lost);
        }
        self.world.write(key, value);
        Ok(())
    }

    fn request_headers(&self) -> Vec<u8> {
        let streams = self.world.streams.borrow();
        let stream = streams.get(&self.world.focus.get());
        stream.map(|stream| stream.headers.clone()).unwrap_or_default()
    }

    fn number(&self, _property: &[&str]) -> Option<u64> {
        self.world.number.get()
    }

    fn has(&self, _property: &[&str]) -> bool {
        self.world.number.get().is_some_and(|number| number % 7 != 0)
    }

    fn bytes(&self, _property: &[&str]) -> Option<Vec<u8>> {
        self.world.number.get().map(|number| number.to_string().into_bytes())
    }

    fn set_path(&self, path: &[u8]) {
        if path.windows(8).any(|part| part == b"api-key=") {
            self.world.breaks("a key goes on to the API".to_owned());
        }
    }

    fn note(&self, _name: &str, _text: &str) {}

    fn count(&self, _metric: Metric, _by: u32) {}

    fn show(&self, _metric: Metric, _value: u64) {}

    fn focus(&self, context: u32) -> bool {
        let streams = self.world.streams.borrow();
        let is_there = context == super::story::ROOT
            || streams.get(&context).is_some_and(|stream| stream.vm == self.vm);
        if is_there {
            self.world.focus.set(context);
        }
        is_there
    }

    fn resume(&self) {
        self.world.resumed.set(true);
        self.world.with_stream("resume", |stream| {
            matches!(stream.phase, Phase::Paused { .. }).then_some(Phase::Going)
        });
    }

    fn reply(&self, reply: &Reply) {
        self.world.replies.borrow_mut().push(reply.status);
        if !(400..=599).contains(&reply.status) {
            self.world.breaks(format!("a refusal with status {}", reply.status));
        }
        self.world.with_stream("reply", |stream| {
            let is_late = matches!(stream.phase, Phase::Paused { .. });
            self.world.answered_late.set(self.world.answered_late.get() || is_late);
            matches!(stream.phase, Phase::Asked | Phase::Paused { .. }).then_some(Phase::Answered)
        });
    }

    fn post(&self, post: host::Post<'_>) -> Option<u32> {
        if self.world.refused_calls.get() > 0 {
            self.world.refused_calls.set(self.world.refused_calls.get() - 1);
            return None;
        }
        let token = self.world.last_token.get() + 1;
        self.world.last_token.set(token);
        let (vm, body) = (self.vm, post.body.to_vec());
        self.world.posts.borrow_mut().push(Post { vm, token, body, is_judged: false });
        Some(token)
    }

    fn answer_status(&self) -> Option<u16> {
        self.world.answer.borrow().0
    }

    fn answer_body(&self, max: usize) -> Vec<u8> {
        let answer = self.world.answer.borrow();
        answer.1.get(..max).unwrap_or(&answer.1).to_vec()
    }

    fn log(&self, _level: Level, _line: &str) {}
}
