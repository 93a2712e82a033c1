//! The service over real connections, on a ledger in memory.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tollgate_pricing::catalog::MAX_TEXT_BYTES;
use tollgate_pricing::id::{Hex128, SubscriptionId};
use tollgate_pricing::sync::{MAX_REQUEST_BYTES, PROTOCOL, SYNC_PATH, SyncAnswer, SyncRequest};

use super::body::SpillAnswer;
use super::host::{Host, Seen};
use super::http::{LIMITS, Limits};
use super::writer::Writer;
use super::{billing, catalog, http, routes};
use crate::client::{Client, HostUrl};
use crate::core::close::{Closed, Waiting, WaitingPeriod};
use crate::core::gateways::{GatewayAdded, ListGateways};
use crate::core::keys::{Key, KeyAdded, RotateKey};
use crate::core::secret::Clear;
use crate::core::subscriptions::{Subscription, SubscriptionAdded};
use crate::core::testing::sealed;
use crate::core::unaccounted::Unaccounted;
use crate::core::usage::UsageReport;
use crate::core::usage::detail::DetailReport;
use crate::core::{Refusal, Request};
use crate::provider::{Provider, Sandbox};
use crate::store::{Birth, Ledger, Store};

const CATALOG: &str = "
currency: USD
apis: [{ id: api, path: /api }]
products:
  - id: basic
    apis: [api]
    every: minute
    price: { tier: { amount: 14.95, included: 500 } }
    limits: [{ id: all, quota: { calls: 500, period: billing } }]
";
/// Longer than anything here takes.
const WAIT: Duration = Duration::from_secs(10);
const OPERATOR: &str = "tgo_03030303030303030303030303030303";

/// A service that runs until it is dropped, which waits for its end.
struct Service {
    address: SocketAddr,
    host: Host,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<()>>,
    ledger: Option<JoinHandle<()>>,
}

impl Service {
    fn start() -> Self {
        Self::within(LIMITS)
    }

    fn within(limits: Limits) -> Self {
        let birth = Birth { ledger: [1; 16], secret: [2; 32], operator: [3; 16] };
        let mut store = Store::in_memory(birth).unwrap();
        catalog::load(&mut store, CATALOG.to_owned()).unwrap();
        let (writer, ledger) = Writer::start(store).unwrap();
        let host = Host {
            writer,
            provider: Arc::new(Mutex::new(Provider::Sandbox(Sandbox::in_memory().unwrap()))),
            seen: Arc::new(Mutex::new(Seen::default())),
            close_grace: SignedDuration::ZERO,
            since: Timestamp::MIN,
        };
        let runtime = Runtime::new().unwrap();
        let local = "127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(super::listen(local)).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = routes::router(host.clone());
        let served = runtime.spawn(http::serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            host,
            runtime,
            stop: Some(stop),
            served: Some(served),
            ledger: Some(ledger),
        }
    }

    fn client(&self) -> Client {
        self.client_with(OPERATOR)
    }

    fn client_with(&self, token: &str) -> Client {
        let url: HostUrl = format!("http://{}", self.address).parse().unwrap();
        Client::new(url, token.to_owned())
    }

