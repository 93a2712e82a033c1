//! Random worlds: processes of several VMs whose hostcalls interleave, a network that loses,
//! delays and repeats, VMs that trap and stand still, processes that die, an operator who changes
//! things; and laws that are checked on what callers saw. A seed is a world: the same each time.
//!
//! [`plan`]: what is sold. [`play`], [`steps`], [`watch`]: what happens. [`book`]: what callers saw.
//! [`laws`]: law 1 by brute force. [`end`], [`again`]: what must be true when all is well again.

mod accounts;
mod again;
mod book;
mod end;
mod hosts;
mod laws;
mod money;
mod outage;
mod plan;
mod play;
mod report;
mod runner;
mod steps;
mod stops;
mod watch;
mod wrong;

#[allow(unused_imports, reason = "of the program, not of the tests")]
pub(crate) use runner::main;
pub(crate) use wrong::{Memory, Wrong};

use std::time::Duration;

use plan::Plan;
use play::{Owner, Play, Played};
use steps::number_of;

use crate::wasm::{Clock, Lies, Random};
use crate::world::{Weather, Wire, World};

/// Plays the world of a seed, in which something may be wrong on purpose, to its end: what happened
/// how often. `traced` tells it as it happens.
///
/// # Panics
/// If a law does not hold.
fn play(seed: u64, wrong: Option<Wrong>, traced: bool) -> Played {
    let mut random = Random(seed);
    let plan = Plan::drawn(&mut random);
    let mut world = World::new(&plan.text());
    world.fault = wrong.and_then(Wrong::fault);
    world.wire = Some(Wire::new(random.next(), wrong));
    let owners = (0..2 + random.index(3)).map(|_| {
        let product = random.index(plan.products.len());
        let of = world.subscribe(&plan.products[product].id);
        let most = plan.products[product].limits.iter().map(|limit| number_of(limit.rule));
        Owner::new(of, product, most.collect(), world.now())
    });
    let owners: Vec<Owner> = owners.collect();
    let mut played = Play::new(world, random, plan, owners);
    played.traced = traced;
    played.lies = Lies {
        lost_updates: wrong == Some(Wrong::LostUpdates),
        fast_clock: wrong == Some(Wrong::FastClocks),
        all_well: wrong == Some(Wrong::AllWell),
    };
    for _ in 0..=played.random.below(3) {
        let vms = 2 + played.random.index(3);
        played.start(vms);
    }
    let way = Duration::from_millis(played.random.of(&[0, 0, 20]));
    played.set_weather(Weather { way, ..Weather::default() });
    played.pass(Duration::from_secs(2));
    for _ in 0..40 + played.random.below(120) {
        played.step();
    }
    played.end_all();
    played.played.time = played.world.monotonic() - Clock::default().monotonic;
    played.played
}
