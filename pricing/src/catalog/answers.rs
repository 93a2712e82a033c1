//! How refusals are answered.

use crate::gate::Answers;
use crate::sync::Reason;

use super::mistake::Log;
use super::place::Place;

/// Statuses of errors (RFC 9110, 15.5 and 15.6).
const ERRORS: std::ops::RangeInclusive<u64> = 400..=599;
/// Statuses that promise what a refusal does not have: a header that tells more, or that the same
/// call may be sent again at once, which some clients and proxies then do by themselves.
const PROMISES: [(u16, &str); 6] = [
    (405, "a list of methods"),
    (407, "a challenge of a proxy"),
    (408, "that the call may be sent again at once"),
    (421, "that the call may be sent again at once"),
    (425, "that the call may be sent again at once"),
    (426, "a protocol to upgrade to"),
];

/// Reads how refusals are answered.
pub(super) fn answers(place: &Place<'_>, log: &mut Log) -> Option<Answers> {
    let example = "a mapping such as `{ status: { quota_exceeded: 429 } }`";
    place.fields(log, example, |fields, log| {
        let statuses = fields.optional("status").map(|place| statuses(&place, log));
        let headers = fields.optional("rate_limit_headers").map(|place| {
            place.parse(log, "`always` or `refusals`", |text| match text {
                "always" => Some(true),
                "refusals" => Some(false),
                _ => None,
            })
        });
        Some(Answers {
            statuses: statuses.unwrap_or_else(|| Some(Vec::new()))?,
            limits_on_every_answer: headers.unwrap_or(Some(false))?,
        })
    })
}

fn statuses(place: &Place<'_>, log: &mut Log) -> Option<Vec<(Reason, u16)>> {
    let example = "a mapping of reasons and statuses such as `{ quota_exceeded: 429 }`";
    place.fields(log, example, |fields, log| {
        let mut statuses = Vec::new();
        let mut is_good = true;
        for reason in Reason::ALL {
            let Some(place) = fields.optional(reason.as_str()) else { continue };
            match status(reason, &place, log) {
                Some(status) => statuses.push((reason, status)),
                None => is_good = false,
            }
        }
        is_good.then_some(statuses)
    })
}

fn status(reason: Reason, place: &Place<'_>, log: &mut Log) -> Option<u16> {
    let status = u16::try_from(place.number(log, &ERRORS)?).ok()?;
    // The gate's own trouble must not look like the caller's: 4xx is not tried again.
    let is_ours = matches!(reason, Reason::Busy | Reason::HostUnavailable);
    let complaint = match PROMISES.iter().find(|(promise, _)| *promise == status) {
        Some((_, what)) => {
            format!("expected another status, found {status}, which promises {what}")
        }
        None if is_ours && status < 500 => format!(
            "expected a status from 500 to 599, found {status}: `{}` is no fault of the caller",
            reason.as_str()
        ),
        None => return Some(status),
    };
    place.mistake(log, complaint);
    None
}