    /// Status, content type and body of an answer, whatever it is.
    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String, Value) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", token)
            .body(body.to_owned())
            .unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build()
            .new_agent();
        let mut answer = agent.run(request).unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), kind, answer.body_mut().read_json().unwrap())
    }

    fn stop(&mut self) {
        self.stop.take();
        if let Some(served) = self.served.take() {
            self.runtime.block_on(served).unwrap();
        }
    }

    /// Stops, drops the last way to the ledger, and sees it closed.
    fn end(mut self) {
        self.stop();
        let ledger = self.ledger.take();
        drop(self);
        ledger.unwrap().join().unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Method, path, whose token, body (`large` and `largest` are past limits), status, reason.
const ERRORS: &str = r#"
GET     /                               operator  -               404  no_path
GET     /v1/nothing                     operator  -               404  no_path
DELETE  /v1/usage                       operator  -               405  method_not_allowed
GET     /v1/usage                       nobody    -               401  unauthorized
GET     /v1/usage                       empty     -               401  unauthorized
GET     /v1/usage                       basic     -               401  unauthorized
GET     /v1/usage                       gateway   -               403  wrong_role
GET     /v1/charges                     gateway   -               403  wrong_role
GET     /v1/usage?subscription=17       operator  -               400  invalid
GET     /v1/usage?subscripton=sub_1     operator  -               400  invalid
GET     /v1/usage?subscription=sub_9    operator  -               404  no_subscription
GET     /v1/usage?by=colour             operator  -               400  invalid
GET     /v1/usage?by=status&subscription=sub_9 operator -         404  no_subscription
GET     /v1/usage?by=status             gateway   -               403  wrong_role
GET     /v1/invoices/1                  operator  -               400  invalid
GET     /v1/invoices/2026-000001        operator  -               404  no_invoice
POST    /v1/subscriptions/sub_9/cancel  operator  -               404  no_subscription
DELETE  /v1/keys/key_9                  operator  -               404  no_key
DELETE  /v1/keys/%FF                    operator  -               400  invalid
GET     /v1/subscriptions/sub_9         operator  -               404  no_subscription
POST    /v1/subscriptions/sub_9/approve operator  -               404  no_subscription
POST    /v1/subscriptions/sub_9/reject  operator  -               404  no_subscription
POST    /v1/subscriptions/sub_9/expire  operator  {"at":null}     404  no_subscription
POST    /v1/subscriptions/sub_9/expire  operator  {}              400  invalid
POST    /v1/subscriptions/sub_9/change-plan operator {"product":"b"} 404 no_subscription
POST    /v1/subscriptions/sub_9/override operator {"limit":"a","own":null} 404 no_subscription
POST    /v1/subscriptions/sub_9/override operator {"limit":"a"}   400  invalid
POST    /v1/subscriptions/sub_9/override operator {"limit":"a","own":{"units":0}} 400 invalid
POST    /v1/subscriptions/sub_9/keys/import operator {"keys":[]}  404  no_subscription
POST    /v1/subscriptions/sub_9/keys/import gateway {"keys":[]}   403  wrong_role
POST    /v1/keys/key_9/rotate           operator  {"overlap_seconds":0} 404 no_key
POST    /v1/keys/key_9/rotate           operator  {"overlap_seconds":-1} 400 invalid
POST    /v1/gateways                    operator  -               400  invalid
POST    /v1/gateways                    operator  {"nome":"a"}    400  invalid
POST    /v1/gateways                    operator  {"name":"a"}    409  gateway_exists
POST    /v1/gateways                    operator  large           413  too_large
POST    /v1/sync                        gateway   {}              400  invalid
POST    /v1/sync                        gateway   {"protocol":0}  400  protocol
POST    /v1/sync                        gateway   large           400  invalid
POST    /v1/sync                        gateway   largest         413  too_large
"#;

#[test]
fn every_error_is_a_problem_with_a_stable_reason() {
    let service = Service::start();
    let added: GatewayAdded = service.client().post("/v1/gateways", &json!({"name": "a"})).unwrap();
    for case in ERRORS.trim().lines() {
        let cells: Vec<&str> = case.split_whitespace().collect();
        let [method, path, token, body, status, reason] = cells[..] else {
            panic!("{case}");
        };
        let token = match token {
            "operator" => format!("Bearer {OPERATOR}"),
            "gateway" => format!("bearer {}", added.token.reveal()),
            "nobody" => "Bearer x".to_owned(),
            "empty" => "Bearer ".to_owned(),
            _ => "Basic eDp5".to_owned(),
        };
        let body = match body {
            "-" => String::new(),
            "large" => "x".repeat(64 * 1024 + 1),
            "largest" => "x".repeat(MAX_REQUEST_BYTES + 1),
            body => body.to_owned(),
        };
        let (found, kind, problem) = service.ask(method, path, &token, &body);
        assert_eq!(found.to_string(), status, "{case}: {problem}");
        assert_eq!(problem["reason"], reason, "{case}: {problem}");
        assert_eq!(problem["status"], found, "{case}: {problem}");
        assert_eq!(problem["type"], format!("urn:tollgate:problem:{reason}"));
        assert_eq!(kind, "application/problem+json", "{case}");
    }
    service.end();
}

#[test]
fn an_operator_makes_and_ends_things() {
    let service = Service::start();
    let client = service.client();
    let body = json!({"product": "basic", "consumer": "acme", "name": "first"});
    let added: SubscriptionAdded = client.post("/v1/subscriptions", &body).unwrap();
    assert!(added.key.reveal().starts_with("tg_"));
    let id = added.subscription.id;

    let second: KeyAdded = client.post(&format!("/v1/subscriptions/{id}/keys"), &()).unwrap();
    let revoked: Key = client.delete(&format!("/v1/keys/{}", added.key_id)).unwrap();
    assert!(revoked.revoked.is_some());
    let keys: Vec<Key> = client.get(&format!("/v1/subscriptions/{id}/keys")).unwrap();
    assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [added.key_id, second.id]);

    for (verb, state) in [("suspend", "suspended"), ("resume", "active"), ("cancel", "cancelled")] {
        let path = format!("/v1/subscriptions/{id}/{verb}");
        let (status, _, changed) = service.ask("POST", &path, &format!("Bearer {OPERATOR}"), "");
        assert_eq!((status, &changed["state"]), (200, &json!(state)), "{changed}");
    }
    let all: Vec<Subscription> = client.get("/v1/subscriptions").unwrap();
    assert_eq!(all.len(), 1);
    let refused =
        client.post::<Subscription>(&format!("/v1/subscriptions/{id}/resume"), &()).unwrap_err();
    insta::assert_snapshot!(refused, @"sub_1 has ended");
    let stranger = service.client_with("tgo_x").get::<Value>("/v1/usage").unwrap_err();
    assert!(stranger.to_string().contains("refuses this operator token"), "{stranger}");
    service.end();
}

