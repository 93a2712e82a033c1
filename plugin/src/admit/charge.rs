//! Charging: every limit that counts a call, after all were found to have room for it.

use std::rc::Rc;

use tollgate_pricing::gate::{Meter, Rule};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::LeaseAsk;

use super::examine::{Finding, Line, bucket_rule, want};
use super::{Admission, Call, Charged, Checked, Counted, Permit, Reach};
use crate::limit::Kind;
use crate::limit::lease::Lease;
use crate::limit::pace::{self, Pace, Span};
use crate::limit::quota::QuotaState;
use crate::limit::rate::RateState;
use crate::limit::window::{Window, bucket_ns};
use crate::record::{MAX_ADMISSION_SLOTS, Record};

/// Charges every limit and opens the call.
pub(super) fn charge(record: &mut Record, call: &Call<'_>, checked: Checked<'_>) -> Admission {
    let Checked { product, period, lines, would_refuse, overdrawn } = checked;
    record.enter_period(call.now.wall_ms);
    if lines.iter().any(|line| line.is_fresh) {
        record.make_room(product, call.now);
    }
    let subscription = record.id;
    let mut permit = Permit {
        subscription,
        period: period.number,
        product: Rc::clone(product),
        weight: call.weight,
        quotas: Vec::new(),
    };
    let mut low = Vec::new();
    for line in &lines {
        let Some(state) = record.state_mut(line.tag, &line.rule) else { continue };
        let ask = match &mut state.kind {
            // A rate that only observes counts what it would have let through.
            Kind::Window(_) | Kind::Bucket(_) | Kind::Rate(_)
                if matches!(line.seen.finding, Finding::Spent(_)) =>
            {
                None
            }
            Kind::Window(window) => charge_window(window, line, call),
            Kind::Bucket(bucket) => {
                let after = bucket_rule(&line.rule).map(|rule| bucket.take(rule, call.now.mono_ns));
                if let Some(Ok(after)) = after {
                    *bucket = after;
                }
                None
            }
            Kind::Rate(rate) => charge_rate(rate, line, call, subscription),
            Kind::Quota(quota) => charge_quota(quota, line, call, &mut permit),
        };
        low.extend(ask);
    }
    if let Some(slot) = record.slot_mut(period.number, MAX_ADMISSION_SLOTS) {
        slot.admitted = slot.admitted.saturating_add(1);
    }
    Admission::Admitted { permit, low, would_refuse, overdrawn }
}

fn charge_window(window: &mut Window, line: &Line<'_>, call: &Call<'_>) -> Option<LeaseAsk> {
    if let Rule::SlidingWindow { period_seconds, .. } = *line.rule
        && window.bucket_ns != bucket_ns(period_seconds)
    {
        *window = window.fitted(period_seconds, call.now.mono_ns);
    }
    window.charge(call.now.mono_ns);
    None
}

fn charge_rate(
    rate: &mut RateState,
    line: &Line<'_>,
    call: &Call<'_>,
    subscription: SubscriptionId,
) -> Option<LeaseAsk> {
    let now_ns = call.now.mono_ns;
    rate.pace.note(rate.lease.used, now_ns, pace::RATE);
    // A call beyond the lease is an overdraft, not a use of what has expired.
    rate.expire(now_ns);
    rate.lease.spend(1);
    let left = if rate.expires_soon(now_ns) { 0 } else { rate.lease.left() };
    ask_if_low(&rate.lease, &mut rate.pace, line, call, (left, pace::RATE), subscription)
}

fn charge_quota(
    quota: &mut QuotaState,
    line: &Line<'_>,
    call: &Call<'_>,
    permit: &mut Permit,
) -> Option<LeaseAsk> {
    let Rule::Quota { meter, .. } = &*line.rule else { return None };
    let needs = line.seen.needs;
    if needs == 0 {
        return None; // a call without weight
    }
    quota.enter(line.seen.period?)?;
    let QuotaState { entered, leases, pace } = quota;
    let kept = leases.iter_mut().find(|kept| kept.lease.period == *entered)?;
    pace.note(kept.lease.used, call.now.mono_ns, pace::QUOTA);
    let what = match meter {
        Meter::Calls | Meter::Weight => {
            kept.lease.spend(needs);
            Counted::Units(needs)
        }
        Meter::Bytes | Meter::Header(_) => Counted::Late(meter.tag()),
    };
    permit.quotas.push(Charged { limit: line.tag, period: kept.lease.period, what });
    let left = kept.lease.left();
    ask_if_low(&kept.lease, pace, line, call, (left, pace::QUOTA), permit.subscription)
}

/// The question for more, if few are left and nobody else is asking.
fn ask_if_low(
    lease: &Lease,
    pace: &mut Pace,
    line: &Line<'_>,
    call: &Call<'_>,
    (left, span): (u64, Span),
    subscription: SubscriptionId,
) -> Option<LeaseAsk> {
    let now_ns = call.now.mono_ns;
    let want = want(&line.rule, lease, pace, line.seen.needs, now_ns, span);
    let may_have = || (call.spent)(line.tag, lease.period).is_none();
    let asks = call.reach == Reach::Near
        && Pace::is_low(left, want, span)
        && may_have()
        && pace.elect(now_ns, span);
    asks.then(|| LeaseAsk { subscription, lease: lease.report(line.tag), want, need: 0 })
}
