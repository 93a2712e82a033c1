//! Who calls what, and what the plans in `catalogs/demo.yaml` must make of it.

use std::num::NonZeroUsize;

use hyper::StatusCode;
use tollgate_tests::sample_api::Answer;

/// One subscription's calls.
pub(crate) struct Part {
    /// The product it subscribes to.
    pub(crate) product: &'static str,
    /// What it asks the sample API to answer.
    pub(crate) mix: Mix,
    /// Calls at once. With one, the order of the calls is known, and so which of them is refused.
    pub(crate) connections: NonZeroUsize,
    /// Calls its plan refuses.
    pub(crate) refused: Option<Refused>,
}

/// How many answers of each kind to ask for.
#[derive(Clone, Copy)]
pub(crate) struct Mix {
    pub(crate) ok: u32,
    pub(crate) not_found: u32,
    pub(crate) error: u32,
    pub(crate) cut: u32,
}

/// What a plan refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refused {
    pub(crate) calls: u64,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
}

/// The products billed by the minute, whose invoices the demo waits for.
pub(crate) const MINUTE_PREFIX: &str = "minute-";
const ONE: NonZeroUsize = NonZeroUsize::MIN;
const FOUR: NonZeroUsize = ONE.saturating_add(3);
const EIGHT: NonZeroUsize = ONE.saturating_add(7);

#[rustfmt::skip] // A table.
pub(crate) const CAST: [Part; 13] = [
    // The seven reference products. `free` answers only 2xx and has 100 calls in 30 days;
    // `developer` and `basic` have 100 calls a minute, `payg` 200.
    part("free",             mix(105,   0,   0,  0), ONE,   refused(5, 403, "quota_exceeded")),
    part("developer",        mix( 80,  15,  10,  0), ONE,   refused(5, 429, "rate_limited")),
    part("payg",             mix(120,  20,  20, 10), FOUR,  None),
    part("basic",            mix(100,  10,  10,  0), FOUR,  refused(20, 429, "rate_limited")),
    part("standard",         mix(120,  20,  20, 10), FOUR,  None),
    part("pro",              mix(560, 100, 100, 40), EIGHT, None),
    part("enterprise",       mix(860, 140, 100, 20), EIGHT, None),
    // One product a model, billed by the minute.
    part("minute-free",      mix( 15,   5,   3,  2), ONE,   None),
    part("minute-freemium",  mix( 25,   5,   3,  2), FOUR,  None),
    part("minute-metered",   mix( 40,   8,   6,  2), FOUR,  None),
    part("minute-tier",      mix( 50,  10,   0,  0), FOUR,  refused(10, 403, "quota_exceeded")),
    part("minute-overage",   mix( 30,   6,   5,  2), FOUR,  None),
    part("minute-unit",      mix( 22,   3,   4,  1), FOUR,  None),
];

const fn part(
    product: &'static str,
    mix: Mix,
    connections: NonZeroUsize,
    refused: Option<Refused>,
) -> Part {
    Part { product, mix, connections, refused }
}

const fn mix(ok: u32, not_found: u32, error: u32, cut: u32) -> Mix {
    Mix { ok, not_found, error, cut }
}

#[expect(clippy::unnecessary_wraps, reason = "a cell of the table, beside `None`")]
const fn refused(calls: u64, status: u16, reason: &'static str) -> Option<Refused> {
    Some(Refused { calls, status, reason })
}

impl Part {
    /// Whether it is billed by the minute.
    pub(crate) fn by_the_minute(&self) -> bool {
        self.product.starts_with(MINUTE_PREFIX)
    }

    /// Its calls, the kinds mixed.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        let mut left = [
            (Answer::Status(StatusCode::OK), self.mix.ok),
            (Answer::Status(StatusCode::NOT_FOUND), self.mix.not_found),
            (Answer::Status(StatusCode::INTERNAL_SERVER_ERROR), self.mix.error),
            (Answer::Cut, self.mix.cut),
        ];
        let mut answers = Vec::new();
        loop {
            let before = answers.len();
            for (answer, count) in &mut left {
                if *count > 0 {
                    *count -= 1;
                    answers.push(*answer);
                }
            }
            if answers.len() == before {
                return answers;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tollgate_pricing::catalog::Catalog;
    use tollgate_tests::paths;

    use super::*;

    #[test]
    fn the_demo_sells_the_reference_products_and_everything_it_sells_is_called() {
        let read = |name: &str| {
            let text = fs::read_to_string(paths::root().join("catalogs").join(name)).unwrap();
            Catalog::parse(&text).unwrap()
        };
        let (reference, demo) = (read("reference.yaml"), read("demo.yaml"));
        let (monthly, by_the_minute) = demo.products.split_at(reference.products.len());
        assert_eq!(monthly, reference.products);
        assert!(by_the_minute.iter().all(|it| it.id.starts_with(MINUTE_PREFIX)));
        let sold = demo.products.iter().map(|it| it.id.as_str());
        assert!(sold.eq(CAST.iter().map(|part| part.product)));
    }
}
