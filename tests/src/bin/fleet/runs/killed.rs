//! Both Envoys die midway through a quota: nothing is sold twice, and what is lost is shown.

use std::time::Duration;

use serde_json::Value;
use tollgate_pricing::sync::Reason;
use tollgate_tests::signals;

use super::quota::{PRODUCT, QUOTA, wait_until_used_up};
use super::{CONNECTIONS, tally};
use crate::How;
use crate::failure::Failure;
use crate::load::{Answer, Call, Load};
use crate::report::Report;
use crate::stage::{Stage, wait_until};
use crate::time::{self, Ns};

/// Where in the quota they die.
const MIDWAY: u64 = 4_000;
const REACHED_WITHIN: Duration = Duration::from_mins(1);
/// A process is taken for gone after a minute of silence.
const SILENT_AFTER: Duration = Duration::from_secs(64);
/// Calls go on for longer than the host waits for those that were seen lately.
const AFTERWARDS: Duration = Duration::from_secs(8);

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let owner = stage.subscribe(PRODUCT)?;
    let load = Load::start(&stage.callers_everywhere(&owner, CONNECTIONS, Duration::ZERO)?)?;
    wait_until("the calls before the crash", REACHED_WITHIN, || {
        Ok(load.answered_by_api() >= MIDWAY)
    })?;
    stage.kill_gateways();
    let died = time::now();
    let before = load.stop();
    report.tell("answers before the crash", tally(before.iter().filter(|it| it.answered < died)));
    let reached_before = stage.counted(&owner);
    report.check(
        "calls that reached the API before the crash",
        format!("< {QUOTA}"),
        reached_before.to_string(),
        reached_before < QUOTA,
    );

    stage.restart_gateways()?;
    let load = Load::start(&stage.callers_everywhere(&owner, CONNECTIONS, Duration::ZERO)?)?;
    wait_until_used_up(&load)?;
    signals::pause(AFTERWARDS)?;
    let after = load.stop();
    report.tell("answers after the restart", tally(&after));
    let known = |call: &&Call| {
        matches!(call.answer, Answer::Api(200) | Answer::Gate(_, Reason::QuotaExceeded))
    };
    let other = after.iter().filter(|call| !known(call));
    report.none("after it, answers that are neither 200 nor quota_exceeded", &tally(other));

    let reached = stage.counted(&owner);
    report.at_most("calls that reached the API, before and after", QUOTA, reached);
    let stranded = wait_for_stranded(stage, died)?;
    report.tell("units that `gateways list` shows as stranded", stranded.to_string());
    report.at_least(
        format!("the same, and {QUOTA} less what is shown as stranded"),
        QUOTA.saturating_sub(stranded),
        reached,
    );
    Ok(())
}

/// What `gateways list` shows as stranded once the dead processes are taken for gone.
fn wait_for_stranded(stage: &Stage, died: Ns) -> Result<u64, Failure> {
    let since = Duration::from_nanos(time::now().saturating_sub(died));
    signals::pause(SILENT_AFTER.saturating_sub(since))?;
    let gateways: Value = stage.host.ask(&["gateways", "list"])?;
    let nothing =
        || Failure::Unexpected(format!("`gateways list` tells nothing stranded: {gateways}"));
    stranded(&gateways).ok_or_else(nothing)
}

/// The sum of all numbers under a name that begins with `stranded`.
fn stranded(value: &Value) -> Option<u64> {
    let sum = |found: Option<u64>, more: Option<u64>| match (found, more) {
        (None, None) => None,
        (found, more) => Some(found.unwrap_or(0) + more.unwrap_or(0)),
    };
    match value {
        Value::Array(items) => items.iter().map(stranded).fold(None, sum),
        Value::Object(fields) => {
            let of_field = |(name, value): (&String, &Value)| match value.as_u64() {
                Some(units) if name.starts_with("stranded") => Some(units),
                _ => stranded(value),
            };
            fields.iter().map(of_field).fold(None, sum)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stranded_units_are_found_wherever_they_are_shown() {
        let check = |text: &str, expected| {
            assert_eq!(stranded(&serde_json::from_str(text).unwrap()), expected, "{text}");
        };
        check("[]", None);
        check(r#"[{"name": "east", "live_boots": 3}]"#, None);
        check(r#"[{"stranded": 0}]"#, Some(0));
        check(r#"[{"stranded": [{"units": 3}]}]"#, None);
        check(r#"[{"stranded_units": 2}, {"boots": [{"stranded": 3}, {"stranded": 4}]}]"#, Some(9));
    }
}
