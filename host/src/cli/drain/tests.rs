//! Against an Envoy that answers like one: HTTP over a real connection, time that is played.

use std::cell::{Cell, RefCell};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::sequence::Drained;
use super::*;
use crate::core::gateways::Ended;
use tollgate_pricing::id::Hex128;

const BOOT: u64 = 0x0_0101_0101_0101;

/// What the fake Envoy is, and what it was asked.
#[derive(Clone, Debug)]
struct State {
    boot: Option<u64>,
    undelivered: Option<u64>,
    /// Connections to its listener.
    connections: u64,
    /// Whether its configuration has metrics of them.
    tells_connections: bool,
    /// How many of these are left once listeners are closed.
    stubborn: u64,
    /// What else `/stats` has.
    status: u16,
    /// Looks that it answers after it was told to stop.
    lingers: u32,
    /// Who answers in its place then.
    next: Option<u64>,
    asked: Vec<String>,
    quit: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            boot: Some(BOOT),
            undelivered: Some(0),
            connections: 0,
            tells_connections: true,
            stubborn: 0,
            status: 200,
            lingers: 0,
            next: None,
            asked: Vec::new(),
            quit: false,
        }
    }
}

impl State {
    /// The answer to a request; none if nobody listens any more from then on.
    fn answer(&mut self, request: &str) -> Option<(u16, String)> {
        if request.starts_with("GET /stats?") {
            return self.stats();
        }
        self.asked.push(request.to_owned());
        match request {
            "POST /drain_listeners" => self.connections = self.stubborn,
            "POST /quitquitquit" => {
                self.quit = true;
                if self.lingers == 0 && self.next.is_none() {
                    return None;
                }
            }
            _ => {}
        }
        Some((200, "OK\n".to_owned()))
    }

