//! The host is away for half a minute under load: leases carry on, plans decide where none is left,
//! and three seconds after it is back all is as before.

mod after;

use std::time::Duration;

use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::tally;
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Load};
use crate::report::Report;
use crate::stage::{GATEWAYS, Stage, Subscription, wait_until};
use crate::time::{self, Ns};

pub(super) const CATALOG: &str = "
currency: USD
apis: [{ id: weather, path: /weather }]
products:
  - id: covered
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 10000000, period: 30d } }]
    on_outage: deny
  - { id: unlimited, apis: [weather], price: free }
  - id: drained
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 1000000, period: 30d } }]
    on_outage: deny
  - id: deny
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 100, period: 30d } }]
    on_outage: deny
  - id: allow
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 100, period: 30d } }]
    on_outage: allow
  - id: allow-50
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 100, period: 30d } }]
    on_outage: { allow_up_to: 50 }
";
/// As long as the law asks, whatever is quick: shorter is another test.
const OUTAGE: Duration = Duration::from_secs(30);
/// A gateway knows that the host is away when a call to it has failed, or a caller waited in vain.
const NOTICED_WITHIN: Duration = Duration::from_secs(4);
/// After the host is back.
const RECOVERY: Duration = Duration::from_secs(3);
const AFTERWARDS: Duration = Duration::from_secs(8);
/// What the plan of `allow-50` lets pass in each process.
const OVERDRAFT: u64 = 50;
/// Calls before the outage, in thousands of units each gateway will not use up in it.
const WARM_UP: Duration = Duration::from_secs(8);

/// A subscription to each product, called everywhere: 64 connections at each gateway.
pub(super) struct Cast {
    owners: Vec<Subscription>,
}

/// Product, connections at each gateway, and how often each calls: before, and during the outage.
#[rustfmt::skip] // A table.
const PARTS: [(&str, u32, u64, u64); 6] = [
    // Far more before than during: its lease is what a minute needed before.
    ("covered",   32,  20, 200),
    ("unlimited",  8, 100, 100),
    // The other way round.
    ("drained",    6, 1_500, 15),
    ("deny",       6,  50, 150),
    ("allow",      6,  50, 150),
    ("allow-50",   6,  50, 150),
];
/// Those whose quota is used up before.
const SPENT: [&str; 3] = ["deny", "allow", "allow-50"];

/// When what happened.
#[derive(Clone, Copy)]
pub(super) struct Times {
    away: Ns,
    back: Ns,
}

pub(super) fn frozen(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    play(stage, report, |stage| {
        let process = stage.host.process();
        process.freeze().map_err(Failure::io("stop the host"))?;
        let away = time::now();
        signals::pause(OUTAGE)?;
        stage.host.process().thaw().map_err(Failure::io("let the host go on"))?;
        Ok(Times { away, back: time::now() })
    })
}

pub(super) fn killed(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    play(stage, report, |stage| {
        stage.host.process().kill();
        let away = time::now();
        signals::pause(OUTAGE)?;
        stage.restart_host()?;
        Ok(Times { away, back: time::now() })
    })
}

fn play(
    stage: &mut Stage,
    report: &mut Report,
    outage: impl FnOnce(&mut Stage) -> Result<Times, Failure>,
) -> Result<(), Failure> {
    let products = PARTS.iter().map(|(product, ..)| stage.subscribe(product));
    let cast = Cast { owners: products.collect::<Result<_, _>>()? };
    let late = stage.subscribe("covered")?;
    let before = cast.load(stage, |part| part.2)?;
    signals::pause(WARM_UP)?;
    for product in SPENT {
        let owner = cast.owner(product)?;
        wait_until("the end of a quota of 100", WARM_UP, || Ok(stage.counted(owner) == 100))?;
    }
    before.stop();
    let lines: Vec<usize> = stage.gateways.iter_mut().map(|it| it.plugin_lines().len()).collect();

    let load = cast.load(stage, |part| part.3)?;
    signals::pause(Duration::from_secs(1))?;
    let posts = after::failed_posts(stage);
    let times = outage(stage)?;
    let posts = after::failed_posts(stage).into_iter().zip(posts).map(|(now, then)| now - then);
    let posts: Vec<u64> = posts.collect();
    let news = after::recover(stage, times.back)?;
    let unseen = after::first_call(stage, &late, times.back)?;
    signals::pause(AFTERWARDS)?;
    let calls = load.stop();

    for (gateway, name) in GATEWAYS.iter().enumerate() {
        let its = |product: &str| calls_of(&calls, product, gateway);
        check_covered(name, &its, times, report);
        check_spent(stage, name, &its, times, report);
        after::check(name, &its, times, report);
    }
    after::check_news(&news, &unseen, report);
    for (gateway, before) in stage.gateways.iter_mut().zip(lines) {
        let said = gateway.plugin_lines().split_off(before);
        after::check_log(gateway.name, &said, report);
    }
    after::check_posts(&posts, OUTAGE, report);
    after::check_ledger(stage, &cast, report)
}

