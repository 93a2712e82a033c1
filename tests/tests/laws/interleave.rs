//! VMs of one process that really meet in shared data: every order of their hostcalls, in cases
//! small enough to play them all. Larger ones are played by chance, in [`crate::simulator`].

use std::time::Duration;

use crate::wasm::{End, Progress, Work, every_order};
use crate::world::{Network, Open, SETTLE, Subscribed, World};

const CATALOG: &str = r"
currency: USD
key: { header: X-Api-Key }
apis: [{ id: weather, path: /weather }]
products:
  - { id: plain, apis: [weather], price: free }
  - id: one
    apis: [weather]
    price: free
    limits: [{ id: monthly, quota: { calls: 1, period: 30d } }]
  - id: window
    apis: [weather]
    price: free
    limits: [{ id: hourly, rate: { calls: 1, period: 1h }, scope: gateway }]
  - id: bucket
    apis: [weather]
    price: free
    limits: [{ id: hourly, rate: { calls: 1, period: 1h, burst: 1 }, scope: gateway }]
";

/// A lost update needs two; what takes more is rare, and chance has to find it.
const INTERRUPTIONS: usize = 2;

/// Every sweep of a world visits all subscriptions that orders before left.
const ORDERS_IN_A_WORLD: usize = 16;

/// What a case's two VMs meet over.
struct Case<'a> {
    world: &'a mut World,
    owner: &'a Subscribed,
}

impl Case<'_> {
    fn call(&mut self, vm: usize, end: End) -> u32 {
        self.world.call_ending(vm, self.owner.get("/weather"), end).status
    }

    fn request(&self) -> Work {
        Work::Request(self.owner.get("/weather"))
    }

    /// Both VMs find the key and the record in shared data.
    fn know_each_other(&mut self) {
        let waiting = self.world.open(0, self.owner.get("/weather"));
        self.world.end(waiting, End::Aborted);
        self.world.run(SETTLE);
    }

    fn open(&mut self, vm: usize) -> Open {
        let open = self.world.open(vm, self.owner.get("/weather"));
        self.world.run(Duration::ZERO);
        assert_eq!(self.world.progress(open), Progress::Forwarded);
        open
    }

    /// How many of these were let through; the others wait, or were refused.
    fn let_through(&mut self, opened: &[Open]) -> usize {
        opened.iter().filter(|open| self.world.progress(**open) == Progress::Forwarded).count()
    }

    /// Everything ends with 200 and is reported: admitted, billable, waived and open calls.
    fn settled(&mut self, opened: &[Open]) -> [u64; 4] {
        self.world.run(Duration::from_secs(3));
        for open in opened {
            self.world.end(*open, End::Status(200));
        }
        self.world.check_books();
        let found = self.world.ledger()[&self.owner.id];
        [found.admitted, found.billable, found.waived, found.open]
    }
}