    fn stats(&mut self) -> Option<(u16, String)> {
        if self.quit && self.lingers > 0 {
            self.lingers -= 1;
        } else if self.quit {
            self.boot = Some(self.next?);
        }
        let mut stats = vec![
            ("listener.admin.downstream_cx_active".to_owned(), 1),
            ("listener.0.0.0.0_1.downstream_cx_active".to_owned(), self.connections),
            ("listener.0.0.0.0_1.worker_0.downstream_cx_active".to_owned(), self.connections),
        ];
        stats.truncate(if self.tells_connections { 3 } else { 1 });
        stats.extend(self.boot.map(|boot| ("wasmcustom.tollgate_boot".to_owned(), boot)));
        let undelivered =
            self.undelivered.map(|n| ("wasmcustom.tollgate_undelivered".to_owned(), n));
        stats.extend(undelivered);
        let stats =
            stats.iter().map(|(name, value)| format!(r#"{{"name":"{name}","value":{value}}}"#));
        let stats = stats.collect::<Vec<_>>().join(",");
        let histograms = r#"{"histograms":{"supported_quantiles":[],"computed_quantiles":[]}}"#;
        Some((self.status, format!(r#"{{"stats":[{stats},{histograms}]}}"#)))
    }
}

/// A fake Envoy that listens until it was stopped.
struct Fake {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                    head.extend(byte);
                }
                let head = String::from_utf8(head).unwrap();
                let request = head.split(" HTTP/").next().unwrap();
                if request == "GET /end-of-test" {
                    return;
                }
                // Like Envoy: it may be gone before it has answered.
                let Some((status, body)) = shared.lock().unwrap().answer(request) else { return };
                let length = body.len();
                let head = format!("content-length: {length}\r\nconnection: close");
                let answer = format!("HTTP/1.1 {status} X\r\n{head}\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { state, address, thread: Some(thread) }
    }

    fn state(&self) -> State {
        self.state.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        // It may be stopped already.
        if let Ok(mut stream) = std::net::TcpStream::connect(self.address) {
            let _ = stream.write_all(b"GET /end-of-test HTTP/1.1\r\n\r\n");
        }
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Drains a fake Envoy for a minute of played time, in which `at` changes it second by second: what
/// came of it, what was asked of Envoy, and what was said.
fn drained(
    state: State,
    at: impl Fn(u64, &mut State),
) -> (Result<Drained, String>, Vec<String>, Vec<String>) {
    let fake = Fake::start(state);
    let url: HostUrl = format!("http://{}", fake.address).parse().unwrap();
    let start = Instant::now();
    let passed = Cell::new(Duration::ZERO);
    let said = RefCell::new(Vec::new());
    let pause = |time: Duration| {
        passed.set(passed.get() + time);
        at(passed.get().as_secs(), &mut fake.state.lock().unwrap());
    };
    let say = |line: &str| said.borrow_mut().push(line.to_owned());
    let now = || start + passed.get();
    let outside = Outside { now: &now, pause: &pause, say: &say };
    let admin = Admin::new(url.clone());
    let drained = Drain { admin: &admin, outside: &outside }.run(Duration::from_mins(1));
    let drained = drained.map_err(|error| error.to_string().replace(&url.to_string(), "URL"));
    (drained, fake.state().asked, said.into_inner())
}

const ALL: [&str; 4] = [
    "POST /drain_listeners?graceful",
    "POST /healthcheck/fail",
    "POST /drain_listeners",
    "POST /quitquitquit",
];

#[expect(clippy::unnecessary_wraps, reason = "compared with what may fail")]
fn gone(connections: u64) -> Result<Drained, String> {
    let connections = Some(connections);
    Ok(Drained { boot: "0010101010101".parse().unwrap(), connections })
}

#[test]
fn it_is_stopped_once_everything_is_delivered() {
    let nothing = |_, _: &mut State| {};
    let (drained_at_once, asked, said) = drained(State::default(), nothing);
    assert_eq!(drained_at_once, gone(0));
    assert_eq!(asked, ALL);
    assert_eq!(said, ["everything is delivered: stopping Envoy"]);

    // It counts down; once more when it was 0 already; and never in two looks before the 13th.
    let left = [9, 5, 5, 0, 3, 0, 2, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0];
    let (waited, asked, said) = drained(State::default(), |second, state: &mut State| {
        let left = left.get(usize::try_from(second).unwrap() - 1);
        state.undelivered = Some(left.copied().unwrap_or(0));
        let asked = state.asked.len();
        assert_eq!(asked > 3, second > 16, "{second}: {asked}");
    });
    assert_eq!((waited, asked.len()), (gone(0), 4));
    let waiting = |n| format!("waiting: {n} not delivered");
    let mut expected: Vec<String> = [9, 5, 3, 2, 1, 1].map(waiting).to_vec();
    expected.push("everything is delivered: stopping Envoy".to_owned());
    assert_eq!(said, expected);

    // No call ever passed the gate.
    let fresh = State { undelivered: None, ..State::default() };
    assert_eq!(drained(fresh, nothing).0, gone(0));
    // Nobody tells whether there are any.
    let silent = State { tells_connections: false, ..State::default() };
    assert_eq!(drained(silent, nothing).0.unwrap().connections, None);
    // Connections that could still bring a call are waited for, a while, and told.
    let busy = State { connections: 7, stubborn: 2, ..State::default() };
    for (closed_after, left) in [(6, 0), (60, 2)] {
        let last = Cell::new(0);
        let at = |second, state: &mut State| {
            last.set(second);
            if second >= closed_after {
                state.connections = 0;
            }
        };
        assert_eq!(drained(busy.clone(), at).0, gone(left), "{closed_after}");
        assert!((6..15).contains(&last.get()), "{}", last.get());
    }
}

#[test]
fn what_is_not_delivered_is_not_stopped() {
    let nothing = |_, _: &mut State| {};
    let (failed, asked, _) = drained(State { undelivered: Some(3), ..State::default() }, nothing);
    insta::assert_snapshot!(failed.unwrap_err(), @"3 calls and records are not delivered after 60s, and nothing was stopped: is the host up, and has the traffic moved away? The listeners go on draining; run this again");
    assert_eq!(asked, ALL[..2]);
    // It is 0 every other second: traffic goes on.
    let (failed, asked, _) = drained(State::default(), |second, state: &mut State| {
        state.undelivered = Some(second % 2);
    });
    assert!(failed.unwrap_err().contains("nothing was stopped"));
    assert_eq!(asked, ALL[..2]);
}

#[test]
fn an_envoy_without_the_metric_is_left_alone() {
    let nothing = |_, _: &mut State| {};
    let (failed, asked, _) =
        drained(State { boot: None, undelivered: None, ..State::default() }, nothing);
    insta::assert_snapshot!(failed.unwrap_err(), @"no tollgate gate reports in this Envoy: none of its workers has loaded the plugin, the plugin is of a version before this command, or this is another Envoy. Nothing was stopped: what an older plugin has not delivered is lost when you stop it, so wait until its calls have ended and 3 s more");
    assert!(asked.is_empty());
    let (failed, asked, _) = drained(State { status: 404, ..State::default() }, nothing);
    assert!(failed.unwrap_err().starts_with("what answers at URL is no Envoy admin: HTTP status"));
    assert!(asked.is_empty());
    // Another process begins in its place meanwhile: it is not stopped for the first.
    let (failed, asked, _) = drained(State::default(), |second, state: &mut State| {
        if second == 2 {
            state.boot = Some(7);
        }
    });
    assert!(failed.unwrap_err().starts_with("another process answers at the admin address"));
    assert_eq!(asked, ALL[..2]);
}

#[test]
fn it_is_gone_when_nobody_listens_or_another_does() {
    let nothing = |_, _: &mut State| {};
    for lingers in [1, 5] {
        assert_eq!(drained(State { lingers, ..State::default() }, nothing).0, gone(0));
    }
    assert_eq!(drained(State { next: Some(7), ..State::default() }, nothing).0, gone(0));
    let (failed, asked, _) = drained(State { lingers: 1_000, ..State::default() }, nothing);
    insta::assert_snapshot!(failed.unwrap_err(), @"
    Envoy was told to stop and is not seen to have ended after 30s: once it has, tell the host with
      tollgate gateways ended 0010101010101
    ");
    assert_eq!(asked, ALL);
    let nobody = Admin::new("http://127.0.0.1:1".parse().unwrap());
    let outside = Outside { now: &clock::instant, pause: &|_| {}, say: &|_| {} };
    let refused = Drain { admin: &nobody, outside: &outside }.run(Duration::ZERO).unwrap_err();
    let expected = "nobody answers at http://127.0.0.1:1: expected Envoy's admin address; nothing \
                    was stopped";
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn what_became_of_it_is_told() {
    let ended =
        Ended { boot: Hex128([1; 16]), gateway: "edge".to_owned(), units: 7, delivered: true };
    let stopped = Stopped {
        boot: "0101010101010".to_owned(),
        delivered: true,
        connections: Some(0),
        ended: Some(ended.clone()),
        not_told: None,
    };
    insta::assert_snapshot!(text(&stopped), @r"
    Envoy has stopped (process 0101010101010). All it had counted was delivered.
    The host has given its 7 units to others.
    ");
    let unknown = Stopped { ended: None, ..stopped.clone() };
    insta::assert_snapshot!(text(&unknown), @r"
    Envoy has stopped (process 0101010101010). All it had counted was delivered.
    The host never heard of it.
    ");
    let why = Some("nobody is there".to_owned());
    let away = Stopped { ended: None, not_told: why, ..stopped.clone() };
    insta::assert_snapshot!(text(&away), @r"
    Envoy has stopped (process 0101010101010). All it had counted was delivered.

    The host was not told (nobody is there).
    Tell it later:
      tollgate gateways ended 0101010101010 --delivered
    ");
    let ended = Some(Ended { delivered: false, ..ended });
    let open = Stopped { delivered: false, connections: Some(2), ended, ..stopped };
    insta::assert_snapshot!(text(&open), @r"
    Envoy has stopped (process 0101010101010). All it had counted was delivered.

    2 connections were open: a call may have come at the last moment. Its log tells
    of it in lines with the word TOLLGATE-SPILL-1: `tollgate ingest-spill FILE`.
    Until then the host keeps its 7 units, or until `tollgate gateways forget`.
    ");
}

#[test]
fn addresses_and_times_as_they_are_written() {
    for (text, url) in [
        ("127.0.0.1:9901", Some("http://127.0.0.1:9901")),
        ("envoy-1:9901", Some("http://envoy-1:9901")),
        ("http://envoy-1:9901/", Some("http://envoy-1:9901")),
        ("[::1]:9901", Some("http://[::1]:9901")),
        ("https://envoy-1:9901", None),
        ("envoy-1:9901/stats", None),
        ("", None),
    ] {
        assert_eq!(address(text).ok().map(|url| url.to_string()).as_deref(), url, "{text}");
    }
    for (text, seconds) in [("60s", Some(60)), ("2m", Some(120)), ("0s", Some(0)), ("-1s", None)] {
        assert_eq!(duration(text).ok().map(|time| time.as_secs()), seconds, "{text}");
    }
    assert!(duration("60").is_err());
}
