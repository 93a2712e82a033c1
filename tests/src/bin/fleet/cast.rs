//! Who calls, and what for: a subscription to each of some products, and its callers everywhere.
//!
//! They ask for a known mix of answers, so that some calls are billed and some waived.

use std::time::Duration;

use tollgate_tests::sample_api::ANSWER;

use crate::books::{Counts, Health, check_rows, health, settled_ledger, upstream};
use crate::failure::Failure;
use crate::load::{Answer, Call, Callers};
use crate::report::Report;
use crate::stage::{GATEWAYS, Stage, Subscription};

/// Products of every kind of cover a call may have. What is `covered` passes while the host is away.
pub(crate) const CATALOG: &str = "
currency: USD
apis: [{ id: weather, path: /weather }]
products:
  - id: hard
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 10000000, period: 30d } }]
  - id: covered
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 10000000, period: 30d } }]
    on_outage: allow
  - id: soft
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 100, period: 30d }, soft: true }]
  - { id: unlimited, apis: [weather], price: free }
  - { id: minutely, apis: [weather], every: 1 minute, price: { metered: { amount: 0.01 } } }
  - id: small
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 600, period: 30d } }]
";
/// Those whose calls pass whatever becomes of the host.
pub(crate) const PRODUCTS: [&str; 4] = ["covered", "soft", "unlimited", "minutely"];

/// Connections of each subscription at each gateway, and how often each calls.
const CONNECTIONS: u32 = 4;
const EVERY: Duration = Duration::from_millis(80);
/// Of 16 calls about 14 are answered 200, one 404, which is billed, and one 500, which is not.
pub(crate) fn mix(number: u64) -> &'static [(&'static str, &'static str)] {
    // Fibonacci hashing: callers take turns, and would each get the same answer again and again.
    match number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60 {
        3 => &[(ANSWER, "404")],
        9 => &[(ANSWER, "500")],
        _ => &[],
    }
}

/// A subscription to each of some products, and its callers at every gateway.
pub(crate) struct Cast {
    owners: Vec<(&'static str, Subscription)>,
}

impl Cast {
    /// Makes the subscriptions.
    pub(crate) fn subscribe(stage: &Stage, products: &[&'static str]) -> Result<Self, Failure> {
        let each = products.iter().map(|product| Ok((*product, stage.subscribe(product)?)));
        Ok(Self { owners: each.collect::<Result<_, Failure>>()? })
    }

    /// Product and subscription of each.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (&'static str, &Subscription)> {
        self.owners.iter().map(|(product, owner)| (*product, owner))
    }

    /// Their callers, always in the same order: [`calls_of`] knows whose a call was by that.
    pub(crate) fn callers(&self, stage: &Stage) -> Result<Vec<Callers>, Failure> {
        let mut callers = Vec::new();
        for (_, owner) in &self.owners {
            callers.extend(stage.callers_everywhere(owner, CONNECTIONS, EVERY)?);
        }
        Ok(callers.into_iter().map(|it| Callers { headers: mix, ..it }).collect())
    }

    /// Only those at one gateway.
    pub(crate) fn callers_at(
        &self,
        stage: &Stage,
        gateway: usize,
    ) -> Result<Vec<Callers>, Failure> {
        let callers = self.callers(stage)?.into_iter();
        let silent = |it: Callers| Callers { connections: 0, ..it };
        Ok(callers.map(|it| if it.gateway == gateway { it } else { silent(it) }).collect())
    }

    /// All three books agree, exactly, as soon as everything is reported.
    pub(crate) fn check_exact(
        &self,
        stage: &Stage,
        calls: &[Call],
        report: &mut Report,
    ) -> Result<(), Failure> {
        self.check_counts(stage, calls, report)?;
        self.check_rows(stage, report)
    }

    /// Rows tell of every call once, and all of them came.
    pub(crate) fn check_rows(&self, stage: &Stage, report: &mut Report) -> Result<(), Failure> {
        for (product, owner) in self.owners() {
            check_rows(stage, product, owner, report)?;
        }
        let Health { conflicts, missing_batches } = health(stage)?;
        report.equal("reports that contradict the ledger", 0, conflicts);
        report.equal("batches of rows that never came", 0, missing_batches);
        Ok(())
    }

    /// The same, of what is billed: rows only describe it, and may be missing.
    pub(crate) fn check_counts(
        &self,
        stage: &Stage,
        calls: &[Call],
        report: &mut Report,
    ) -> Result<(), Failure> {
        for (place, (product, owner)) in self.owners().enumerate() {
            let api = upstream(stage, owner);
            self.check_callers(calls, place, api, report);
            let ledger = settled_ledger(stage, owner, |it| it == api)?;
            let found = ledger.show();
            report.check(
                format!("{product}: admitted = billable + waived + open, in the ledger"),
                api.show(),
                found,
                ledger == api,
            );
        }
        Ok(())
    }

    /// What callers saw is what the API counted: all of it if each call had an answer, and no more
    /// than that otherwise.
    fn check_callers(&self, calls: &[Call], place: usize, api: Counts, report: &mut Report) {
        let mut answered = Vec::new();
        let mut unanswered = 0;
        for call in calls_of(calls, place) {
            match call.answer {
                Answer::Api(status) => answered.push((status, 1)),
                Answer::Nobody => unanswered += 1,
                Answer::Gate(..) | Answer::Envoy(_) => {}
            }
        }
        let seen = Counts::of(answered);
        let product = self.owners.get(place).map_or("", |(product, _)| product);
        let missed = api.admitted.checked_sub(seen.admitted);
        report.check(
            format!("{product}: callers saw what the API counted, {unanswered} without an answer"),
            format!("{} + {}", api.billable, api.waived),
            format!("{} + {}", seen.billable, seen.waived),
            missed.is_some_and(|missed| missed <= unanswered),
        );
    }
}

/// Calls of the owner with this place in a [`Cast`].
pub(crate) fn calls_of(calls: &[Call], place: usize) -> impl Iterator<Item = &Call> {
    calls.iter().filter(move |call| call.callers / GATEWAYS.len() == place)
}
