//! What tests and the demo need to run Tollgate on real parts.
//!
//! - [`build`]: the plugin and the host, built by cargo.
//! - [`envoy`]: finds an Envoy, or fetches one, and runs it.
//! - [`host`]: runs `tollgate serve`, and the command line against it.
//! - [`sample_api`]: an API that answers what the caller asks for, and counts what reached it.
//! - [`client`]: sends many calls at once, and says how each was answered.
//! - [`proxy`]: loses answers on their way.
//! - [`process`], [`paths`]: programs that end with their owner, and where their files go.
//! - [`signals`]: an owner that ends in good order itself.
//!
//! Nothing here knows what a plan means, and nothing here needs wasmtime.

pub mod build;
pub mod client;
pub mod envoy;
pub mod host;
pub mod paths;
pub mod process;
pub mod proxy;
pub mod sample_api;
pub mod signals;
