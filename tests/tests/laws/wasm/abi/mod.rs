//! The functions a plugin may import, and how they reach its memory.
//!
//! A function that is missing here is missing for good: [`link`] names what a module wants and
//! does not get.

mod pairs;
mod proxy;
mod wasi;

use wasmtime::{AsContext, AsContextMut, Caller, Extern, Linker, Memory, Module};

use super::inside::{Inside, Outside};
use super::{Pairs, Status};

/// The exports by which a module gives memory to its host, in the order they are tried.
const ALLOCATORS: [&str; 2] = ["proxy_on_memory_allocate", "malloc"];

/// Defines functions of one import module: each line is a name, its parameters, and the method of
/// [`Host`] that carries it out after [`Inside::enter`].
macro_rules! functions {
    ($linker:expr, $module:literal, $($name:ident($($arg:ident: $ty:ty),*) => $method:path;)*) => {
        $($linker.func_wrap(
            $module,
            stringify!($name),
            |caller: wasmtime::Caller<'_, $crate::wasm::inside::Inside>, $($arg: $ty),*| {
                $crate::wasm::abi::hostcall(caller, stringify!($name), |host| {
                    $method(host, $($arg),*)
                })
            },
        )?;)*
    };
}
use functions;

/// Everything a module may import.
///
/// # Errors
/// Names the imports of `module` that nothing here answers.
pub(crate) fn link(linker: &mut Linker<Inside>, module: &Module) -> wasmtime::Result<()> {
    proxy::link(linker)?;
    wasi::link(linker, module)?;
    let missing: Vec<String> = module
        .imports()
        .filter(|import| linker.get_by_import(&mut dry_store(module), import).is_none())
        .map(|import| format!("{}.{}", import.module(), import.name()))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(wasmtime::format_err!(
        "the module imports what this host does not have: {}",
        missing.join(", ")
    ))
}

/// A store to look definitions up with; nothing runs in it.
fn dry_store(module: &Module) -> wasmtime::Store<Inside> {
    let inside = Inside::new(super::inside::Shared::default(), 0, 0, "");
    wasmtime::Store::new(module.engine(), inside)
}

/// How a hostcall ends that is not plainly ok.
enum Fault {
    /// The number it returns.
    Code(u32),
    /// The end of the VM.
    Trap(wasmtime::Error),
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        Self::Code(status as u32)
    }
}

type Outcome<T = ()> = Result<T, Fault>;

/// Runs one hostcall.
fn hostcall(
    mut caller: Caller<'_, Inside>,
    name: &'static str,
    run: impl FnOnce(&mut Host<'_>) -> Outcome,
) -> wasmtime::Result<u32> {
    caller.data_mut().enter(name).map_err(wasmtime::Error::new)?;
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        return Ok(Status::InvalidMemoryAccess as u32);
    };
    match run(&mut Host { caller, memory }) {
        Ok(()) => Ok(Status::Ok as u32),
        Err(Fault::Code(code)) => Ok(code),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// A VM, seen from a host function that it has called.
struct Host<'a> {
    caller: Caller<'a, Inside>,
    memory: Memory,
}

impl Host<'_> {
    fn inside(&mut self) -> &mut Inside {
        self.caller.data_mut()
    }

    /// Does something with what the process's VMs share.
    fn outside<T>(&mut self, run: impl FnOnce(&mut Outside) -> T) -> T {
        let shared = self.caller.data().shared.clone();
        let mut outside = shared.lock();
        run(&mut outside)
    }

    fn read(&self, at: u32, length: u32) -> Outcome<Vec<u8>> {
        let (from, length) = (at as usize, length as usize);
        self.memory
            .data(self.caller.as_context())
            .get(from..from.saturating_add(length))
            .map(<[u8]>::to_vec)
            .ok_or(Status::InvalidMemoryAccess.into())
    }

    fn read_text(&self, at: u32, length: u32) -> Outcome<String> {
        String::from_utf8(self.read(at, length)?).map_err(|_| Status::BadArgument.into())
    }

    fn read_pairs(&self, at: u32, length: u32) -> Outcome<Pairs> {
        pairs::decode(&self.read(at, length)?).ok_or(Status::BadArgument.into())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Outcome {
        self.memory
            .write(self.caller.as_context_mut(), at as usize, bytes)
            .map_err(|_| Status::InvalidMemoryAccess.into())
    }

    fn write_u32(&mut self, at: u32, value: u32) -> Outcome {
        self.write(at, &value.to_le_bytes())
    }

    fn write_u64(&mut self, at: u32, value: u64) -> Outcome {
        self.write(at, &value.to_le_bytes())
    }

    /// Hands bytes over in memory that the VM allocates and from then on owns. Nothing is
    /// allocated for no bytes.
    fn give(&mut self, bytes: &[u8], address_at: u32, length_at: u32) -> Outcome {
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InternalFailure)?;
        let address = if bytes.is_empty() { 0 } else { self.allocate(length)? };
        self.write(address, bytes)?;
        self.write_u32(address_at, address)?;
        self.write_u32(length_at, length)
    }

    fn allocate(&mut self, length: u32) -> Outcome<u32> {
        let allocator = ALLOCATORS
            .iter()
            .find_map(|name| self.caller.get_export(name)?.into_func())
            .ok_or(Status::InvalidMemoryAccess)?;
        let address = allocator
            .typed::<u32, u32>(&self.caller)
            .and_then(|allocator| allocator.call(&mut self.caller, length))
            .map_err(Fault::Trap)?;
        if address == 0 {
            return Err(Status::InvalidMemoryAccess.into());
        }
        Ok(address)
    }
}