impl Cast {
    fn load(
        &self,
        stage: &Stage,
        every_ms: impl Fn(&(&str, u32, u64, u64)) -> u64,
    ) -> Result<Load, Failure> {
        let mut callers = Vec::new();
        for (part, owner) in PARTS.iter().zip(&self.owners) {
            let every = Duration::from_millis(every_ms(part));
            callers.extend(stage.callers_everywhere(owner, part.1, every)?);
        }
        Load::start(&callers)
    }

    /// The subscription to this product.
    pub(super) fn owner(&self, product: &str) -> Result<&Subscription, Failure> {
        let mut parts = PARTS.iter().zip(&self.owners);
        let found = parts.find(|(part, _)| part.0 == product).map(|(_, owner)| owner);
        found.ok_or_else(|| Failure::Unexpected(format!("nobody subscribed to {product}")))
    }
}

/// Calls of this product's subscription at a gateway, in the order of sending.
fn calls_of(calls: &[Call], product: &str, gateway: usize) -> Vec<Call> {
    let place = PARTS.iter().position(|part| part.0 == product).unwrap_or(usize::MAX);
    let callers = place.saturating_mul(GATEWAYS.len()).saturating_add(gateway);
    calls.iter().filter(|call| call.callers == callers).copied().collect()
}

/// What leases carry does not notice: at no time, also not when the host comes back.
fn check_covered(at: &str, its: &impl Fn(&str) -> Vec<Call>, times: Times, report: &mut Report) {
    for product in ["covered", "unlimited"] {
        let calls = its(product);
        let during = calls.iter().filter(|it| it.sent >= times.away && it.sent < times.back);
        let during = super::quota::to_u64(during.count());
        let wrong = calls.iter().filter(|call| call.answer != Answer::Api(200));
        report.none(
            format!("{product}, at {at}: not 200, of {during} calls meanwhile"),
            &tally(wrong),
        );
        let took = calls.iter().map(|call| call.answered - call.sent).max().unwrap_or(0);
        report.tell(format!("{product}, at {at}: the longest call"), time::show(took));
    }
}

/// Where nothing is left, the plan's word decides.
fn check_spent(
    stage: &Stage,
    at: &str,
    its: &impl Fn(&str) -> Vec<Call>,
    times: Times,
    report: &mut Report,
) {
    const DENIED: Answer = Answer::Gate(503, Reason::HostUnavailable);
    let noticed = times.away + time::span(NOTICED_WITHIN);
    let during = |product: &str, from: Ns| -> Vec<Call> {
        let within = |call: &Call| call.sent >= from && call.answered < times.back;
        its(product).into_iter().filter(within).collect()
    };
    let passed = |product: &str| {
        let calls = during(product, times.away);
        super::quota::to_u64(stage.reached(&calls).len())
    };

    report.equal(format!("deny, at {at}: passed meanwhile"), 0, passed("deny"));
    let calls = during("deny", noticed);
    let other = calls.iter().filter(|call| call.answer != DENIED);
    report.none(format!("deny, at {at}: not 503, of {} calls", calls.len()), &tally(other));

    let calls = during("allow", noticed);
    let other = calls.iter().filter(|call| call.answer != Answer::Api(200));
    report.none(format!("allow, at {at}: not 200, of {} calls", calls.len()), &tally(other));

    report.equal(format!("allow-50, at {at}: passed meanwhile"), OVERDRAFT, passed("allow-50"));
    let calls = during("allow-50", noticed);
    let other = calls.iter().filter(|it| !matches!(it.answer, Answer::Api(200) | DENIED));
    report.none(format!("allow-50, at {at}: neither 200 nor 503"), &tally(other));

    let calls = its("drained");
    let denied = |call: &&Call| call.answer == DENIED && call.sent < times.back;
    let (some, all) = (calls.iter().filter(denied).count(), calls.len());
    let found = format!("{some} of {all}");
    report.check(
        format!("drained, at {at}: denied when its lease was spent"),
        "> 0",
        found,
        some > 0,
    );
}
