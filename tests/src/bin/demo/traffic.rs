//! The calls themselves: all subscribers at once, through Envoy.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use tollgate_tests::client::{self, Call, CallError, From, Reply};
use tollgate_tests::signals;

use crate::failure::Failure;
use crate::ledger::Counters;
use crate::progress::Progress;
use crate::stage::{Stage, Subscriber};

/// What became of one subscriber's calls.
pub(crate) struct Played<'a> {
    pub(crate) subscriber: &'a Subscriber,
    /// In the order of the calls.
    pub(crate) replies: Vec<Reply>,
    pub(crate) tally: Tally,
}

/// Calls, counted by the caller from the answers alone.
pub(crate) struct Tally {
    pub(crate) sent: u64,
    pub(crate) counters: Counters,
    /// Refused calls by status and reason.
    pub(crate) refused_by_reason: BTreeMap<(u16, String), u64>,
    /// All answers by status.
    pub(crate) by_status: BTreeMap<u16, u64>,
}

impl Tally {
    /// Bills by the rule: what was forwarded and did not end in a server error.
    fn of(replies: &[Reply]) -> Self {
        let mut counters = Counters::default();
        let mut refused_by_reason = BTreeMap::new();
        let mut by_status = BTreeMap::new();
        for reply in replies {
            *by_status.entry(reply.status).or_default() += 1;
            if let From::Gate(reason) = &reply.from {
                let kind = (reply.status, reason.clone());
                *refused_by_reason.entry(kind).or_default() += 1;
                counters.refused += 1;
                continue;
            }
            counters.admitted += 1;
            if reply.status < 500 {
                counters.billable += 1;
            } else {
                counters.waived += 1;
            }
        }
        Self { sent: counters.admitted + counters.refused, counters, refused_by_reason, by_status }
    }
}

/// Lets every subscriber make its calls.
pub(crate) fn send<'a>(
    stage: &Stage,
    subscribers: &'a [Subscriber],
) -> Result<Vec<Played<'a>>, Failure> {
    let calls: Vec<Vec<Call>> =
        subscribers.iter().map(|subscriber| calls_of(stage, subscriber)).collect();
    let total: usize = calls.iter().map(Vec::len).sum();
    println!("\nSending {total} calls through Envoy");
    let begun = Instant::now();
    let done = AtomicUsize::new(0);
    let progress = Progress::new();
    let told = |_: &Reply| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress.show(|| bar(done, total));
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let replies: Vec<Result<Vec<Reply>, CallError>> = thread::scope(|scope| {
        let callers: Vec<_> = subscribers
            .iter()
            .zip(&calls)
            .map(|(subscriber, calls)| {
                let connections = subscriber.part.connections;
                let told = &told;
                scope.spawn(move || client::send_all(calls, connections, told))
            })
            .collect();
        let join = |it: thread::ScopedJoinHandle<'_, _>| match it.join() {
            Ok(replies) => replies,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        callers.into_iter().map(join).collect()
    });
    drop(progress);
    println!("  took {:.1} s", begun.elapsed().as_secs_f32());
    subscribers
        .iter()
        .zip(replies)
        .map(|(subscriber, replies)| {
            let replies = replies?;
            Ok(Played { subscriber, tally: Tally::of(&replies), replies })
        })
        .collect()
}

fn calls_of(stage: &Stage, subscriber: &Subscriber) -> Vec<Call> {
    let call = |answer| Call {
        url: stage.url(),
        key: subscriber.subscription.key.clone(),
        label: subscriber.subscription.id.clone(),
        answer,
    };
    subscriber.part.answers().into_iter().map(call).collect()
}

fn bar(done: usize, total: usize) -> String {
    const WIDTH: usize = 40;
    let full = done * WIDTH / total.max(1);
    format!("[{:<WIDTH$}] {done} of {total} calls", "#".repeat(full))
}

/// The first call that the gate refused, counted from 1.
pub(crate) fn first_refused(replies: &[Reply]) -> Option<(u64, &Reply)> {
    let refused = |(_, reply): &(u64, &Reply)| matches!(reply.from, From::Gate(_));
    (1..).zip(replies).find(refused)
}
