//! The host: it keeps the ledger, leases units to gateways, prices periods and charges them.
//!
//! - [`core`]: what may be asked of the ledger and what it answers. Synchronous; time, chance and
//!   the outside are arguments.
//! - [`store`]: the ledger on SQLite, in the core's words; group commit.
//! - [`provider`]: where charges go.
//! - `serve`: the ledger behind HTTP, and what happens by itself every second.
//! - [`cli`]: the command `tollgate`; `client` is how it asks a running `serve`.
//! - `envoy`: the configuration of a gateway.

mod catalog_file;
pub mod cli;
mod client;
pub mod clock;
pub mod core;
mod envoy;
pub mod provider;
mod serve;
pub mod store;