#[test]
fn an_operator_changes_what_a_subscription_may() {
    let service = Service::start();
    let client = service.client();
    let plans = CATALOG.replace("currency: USD", "currency: USD\nkey: { imported: true }")
        + "  - { id: large, apis: [api], every: minute, price: free }\n";
    let follow = catalog::follow(&service.host, Path::new("shop.yaml"), Ok(plans));
    service.runtime.block_on(follow).unwrap();
    let body = json!({
        "product": "basic", "consumer": "acme", "submitted": true,
        "expires": "2999-01-01T00:00:00Z",
    });
    let added: SubscriptionAdded = client.post("/v1/subscriptions", &body).unwrap();
    let post = |path: &str, body: Value| client.post::<Value>(path, &body).unwrap();
    let on = |verb: &str| format!("/v1/subscriptions/{}/{verb}", added.subscription.id);
    assert_eq!(added.subscription.state.word(), "submitted");
    assert_eq!(post(&on("approve"), json!(null))["state"], "active");
    assert_eq!(post(&on("expire"), json!({"at": null}))["expires"], Value::Null);
    let own = post(&on("override"), json!({"limit": "all", "own": {"units": 7}}));
    assert_eq!(own["in_force"]["quota"]["units"], 7);
    let brought = "from-elsewhere-0123456789";
    let keys = post(&on("keys/import"), json!({"keys": [brought]}));
    assert_eq!(keys[0]["imported"], true);
    let rotated = post("/v1/keys/key_1/rotate", json!({"overlap_seconds": 60}));
    assert_eq!((&rotated["id"], &rotated["old"]["state"]), (&json!("key_3"), &json!("retiring")));
    assert_eq!(
        post("/v1/keys/key_3/rotate", json!({"overlap_seconds": 0}))["old"]["state"],
        "revoked"
    );
    let shown: Value = client.get("/v1/subscriptions/sub_1").unwrap();
    assert_eq!((&shown["id"], &shown["every"]), (&json!("sub_1"), &json!("minute")));
    assert_eq!(
        (&shown["limits"][0]["id"], &shown["limits"][0]["own"]["units"]),
        (&json!("all"), &json!(7))
    );
    assert_eq!(shown["keys"].as_array().map(Vec::len), Some(4));
    let changed = post(&on("change-plan"), json!({"product": "large"}));
    assert_eq!(changed["dropped_overrides"], json!(["all"]));

    // What cannot be read of brought keys is not repeated.
    let token = format!("Bearer {OPERATOR}");
    for body in [json!({"keys": brought}), json!({"keys": [[brought]]}), json!({brought: []})] {
        let (status, _, problem) =
            service.ask("POST", &on("keys/import"), &token, &body.to_string());
        assert_eq!(status, 400);
        assert!(!problem.to_string().contains("elsewhere"), "{problem}");
    }
    service.end();
}

