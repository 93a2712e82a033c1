//! The three tables' rows: what they are told apart by, what is added up, and how they are sent.

use std::rc::Rc;

use tollgate_pricing::id::SubscriptionId;
use tollgate_pricing::sync::{Country, Histogram, Latency, Outcome, PlaceRow, Reason, Row};

use super::table::{Detail, Grain, Series, Sum};
use crate::route::RouteName;

const MINUTES_PER_HOUR: u32 = 60;

/// Of a [`Row`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct CallSeries {
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) period: u32,
    pub(super) route: Option<Rc<RouteName>>,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    pub(super) would_refuse: Option<Reason>,
    pub(super) minute: u32,
}

/// Of a [`Row`].
#[derive(Debug, Default)]
pub(super) struct CallSum {
    pub(super) calls: u64,
    pub(super) latency_us: u64,
    pub(super) bytes: u64,
    pub(super) units: u64,
}

/// Of a [`PlaceRow`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct PlaceSeries {
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) country: Country,
    pub(super) status: u16,
    pub(super) outcome: Outcome,
    pub(super) minute: u32,
}

/// Of a [`PlaceRow`].
#[derive(Debug, Default)]
pub(super) struct PlaceSum {
    pub(super) calls: u64,
    pub(super) latency_us: u64,
    pub(super) bytes: u64,
}

/// Of a [`Latency`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct LatencySeries {
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) route: Option<Rc<RouteName>>,
    pub(super) minute: u32,
}

/// Of a [`Latency`].
#[derive(Debug)]
pub(super) struct LatencySum {
    min_us: u64,
    max_us: u64,
    histogram: Histogram,
}

impl Series for CallSeries {
    type Sum = CallSum;
    type Row = Row;
    const FINEST: Grain = Grain::Minute;
    /// At most some 5 MB.
    const MOST: [usize; 3] = [40_000, 52_000, 56_000];

    fn minute(&self) -> u32 {
        self.minute
    }

    fn at(self, minute: u32) -> Self {
        Self { minute, ..self }
    }

    fn told(mut self, detail: Detail) -> Self {
        if detail >= Detail::NoOperation {
            self.route = None;
        }
        if detail >= Detail::NoSubscription {
            (self.subscription, self.period) = (None, 0);
        }
        if detail >= Detail::OutcomeOnly {
            (self.status, self.would_refuse) = (0, None);
        }
        self
    }

    fn row(&self, sum: &CallSum) -> Row {
        let (api, operation) = names(self.route.as_ref());
        Row {
            subscription: self.subscription,
            period: self.period,
            api,
            operation,
            status: self.status,
            outcome: self.outcome,
            would_refuse: self.would_refuse,
            minute: self.minute,
            calls: sum.calls,
            latency_us: sum.latency_us,
            bytes: sum.bytes,
            units: sum.units,
        }
    }
}

impl Series for PlaceSeries {
    type Sum = PlaceSum;
    type Row = PlaceRow;
    const FINEST: Grain = Grain::Hour;
    /// At most some 2 MB.
    const MOST: [usize; 3] = [20_000, 20_000, 24_000];

    fn minute(&self) -> u32 {
        self.minute
    }

    fn at(self, minute: u32) -> Self {
        Self { minute, ..self }
    }

    fn told(mut self, detail: Detail) -> Self {
        if detail >= Detail::NoSubscription {
            self.subscription = None;
        }
        if detail >= Detail::OutcomeOnly {
            self.status = 0;
        }
        self
    }

    fn row(&self, sum: &PlaceSum) -> PlaceRow {
        PlaceRow {
            subscription: self.subscription,
            country: self.country,
            status: self.status,
            outcome: self.outcome,
            hour: hour(self.minute),
            calls: sum.calls,
            latency_us: sum.latency_us,
            bytes: sum.bytes,
        }
    }
}

impl Series for LatencySeries {
    type Sum = LatencySum;
    type Row = Latency;
    const FINEST: Grain = Grain::Hour;
    /// A histogram has at most 240 steps, in up to 4 KB; most have less than 30.
    const MOST: [usize; 3] = [12_000, 20_000, 20_000];

    fn minute(&self) -> u32 {
        self.minute
    }

    fn at(self, minute: u32) -> Self {
        Self { minute, ..self }
    }

    fn told(mut self, detail: Detail) -> Self {
        if detail >= Detail::NoOperation {
            self.route = None;
        }
        if detail >= Detail::NoSubscription {
            self.subscription = None;
        }
        self
    }

    fn row(&self, sum: &LatencySum) -> Latency {
        let (api, operation) = names(self.route.as_ref());
        Latency {
            subscription: self.subscription,
            api,
            operation,
            hour: hour(self.minute),
            min_us: sum.min_us,
            max_us: sum.max_us,
            histogram: sum.histogram.clone(),
        }
    }
}

impl Sum for CallSum {
    fn merge(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.units = self.units.saturating_add(other.units);
    }
}

impl Sum for PlaceSum {
    fn merge(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl LatencySum {
    pub(super) fn add(&mut self, latency_us: u64) {
        self.min_us = self.min_us.min(latency_us);
        self.max_us = self.max_us.max(latency_us);
        self.histogram.add(latency_us);
    }
}

impl Default for LatencySum {
    fn default() -> Self {
        Self { min_us: u64::MAX, max_us: 0, histogram: Histogram::default() }
    }
}

impl Sum for LatencySum {
    fn merge(&mut self, other: Self) {
        self.min_us = self.min_us.min(other.min_us);
        self.max_us = self.max_us.max(other.max_us);
        self.histogram.merge(&other.histogram);
    }
}

fn hour(minute: u32) -> u32 {
    minute.wrapping_div(MINUTES_PER_HOUR)
}

fn names(route: Option<&Rc<RouteName>>) -> (Option<String>, Option<String>) {
    route.map(|route| (route.api.clone(), route.operation.clone())).unzip()
}
