//! A proxy-wasm host on wasmtime: runs the plugin's real `.wasm` the way Envoy does, in virtual
//! time, with every answer from outside in the test's hands.
//!
//! - [`Code`]: a compiled module, compiled once per test binary.
//! - [`Process`]: one life of Envoy: shared data, metrics, log, clocks, calls under way, its VMs.
//! - [`Vm`]: one worker thread's instance; [`Stream`]: one HTTP request through it.
//! - [`Work`], [`Order`]: VMs that work at the same time, and who is next at each hostcall.
//! - [`Call`], [`Answer`]: what the plugin asks over HTTP, and what comes back.
//! - `abi`: the functions a plugin may import, with Envoy's results. Every one of them passes
//!   `Inside::enter`, where a hostcall can be made to trap or to wait for its turn.
//!
//! It knows nothing of Tollgate: what the host answers is in `crate::world`.

mod abi;
mod away;
mod clock;
mod code;
mod dispatch;
mod inside;
mod metrics;
mod order;
mod process;
mod random;
mod shared_data;
mod stream;
mod vm;
mod workers;

pub(crate) use away::Work;
pub(crate) use clock::Clock;
pub(crate) use code::Code;
pub(crate) use dispatch::{Answer, Call};
pub(crate) use inside::Lies;
pub(crate) use order::{Order, every_order};
pub(crate) use process::{Process, Setup};
pub(crate) use random::Random;
pub(crate) use stream::{End, Measured, Progress, Reply, Request, Stream};
pub(crate) use vm::Vm;

/// Headers as they travel: names and values are bytes, order and repeats are kept.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Statuses of proxy-wasm's ABI, as Envoy numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    CasMismatch = 8,
    InternalFailure = 10,
}