#[test]
fn what_has_run_out_ends_in_its_turn() {
    let service = Service::start();
    let client = service.client();
    let soon = Timestamp::now() + SignedDuration::from_millis(200);
    let body = json!({"product": "basic", "consumer": "acme", "expires": soon});
    let _: SubscriptionAdded = client.post("/v1/subscriptions", &body).unwrap();
    let other = json!({"product": "basic", "consumer": "acme"});
    let other: SubscriptionAdded = client.post("/v1/subscriptions", &other).unwrap();
    let overlap = SignedDuration::from_millis(1);
    let rotate = RotateKey { key: other.key_id, overlap, random: [9; 16] };
    service.runtime.block_on(service.host.writer.ask(rotate)).unwrap();
    let gist = || {
        let all: Vec<Subscription> = client.get("/v1/subscriptions").unwrap();
        let keys: Vec<Key> = client.get("/v1/subscriptions/sub_2/keys").unwrap();
        (all[0].state.word(), keys[0].state.word())
    };
    let begun = std::time::Instant::now();
    while gist() != ("expired", "revoked") {
        service.runtime.block_on(billing::turn(&service.host));
        assert!(begun.elapsed() < WAIT, "{:?}", gist());
    }
    service.end();
}

#[test]
fn a_gateway_syncs_with_its_token() {
    let service = Service::start();
    let added: GatewayAdded = service.client().post("/v1/gateways", &json!({"name": "a"})).unwrap();
    let request = SyncRequest {
        epoch: 1,
        protocol: PROTOCOL,
        boot: Hex128([9; 16]),
        ledger: None,
        since: None,
        catalog: None,
        swept_through_ms: None,
        rows: None,
        records: Vec::new(),
        keys: Vec::new(),
        leases: Vec::new(),
    };
    let gateway = service.client_with(added.token.reveal());
    let answer: SyncAnswer = gateway.post(SYNC_PATH, &request).unwrap();
    assert_eq!(answer.ledger, Hex128([1; 16]));
    assert_eq!(answer.catalog.unwrap().products[0].id, "basic");
    let refused = service.client().post::<SyncAnswer>(SYNC_PATH, &request).unwrap_err();
    assert!(refused.to_string().contains("refuses this operator token"), "{refused}");
    let newer = json!({"protocol": PROTOCOL + 1, "news": []});
    let newer = gateway.post::<SyncAnswer>(SYNC_PATH, &newer).unwrap_err().to_string();
    let both = format!("sync protocol {PROTOCOL}, the gateway's plugin {}: update", PROTOCOL + 1);
    assert!(newer.contains(&both), "{newer}");
    // One that has lost its way tells where the right one is.
    let stranger = gateway.get::<Value>("/v1/usage").unwrap_err().to_string();
    let expected = "refuses this operator token, which is a gateway's: set TOLLGATE_OPERATOR_TOKEN";
    assert!(stranger.contains(expected), "{stranger}");
    service.end();
}

#[test]
fn usage_is_told_four_ways() {
    let service = Service::start();
    for by in ["operation", "status", "country", "hour"] {
        let report: DetailReport = service.client().get(&format!("/v1/usage?by={by}")).unwrap();
        assert_eq!(serde_json::to_value(report.by).unwrap(), json!(by));
    }
    let report: UsageReport = service.client().get("/v1/usage?").unwrap();
    assert_eq!(report, UsageReport::default());
    service.end();
}

/// Leaves no room in the database, or all again.
struct LeaveRoom(Option<u32>);

impl Request for LeaveRoom {
    type Answer = ();

    fn apply(self, ledger: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
        ledger.leave_room(self.0);
        Ok(())
    }
}

