//! The filter changes under load: its configuration, its code, and back; it goes, and comes again.
//!
//! Its memory is pinned, so that counters outlive every one of its VMs.

use std::fs;
use std::path::Path;

use tollgate_tests::envoy::listeners::without_filters;
use tollgate_tests::signals;

use super::super::quota::to_u64;
use super::super::tally;
use super::{WARM_UP, under_load};
use crate::How;
use crate::cast::{Cast, PRODUCTS};
use crate::failure::Failure;
use crate::load::{Answer, Load};
use crate::report::Report;
use crate::stage::{Gateway, Stage};

/// What becomes of the listeners.
type Change<'a> = &'a dyn Fn(&str) -> String;

/// Between two changes.
const SECONDS: u64 = 1;
/// A custom section of a WebAssembly file: its id, its size, the size of its name, its name.
const SECTION: [u8; 7] = [0, 5, 4, b'm', b'o', b'r', b'e'];

pub(super) fn play(stage: &mut Stage, _: How, report: &mut Report) -> Result<(), Failure> {
    let plugin = stage.plugin().to_string_lossy().into_owned();
    let other = stage.directory.join("other.wasm");
    copy_with_section(stage.plugin(), &other)?;
    let other = other.to_string_lossy().into_owned();
    let filter = |text: &str| text.replace("root_id: gate\n", "root_id: again\n");
    let vms = |text: &str| text.replace(":\"tollgate-host\"", ":\"host\"");
    let code = |text: &str| text.replace(&plugin, &other);
    let removed = |text: &str| without_filters(text).unwrap_or_default();
    // What changes, how, and whether VMs are made for it.
    let changes: [(&str, Change<'_>, bool); 6] = [
        ("the filter's configuration", &filter, true),
        ("its VMs' configuration", &vms, true),
        ("its code", &code, true),
        ("all of that back", &str::to_owned, true),
        ("the filter goes", &removed, false),
        ("the filter comes again", &str::to_owned, true),
    ];

    let cast = Cast::subscribe(stage, &PRODUCTS)?;
    let load = Load::start(&cast.callers(stage)?)?;
    signals::pause(WARM_UP)?;
    for (what, change, makes) in changes {
        let before = made(stage);
        for gateway in &stage.gateways {
            gateway.update(change)?;
        }
        under_load(SECONDS)?;
        let made: Vec<u64> = made(stage).iter().zip(before).map(|(now, then)| now - then).collect();
        let (must, found) = (if makes { "> 0" } else { "0" }, format!("{made:?}"));
        let holds = made.iter().all(|made| (*made > 0) == makes);
        report.check(format!("{what}: VMs made by each gateway"), must, found, holds);
    }
    let calls = load.stop();
    // Without the filter there is no way to the API either; a connection that ends with what it
    // belonged to may take a call with it, before anybody had it.
    let expected = |answer| matches!(answer, Answer::Api(_) | Answer::Envoy(404) | Answer::Nobody);
    let other = calls.iter().filter(|call| !expected(call.answer));
    report.none("answers by neither the API nor, without the filter, by Envoy", &tally(other));
    let without = calls.iter().filter(|call| call.answer == Answer::Envoy(404)).count();
    report.at_least("calls while there was no filter", 1, to_u64(without));
    cast.check_counts(stage, &calls, report)?;
    // A VM that goes with its code may have told some rows to the log only.
    for gateway in &stage.gateways {
        let said = stage.host.run(&["ingest-spill", &gateway.log()])?;
        let told = said.lines().next().unwrap_or_default();
        report.tell(format!("`tollgate ingest-spill` of {}'s log", gateway.name), told);
    }
    cast.check_rows(stage, report)
}

/// The same code for whoever runs it, and another file for whoever loads it.
fn copy_with_section(from: &Path, to: &Path) -> Result<(), Failure> {
    let mut code = fs::read(from).map_err(Failure::io("read the plugin"))?;
    code.extend(SECTION);
    fs::write(to, code).map_err(Failure::io("write a copy of the plugin"))
}

/// VMs that each gateway has made so far.
fn made(stage: &Stage) -> Vec<u64> {
    let created = |gateway: &Gateway| {
        let stats = gateway.envoy.stats("wasm.");
        stats.iter().filter(|(name, _)| name.ends_with(".created")).map(|(_, count)| count).sum()
    };
    stage.gateways.iter().map(created).collect()
}
