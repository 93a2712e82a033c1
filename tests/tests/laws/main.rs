//! Tests that cross crates, in one binary: each module states laws or promises in its tests' names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unchecked_time_subtraction,
    reason = "a test fails by panicking"
)]

mod bad_input;
mod chance;
mod envoy;
mod gate;
mod harness;
mod interleave;
mod meter;
mod simulator;
mod sync;
mod tidy;
mod wasm;
mod world;
