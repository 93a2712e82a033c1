//! Whatever is added, sent, lost and acknowledged in whatever order, in tables that are much too
//! small: nothing is lost, and nothing is told twice.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Call { subscription: u64, operation: usize, outcome: usize, status: u16, country: usize },
    Wait { minutes: u32 },
    Send,
    Acknowledge { back: u64 },
    SealAll,
}

const OUTCOMES: [Outcome; 4] =
    [Outcome::Billable, Outcome::Waived, Outcome::Open, Outcome::Refused(Reason::RateLimited)];
const OPERATIONS: [&str; 3] = ["find", "list", "put"];
/// Rows of the tables that are told with everything, without operation, without subscription.
const MOST: [usize; 3] = [8, 12, 15];
/// By outcome, and of places by country.
const LAST: usize = 3 * OUTCOMES.len();

fn step() -> impl Strategy<Value = Step> {
    let call = (0..7_u64, 0..3_usize, 0..4_usize, 0..3_u16, 0..4_usize);
    prop_oneof![
        40 => call.prop_map(|(subscription, operation, outcome, status, country)| Step::Call {
            subscription, operation, outcome, status, country,
        }),
        6 => (0..200_u32).prop_map(|minutes| Step::Wait { minutes }),
        1 => (0..5_000_u32).prop_map(|minutes| Step::Wait { minutes }),
        2 => Just(Step::Send),
        2 => (0..2_u64).prop_map(|back| Step::Acknowledge { back }),
        1 => Just(Step::SealAll),
    ]
}

/// Calls, latency, bytes and units.
type Sums = [u64; 4];
type Whose = (Option<u64>, u32, Outcome);

fn plus(sums: &mut Sums, other: Sums) {
    sums.iter_mut().zip(other).for_each(|(sum, other)| *sum += other);
}

#[derive(Default)]
struct World {
    rows: Rows,
    minute: u32,
    made: u64,
    /// What was added, by whose it is.
    expected: BTreeMap<Whose, Sums>,
    located: u64,
    /// Latencies by operation's subscription: how many, the shortest and the longest.
    timed: (u64, u64, u64),
    /// Each batch as it was first seen.
    seen: BTreeMap<u64, RowBatch>,
    /// The calls' table was so full that subscriptions were dropped.
    overflowed: bool,
}

impl World {
    fn new() -> Self {
        let mut world = Self { minute: 28_000_000, timed: (0, u64::MAX, 0), ..Self::default() };
        world.rows.calls.most = MOST;
        world.rows.places.most = MOST;
        world.rows.latencies.most = MOST;
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Call { subscription, operation, outcome, status, country } => {
                let outcome = OUTCOMES[outcome];
                let subscription = (subscription > 0).then_some(subscription);
                let country = [None, Some(b"DE"), Some(b"FR"), Some(b"NL")][country];
                self.call(subscription, OPERATIONS[operation], outcome, status, country);
            }
            Step::Wait { minutes } => self.minute += minutes,
            Step::Send => {
                if let Some(batch) = self.rows.batch(VM) {
                    self.see(&batch);
                }
            }
            Step::Acknowledge { back } => {
                let sequence = self.rows.sequence.saturating_sub(back);
                self.rows.acknowledge(RowsAck { incarnation: VM, sequence });
            }
            Step::SealAll => self.rows.seal_all(VM).iter().for_each(|batch| self.see(batch)),
        }
        self.check();
    }

    fn call(
        &mut self,
        subscription: Option<u64>,
        operation: &str,
        outcome: Outcome,
        status: u16,
        country: Option<&[u8; 2]>,
    ) {
        self.made += 1;
        let period = subscription.map_or(0, |_| self.minute / 10_000);
        let sums = [1, self.made, self.made * 3, self.made % 5];
        let [_, latency_us, bytes, units] = sums;
        let country = country.and_then(|text| Country::read(text));
        self.rows.add(Described {
            subscription: subscription.map(SubscriptionId),
            period,
            route: Some(route(operation)),
            status: 200 + status,
            outcome,
            would_refuse: None,
            minute: self.minute,
            country,
            latency_us,
            bytes,
            units,
        });
        plus(self.expected.entry((subscription, period, outcome)).or_default(), sums);
        self.located += u64::from(country.is_some());
        if !matches!(outcome, Outcome::Refused(_)) {
            let (count, least, most) = self.timed;
            self.timed = (count + 1, least.min(latency_us), most.max(latency_us));
        }
    }

    fn see(&mut self, batch: &RowBatch) {
        let first = self.seen.entry(batch.sequence).or_insert_with(|| batch.clone());
        assert_eq!((first.rows.get(), first.hash), (batch.rows.get(), batch.hash));
        assert!(batch.rows.get().len() <= MAX_BATCH_BYTES);
        let count = read(batch).count();
        assert!((1..=MAX_ROWS).contains(&count), "{count} rows");
    }

    /// Law 8.
    fn check(&mut self) {
        let [_, _, most] = MOST;
        let tables = [self.rows.calls.len(), self.rows.places.len(), self.rows.latencies.len()];
        assert!(tables.iter().all(|rows| *rows <= most + LAST), "{tables:?}");
        self.overflowed |= self.rows.calls.len() >= MOST[1];
    }

    /// Law 3, of descriptions: what was told is what was added.
    fn finish(mut self) {
        self.rows.seal_all(VM).iter().for_each(|batch| self.see(batch));
        drain(&mut self.rows);
        let sequences: Vec<u64> = self.seen.keys().copied().collect();
        assert_eq!(sequences, (1..=self.rows.sequence).collect::<Vec<u64>>(), "one after another");
        self.check_calls();
        let told: Vec<Wire> = self.seen.values().map(read).collect();
        let places = told.iter().flat_map(|rows| &rows.places).map(|row| row.calls);
        assert_eq!(places.sum::<u64>(), self.located);
        let latencies: Vec<_> = told.iter().flat_map(|rows| &rows.latencies).collect();
        let (count, least, most) = self.timed;
        assert_eq!(latencies.iter().map(|row| row.histogram.total()).sum::<u64>(), count);
        assert_eq!(latencies.iter().map(|row| row.min_us).min().unwrap_or(u64::MAX), least);
        assert_eq!(latencies.iter().map(|row| row.max_us).max().unwrap_or(0), most);
    }

    fn check_calls(&self) {
        let mut told: BTreeMap<Whose, Sums> = BTreeMap::new();
        for row in self.seen.values().flat_map(|batch| read(batch).calls) {
            let whose = (row.subscription.map(|id| id.0), row.period, row.outcome);
            let sums = [row.calls, row.latency_us, row.bytes, row.units];
            plus(told.entry(whose).or_default(), sums);
            assert!(row.minute <= self.minute, "nothing is told to come");
        }
        if !self.overflowed {
            assert_eq!(told, self.expected, "nothing had to be dropped");
        }
        // Of what lost its subscription, nothing else is lost.
        for outcome in OUTCOMES {
            let of = |sums: &BTreeMap<Whose, Sums>| {
                let mut total = Sums::default();
                let of_it = sums.iter().filter(|((.., it), _)| *it == outcome);
                of_it.for_each(|(_, sums)| plus(&mut total, *sums));
                total
            };
            assert_eq!(of(&told), of(&self.expected), "{outcome:?}");
        }
        for (whose, sums) in told.iter().filter(|((subscription, ..), _)| subscription.is_some()) {
            let expected = self.expected[whose];
            assert!(sums.iter().zip(expected).all(|(told, most)| *told <= most), "{whose:?}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_told_twice(steps in proptest::collection::vec(step(), 1..250)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.finish();
    }
}
