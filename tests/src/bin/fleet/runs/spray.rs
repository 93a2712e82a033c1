//! Invented keys by the thousand while paying traffic flows: it loses nothing, and a key that is
//! new to the gateway still is answered at once.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tollgate_pricing::key::KeySecrets;
use tollgate_tests::client::{self, Call as OneCall, From};
use tollgate_tests::sample_api::Answer as Wanted;
use tollgate_tests::signals;

use super::quota::to_u64;
use super::{CONNECTIONS, tally};
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Keys, Load};
use crate::report::Report;
use crate::stage::{GATEWAYS, PATH, Stage, Subscription};
use crate::time;

pub(super) const CATALOG: &str = "
currency: USD
apis: [{ id: weather, path: /weather }]
products:
  - id: paying
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 1000000, period: 30d } }]
";
/// The same, where consumers bring keys of their own, so that no key is nonsense by its look.
pub(super) const IMPORTED: &str = "
currency: USD
key: { header: X-Api-Key, imported: true }
apis: [{ id: weather, path: /weather }]
products:
  - id: paying
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 1000000, period: 30d } }]
";
/// Random keys in a second, over both gateways: so many must come, and so many are tried.
const SPRAYED: u64 = 5_000;
const SPRAY_TRIED: u32 = 5_400;
/// Whoever sprays does not wait: a look-up may take a fifth of a second before it slows this.
const SPRAY_CONNECTIONS: u32 = 512;
/// Paying calls, about a thousand a second.
const PAYING_EVERY: Duration = Duration::from_millis(128);
/// A paying key's first call.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
const COLD_EVERY: Duration = Duration::from_millis(900);

/// Half without a key's form, half with it and a wrong checksum.
pub(super) fn nonsense(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let keys: Keys = Arc::new(|number| {
        let [a, b] = random(number);
        if a & 1 == 0 {
            return format!("{a:016x}-{b:016x}");
        }
        let [c, _] = random(b);
        let checksum = c >> 32;
        format!("tg_{a:016x}{b:016x}{checksum:08x}")
    });
    play(stage, &keys, how, report)
}

/// With the checksum that only this ledger's keys have: each has to be looked up.
pub(super) fn unknown(stage: &mut Stage, how: How, report: &mut Report) -> Result<(), Failure> {
    let secrets = secrets(&stage.data())?;
    let keys: Keys = Arc::new(move |number| {
        let [a, b] = random(number);
        let random = (u128::from(a) << 64) | u128::from(b);
        secrets.write(random.to_be_bytes()).reveal().to_owned()
    });
    play(stage, &keys, how, report)
}

fn play(stage: &Stage, keys: &Keys, how: How, report: &mut Report) -> Result<(), Failure> {
    let owner = stage.subscribe("paying")?;
    let cold = cold_keys(stage, if how.quick { 8 } else { 20 })?;
    let mut callers = stage.callers_everywhere(&owner, CONNECTIONS, PAYING_EVERY)?;
    let paying = callers.len();
    let every = Duration::from_secs(2) * SPRAY_CONNECTIONS / SPRAY_TRIED;
    for mut spray in stage.callers_everywhere(&owner, SPRAY_CONNECTIONS, every)? {
        spray.keys = Arc::clone(keys);
        "spray".clone_into(&mut spray.label);
        callers.push(spray);
    }
    let load = Load::start(&callers)?;
    signals::pause(Duration::from_secs(1))?;
    check_cold(stage, &cold, report)?;
    let (paid, sprayed): (Vec<Call>, Vec<Call>) =
        load.stop().into_iter().partition(|call| call.callers < paying);

    let lost = paid.iter().filter(|call| call.answer != Answer::Api(200));
    report.none("paying calls that were not answered 200", &tally(lost));
    report.equal("paying calls that reached the API", to_u64(paid.len()), stage.counted(&owner));
    let took = paid.iter().map(|call| call.answered - call.sent).max().unwrap_or(0);
    report.tell("the longest that a paying call took", time::show(took));
    let passed = sprayed.iter().filter(|call| matches!(call.answer, Answer::Api(_)));
    report.none("invented keys that passed", &tally(passed));
    let times = || sprayed.iter().map(|call| call.sent);
    let spent = times().max().unwrap_or(0).saturating_sub(times().min().unwrap_or(0));
    let rate = (to_u64(sprayed.len()) * 1_000).checked_div(spent / 1_000_000).unwrap_or(0);
    report.at_least("invented keys sent per second", SPRAYED, rate);
    report.tell("how they were answered", tally(&sprayed));
    Ok(())
}

/// Subscriptions whose keys no gateway has seen.
fn cold_keys(stage: &Stage, count: usize) -> Result<Vec<Subscription>, Failure> {
    (0..count).map(|_| stage.subscribe("paying")).collect()
}

/// First calls of new keys, one after the other, at each gateway in turn.
fn check_cold(stage: &Stage, cold: &[Subscription], report: &mut Report) -> Result<(), Failure> {
    let mut longest = Duration::ZERO;
    let mut wrong = Vec::new();
    for (owner, gateway) in cold.iter().zip((0..GATEWAYS.len()).cycle()) {
        let call = OneCall {
            url: format!("http://{}{PATH}", stage.address(gateway)?),
            key: owner.key.clone(),
            label: owner.id.clone(),
            answer: Wanted::Status(hyper::StatusCode::OK),
        };
        let begun = Instant::now();
        let reply = client::send(&client::agent(Duration::from_secs(10)), &call)?;
        longest = longest.max(begun.elapsed());
        if (reply.status, &reply.from) != (200, &From::Api) {
            wrong.push(format!("{} {:?}", reply.status, reply.from));
        }
        signals::pause(COLD_EVERY)?;
    }
    report.none(format!("of {} new keys, those refused", cold.len()), &wrong.join(", "));
    report.check(
        "the longest that a new key's first call took",
        format!("<= {}", time::show(time::span(FIRST_WITHIN))),
        time::show(time::span(longest)),
        longest <= FIRST_WITHIN,
    );
    Ok(())
}

/// Chance enough for keys that nobody has: a mixed counter, and this process's start.
fn random(number: u64) -> [u64; 2] {
    use std::hash::{BuildHasher as _, RandomState};
    use std::sync::OnceLock;
    static STATE: OnceLock<RandomState> = OnceLock::new();
    let state = STATE.get_or_init(RandomState::new);
    [state.hash_one(number), state.hash_one((number, number))]
}

/// What this ledger's keys are made with, from its data directory.
fn secrets(data: &Path) -> Result<KeySecrets, Failure> {
    let text = fs::read_to_string(data.join("secret")).map_err(Failure::io("read the secret"))?;
    let text = text.trim();
    let mut secret = [0; 32];
    for (place, byte) in secret.iter_mut().enumerate() {
        let digits = text.get(2 * place..2 * place + 2).unwrap_or_default();
        let no_secret = |_| Failure::Unexpected("the ledger's secret is no hex".to_owned());
        *byte = u8::from_str_radix(digits, 16).map_err(no_secret)?;
    }
    Ok(KeySecrets::derive(&secret))
}