#[test]
fn a_full_disk_is_told_and_gone_when_there_is_room() {
    let service = Service::start();
    let room = |pages| service.runtime.block_on(service.host.writer.ask(LeaveRoom(pages))).unwrap();
    let health = || {
        let (status, _, health) = service.ask("GET", "/healthz", "", "");
        assert_eq!(status, 200, "whoever only reads is answered");
        (health["status"].clone(), health["ledger_error"].clone())
    };
    let add = |name: &str| {
        let body = json!({ "name": name }).to_string();
        service.ask("POST", "/v1/gateways", &format!("Bearer {OPERATOR}"), &body)
    };
    assert_eq!(health(), (json!("ok"), Value::Null));
    room(Some(0));
    // Until the pages there are have no room left.
    let refused =
        (0..10_000).map(|n| add(&format!("edge-{n}"))).find(|(status, ..)| *status != 201);
    let (status, _, problem) = refused.unwrap();
    let full = "database or disk is full; make room on the disk";
    assert_eq!((status, &problem["reason"]), (503, &json!("unavailable")));
    assert_eq!(problem["detail"], format!("the ledger's database is not available: {full}"));
    assert_eq!(health(), (json!("attention"), json!(full)));
    room(None);
    assert_eq!(add("edge").0, 201);
    assert_eq!(health(), (json!("ok"), Value::Null));
    service.end();
}

#[test]
fn a_broken_catalog_is_shown_and_the_last_good_one_stays() {
    let service = Service::start();
    let follow = |text: Result<&str, &str>| {
        let text = text.map(str::to_owned).map_err(str::to_owned);
        let path = Path::new("shop.yaml");
        let followed = catalog::follow(&service.host, path, text);
        service.runtime.block_on(followed).unwrap();
        let (status, _, health) = service.ask("GET", "/healthz", "", "");
        assert_eq!(status, 200);
        let field = |name: &str| health[name].clone();
        (field("status"), field("catalog"), field("catalog_error"))
    };
    let (ok, attention) = (json!("ok"), json!("attention"));
    assert_eq!(follow(Ok(CATALOG)), (ok.clone(), json!(1), Value::Null));
    let (status, revision, error) = follow(Ok("currency: USD\n"));
    assert_eq!((status, revision), (attention.clone(), json!(1)));
    assert!(error.as_str().unwrap().starts_with("shop.yaml:"), "{error}");
    let gone = follow(Err("shop.yaml cannot be read: gone"));
    assert_eq!(gone.2, json!("shop.yaml cannot be read: gone"));
    let dearer = CATALOG.replace("14.95", "15.95");
    assert_eq!(follow(Ok(&dearer)), (ok.clone(), json!(2), Value::Null));
    // What `check` finds good is good here.
    let largest = dearer.clone() + &"#".repeat(MAX_TEXT_BYTES - dearer.len());
    assert_eq!(follow(Ok(&largest)), (ok, json!(3), Value::Null));
    service.end();
}

#[test]
fn a_period_that_nobody_can_price_asks_for_attention() {
    let service = Service::start();
    let health = |reason: Option<Waiting>| {
        let waiting = reason.into_iter().map(|reason| WaitingPeriod {
            subscription: SubscriptionId(1),
            period: 1,
            ended: Timestamp::UNIX_EPOCH,
            reason,
        });
        billing::closed(&service.host, &Closed { waiting: waiting.collect(), ..Closed::default() });
        let (_, _, health) = service.ask("GET", "/healthz", "", "");
        ["status", "periods_waiting", "periods_unpriced"].map(|field| health[field].clone())
    };
    let unpriced = Waiting::Unpriced { message: "too much".to_owned() };
    let ok = |waiting: usize| [json!("ok"), json!(waiting), json!(0)];
    assert_eq!(health(Some(Waiting::OpenCalls { calls: 1, until: Timestamp::MAX })), ok(1));
    assert_eq!(health(Some(unpriced)), [json!("attention"), json!(1), json!(1)]);
    assert_eq!(health(None), ok(0));
    service.end();
}

#[test]
fn billing_takes_its_turn() {
    let service = Service::start();
    let client = service.client();
    let body = json!({"product": "basic", "consumer": "acme"});
    let _: SubscriptionAdded = client.post("/v1/subscriptions", &body).unwrap();
    service.runtime.block_on(billing::turn(&service.host));
    // Its first minute has not ended, unless this ran at the end of one.
    let charges: Vec<Value> = client.get("/v1/charges").unwrap();
    assert!(charges.len() <= 1);
    let preview: Value = client.get("/v1/subscriptions/sub_1/invoice-preview").unwrap();
    assert_eq!(preview["total"]["decimal"], "14.95");
    service.end();
}

