//! What befalls a record's leases between calls: grants, recalls, and time.

use tollgate_pricing::id::Tag;
use tollgate_pricing::sync::{LeaseAnswer, RATE_PERIOD, Recall};

use super::states::MAX_STATES;
use super::{Kind, LimitState, Record};
use crate::admit::Now;
use crate::limit::lease::Lease;
use crate::limit::quota::QuotaState;
use crate::limit::rate::RateState;

impl Record {
    /// Takes over the host's cumulative grant, asked for at `sent_ns` on the monotonic clock.
    /// Answers may be repeated and come in any order. True if there was news in it.
    pub fn grant(&mut self, answer: &LeaseAnswer, sent_ns: u64) -> bool {
        let news = if answer.period == RATE_PERIOD {
            self.grant_rate(answer, sent_ns)
        } else {
            self.grant_quota(answer, sent_ns)
        };
        news.unwrap_or(false)
    }

    fn grant_rate(&mut self, answer: &LeaseAnswer, sent_ns: u64) -> Option<bool> {
        let lasts_ns = answer.lasts_ms.unwrap_or(0).saturating_mul(1_000_000);
        let made = |kind: &Kind| matches!(kind, Kind::Rate(_));
        let state = self.granted(answer, made, || Kind::Rate(RateState::default()))?;
        let Kind::Rate(rate) = &mut state.kind else { return None };
        rate.pace.touched_ns = rate.pace.touched_ns.max(sent_ns);
        let until_ns = if lasts_ns > 0 { sent_ns.saturating_add(lasts_ns) } else { 0 };
        Some(rate.grant(answer.granted, until_ns))
    }

    /// Units of a period that this record does not know, or of one whose lease was forgotten, are
    /// left to the host: nobody will spend them.
    fn grant_quota(&mut self, answer: &LeaseAnswer, sent_ns: u64) -> Option<bool> {
        if let Some(lease) = self.lease_mut(answer.limit, answer.period) {
            let news = lease.grant(answer.granted);
            self.touch(answer, sent_ns);
            return Some(news);
        }
        let (_, periods) = self.quotas.iter().find(|(quota, _)| *quota == answer.limit)?;
        let period = periods.get(answer.period)?;
        if period.end_ms <= self.forgotten_ms {
            return None;
        }
        let made = |kind: &Kind| matches!(kind, Kind::Quota(_));
        let state = self.granted(answer, made, || Kind::Quota(QuotaState::default()))?;
        let Kind::Quota(quota) = &mut state.kind else { return None };
        let news = quota.granted(period)?.grant(answer.granted);
        self.touch(answer, sent_ns);
        Some(news)
    }

    fn touch(&mut self, answer: &LeaseAnswer, sent_ns: u64) {
        for state in self.limits.iter_mut().filter(|state| state.tag == answer.limit) {
            if let Kind::Quota(quota) = &mut state.kind {
                quota.pace.touched_ns = quota.pace.touched_ns.max(sent_ns);
            }
        }
    }

    /// The state a grant is for. A grant may come before the first call that is admitted under it.
    fn granted(
        &mut self,
        answer: &LeaseAnswer,
        is_it: impl Fn(&Kind) -> bool,
        fresh: impl FnOnce() -> Kind,
    ) -> Option<&mut LimitState> {
        let of = |state: &LimitState| state.tag == answer.limit && is_it(&state.kind);
        if let Some(place) = self.limits.iter().position(of) {
            return self.limits.get_mut(place);
        }
        if self.limits.len() >= MAX_STATES {
            return None;
        }
        self.limits.push(LimitState { tag: answer.limit, kind: fresh() });
        self.limits.last_mut()
    }

    /// Returns what can be spared of a lease that others need. True if that was anything.
    pub fn give_back(&mut self, recall: &Recall, now: Now) -> bool {
        let mut of_it = self.limits.iter_mut().filter(|state| state.tag == recall.limit);
        let lease = of_it.find_map(|state| state.lease_mut(recall.period));
        lease.is_some_and(|(lease, pace)| {
            let unspent = lease.left();
            let spare = if recall.all { unspent } else { pace.spare(unspent, now.mono_ns) };
            lease.give_back(spare)
        })
    }

    /// Does what is due by now: enters the billing period, and returns what leases hold that
    /// nobody will spend. For the sweep. True if that changed anything.
    pub fn pass_time(&mut self, now: Now) -> bool {
        let before = self.period;
        let period = self.enter_period(now.wall_ms);
        let mut changed = period.is_some_and(|period| period.number != before);
        for state in &mut self.limits {
            changed |= state.return_unused(now);
        }
        self.forget_past(now) || changed
    }

    /// The lease of a limit's period, if this process has one.
    pub fn lease_mut(&mut self, limit: Tag, period: u32) -> Option<&mut Lease> {
        let of_it = self.limits.iter_mut().filter(|state| state.tag == limit);
        of_it.filter_map(|state| state.lease_mut(period)).map(|(lease, _)| lease).next()
    }
}
