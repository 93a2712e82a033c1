//! One table of rows that are not sealed yet: bounded, and no call is ever dropped from it.
//!
//! While the host is away a table fills. Then rows are told less exactly, in this order, until it
//! is half empty: hours that are over become one row each, then the current one; they become days,
//! then all do. What is new in a table that is full even so is told without its operation, and
//! before any subscription is dropped, all are. At last calls are told by their outcome alone.
//! Sums only ever move to another row.
//!
//! All rows are merged at once, and again only after half a table of new ones, or never: so a call
//! costs the same on average, however long an outage is.

use std::collections::HashMap;
use std::hash::Hash;

use serde_json::value::{RawValue, to_raw_value};

use super::{Fit, Room};

/// What the calls of one row have in common.
pub(super) trait Series: Clone + Eq + Hash {
    /// What is added up of them.
    type Sum: Sum;
    /// How it is sent.
    type Row: serde::Serialize;
    /// The shortest time that rows are told apart by.
    const FINEST: Grain;
    /// Rows up to which new ones are told with everything, without operation, without
    /// subscription.
    const MOST: [usize; 3];

    /// Unix minute.
    fn minute(&self) -> u32;
    /// The same of another minute.
    fn at(self, minute: u32) -> Self;
    /// The same with less detail.
    fn told(self, detail: Detail) -> Self;
    /// With its sum, as it is sent.
    fn row(&self, sum: &Self::Sum) -> Self::Row;
}

/// What is added up.
pub(super) trait Sum: Default {
    /// Adds what is added up there.
    fn merge(&mut self, other: Self);
}

/// The time of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Grain {
    Minute,
    Hour,
    Day,
}

/// What rows of a full table are told apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Detail {
    Everything,
    NoOperation,
    NoSubscription,
    /// And of places the country: there are few of these.
    OutcomeOnly,
}

impl Grain {
    /// The first minute of the time that a minute is in.
    fn first(self, minute: u32) -> u32 {
        let minutes: u32 = match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        };
        minute.saturating_sub(minute.checked_rem(minutes).unwrap_or(0))
    }
}

/// Rows that are not sealed.
#[derive(Debug)]
pub(super) struct Table<K: Series> {
    rows: HashMap<K, K::Sum>,
    /// [`Series::MOST`], but in tests.
    pub(super) most: [usize; 3],
    /// By what time new rows are told apart.
    grain: Grain,
    /// And by what else, at most.
    detail: Detail,
    /// The latest minute so far.
    newest: u32,
    /// The minute of the first row, since there was none.
    since: u32,
}

impl<K: Series> Default for Table<K> {
    fn default() -> Self {
        Self {
            rows: HashMap::new(),
            most: K::MOST,
            grain: K::FINEST,
            detail: Detail::Everything,
            newest: 0,
            since: 0,
        }
    }
}

impl<K: Series> Table<K> {
    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds to the sum of a series.
    pub(super) fn add(&mut self, key: K, add: impl FnOnce(&mut K::Sum)) -> Fit {
        let key = self.first_choice(key);
        if let Some(sum) = self.rows.get_mut(&key) {
            add(sum);
            return Fit::Whole;
        }
        if self.rows.is_empty() {
            (self.since, self.newest) = (key.minute(), key.minute());
        }
        self.newest = self.newest.max(key.minute());
        let [most, most_without_operation, _] = self.most;
        let is_full = self.rows.len() >= most;
        if is_full && self.grain < Grain::Day {
            self.merge_times(most / 2);
        }
        if self.rows.len() >= most_without_operation && self.detail == Detail::Everything {
            self.merge(|key| key.told(Detail::NoOperation));
            self.detail = Detail::NoOperation;
        }
        let key = self.place(key);
        add(self.rows.entry(key).or_default());
        if is_full { Fit::Merged } else { Fit::Whole }
    }

    /// Takes rows out, as texts, until `room` has none left.
    pub(super) fn seal(&mut self, room: &mut Room) -> Vec<Box<RawValue>> {
        let mut texts = Vec::new();
        self.rows.retain(|key, sum| {
            let text = room.is_left().then(|| to_raw_value(&key.row(sum)));
            let text = text.and_then(Result::ok).filter(|text| room.takes(text.get().len()));
            let stays = text.is_none();
            texts.extend(text);
            stays
        });
        if self.rows.is_empty() {
            (self.grain, self.detail) = (K::FINEST, Detail::Everything);
        }
        texts
    }

    fn first_choice(&self, key: K) -> K {
        coarse(key, self.grain).told(self.detail)
    }

    /// The row of a new series: told as exactly as there is room for.
    fn place(&self, key: K) -> K {
        let key = self.first_choice(key);
        let details = [Detail::Everything, Detail::NoOperation, Detail::NoSubscription];
        for (detail, most) in details.into_iter().zip(self.most) {
            let key = key.clone().told(detail);
            if self.rows.len() < most || self.rows.contains_key(&key) {
                return key;
            }
        }
        key.told(Detail::OutcomeOnly).at(self.since)
    }

    /// Tells times less exactly, until no more than `enough` rows are left.
    fn merge_times(&mut self, enough: usize) {
        let this_hour = Grain::Hour.first(self.newest);
        let steps = [
            (this_hour, Grain::Hour, Grain::Minute),
            (u32::MAX, Grain::Hour, Grain::Hour),
            (this_hour, Grain::Day, Grain::Hour),
            (u32::MAX, Grain::Day, Grain::Day),
        ];
        for (before, grain, of_new) in steps.into_iter().filter(|(_, grain, _)| *grain > K::FINEST)
        {
            self.merge(|key| if key.minute() < before { coarse(key, grain) } else { key });
            self.grain = of_new;
            if self.rows.len() <= enough {
                return;
            }
        }
    }

    fn merge(&mut self, change: impl Fn(K) -> K) {
        for (key, sum) in std::mem::take(&mut self.rows) {
            self.rows.entry(change(key)).or_default().merge(sum);
        }
    }
}

fn coarse<K: Series>(key: K, grain: Grain) -> K {
    let minute = grain.first(key.minute());
    key.at(minute)
}
