//! The states of a subscription: `submitted → active → suspended | cancelled | expired`,
//! `submitted → rejected`, `suspended → active`. Whoever has not ended may be cancelled or expire,
//! and what has ended stays so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::Access;

use super::super::{Refusal, Request, periods};
use super::{Subscription, find, find_live};
use crate::store::{Ledger, SubscriptionRow};

/// Where a subscription is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Somebody has to approve it.
    Submitted,
    /// It may call.
    Active,
    /// It may not now.
    Suspended,
    /// It was ended.
    Cancelled,
    /// Its time has run out.
    Expired,
    /// It was not approved.
    Rejected,
}

impl State {
    /// All, in the order of a life.
    pub(crate) const ALL: [Self; 6] = [
        Self::Submitted,
        Self::Active,
        Self::Suspended,
        Self::Cancelled,
        Self::Expired,
        Self::Rejected,
    ];

    /// The word for it, the same everywhere.
    pub fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }

    /// What gateways are told of it.
    pub(in crate::core) fn access(self) -> Access {
        match self {
            Self::Active => Access::Active,
            Self::Submitted | Self::Suspended => Access::Suspended,
            Self::Cancelled | Self::Expired | Self::Rejected => Access::Ended,
        }
    }
}

/// A submitted one may call from now on -> [`Subscription`]. Its periods begin now. Twice is once.
#[derive(Debug)]
pub struct ApproveSubscription(pub SubscriptionId);

/// A submitted one ends before it began -> [`Subscription`]. Nothing is owed. Twice is once.
#[derive(Debug)]
pub struct RejectSubscription(pub SubscriptionId);

/// No calls until it is resumed -> [`Subscription`]. Periods go on. Twice is once.
#[derive(Debug)]
pub struct SuspendSubscription(pub SubscriptionId);

/// Calls again -> [`Subscription`]. Twice is once.
#[derive(Debug)]
pub struct ResumeSubscription(pub SubscriptionId);

/// Ends it for good -> [`Subscription`]. What was used is billed at its period's end. Twice is once.
#[derive(Debug)]
pub struct CancelSubscription(pub SubscriptionId);

/// Sets when it ends by itself -> [`Subscription`]. Then what was used is billed at its period's
/// end. Twice is once.
#[derive(Debug)]
pub struct ExpireSubscription {
    /// Which.
    pub subscription: SubscriptionId,
    /// When; never if none.
    pub at: Option<Timestamp>,
}

impl Request for ApproveSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        let advice = "it was approved before: resume it instead";
        change(ledger, self.0, State::Active, (&[State::Submitted], advice), now)
    }
}

impl Request for RejectSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        let advice = "it was approved: cancel it instead";
        change(ledger, self.0, State::Rejected, (&[State::Submitted], advice), now)
    }
}

impl Request for SuspendSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        change(ledger, self.0, State::Suspended, (&[State::Active], NOT_APPROVED), now)
    }
}

impl Request for ResumeSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        change(ledger, self.0, State::Active, (&[State::Suspended], NOT_APPROVED), now)
    }
}

impl Request for CancelSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        let live = &[State::Submitted, State::Active, State::Suspended];
        change(ledger, self.0, State::Cancelled, (live, ""), now)
    }
}

const NOT_APPROVED: &str = "approve or reject it first";

/// Moves a subscription from one of some states to another, or does nothing if it is there.
fn change(
    ledger: &mut Ledger<'_>,
    id: SubscriptionId,
    to: State,
    (from, advice): (&[State], &'static str),
    now: Timestamp,
) -> Result<Subscription, Refusal> {
    let there = find(ledger, id)?;
    if there.public.state == to && there.public.ended.is_some() {
        return Ok(there.public);
    }
    let mut row = find_live(ledger, id, now)?;
    let before = row.public.state;
    if before == to {
        return Ok(row.public);
    }
    if !from.contains(&before) {
        return Err(Refusal::WrongState { subscription: id, state: before.word(), advice });
    }
    if to.access() == Access::Ended {
        periods::cover_some(ledger, &mut row, now, u32::MAX)?;
        return end(ledger, row, to, now);
    }
    row.public.state = to;
    row.revision = ledger.next_revision()?;
    if before == State::Submitted {
        row.public.anchor = periods::anchor(now);
        row.covered = row.public.anchor;
        ledger.update_cover(&row)?;
    }
    ledger.update_subscription(&row)?;
    periods::cover(ledger, &mut row, now)?;
    Ok(row.public)
}

/// Ends a subscription whose periods up to that time have their rows: written while the product is
/// sure to be in the catalog, as an ended subscription holds no product back.
fn end(
    ledger: &mut Ledger<'_>,
    mut row: SubscriptionRow,
    state: State,
    at: Timestamp,
) -> Result<Subscription, Refusal> {
    ledger.close_coming_periods(row.public.id, at)?;
    row.public.ended = Some(at);
    row.public.state = state;
    row.revision = ledger.next_revision()?;
    ledger.update_subscription(&row)?;
    Ok(row.public)
}

impl Request for ExpireSubscription {
    type Answer = Subscription;

    fn apply(self, ledger: &mut Ledger<'_>, now: Timestamp) -> Result<Subscription, Refusal> {
        let mut row = find_live(ledger, self.subscription, now)?;
        if row.public.expires == self.at {
            return Ok(row.public);
        }
        check_expiry(self.at, now)?;
        row.public.expires = self.at;
        row.revision = ledger.next_revision()?;
        ledger.update_subscription(&row)?;
        Ok(row.public)
    }
}

/// An end is in the future; cancelling is for now.
pub(super) fn check_expiry(at: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    match at {
        Some(at) if at <= now => Err(Refusal::Invalid {
            what: "the time it expires",
            expected: format!("one after now, {now:.0}"),
            found: format!("{at:.0}"),
        }),
        _ => Ok(()),
    }
}

/// Ends a subscription whose time has run out, at that time, after at most so many of its periods
/// got their rows: how many did, and whether that was enough.
pub(in crate::core) fn run_out(
    ledger: &mut Ledger<'_>,
    mut row: SubscriptionRow,
    most: u32,
) -> Result<(u32, bool), Refusal> {
    let Some(at) = row.public.expires else {
        return Ok((0, true));
    };
    let written = periods::cover_some(ledger, &mut row, at, most)?;
    let is_enough = written < most;
    if is_enough {
        end(ledger, row, State::Expired, at)?;
    }
    Ok((written, is_enough))
}
