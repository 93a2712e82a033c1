//! The host is back: how soon everything is as before, and what was said meanwhile.

use std::time::Duration;

use tollgate_pricing::sync::Reason;
use tollgate_tests::client::{self, Call as OneCall, From};
use tollgate_tests::sample_api::Answer as Wanted;
use tollgate_tests::signals;

use super::{Cast, RECOVERY, SPENT, Times};
use crate::failure::Failure;
use crate::load::{Answer, Call};
use crate::report::Report;
use crate::runs::quota::{billable, to_u64};
use crate::runs::tally;
use crate::stage::{GATEWAYS, Gateway, PATH, Stage, Subscription, wait_until};
use crate::time::{self, Ns};

/// Long past what is promised, so that the figure is found.
const GIVE_UP_AFTER: Duration = Duration::from_secs(20);
const AGAIN_AFTER: Duration = Duration::from_millis(50);
const REPORTED_WITHIN: Duration = Duration::from_secs(15);
/// A gateway's VMs: two workers, and the main thread's.
const VMS: usize = 3;

/// How long after the host's return something worked at each gateway; none if it never did.
pub(super) type News = Vec<Option<Ns>>;

/// A new subscription, and how soon its key works everywhere.
pub(super) fn recover(stage: &Stage, back: Ns) -> Result<News, Failure> {
    let owner = stage.subscribe("unlimited")?;
    let mut news = vec![None; GATEWAYS.len()];
    while news.contains(&None) && time::now() < back + time::span(GIVE_UP_AFTER) {
        for (gateway, worked) in news.iter_mut().enumerate().filter(|(_, it)| it.is_none()) {
            if try_once(stage, &owner, gateway)?.0 == 200 {
                *worked = Some(time::now() - back);
            }
        }
        signals::pause(AGAIN_AFTER)?;
    }
    Ok(news)
}

/// The first call of a key that was made before the outage, and never used, once every VM has had
/// the time it is promised to notice the return.
pub(super) fn first_call(
    stage: &Stage,
    owner: &Subscription,
    back: Ns,
) -> Result<Vec<String>, Failure> {
    while time::now() < back + time::span(RECOVERY) {
        signals::pause(AGAIN_AFTER)?;
    }
    let try_at = |gateway| -> Result<String, Failure> {
        let (status, said) = try_once(stage, owner, gateway)?;
        Ok(if status == 200 { String::new() } else { said })
    };
    let mut wrong: Vec<String> = (0..GATEWAYS.len()).map(try_at).collect::<Result<_, _>>()?;
    wrong.retain(|said| !said.is_empty());
    Ok(wrong)
}

fn try_once(stage: &Stage, owner: &Subscription, gateway: usize) -> Result<(u16, String), Failure> {
    let call = OneCall {
        url: format!("http://{}{PATH}", stage.address(gateway)?),
        key: owner.key.clone(),
        label: owner.id.clone(),
        answer: Wanted::Status(hyper::StatusCode::OK),
    };
    let reply = client::send(&client::agent(Duration::from_secs(10)), &call)?;
    let by_api = reply.from == From::Api;
    Ok((if by_api { reply.status } else { 0 }, format!("{} {:?}", reply.status, reply.from)))
}

pub(super) fn check_news(news: &News, unseen: &[String], report: &mut Report) {
    let within = time::span(RECOVERY);
    for (name, worked) in GATEWAYS.iter().zip(news) {
        let found = worked.map_or_else(|| "never".to_owned(), time::show);
        report.check(
            format!("a new subscription's key works at {name} after the return"),
            format!("<= {}", time::show(within)),
            found,
            worked.is_some_and(|it| it <= within),
        );
    }
    report.none("keys made before the outage, first used after it, refused", &unseen.join(", "));
}

/// Empty leases are filled, and used-up quotas are used up again, three seconds after the return.
pub(super) fn check(at: &str, its: &impl Fn(&str) -> Vec<Call>, times: Times, report: &mut Report) {
    let recovered = times.back + time::span(RECOVERY);
    let calls = its("drained");
    let last = calls.iter().filter(|it| it.answer != Answer::Api(200)).map(|it| it.answered).max();
    let after = last.map_or(0, |last| last.saturating_sub(times.back));
    report.check(
        format!("drained, at {at}: its last refusal after the return"),
        format!("<= {}", time::show(time::span(RECOVERY))),
        time::show(after),
        after <= time::span(RECOVERY) && calls.iter().any(|it| it.sent > recovered),
    );
    for product in SPENT {
        let calls = its(product);
        let settled: Vec<&Call> = calls.iter().filter(|it| it.sent >= recovered).collect();
        let spent = Answer::Gate(403, Reason::QuotaExceeded);
        let other = settled.iter().filter(|it| it.answer != spent).copied();
        let what = format!("{product}, at {at}: not quota_exceeded, 3 s after the return");
        let found = if settled.is_empty() { "no call at all".to_owned() } else { tally(other) };
        report.none(what, &found);
    }
}

/// Each VM says that the host is away, and that it is back: once.
pub(super) fn check_log(at: &str, said: &[String], report: &mut Report) {
    let found = if said.len() <= 2 * VMS {
        said.len().to_string()
    } else {
        let (first, last) = (said.first(), said.last());
        format!("{}: {} … {}", said.len(), short(first), short(last))
    };
    let holds = !said.is_empty() && said.len() <= 2 * VMS;
    report.check(format!("lines in the log of {at}, of {VMS} VMs"), "1..=6", found, holds);
    if let Some(first) = said.first() {
        report.tell(format!("the first of them at {at}"), short(Some(first)));
    }
}

/// Calls of each gateway to the host that failed so far.
pub(super) fn failed_posts(stage: &Stage) -> Vec<u64> {
    let failed = |it: &Gateway| it.envoy.metrics().remove("tollgate_syncs_failed").unwrap_or(0);
    stage.gateways.iter().map(failed).collect()
}

/// While the host is away, each VM tries now and then, and no caller makes it try.
pub(super) fn check_posts(posts: &[u64], outage: Duration, report: &mut Report) {
    // A regular report and one with questions, each again after a second at the earliest.
    let most = 2 * to_u64(VMS) * outage.as_secs();
    for (name, failed) in GATEWAYS.iter().zip(posts) {
        let holds = (1..=most).contains(failed);
        let what = format!("posts of {name} that failed meanwhile");
        report.check(what, format!("1..={most}"), failed.to_string(), holds);
    }
}

fn short(line: Option<&String>) -> String {
    let line = line.map_or("", String::as_str);
    let said = line.rsplit_once("wasm log").map_or(line, |(_, said)| said);
    said.chars().take(120).collect()
}

/// Everything that passed is billed, the overdrafts too.
pub(super) fn check_ledger(stage: &Stage, cast: &Cast, report: &mut Report) -> Result<(), Failure> {
    for (product, ..) in super::PARTS {
        let owner = cast.owner(product)?;
        let (reached, mut ledger) = (stage.counted(owner), 0);
        let reported = wait_until("the report of all calls", REPORTED_WITHIN, || {
            ledger = billable(stage, owner)?;
            Ok(ledger == reached)
        });
        match reported {
            Ok(()) | Err(Failure::TooLate { .. }) => {}
            Err(failure) => return Err(failure),
        }
        report.equal(
            format!("{product}: billed, of the calls that reached the API"),
            reached,
            ledger,
        );
    }
    Ok(())
}
