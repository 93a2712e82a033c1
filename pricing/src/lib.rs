//! What a plan means, for the gateway and for the host: no IO, no clock, no environment.
//!
//! - [`catalog`]: text in, a checked [`catalog::Catalog`] out, every mistake at once with its path.
//! - [`money`]: currencies, exact prices, and the one door where rounding happens.
//! - [`quote`](mod@quote): usage of a period in, invoice lines out.
//! - [`gate`]: the part of a catalog that a gateway enforces.
//! - [`sync`]: the words a gateway and the host exchange.
//! - [`timeline`]: numbered periods that follow each other.
//! - [`key`], [`id`]: API keys, and the names of things.

// Money and limits: no floats, no silent wrap, no truncating cast, no index that can miss.
#![warn(
    clippy::float_arithmetic,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]

pub mod catalog;
pub mod gate;
pub mod id;
pub mod key;
pub mod money;
pub mod quote;
pub mod sync;
pub mod timeline;
