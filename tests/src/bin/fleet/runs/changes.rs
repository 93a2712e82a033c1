//! What an operator changes is in force at both gateways within two seconds, and stays so.

use std::time::Duration;

use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::tally;
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Load};
use crate::report::Report;
use crate::stage::{GATEWAYS, Stage, Subscription};
use crate::time::{self, Ns};

pub(super) const CATALOG: &str = "
currency: USD
apis:
  - { id: weather, path: /weather }
  - { id: address, path: /address }
products:
  - id: wide
    apis: [weather, address]
    price: free
    limits: [{ id: monthly, quota: { calls: 1000000, period: 30d } }]
  - id: elsewhere
    apis: [address]
    price: free
    limits: [{ id: monthly, quota: { calls: 1000000, period: 30d } }]
  - id: narrow
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 40, period: 30d } }]
";
/// In force everywhere within this time of the command's end.
const EFFECTIVE_WITHIN: Duration = Duration::from_secs(2);
/// How long it is watched after that.
const WATCHED: Duration = Duration::from_secs(7);
/// Calls before the first change: enough to use up what is to be used up, and to warm up the rest.
const BEFORE: Duration = Duration::from_secs(3);
/// With all changes at once, 64 connections on each gateway.
const CONNECTIONS: u32 = 9;
/// So a change is seen to some milliseconds.
const EVERY: Duration = Duration::from_millis(60);

/// A change, and what callers see of it.
struct Change {
    name: &'static str,
    product: &'static str,
    /// Before the callers begin.
    prepare: Option<Words>,
    command: Words,
    before: Answer,
    after: Answer,
}

/// A command's words, from the subscription it is about.
type Words = fn(&Subscription) -> Vec<String>;

const PASSES: Answer = Answer::Api(200);
const SPENT: Answer = Answer::Gate(403, Reason::QuotaExceeded);

#[rustfmt::skip] // A table.
const CHANGES: [Change; 7] = [
    change("a key is revoked", "wide", |it| words(&["keys", "revoke", &it.key_id]),
        PASSES, Answer::Gate(401, Reason::InvalidKey)),
    change("a subscription is suspended", "wide", |it| words(&["subscriptions", "suspend", &it.id]),
        PASSES, Answer::Gate(401, Reason::SubscriptionInactive)),
    Change {
        prepare: Some(|it| words(&["subscriptions", "suspend", &it.id])),
        ..change("a subscription is resumed", "wide", |it| words(&["subscriptions", "resume", &it.id]),
            Answer::Gate(401, Reason::SubscriptionInactive), PASSES)
    },
    change("a subscription is cancelled", "wide", |it| words(&["subscriptions", "cancel", &it.id]),
        PASSES, Answer::Gate(401, Reason::SubscriptionInactive)),
    change("a plan without this API", "wide",
        |it| words(&["subscriptions", "change-plan", &it.id, "--product", "elsewhere"]),
        PASSES, Answer::Gate(401, Reason::ApiNotInProduct)),
    change("a plan with a larger quota", "narrow",
        |it| words(&["subscriptions", "change-plan", &it.id, "--product", "wide"]),
        SPENT, PASSES),
    change("a quota below what is used", "wide",
        |it| words(&["subscriptions", "override", &it.id, "--limit", "monthly", "--units", "10"]),
        PASSES, SPENT),
];

const fn change(
    name: &'static str,
    product: &'static str,
    command: Words,
    before: Answer,
    after: Answer,
) -> Change {
    Change { name, product, prepare: None, command, before, after }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let mut callers = Vec::new();
    let mut owners = Vec::new();
    for change in &CHANGES {
        let owner = stage.subscribe(change.product)?;
        if let Some(prepare) = change.prepare {
            run(stage, &prepare(&owner))?;
        }
        callers.extend(stage.callers_everywhere(&owner, CONNECTIONS, EVERY)?);
        owners.push(owner);
    }
    let load = Load::start(&callers)?;
    signals::pause(BEFORE)?;
    // Begun and ended; a command that does not exist yet is that change's own failure.
    let mut changed: Vec<Result<(Ns, Ns), Failure>> = Vec::new();
    for (change, owner) in CHANGES.iter().zip(&owners) {
        let begun = time::now();
        let done = run(stage, &(change.command)(owner));
        changed.push(done.map(|()| (begun, time::now())));
    }
    signals::pause(EFFECTIVE_WITHIN + WATCHED)?;
    let calls = load.stop();
    for (place, (change, changed)) in CHANGES.iter().zip(changed).enumerate() {
        let (begun, ended) = match changed {
            Ok(times) => times,
            Err(failure) => {
                let said = failure.to_string();
                report.check(change.name, "done", said.lines().next().unwrap_or_default(), false);
                continue;
            }
        };
        for (gateway, name) in GATEWAYS.iter().enumerate() {
            let callers = place * GATEWAYS.len() + gateway;
            let its: Vec<Call> = calls.iter().filter(|it| it.callers == callers).copied().collect();
            check(change, name, &its, begun, ended, report);
        }
    }
    Ok(())
}

fn run(stage: &Stage, words: &[String]) -> Result<(), Failure> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.host.run(&words)?;
    Ok(())
}

/// `calls` are in the order of sending.
fn check(change: &Change, at: &str, calls: &[Call], begun: Ns, ended: Ns, report: &mut Report) {
    let what = format!("{}, at {at}", change.name);
    let before: Vec<&Call> = calls.iter().filter(|it| it.answered < begun).collect();
    // Of a quota that is used up on the way, only the end is so.
    let settled: Vec<&&Call> = before.iter().rev().take(10).collect();
    if settled.is_empty() || settled.iter().any(|it| it.answer != change.before) {
        let found = tally(settled.into_iter().copied());
        report.check(format!("{what}: before"), super::word(change.before), found, false);
    }
    let after = || calls.iter().filter(|call| call.answered >= ended);
    let wrong = || after().filter(|call| call.answer != change.after);
    let last = wrong().map(|call| call.answered - ended).max();
    let within = time::span(EFFECTIVE_WITHIN);
    report.check(
        format!("{what}: the last wrong answer"),
        format!("<= {}", time::show(within)),
        time::show(last.unwrap_or(0)),
        last.is_none_or(|it| it <= within) && after().count() > 0,
    );
    let other = wrong().filter(|call| call.answer != change.before);
    report.none(format!("{what}: neither the old answer nor the new"), &tally(other));
    let flickers = flickers(calls, change.after, begun);
    report.none(format!("{what}: wrong after right on one connection"), &tally(&flickers));
}

/// Wrong answers to calls that were sent after the same connection got a right one. A connection
/// stays with one worker, so these are no race of two.
fn flickers(calls: &[Call], right: Answer, begun: Ns) -> Vec<Call> {
    let mut seen = std::collections::HashSet::new();
    let mut flickers = Vec::new();
    for call in calls.iter().filter(|call| call.sent >= begun) {
        if call.answer == right {
            seen.insert(call.connection);
        } else if seen.contains(&call.connection) {
            flickers.push(*call);
        }
    }
    flickers
}
