//! `cargo simulate`: random worlds by the thousand. The same worlds as in the tests, few of them.

#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "parts of a test, of which this program uses some"
)]

mod simulator;
mod wasm;
mod world;

fn main() {
    simulator::main();
}
