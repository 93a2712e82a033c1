//! Answers of the gate itself: RFC 9457 problem details with a stable `reason`, and in the same
//! body what clients of Azure API Management look for (`statusCode`, `message`).

use serde::Serialize;
use tollgate_pricing::gate::KeyPlaces;
use tollgate_pricing::sync::Reason;

use crate::admit::{LimitStatus, Refusal};

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

/// The status a reason is answered with.
pub fn status_of(reason: Reason) -> u16 {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(rename = "statusCode")]
    status_code: u16,
    message: &'a str,
}

impl Reply {
    /// The answer for a refusal.
    pub fn new(refusal: &Refusal, places: Option<&KeyPlaces>) -> Self {
        let status = status_of(refusal.reason);
        let wait_seconds = refusal.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1));
        let message = message(refusal.reason, wait_seconds.unwrap_or(0));
        let problem = Problem {
            title: title(refusal.reason),
            status,
            detail: &message,
            reason: refusal.reason,
            limit: refusal.limit.as_deref(),
            status_code: status,
            message: &message,
        };
        let mut headers = vec![("content-type", "application/problem+json".to_owned())];
        if let Some(seconds) = wait_seconds {
            headers.push(("retry-after", seconds.to_string()));
        }
        if let Some(places) = places.filter(|_| status == 401) {
            let scheme = format!("ApiKey name=\"{}\", in=\"header\"", places.header);
            headers.push(("www-authenticate", scheme));
        }
        if !refusal.limits.is_empty() {
            headers.push(("ratelimit-policy", list(&refusal.limits, policy)));
            headers.push(("ratelimit", list(&refusal.limits, standing)));
        }
        let detail = match refusal.reason {
            Reason::RateLimited => "tollgate_rate_limited",
            Reason::QuotaExceeded => "tollgate_quota_exceeded",
            _ => "tollgate_refused",
        };
        let mut body = serde_json::to_vec(&problem).unwrap_or_default();
        body.push(b'\n'); // for whoever reads it in a terminal
        Self { status, detail, headers, body }
    }
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

fn message(reason: Reason, wait_seconds: u64) -> String {
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
        Reason::BadRequest => "The request's path cannot be read without ambiguity.".to_owned(),
        Reason::RateLimited => {
            format!("Rate limit is exceeded. Try again in {wait_seconds} seconds.")
        }
        Reason::QuotaExceeded => format!(
            "Out of call volume quota. Quota will be replenished in {}.",
            clock(wait_seconds)
        ),
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

fn policy(limit: &LimitStatus) -> String {
    format!("q={};w={}", limit.quota, limit.window_seconds)
}

fn standing(limit: &LimitStatus) -> String {
    format!("r={};t={}", limit.remaining, limit.reset_ms.div_ceil(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_reads_like_this() {
        let limit = |id: &str, quota, remaining, reset_ms| LimitStatus {
            id: id.to_owned(),
            quota,
            window_seconds: 60,
            remaining,
            reset_ms,
        };
        let refusal = Refusal {
            reason: Reason::RateLimited,
            limit: Some("per-minute".to_owned()),
            retry_after_ms: Some(11_001),
            limits: vec![limit("per-minute", 100, 0, 11_001), limit("monthly", 5_000, 17, 0)],
        };
        let reply = Reply::new(&refusal, None);
        let headers: Vec<String> =
            reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let body = String::from_utf8(reply.body).unwrap();
        insta::assert_snapshot!(format!("{}\n{}\n\n{body}", reply.status, headers.join("\n")), @r#"
        429
        content-type: application/problem+json
        retry-after: 12
        ratelimit-policy: "per-minute";q=100;w=60, "monthly";q=5000;w=60
        ratelimit: "per-minute";r=0;t=12, "monthly";r=17;t=0

        {"title":"Rate limit reached","status":429,"detail":"Rate limit is exceeded. Try again in 12 seconds.","reason":"rate_limited","limit":"per-minute","statusCode":429,"message":"Rate limit is exceeded. Try again in 12 seconds."}
        "#);
    }

    #[test]
    fn a_wait_reads_as_a_clock() {
        let check = |seconds, text: &str| assert_eq!(clock(seconds), text);
        check(0, "00:00:00");
        check(61, "00:01:01");
        check(86_399, "23:59:59");
        check(2_592_000, "30.00:00:00");
    }
}
