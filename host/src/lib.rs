//! The host: it keeps the ledger, leases units to gateways, prices periods and charges them.

pub mod core;
pub mod provider;
pub mod store;