/// What both VMs do at once, in every order of their hostcalls, each time on a new subscription
/// to `product`. Gives how many orders there were.
fn in_every_order(
    product: &str,
    interruptions: usize,
    before: impl Fn(&mut Case<'_>) -> [Work; 2],
    after: impl Fn(&mut Case<'_>, Vec<Open>),
) -> usize {
    let mut worlds = 0;
    let mut world = World::running(CATALOG);
    every_order(interruptions, |order| {
        worlds += 1;
        if worlds % ORDERS_IN_A_WORLD == 0 {
            world = World::running(CATALOG);
        }
        let owner = world.subscribe(product);
        // Known to both VMs, and off the ticks.
        world.run(SETTLE + Duration::from_millis(100));
        let mut case = Case { world: &mut world, owner: &owner };
        let [first, second] = before(&mut case);
        let opened = case.world.together(0, vec![(0, first), (1, second)], order);
        after(&mut case, opened);
    })
}

#[test]
fn a_key_is_met_for_the_first_time_by_both() {
    let orders = in_every_order(
        "one",
        INTERRUPTIONS,
        |case| [case.request(), case.request()],
        |case, opened| {
            assert_eq!(case.settled(&opened), [1, 1, 0, 0]);
        },
    );
    assert!(orders >= 10, "{orders}");
}

#[test]
fn a_record_is_made_by_both() {
    let orders = in_every_order(
        "one",
        1,
        |case| {
            // Both have asked, and both are answered at once.
            case.world.network = Network::Silent;
            let opened = [0, 1].map(|vm| case.world.open(vm, case.owner.get("/weather")));
            let [first, second] = case.world.answers(0).try_into().expect("a call of each");
            case.world.network = Network::Up;
            assert_eq!(case.let_through(&opened), 0);
            [first, second].map(|(call, answer)| Work::Answer(call, answer))
        },
        |case, _| {
            case.world.run(SETTLE);
            let found = case.world.ledger()[&case.owner.id];
            assert_eq!((found.admitted, found.open), (1, 1), "one of the two calls");
        },
    );
    assert!(orders > 20, "{orders}");
}

#[test]
fn the_last_unit_of_a_quota_goes_to_one_of_two() {
    let orders = in_every_order(
        "one",
        INTERRUPTIONS,
        |case| {
            assert_eq!(case.call(0, End::Status(500)), 500, "its unit is given back");
            [case.request(), case.request()]
        },
        |case, opened| {
            assert_eq!(case.let_through(&opened), 1);
            assert_eq!(case.settled(&opened), [2, 1, 1, 0]);
        },
    );
    assert!(orders >= 6, "{orders}");
}

#[test]
fn the_only_call_of_a_rate_goes_to_one_of_two() {
    for product in ["window", "bucket"] {
        let orders = in_every_order(
            product,
            INTERRUPTIONS,
            |case| {
                case.know_each_other();
                [case.request(), case.request()]
            },
            |case, opened| {
                assert_eq!(case.let_through(&opened), 1, "{product}");
                assert_eq!(case.settled(&opened), [1, 1, 0, 0]);
            },
        );
        assert!(orders >= 6, "{product}: {orders}");
    }
}

#[test]
fn a_unit_comes_back_while_another_call_wants_it() {
    let orders = in_every_order(
        "one",
        INTERRUPTIONS,
        |case| {
            let open = case.open(0);
            [case.world.ending(open, End::Status(500)), case.request()]
        },
        |case, opened| {
            case.world.run(SETTLE);
            // It came in time, or the host had said for a moment that nothing is left.
            let second = case.call(1, End::Status(200));
            let first = case.let_through(&opened);
            assert_eq!((first, second), if first == 1 { (1, 403) } else { (0, 200) });
            assert_eq!(case.settled(&opened), [2, 1, 1, 0]);
        },
    );
    assert!(orders >= 6, "{orders}");
}

#[test]
fn a_call_ends_while_the_process_is_swept() {
    // Whichever VM is elected: one of them is the sweeper.
    for sweeper in [0, 1] {
        let orders = in_every_order(
            "plain",
            INTERRUPTIONS,
            |case| {
                let open = case.open(1 - sweeper);
                case.world.run(Duration::from_millis(950));
                let mut works = [Work::Tick, case.world.ending(open, End::Status(200))];
                works.rotate_left(sweeper);
                works
            },
            |case, opened| assert_eq!(case.settled(&opened), [1, 1, 0, 0]),
        );
        assert!(orders >= 3, "{orders}");
    }
}

#[test]
fn both_stand_for_election() {
    let orders = in_every_order(
        "plain",
        INTERRUPTIONS,
        |case| {
            let open = case.open(0);
            case.world.end(open, End::Status(200));
            case.world.run(Duration::from_millis(950));
            [Work::Tick, Work::Tick]
        },
        |case, opened| {
            assert_eq!(case.settled(&opened), [1, 1, 0, 0]);
        },
    );
    assert!(orders >= 3, "{orders}");
}
