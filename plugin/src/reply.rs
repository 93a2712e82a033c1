//! Answers of the gate itself: RFC 9457 problem details with a stable `reason`, and in the same
//! body what clients of Azure API Management look for (`statusCode`, `message`).

use serde::Serialize;
use tollgate_pricing::gate::{Answers, GateCatalog};
use tollgate_pricing::sync::Reason;

use crate::admit::{LimitStatus, Refusal};
use crate::request::AUTHORIZATION;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// An answer to a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// What Envoy's access log shows as the response's detail.
    pub detail: &'static str,
    /// Header names and values.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The status a reason is answered with: the catalog's, else the one of Azure API Management.
pub fn status_of(reason: Reason, answers: Option<&Answers>) -> u16 {
    let own = answers.and_then(|answers| {
        answers.statuses.iter().find(|(other, _)| *other == reason).map(|(_, status)| *status)
    });
    own.unwrap_or_else(|| usual_status_of(reason))
}

fn usual_status_of(reason: Reason) -> u16 {
    match reason {
        Reason::BadRequest => 400,
        Reason::MissingKey
        | Reason::InvalidKey
        | Reason::SubscriptionInactive
        | Reason::ApiNotInProduct => 401,
        Reason::QuotaExceeded => 403,
        Reason::NotFound => 404,
        Reason::RateLimited => 429,
        Reason::Busy | Reason::HostUnavailable => 503,
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    reason: Reason,
    #[serde(flatten)]
    by: Option<By<'a>>,
    #[serde(rename = "statusCode")]
    status_code: u16,
    message: &'a str,
}

/// What tells an operator why, and a caller for how long.
#[derive(Serialize)]
struct By<'a> {
    limit: &'a str,
    allowed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

impl Reply {
    /// The answer for a refusal, as the catalog has it, if there is one.
    pub fn new(refusal: &Refusal, catalog: Option<&GateCatalog>) -> Self {
        let reason = refusal.reason;
        let status = status_of(reason, catalog.map(|catalog| &catalog.answers));
        // The ceiling: whoever comes back then is not too early. And never at once.
        let wait_seconds = refusal.retry_after_ns.map(|ns| ns.div_ceil(NANOS_PER_SECOND).max(1));
        let message = message(reason, wait_seconds);
        let by = refusal.by.as_ref().map(|by| By {
            limit: &by.limit,
            allowed: by.allowed,
            used: by.used,
            granted: by.granted,
            until: by.until_ms.and_then(timestamp),
        });
        let problem = Problem {
            title: title(reason),
            status,
            detail: &message,
            reason,
            by,
            status_code: status,
            message: &message,
        };
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        if let Some(seconds) = wait_seconds {
            headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(catalog) = catalog.filter(|_| status == 401) {
            let header = &catalog.key.header;
            let scheme = if header == AUTHORIZATION {
                "Bearer".to_owned()
            } else {
                format!("ApiKey name=\"{header}\", in=\"header\"")
            };
            headers.push(("www-authenticate", scheme));
        }
        if !refusal.limits.is_empty() {
            headers.push(("ratelimit-policy", policies(&refusal.limits)));
            headers.push(("ratelimit", standings(&refusal.limits)));
        }
        let detail = match reason {
            Reason::RateLimited => "tollgate_rate_limited",
            Reason::QuotaExceeded => "tollgate_quota_exceeded",
            _ => "tollgate_refused",
        };
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n'); // for whoever reads it in a terminal
        Self { status, detail, headers, body }
    }
}

/// The value of `RateLimit-Policy`: what each limit allows.
pub fn policies(limits: &[LimitStatus]) -> String {
    list(limits, |limit| {
        let window = limit.window_seconds.map_or(String::new(), |seconds| format!(";w={seconds}"));
        format!("q={}{window}", limit.quota)
    })
}

/// The value of `RateLimit`: how each limit stands.
pub fn standings(limits: &[LimitStatus]) -> String {
    list(limits, |limit| {
        let reset = limit.reset_ms.map(|ms| format!(";t={}", ms.div_ceil(1_000)));
        format!("r={}{}", limit.remaining, reset.unwrap_or_default())
    })
}

fn title(reason: Reason) -> &'static str {
    match reason {
        Reason::MissingKey => "API key missing",
        Reason::InvalidKey => "API key not valid",
        Reason::SubscriptionInactive => "Subscription not active",
        Reason::ApiNotInProduct => "API not part of the product",
        Reason::NotFound => "No such operation",
        Reason::BadRequest => "Request not readable",
        Reason::RateLimited => "Rate limit reached",
        Reason::QuotaExceeded => "Quota used up",
        Reason::Busy => "Too busy",
        Reason::HostUnavailable => "Temporarily unavailable",
    }
}

fn message(reason: Reason, wait_seconds: Option<u64>) -> String {
    match reason {
        Reason::MissingKey => {
            "Access denied due to missing subscription key. Make sure to include \
                               subscription key when making requests to an API."
                .to_owned()
        }
        Reason::InvalidKey | Reason::SubscriptionInactive | Reason::ApiNotInProduct => {
            "Access denied due to invalid subscription key. Make sure to provide a valid key for \
             an active subscription."
                .to_owned()
        }
        Reason::NotFound => "Resource not found".to_owned(),
        Reason::BadRequest => {
            "The request cannot be read without ambiguity: its path, its host or its key has \
             several meanings, or none."
                .to_owned()
        }
        Reason::RateLimited => {
            let seconds = wait_seconds.unwrap_or(1);
            format!("Rate limit is exceeded. Try again in {seconds} seconds.")
        }
        Reason::QuotaExceeded => match wait_seconds {
            Some(seconds) => format!(
                "Out of call volume quota. Quota will be replenished in {}.",
                clock(seconds)
            ),
            // One for a lifetime.
            None => "Out of call volume quota.".to_owned(),
        },
        Reason::Busy => "The gateway is too busy to account for this call. Try again.".to_owned(),
        Reason::HostUnavailable => {
            "The subscription cannot be checked right now. Try again.".to_owned()
        }
    }
}

/// `[d.]hh:mm:ss`
fn clock(seconds: u64) -> String {
    let part = |unit: u64, of: u64| {
        seconds.checked_div(unit).and_then(|whole| whole.checked_rem(of)).unwrap_or(0)
    };
    let days = part(86_400, u64::MAX);
    let days = if days == 0 { String::new() } else { format!("{days}.") };
    format!("{days}{:02}:{:02}:{:02}", part(3_600, 24), part(60, 60), part(1, 60))
}

/// A structured-fields list (RFC 9651), as draft-ietf-httpapi-ratelimit-headers-10 has it. Ids of
/// limits hold no character that would need an escape.
fn list(limits: &[LimitStatus], item: impl Fn(&LimitStatus) -> String) -> String {
    let items: Vec<String> =
        limits.iter().map(|limit| format!("\"{}\";{}", limit.id, item(limit))).collect();
    items.join(", ")
}

/// Unix milliseconds as RFC 3339 has them, down to the second; none past the year 9999.
fn timestamp(unix_ms: u64) -> Option<String> {
    let seconds = unix_ms.div_ceil(1_000);
    let (days, time) = (seconds.checked_div(86_400)?, clock(seconds.checked_rem(86_400)?));
    // Years begin in March here, so that a leap day is the last of its year, and come in spans of
    // 400 that are alike (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let days = days.checked_add(719_468)?;
    let (era, of_era) = (days.checked_div(146_097)?, days.checked_rem(146_097)?);
    let leap_days = of_era
        .checked_div(1_460)?
        .checked_add(of_era.checked_div(146_096)?)?
        .checked_sub(of_era.checked_div(36_524)?)?;
    let year_of_era = of_era.checked_sub(leap_days)?.checked_div(365)?;
    let before = year_of_era
        .checked_mul(365)?
        .checked_add(year_of_era.checked_div(4)?)?
        .checked_sub(year_of_era.checked_div(100)?)?;
    let of_year = of_era.checked_sub(before)?;
    let march = of_year.checked_mul(5)?.checked_add(2)?.checked_div(153)?;
    let first = march.checked_mul(153)?.checked_add(2)?.checked_div(5)?;
    let day = of_year.checked_sub(first)?.checked_add(1)?;
    let month = if march < 10 { march.checked_add(3)? } else { march.checked_sub(9)? };
    let year = era.checked_mul(400)?.checked_add(year_of_era)?;
    let year = year.checked_add(u64::from(month <= 2))?;
    (year <= 9_999).then(|| format!("{year:04}-{month:02}-{day:02}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::RefusedBy;
    use crate::testing::catalog;

    fn limit(id: &str, quota: u64, remaining: u64, reset_ms: Option<u64>) -> LimitStatus {
        let window_seconds = Some(60).filter(|_| id != "lifetime");
        LimitStatus { id: id.to_owned(), quota, window_seconds, remaining, reset_ms }
    }

    fn text(reply: Reply) -> String {
        let headers: Vec<String> =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8(reply.body).unwrap();
        format!("{}\n{}\n\n{body}", reply.status, headers.join("\n"))
    }

    #[test]
    fn a_refusal_reads_like_this() {
        let refusal = Refusal {
            reason: Reason::RateLimited,
            by: Some(Box::new(RefusedBy {
                limit: "per-minute".to_owned(),
                allowed: 100,
                used: Some(100),
                granted: None,
                until_ms: Some(1_800_000_000_001),
            })),
            retry_after_ns: Some(11_000_000_001),
            limits: vec![
                limit("per-minute", 100, 0, Some(11_001)),
                limit("lifetime", 5_000, 17, None),
            ],
        };
        insta::assert_snapshot!(text(Reply::new(&refusal, None)), @r#"
        429
        content-type: application/problem+json
        retry-after: 12
        ratelimit-policy: "per-minute";q=100;w=60, "lifetime";q=5000
        ratelimit: "per-minute";r=0;t=12, "lifetime";r=17

        {"title":"Rate limit reached","status":429,"detail":"Rate limit is exceeded. Try again in 12 seconds.","reason":"rate_limited","limit":"per-minute","allowed":100,"used":100,"until":"2027-01-15T08:00:01Z","statusCode":429,"message":"Rate limit is exceeded. Try again in 12 seconds."}
        "#);
    }

    #[test]
    fn statuses_are_the_catalogs() {
        let mut catalog = catalog(Vec::new());
        catalog.answers.statuses =
            vec![(Reason::QuotaExceeded, 429), (Reason::MissingKey, 403), (Reason::Busy, 401)];
        let check = |reason, status: u16, asks_for_key: bool| {
            let reply = Reply::new(&Refusal::plain(reason), Some(&catalog));
            let asks = reply.headers.iter().any(|(name, _)| *name == "www-authenticate");
            assert_eq!((reply.status, asks), (status, asks_for_key), "{reason:?}");
            let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(
                (body["status"].as_u64(), body["statusCode"].as_u64()),
                (Some(status.into()), Some(status.into()))
            );
        };
        check(Reason::QuotaExceeded, 429, false);
        check(Reason::MissingKey, 403, false);
        check(Reason::Busy, 401, true);
        check(Reason::InvalidKey, 401, true);
        check(Reason::RateLimited, 429, false);
    }

    #[test]
    fn one_comes_back_after_whole_seconds_and_never_at_once() {
        let check = |wait_ns: Option<u64>, expected: Option<&str>| {
            let refusal =
                Refusal { retry_after_ns: wait_ns, ..Refusal::plain(Reason::QuotaExceeded) };
            let reply = Reply::new(&refusal, None);
            let found = reply.headers.iter().find(|(name, _)| *name == "retry-after");
            assert_eq!(found.map(|(_, value)| value.as_str()), expected);
        };
        check(None, None);
        check(Some(0), Some("1"));
        check(Some(1), Some("1"));
        check(Some(1_000_000_000), Some("1"));
        check(Some(1_000_000_001), Some("2"));
        check(Some(u64::MAX), Some("18446744074"));
    }

    #[test]
    fn a_wait_reads_as_a_clock() {
        let check = |seconds, text: &str| assert_eq!(clock(seconds), text);
        check(0, "00:00:00");
        check(61, "00:01:01");
        check(86_399, "23:59:59");
        check(2_592_000, "30.00:00:00");
    }

    #[test]
    fn an_end_reads_as_a_date() {
        let check = |unix_ms, text: Option<&str>| {
            assert_eq!(timestamp(unix_ms).as_deref(), text, "{unix_ms}");
        };
        check(0, Some("1970-01-01T00:00:00Z"));
        check(951_782_400_000, Some("2000-02-29T00:00:00Z"));
        check(951_868_799_001, Some("2000-03-01T00:00:00Z"));
        check(1_709_164_799_000, Some("2024-02-28T23:59:59Z"));
        check(4_107_542_400_000, Some("2100-03-01T00:00:00Z"));
        check(253_402_300_799_000, Some("9999-12-31T23:59:59Z"));
        check(253_402_300_799_001, None);
        check(u64::MAX, None);
    }
}