/// What a client may send before its first request, and then nothing more.
const FIRST_BYTES: [&[u8]; 5] = [
    b"",
    b"P",
    b"GET /healthz HTTP/1.1\r\nhos",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

#[test]
fn connections_without_a_request_are_closed_and_hold_up_nobody() {
    let headers = Duration::from_millis(100);
    let service = Service::within(Limits { connections: FIRST_BYTES.len(), headers, ..LIMITS });
    let silent = FIRST_BYTES.map(|bytes| {
        let mut stream = TcpStream::connect(service.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    });
    // It waits for a place of theirs.
    assert_eq!(service.ask("GET", "/healthz", "", "").0, 200);
    for (mut stream, bytes) in silent.into_iter().zip(FIRST_BYTES) {
        stream.set_read_timeout(Some(WAIT)).unwrap();
        // What is left to read ends, by a reset if it came too late to be read there.
        let end = stream.read_to_end(&mut Vec::new());
        let is_over =
            end.as_ref().map_or_else(|e| e.kind() == ErrorKind::ConnectionReset, |_| true);
        assert!(is_over, "{end:?} after {}", bytes.escape_ascii());
    }
    service.end();
}

/// Holds the ledger's thread: tells that it does, and waits for the end of the channel.
struct Hold(mpsc::Sender<()>, mpsc::Receiver<()>);

impl Request for Hold {
    type Answer = ();

    fn apply(self, _: &mut Ledger<'_>, _: Timestamp) -> Result<(), Refusal> {
        self.0.send(()).unwrap();
        let _ = self.1.recv();
        Ok(())
    }
}

#[test]
fn what_is_answered_late_before_its_turn_is_not_done() {
    let request = Duration::from_millis(100);
    let service = Service::within(Limits { request, ..LIMITS });
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let writer = service.host.writer.clone();
    let holding =
        service.runtime.spawn(async move { writer.ask(Hold(held, released)).await.unwrap() });
    is_held.recv_timeout(WAIT).unwrap();
    let token = format!("Bearer {OPERATOR}");
    let (status, _, problem) = service.ask("POST", "/v1/gateways", &token, r#"{"name":"a"}"#);
    assert_eq!((status, &problem["reason"]), (504, &json!("late")));
    drop(release);
    service.runtime.block_on(holding).unwrap();
    // Not over a connection: its time may be as short again.
    let list = service.host.operator(Clear::new(OPERATOR.to_owned()), ListGateways);
    let gateways = service.runtime.block_on(list).unwrap();
    assert!(gateways.is_empty(), "{gateways:?}");
    service.end();
}

#[test]
fn a_fault_in_a_provider_is_named() {
    let service = Service::start();
    let fault = service.host.provider(|_| panic!("a provider's fault"));
    let problem = service.runtime.block_on(fault).unwrap_err();
    assert_eq!(problem.reason, "fault");
    service.runtime.block_on(service.host.provider(|_| ())).unwrap();
    service.end();
}

#[test]
fn gateways_speak_http_2_without_tls() {
    let service = Service::start();
    let mut stream = TcpStream::connect(service.address).unwrap();
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    stream.write_all(&empty_settings).unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "the first frame is the server's SETTINGS");
    drop(stream);
    service.end();
}

#[test]
fn after_the_end_nobody_answers() {
    let mut service = Service::start();
    let client = service.client();
    assert!(client.get::<Value>("/healthz").is_ok());
    service.stop();
    let error = client.get::<Value>("/healthz").unwrap_err().to_string();
    let url = format!("http://{}", service.address);
    assert!(error.starts_with(&format!("no tollgate answers at {url}: start it")), "{error}");
}

#[test]
fn a_backup_is_made_while_others_are_answered() {
    let service = Service::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("copy.db");
    let ask = |token: &str, file: &Path| {
        let body = json!({ "file": file }).to_string();
        let (status, _, said) =
            service.ask("POST", "/v1/backup", &format!("Bearer {token}"), &body);
        (status, said["reason"].as_str().unwrap_or("done").to_owned())
    };
    assert_eq!(ask("tgg_0", &file), (401, "unauthorized".to_owned()));
    assert_eq!(ask(OPERATOR, Path::new("copy.db")), (400, "invalid".to_owned()));
    assert_eq!(ask(OPERATOR, &file), (200, "done".to_owned()));
    assert_eq!(ask(OPERATOR, &file), (409, "no_backup".to_owned()));
    assert!(std::fs::metadata(&file).unwrap().len() > 0);
    let listed: Vec<Value> = service.client().get("/v1/gateways").unwrap();
    assert_eq!(listed.len(), 0);
}

#[test]
fn silent_processes_are_forgotten_by_name() {
    let service = Service::start();
    let ask = |path: &str, body: &Value| {
        let token = format!("Bearer {OPERATOR}");
        let (status, _, said) = service.ask("POST", path, &token, &body.to_string());
        (status, said["reason"].as_str().unwrap_or("done").to_owned())
    };
    let forget = "/v1/gateways/forget";
    assert_eq!(ask(forget, &json!({ "gateway": "edge" })), (404, "no_gateway".to_owned()));
    ask("/v1/gateways", &json!({ "name": "edge" }));
    assert_eq!(ask(forget, &json!({ "gateway": "edge" })), (200, "done".to_owned()));
    let boot = Hex128([7; 16]);
    let unknown = json!({ "gateway": "edge", "boot": boot });
    assert_eq!(ask(forget, &unknown), (404, "no_boot".to_owned()));
    assert_eq!(ask("/v1/gateways/release", &Value::Null), (409, "nothing_held".to_owned()));
}

/// What a gateway wrote into its log, reported by an operator and by nobody else; and the end of
/// its process.
#[test]
fn a_log_is_reported_and_an_end_is_told() {
    let service = Service::start();
    let client = service.client();
    let named = |name: &str| json!({ "name": name });
    let edge: GatewayAdded = client.post("/v1/gateways", &named("edge")).unwrap();
    let new = json!({ "product": "basic", "consumer": "acme" });
    let added: SubscriptionAdded = client.post("/v1/subscriptions", &new).unwrap();
    let boot = Hex128([9; 16]);
    let spill = |ledger: u8| {
        let spill = json!({
            "boot": boot, "ledger": Hex128([ledger; 16]), "epoch": 0, "at_ms": 1, "rows": null,
            "last": false, "seal": Hex128([0; 16]),
            "records": [{
                "subscription": added.subscription.id.0, "known_until_ms": 0, "leases": [],
                "slots": [{
                    "number": 1, "period": 1, "admitted": 3, "billable": 2, "waived": 1,
                }],
            }],
        });
        sealed(serde_json::from_value(spill).unwrap())
    };
    let body = json!({ "spills": [spill(1), spill(1), spill(7)] });
    let answers: Vec<SpillAnswer> = client.post("/v1/spills", &body).unwrap();
    let told = |answer: &SpillAnswer| match answer {
        SpillAnswer::Ingested(new) => format!("{} new", new.billable),
        SpillAnswer::Refused(problem) => problem.reason.clone(),
    };
    assert_eq!(answers.iter().map(told).collect::<Vec<_>>(), ["2 new", "0 new", "foreign_ledger"]);
    let token = format!("Bearer {}", edge.token.reveal());
    let ask = |path: &str, token: &str, body: &Value| {
        let (status, _, answer) = service.ask("POST", path, token, &body.to_string());
        (status, answer["reason"].as_str().unwrap_or_default().to_owned())
    };
    let ended = json!({ "boot": "0909090909090", "delivered": true });
    for (path, body) in [("/v1/spills", &body), ("/v1/gateways/ended", &ended)] {
        assert_eq!(ask(path, &token, body), (403, "wrong_role".to_owned()), "{path}");
    }
    let operator = format!("Bearer {OPERATOR}");
    let large = json!({ "gateway": "x".repeat(MAX_REQUEST_BYTES), "spills": [] });
    assert_eq!(ask("/v1/spills", &operator, &large), (413, "too_large".to_owned()));

    let unaccounted = || client.get::<Unaccounted>("/v1/usage/unaccounted").unwrap().boots;
    assert_eq!(unaccounted().into_iter().map(|it| it.boot).collect::<Vec<_>>(), [boot]);
    for (boot, expected) in [
        ("0909090909090", (200, "")),
        ("09090909090909090909090909090909", (200, "")),
        ("0909090909091", (404, "no_boot")),
        ("090909090909", (400, "invalid")),
        ("090909090909G", (400, "invalid")),
    ] {
        let body = json!({ "boot": boot, "delivered": true });
        let (status, reason) = ask("/v1/gateways/ended", &operator, &body);
        assert_eq!((status, reason.as_str()), expected, "{boot}");
    }
    assert_eq!(unaccounted(), []);
    service.end();
}
