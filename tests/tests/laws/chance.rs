//! The laws under chance: any calls, in any order, while anything fails.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tollgate_host::core::close::Close;
use tollgate_host::core::invoice::ListInvoices;
use tollgate_host::core::usage::{PeriodState, ReadUsage};

use crate::wasm::{End, Progress};
use crate::world::{At, Network, Open, SETTLE, Subscribed, World};

/// Worlds tried in each run of the tests.
const WORLDS: u32 = 48;
/// The window of the catalog's rates.
const WINDOW: Duration = Duration::from_mins(1);
/// Longer than the gate holds any request back.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call, begun and ended at once.
    Call(At, End),
    /// A call that stays under way.
    Open(At),
    /// One of the calls under way ends.
    Finish(usize, End),
    Pass(Duration),
    Network(Network),
    /// A VM traps at its next hostcall of this name, and is replaced at once.
    Trap(At, &'static str),
}

fn at() -> impl Strategy<Value = At> {
    (0..2_usize, 0..2_usize).prop_map(|(process, vm)| At(process, vm))
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        4 => Just(End::Status(200)),
        1 => Just(End::Status(404)),
        3 => Just(End::Status(502)),
        1 => Just(End::NoUpstream(503)),
        1 => Just(End::Aborted),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let network = prop_oneof![
        4 => Just(Network::Up),
        1 => Just(Network::Down),
        1 => Just(Network::Silent),
        1 => Just(Network::AnswersLost),
        1 => Just(Network::Twice),
        1 => Just(Network::Unacknowledged),
        1 => Just(Network::Impostor("{}")),
    ];
    let hostcall = prop_oneof![
        Just("proxy_set_shared_data"),
        Just("proxy_get_shared_data"),
        Just("proxy_http_call"),
        Just("proxy_get_property"),
        Just("clock_time_get"),
    ];
    prop_oneof![
        8 => (at(), end()).prop_map(|(at, end)| Step::Call(at, end)),
        4 => at().prop_map(Step::Open),
        4 => (0..8_usize, end()).prop_map(|(which, end)| Step::Finish(which, end)),
        4 => (0..30_000_u64).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        2 => network.prop_map(Step::Network),
        1 => (at(), hostcall).prop_map(|(at, name)| Step::Trap(at, name)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..80)
}

/// Two processes, one subscription, and the calls under way.
struct Play {
    world: World,
    owner: Subscribed,
    under_way: Vec<Open>,
    /// When calls were let through at once, by process.
    let_through: [Vec<Duration>; 2],
}

impl Play {
    fn new(product: &str) -> Self {
        let (mut world, owner) = World::subscribed(product);
        world.start();
        world.run(SETTLE);
        Self { world, owner, under_way: Vec::new(), let_through: [Vec::new(), Vec::new()] }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Open(at) => {
                let open = self.open(at);
                self.under_way.push(open);
            }
            Step::Call(at, end) => {
                let open = self.open(at);
                if self.world.progress(open) == Progress::Paused {
                    self.world.run(LONGEST_WAIT);
                }
                assert_ne!(self.world.progress(open), Progress::Paused, "held back for too long");
                self.world.end(open, end);
            }
            Step::Finish(which, end) => {
                if which < self.under_way.len() {
                    let open = self.under_way.swap_remove(which);
                    self.world.end(open, end);
                }
            }
            Step::Pass(time) => {
                self.world.run(time);
                self.world.ask(Close { grace: GRACE, serving_since: Timestamp::MIN });
            }
            Step::Network(network) => self.world.network = network,
            Step::Trap(At(process, vm), hostcall) => {
                self.world.process(process).vm(vm).trap_at(hostcall, 0);
            }
        }
        self.replace_dead_vms();
    }

    fn open(&mut self, at: At) -> Open {
        let open = self.world.open(at, self.owner.get("/weather"));
        if self.world.progress(open) == Progress::Forwarded {
            self.let_through[at.0].push(self.world.now());
        }
        open
    }

    fn replace_dead_vms(&mut self) {
        for (process, vm) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            if self.world.process(process).vm(vm).alive() {
                continue;
            }
            let dead = At(process, vm);
            for open in self.under_way.extract_if(.., |open| open.at == dead) {
                self.world.end(open, End::Aborted);
            }
            self.world.process(process).reload(vm);
        }
    }

    /// Everything ends and is reported, by VMs that live.
    fn end(&mut self) {
        self.world.network = Network::Up;
        for open in std::mem::take(&mut self.under_way) {
            self.world.end(open, End::Status(200));
        }
        // A VM that dies now, of a trap set before, takes a report with it.
        for _ in 0..4 {
            self.replace_dead_vms();
            self.world.run(SETTLE);
        }
        self.world.check_books();
    }
}

/// Laws 2, 3 and 4 in [`Play::end`]; here law 1 and, with `Close` every now and then, law 9.
fn check(product: &str, quota: u64, rate: Option<usize>, steps: Vec<Step>) {
    let mut play = Play::new(product);
    for step in steps {
        play.step(step);
    }
    play.end();
    let subscription = Some(play.owner.id);
    let periods = play.world.ask(ReadUsage { subscription }).periods;
    for period in &periods {
        assert!(period.billable + period.open <= quota, "over quota: {period:?}");
    }
    for moments in rate.iter().flat_map(|_| &play.let_through) {
        for from in moments {
            let window = *from..*from + WINDOW;
            let calls = moments.iter().filter(|at| window.contains(at)).count();
            assert!(Some(calls) <= rate, "{calls} from {from:?}");
        }
    }
    // What was billed is what the closed periods hold; nothing came late, for nobody died.
    let closed = periods.iter().filter(|period| period.state == PeriodState::Closed);
    let closed: u64 = closed.map(|period| period.billable).sum();
    let billed: u64 = play.world.ask(ListInvoices).iter().map(|invoice| invoice.calls).sum();
    assert!(billed <= closed, "{billed} of {closed}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(WORLDS))]

    #[test]
    fn the_laws_hold_for_a_quota_beside_a_rate(steps in steps()) {
        check("both", 15, Some(10), steps);
    }

    #[test]
    fn the_laws_hold_for_a_quota_of_each_billing_period(steps in steps()) {
        check("capped", 20, None, steps);
    }
}
