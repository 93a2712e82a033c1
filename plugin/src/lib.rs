//! The gate: a proxy-wasm filter that finds the subscription behind a request, admits it within
//! its plan's limits, and meters what became of it.
//!
//! - `abi`: the proxy-wasm ABI, named in this one file, compiled only for wasm.
//! - [`host`]: what the gate needs of a proxy, as a trait; everything else is plain Rust over it.
//! - [`request`], [`route`]: a request's headers, read in place; the API and operation it means.
//! - [`record`], [`limit`]: a subscription's state in shared data, and the limits in it.
//! - [`admit`], [`settle`]: the two changes a call makes to its record, as pure functions.
//! - [`shared`]: the keys and values in shared data, and the compare-and-swap loop.
//! - [`gate`]: streams from headers to log; [`reply`]: answers of the gate itself.
//! - [`roster`]: which VMs of the process live, and what they have to deliver yet.
//! - [`settings`]: what the proxy's configuration says.
//! - [`metrics`]: what operators see of a process, by name.
//! - [`sync`]: what a VM tells the host, and what it does with the answer.

// Data from callers and from the host never traps a VM: a trap takes its streams with it.
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod admit;
mod faults;
pub mod gate;
pub mod host;
pub mod keys;
pub mod limit;
pub mod metrics;
pub mod record;
pub mod reply;
pub mod request;
pub mod roster;
pub mod route;
pub mod settings;
pub mod settle;
pub mod shared;
pub mod sync;
#[cfg(test)]
mod testing;
