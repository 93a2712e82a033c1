//! The filter's file, looked at before Envoy has to.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// A WebAssembly file that exists, by its absolute path: Envoy may be started elsewhere.
#[derive(Debug)]
pub(crate) struct PluginFile(String);

/// A file that is not a plugin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginError {
    /// Absent or unreadable.
    #[error(
        "no plugin can be read at {path}: {error}; build it with `cargo build -p tollgate-plugin \
         --profile plugin --target wasm32-wasip1`, or name it with --plugin"
    )]
    Unreadable {
        /// As given.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Something else.
    #[error("{path} is not a WebAssembly module: name the plugin's .wasm file with --plugin")]
    NotWasm {
        /// As given.
        path: String,
    },
    /// A path that YAML, which is Unicode, cannot hold.
    #[error("the path of {path} is not Unicode: move the plugin to one that is")]
    NotUnicode {
        /// Its nearest text.
        path: String,
    },
}

impl PluginFile {
    /// Finds the file and looks at how it begins.
    pub(crate) fn open(path: &Path) -> Result<Self, PluginError> {
        let name = || path.display().to_string();
        let unreadable = |error| PluginError::Unreadable { path: name(), error };
        let mut magic = Vec::new();
        File::open(path)
            .and_then(|file| file.take(4).read_to_end(&mut magic))
            .map_err(unreadable)?;
        if magic != *b"\0asm" {
            return Err(PluginError::NotWasm { path: name() });
        }
        let absolute = path.canonicalize().map_err(unreadable)?;
        match absolute.to_str() {
            Some(absolute) => Ok(Self(absolute.to_owned())),
            None => Err(PluginError::NotUnicode { path: name() }),
        }
    }

    pub(super) fn path(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn unchecked(path: &str) -> Self {
        Self(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_plugin_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plugin.wasm");
        let error = || {
            PluginFile::open(&file).map_err(|error| match error {
                PluginError::Unreadable { .. } => "unreadable",
                PluginError::NotWasm { .. } => "not wasm",
                PluginError::NotUnicode { .. } => "not unicode",
            })
        };
        assert_eq!(error().unwrap_err(), "unreadable");
        std::fs::write(&file, "ELF").unwrap();
        assert_eq!(error().unwrap_err(), "not wasm");
        std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
        assert!(Path::new(&error().unwrap().0).is_absolute());
    }
}
