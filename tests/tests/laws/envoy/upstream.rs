//! An API that behaves badly on purpose, by the path it is called at: it fails, moves, never
//! answers, and stops in the middle of an answer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Fails twice and then answers.
pub(super) const FLAKY: &str = "/weather/retried/flaky";
/// Fails each time.
pub(super) const BROKEN: &str = "/weather/retried/broken";
/// Answers with a redirect to [`THERE`].
pub(super) const MOVED: &str = "/weather/moved";
/// Answers.
pub(super) const THERE: &str = "/weather/there";
/// Reads the request and never answers.
pub(super) const SILENT: &str = "/weather/silent";
/// Begins an answer, and never ends it.
pub(super) const HALF: &str = "/weather/half";
/// What there is of an answer at [`HALF`].
pub(super) const HALF_AN_ANSWER: &str = "this is half of an answer";

type Counts = BTreeMap<String, u64>;

/// It runs as long as the tests do: threads of a test's process need no end.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Mutex<Counts>>::default();
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, counts) = (connection.unwrap(), Arc::clone(&shared));
                thread::spawn(move || serve(&connection, &counts));
            }
        });
        Self { address, counts }
    }

    /// How often it was asked at a path.
    pub(super) fn asked(&self, path: &str) -> u64 {
        self.counts.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

/// Answers one request. Then the connection is closed; a silent one lasts until Envoy closes it.
fn serve(mut connection: &TcpStream, counts: &Mutex<Counts>) {
    let mut lines = BufReader::new(connection).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let path = first.split(' ').nth(1).unwrap().to_owned();
    let headers: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let count = {
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(path.clone()).or_default();
        *count += 1;
        *count
    };
    let head = |status: &str, more: &str, bytes: usize| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{more}content-length: {bytes}\r\n\r\n")
    };
    let answer = match path.as_str() {
        FLAKY if count < 3 => head("503 Not Yet", "", 0),
        BROKEN => head("503 Never", "", 0),
        MOVED => {
            let host = headers.iter().find_map(|line| line.strip_prefix("host: ")).unwrap();
            head("302 Found", &format!("location: http://{host}{THERE}\r\n"), 0)
        }
        SILENT => String::new(),
        HALF => head("200 OK", "", HALF_AN_ANSWER.len() * 2) + HALF_AN_ANSWER,
        _ => head("200 OK", "", 2) + "ok",
    };
    // Envoy may have gone away: that is what some of this is for.
    let _ = connection.write_all(answer.as_bytes());
    if matches!(path.as_str(), SILENT | HALF) {
        let _ = connection.read_to_end(&mut Vec::new());
    }
}
