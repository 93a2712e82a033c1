//! The three books of every call: what its caller saw, what the API counted, what the ledger says.

use std::time::Duration;

use serde::Deserialize;
use tollgate_tests::client;

use crate::failure::Failure;
use crate::report::Report;
use crate::stage::{Stage, Subscription, wait_until};

/// A report comes every second; a busy machine takes its time.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);

/// Calls by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    pub(crate) billable: u64,
    pub(crate) waived: u64,
    pub(crate) open: u64,
}

impl Counts {
    fn plus(self, more: Self) -> Self {
        Self {
            admitted: self.admitted + more.admitted,
            billable: self.billable + more.billable,
            waived: self.waived + more.waived,
            open: self.open + more.open,
        }
    }

    /// For people.
    pub(crate) fn show(self) -> String {
        let Self { admitted, billable, waived, open } = self;
        format!("{admitted} = {billable} + {waived} + {open}")
    }

    /// Calls that the API answered, with these statuses.
    pub(crate) fn of(statuses: impl IntoIterator<Item = (u16, u64)>) -> Self {
        let mut counts = Self::default();
        for (status, calls) in statuses {
            counts.admitted += calls;
            if status < 500 {
                counts.billable += calls;
            } else {
                counts.waived += calls;
            }
        }
        counts
    }
}

/// What the API counted under this subscription's label.
pub(crate) fn upstream(stage: &Stage, owner: &Subscription) -> Counts {
    let counts = stage.api.counts();
    let its = counts.iter().filter(|((label, _), _)| *label == owner.id);
    Counts::of(its.map(|((_, status), calls)| (*status, *calls)))
}

/// What the ledger says, over all billing periods.
pub(crate) fn ledger(stage: &Stage, owner: &Subscription) -> Result<Counts, Failure> {
    #[derive(Deserialize)]
    struct Usage {
        periods: Vec<Counts>,
    }
    let usage: Usage = stage.host.ask(&["usage", &owner.id])?;
    Ok(usage.periods.into_iter().fold(Counts::default(), Counts::plus))
}

/// What the ledger says once it says the right thing, or no more comes.
pub(crate) fn settled_ledger(
    stage: &Stage,
    owner: &Subscription,
    is_right: impl Fn(Counts) -> bool,
) -> Result<Counts, Failure> {
    let mut found = Counts::default();
    let reported = wait_until("the report of all calls", REPORTED_WITHIN, || {
        found = ledger(stage, owner)?;
        Ok(is_right(found))
    });
    match reported {
        Ok(()) | Err(Failure::TooLate { .. }) => Ok(found),
        Err(failure) => Err(failure),
    }
}

/// Rows describe each call once: none is missing, none is there twice.
pub(crate) fn check_rows(
    stage: &Stage,
    product: &str,
    owner: &Subscription,
    report: &mut Report,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Detail {
        lines: Vec<Line>,
        unknown: Unknown,
    }
    #[derive(Deserialize)]
    struct Line {
        status: u16,
        billable: u64,
        waived: u64,
    }
    #[derive(Deserialize)]
    struct Unknown {
        billable: i64,
        waived: i64,
    }
    let counts = stage.api.counts();
    let its = counts.iter().filter(|((label, _), _)| *label == owner.id);
    let api: Vec<(u16, u64)> = its.map(|((_, status), calls)| (*status, *calls)).collect();
    let (mut rows, mut unknown) = (Vec::new(), Vec::new());
    let told = wait_until("the rows of all calls", REPORTED_WITHIN, || {
        let detail: Detail = stage.host.ask(&["usage", &owner.id, "--by", "status"])?;
        let lines = detail.lines.iter().filter(|line| line.billable + line.waived > 0);
        rows = lines.map(|line| (line.status, line.billable + line.waived)).collect();
        rows.sort_unstable();
        unknown = vec![detail.unknown.billable, detail.unknown.waived];
        Ok(rows == api && unknown == [0, 0])
    });
    if let Err(failure @ (Failure::Host(_) | Failure::Interrupted(_))) = told {
        return Err(failure);
    }
    let show = |rows: &[(u16, u64)], unknown: i64| {
        let rows: Vec<String> = rows.iter().map(|(status, n)| format!("{n} x {status}")).collect();
        format!("{}, {unknown} unknown", rows.join(", "))
    };
    let (must, unknown_calls) = (show(&api, 0), unknown.iter().sum());
    let holds = rows == api && unknown == [0, 0];
    report.check(format!("{product}: rows"), must, show(&rows, unknown_calls), holds);
    Ok(())
}

/// What somebody must look at.
#[derive(Deserialize)]
pub(crate) struct Health {
    pub(crate) conflicts: u64,
    pub(crate) missing_batches: u64,
}

/// How the host says the ledger is.
pub(crate) fn health(stage: &Stage) -> Result<Health, Failure> {
    let strange = |cause: ureq::Error| Failure::Unexpected(format!("/healthz says: {cause}"));
    let url = format!("http://{}/healthz", stage.host.address());
    let mut answer = client::agent(REPORTED_WITHIN).get(url).call().map_err(strange)?;
    answer.body_mut().read_json().map_err(strange)
}
