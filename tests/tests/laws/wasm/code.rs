//! A compiled module and what it may import, made once and instantiated by every VM.

use std::path::Path;

use wasmtime::{Engine, InstancePre, Linker, Module};

use super::abi;
use super::inside::Inside;

/// A module, compiled and linked.
pub(crate) struct Code {
    module: Module,
    ready: InstancePre<Inside>,
}

impl Code {
    /// Compiles WebAssembly, binary or text.
    ///
    /// # Errors
    /// A module that is not valid, or imports what no host function answers (by name).
    pub(crate) fn new(bytes: impl AsRef<[u8]>) -> wasmtime::Result<Self> {
        let engine = Engine::default();
        let module = Module::new(&engine, bytes)?;
        let mut linker = Linker::new(&engine);
        abi::link(&mut linker, &module)?;
        let ready = linker.instantiate_pre(&module)?;
        Ok(Self { module, ready })
    }

    /// The same, from a file.
    pub(crate) fn from_file(path: &Path) -> wasmtime::Result<Self> {
        Self::new(std::fs::read(path)?)
    }

    /// `module.name` of everything the module imports, sorted.
    pub(crate) fn imports(&self) -> Vec<String> {
        let name =
            |import: wasmtime::ImportType<'_>| format!("{}.{}", import.module(), import.name());
        let mut names: Vec<String> = self.module.imports().map(name).collect();
        names.sort();
        names
    }

    /// Names of the functions the module exports, sorted.
    pub(crate) fn exports(&self) -> Vec<String> {
        let functions = self.module.exports().filter(|export| export.ty().func().is_some());
        let mut names: Vec<String> = functions.map(|export| export.name().to_owned()).collect();
        names.sort();
        names
    }

    pub(super) fn engine(&self) -> &Engine {
        self.module.engine()
    }

    pub(super) fn ready(&self) -> &InstancePre<Inside> {
        &self.ready
    }
}
