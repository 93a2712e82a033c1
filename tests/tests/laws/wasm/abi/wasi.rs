//! The functions of WASI preview 1 that Envoy has; every other one answers `ENOTSUP`.

use wasmtime::{Caller, Linker, Module, Val};

use super::{Fault, Host, Outcome, functions};
use crate::wasm::clock::nanoseconds;
use crate::wasm::inside::Inside;

const MODULE: &str = "wasi_snapshot_preview1";
const BAD_DESCRIPTOR: Fault = Fault::Code(8);
const INVALID: Fault = Fault::Code(28);
const NOT_SUPPORTED: u32 = 58;

const CLOCK_WALL: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
/// The most chance Envoy gives at once.
const MAX_RANDOM_BYTES: u32 = 64 * 1024;

pub(super) fn link(linker: &mut Linker<Inside>, module: &Module) -> wasmtime::Result<()> {
    functions!(linker, "wasi_snapshot_preview1",
        fd_write(file: u32, parts: u32, count: u32, written_at: u32) => Host::fd_write;
        environ_sizes_get(count_at: u32, bytes_at: u32) => Host::environ_sizes;
        environ_get(list_at: u32, text_at: u32) => Host::environ;
        args_sizes_get(count_at: u32, bytes_at: u32) => Host::args_sizes;
        args_get(list_at: u32, text_at: u32) => Host::args;
        clock_time_get(clock: u32, precision: u64, time_at: u32) => Host::clock_time;
        random_get(at: u32, length: u32) => Host::random;
        sched_yield() => Host::sched_yield;
    );
    linker.func_wrap(MODULE, "proc_exit", |mut caller: Caller<'_, Inside>, code: u32| {
        caller.data_mut().enter("proc_exit").map_err(wasmtime::Error::new)?;
        wasmtime::Result::<()>::Err(wasmtime::format_err!("the plugin exited with code {code}"))
    })?;
    for import in module.imports().filter(|import| import.module() == MODULE) {
        let Some(kind) = import.ty().func().cloned() else {
            continue;
        };
        if linker.get_by_import(&mut super::dry_store(module), &import).is_none() {
            linker.func_new(MODULE, import.name(), kind, |_, _, results| {
                results.fill(Val::I32(NOT_SUPPORTED.cast_signed()));
                Ok(())
            })?;
        }
    }
    Ok(())
}

impl Host<'_> {
    /// Standard output and error are the log.
    fn fd_write(&mut self, file: u32, parts: u32, count: u32, written_at: u32) -> Outcome {
        let level = match file {
            1 => "info",
            2 => "error",
            _ => return Err(BAD_DESCRIPTOR),
        };
        let list = self.read(parts, count.saturating_mul(8))?;
        let (words, _) = list.as_chunks::<4>();
        let mut text = Vec::new();
        for [at, length] in words.as_chunks::<2>().0 {
            text.extend(self.read(u32::from_le_bytes(*at), u32::from_le_bytes(*length))?);
        }
        self.note(level, &text);
        self.write_u32(written_at, u32::try_from(text.len()).map_err(|_| INVALID)?)
    }

    /// `NAME=value` and a zero byte, for each variable.
    fn environment(&mut self) -> Vec<Vec<u8>> {
        self.outside(|outside| {
            let variables = outside.environment.iter();
            variables.map(|(name, value)| format!("{name}={value}\0").into_bytes()).collect()
        })
    }

    fn environ_sizes(&mut self, count_at: u32, bytes_at: u32) -> Outcome {
        let variables = self.environment();
        let bytes: usize = variables.iter().map(Vec::len).sum();
        self.write_u32(count_at, u32::try_from(variables.len()).map_err(|_| INVALID)?)?;
        self.write_u32(bytes_at, u32::try_from(bytes).map_err(|_| INVALID)?)
    }

    fn environ(&mut self, mut list_at: u32, mut text_at: u32) -> Outcome {
        for variable in self.environment() {
            self.write_u32(list_at, text_at)?;
            self.write(text_at, &variable)?;
            list_at += 4;
            text_at += u32::try_from(variable.len()).map_err(|_| INVALID)?;
        }
        Ok(())
    }

    fn args_sizes(&mut self, count_at: u32, bytes_at: u32) -> Outcome {
        self.write_u32(count_at, 0)?;
        self.write_u32(bytes_at, 0)
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "one of the table's functions"
    )]
    fn args(&mut self, _list_at: u32, _text_at: u32) -> Outcome {
        Ok(())
    }

    fn clock_time(&mut self, clock: u32, _precision: u64, time_at: u32) -> Outcome {
        let (now, lies) = self.outside(|outside| (outside.clock, outside.lies));
        let time = match clock {
            CLOCK_WALL => now.wall,
            CLOCK_MONOTONIC if lies.fast_clock => now.monotonic * 2,
            CLOCK_MONOTONIC => now.monotonic,
            _ => return Err(Fault::Code(NOT_SUPPORTED)),
        };
        self.write_u64(time_at, nanoseconds(time))
    }

    fn random(&mut self, at: u32, length: u32) -> Outcome {
        if length > MAX_RANDOM_BYTES {
            return Err(INVALID);
        }
        let mut bytes = vec![0; length as usize];
        self.outside(|outside| outside.random.fill(&mut bytes));
        self.write(at, &bytes)
    }

    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "one of the table's functions"
    )]
    fn sched_yield(&mut self) -> Outcome {
        Ok(())
    }
}
