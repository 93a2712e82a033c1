//! The proxy-wasm host itself, tested on a small module written by hand.

use std::sync::OnceLock;
use std::time::Duration;

use crate::wasm::{Answer, Clock, Code, End, Process, Progress, Request, Setup, Status};

const SECOND: Duration = Duration::from_secs(1);

fn start() -> Process {
    static SAMPLE: OnceLock<Code> = OnceLock::new();
    start_of(SAMPLE.get_or_init(|| Code::new(include_bytes!("sample.wat")).expect("valid")))
}

fn start_of(code: &'static Code) -> Process {
    let setup = Setup {
        vms: 2,
        vm_configuration: String::new(),
        environment: Vec::new(),
        root_id: "sample".to_owned(),
        seed: 1,
        clock: Clock::default(),
    };
    Process::start(code, setup)
}

/// What VM 0 logged after its workers' start.
fn log_since(process: &Process, mark: usize) -> String {
    let lines = process.log();
    let texts = lines[mark..].iter();
    let texts: Vec<&str> = texts.filter_map(|line| line.split(": ").nth(1)).collect();
    texts.join(" ")
}

#[test]
fn callbacks_come_in_envoys_order() {
    let mut process = start();
    let once = "initialize context vm_start configure";
    assert_eq!(log_since(&process, 0), [once; 3].join(" "), "canary, two workers");

    let mark = process.log().len();
    let stream = process.vm(0).request(Request::get("/"));
    assert_eq!(process.vm(0).progress(stream), Progress::Paused);
    let call = process.calls().remove(0);
    assert_eq!(call.cluster, "elsewhere");
    process.answer(&call, Answer::json(200, "yes"));
    assert_eq!(process.vm(0).progress(stream), Progress::Forwarded);
    process.vm(0).finish(stream, End::Status(404));
    assert_eq!(log_since(&process, mark), "context headers answer log done delete");
    assert_eq!(process.shared_value(b"code"), Some(404_u64.to_le_bytes().to_vec()));
    assert!(process.calls().is_empty());
}

#[test]
fn a_call_ends_in_one_of_the_ways_envoy_has() {
    let check = |what: &str, end: fn(&mut Process), expected: Result<(), u32>| {
        let mut process = start();
        let stream = process.vm(0).request(Request::get("/"));
        end(&mut process);
        let found = match process.vm(0).progress(stream) {
            Progress::Forwarded => Ok(()),
            Progress::Answered(reply) => Err(reply.status),
            other => panic!("{what}: {other:?}"),
        };
        assert_eq!(found, expected, "{what}");
    };
    check("an answer", |p| answer_first(p, Answer::json(200, "yes")), Ok(()));
    check("one without a body", |p| answer_first(p, Answer::json(200, "")), Err(503));
    check("a reset", |p| answer_first(p, Answer::reset()), Err(502));
    check("an answer that Envoy made", |p| answer_first(p, Answer::no_connection()), Ok(()));
    check("time is over: Envoy answers 504", |p| p.advance(SECOND), Ok(()));
    let late = |p: &mut Process| {
        let call = p.calls().remove(0);
        p.answer(&call, Answer::reset());
        p.answer(&call, Answer::json(200, "late"));
    };
    check("the second of two answers reaches nobody", late, Err(502));
}

fn answer_first(process: &mut Process, answer: Answer) {
    let call = process.calls().remove(0);
    process.answer(&call, answer);
}

#[test]
fn a_call_may_be_refused_at_once() {
    let mut process = start();
    process.refuse_calls(Some(Status::BadArgument));
    let stream = process.vm(0).request(Request::get("/"));
    let Progress::Answered(reply) = process.vm(0).progress(stream) else {
        panic!("the sample answers what it may not ask about");
    };
    assert_eq!((reply.status, reply.body), (500, b"no".to_vec()));
    assert_eq!(process.shared_value(b"code"), Some(500_u64.to_le_bytes().to_vec()));
}

#[test]
fn time_passes_only_when_told_and_ticks_are_exact() {
    let mut process = start();
    let before = process.clock();
    process.advance(SECOND - Duration::from_millis(1));
    assert_eq!(process.shared_value(b"ticks"), Some(vec![18]), "two VMs, every 100 ms");
    process.advance(Duration::from_millis(1));
    assert_eq!(process.shared_value(b"ticks"), Some(vec![20]));
    assert_eq!(process.clock().wall, before.wall + SECOND);
    assert_eq!(process.clock().monotonic, before.monotonic + SECOND);
}

#[test]
fn a_trapped_vm_hears_nothing_more_until_its_worker_has_a_new_one() {
    let mut process = start();
    let stream = process.vm(0).request(Request::get("/"));
    let call = process.calls().remove(0);
    process.vm(0).trap_at("proxy_set_shared_data", 1);
    process.advance(SECOND);
    assert!(!process.vm(0).alive());
    assert_eq!(process.vm(0).progress(stream), Progress::Died);
    assert_eq!(process.shared_value(b"ticks"), Some(vec![11]), "10 of VM 1, and one");

    let mark = process.log().len();
    process.answer(&call, Answer::json(200, "yes"));
    process.vm(0).finish(stream, End::Aborted);
    let refused = process.vm(0).request(Request::get("/"));
    assert_eq!(process.vm(0).progress(refused), Progress::Died);
    assert_eq!(log_since(&process, mark), "");

    process.reload(0);
    process.answer(&call, Answer::json(200, "yes"));
    assert_eq!(log_since(&process, mark), "initialize context vm_start configure");
    process.advance(SECOND);
    assert_eq!(process.shared_value(b"ticks"), Some(vec![31]));
}

#[test]
#[should_panic(expected = "the plugin trapped in proxy_on_tick")]
fn a_trap_nobody_asked_for_fails_the_test() {
    static BAD: OnceLock<Code> = OnceLock::new();
    let text = r#"(module
        (import "env" "proxy_set_tick_period_milliseconds" (func $t (param i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
            (i32.eqz (call $t (i32.const 100))))
        (func (export "proxy_on_tick") (param i32) unreachable))"#;
    start_of(BAD.get_or_init(|| Code::new(text).expect("valid"))).advance(SECOND);
}

#[test]
fn an_import_that_no_host_answers_is_named() {
    let text = r#"(module (import "env" "proxy_dance" (func)) (import "x" "y" (global i32)))"#;
    let error = Code::new(text).err().expect("refused");
    assert_eq!(
        error.to_string(),
        "the module imports what this host does not have: env.proxy_dance, x.y"
    );
}
