//! The programs under test, built by the cargo that runs us, once per process.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::paths;

/// What the plugin is compiled for.
const PLUGIN_TARGET: &str = "wasm32-wasip1";

/// Why there is nothing to run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    /// A tool is missing.
    #[error("cannot run {tool}: {cause}")]
    Tool {
        /// Which one.
        tool: String,
        /// Why.
        cause: String,
    },
    /// Cargo said no; its own words are on standard error.
    #[error("cannot build {what}: see cargo's messages above")]
    Cargo {
        /// The package.
        what: &'static str,
    },
    /// Cargo said yes but named no such file.
    #[error("cargo built {what} but named no {file} file")]
    NoFile {
        /// The package.
        what: &'static str,
        /// The kind of file.
        file: &'static str,
    },
    /// The compiler has no standard library for the plugin's target.
    #[error(
        "the Rust compiler lacks the target {PLUGIN_TARGET}: run `rustup target add {PLUGIN_TARGET}`"
    )]
    NoTarget,
}

/// The plugin as Envoy loads it: a `.wasm` file.
pub fn plugin() -> Result<&'static Path, BuildError> {
    static PLUGIN: OnceLock<Result<PathBuf, BuildError>> = OnceLock::new();
    shared(&PLUGIN, || build_plugin(&["--profile", "plugin"]))
}

/// The plugin with mistakes in it: which one, the variable `TOLLGATE_FAULT` of its VM says, by the
/// names in `plugin/src/faults/told.rs`. Without that it makes none.
pub fn plugin_with_faults() -> Result<&'static Path, BuildError> {
    static PLUGIN: OnceLock<Result<PathBuf, BuildError>> = OnceLock::new();
    shared(&PLUGIN, || build_plugin(&["--profile", "plugin-faults", "--features", "faults"]))
}

fn build_plugin(args: &[&str]) -> Result<PathBuf, BuildError> {
    ensure_target()?;
    let args = [&["--target", PLUGIN_TARGET], args].concat();
    build("tollgate-plugin", &args, "wasm", |artifact| {
        let is_wasm = |file: &&PathBuf| file.extension().is_some_and(|it| it == "wasm");
        artifact.filenames.iter().find(is_wasm).cloned()
    })
}

/// The host: the program `tollgate`.
pub fn host() -> Result<&'static Path, BuildError> {
    static HOST: OnceLock<Result<PathBuf, BuildError>> = OnceLock::new();
    shared(&HOST, || {
        build("tollgate-host", &["--bin", "tollgate"], "program", |it| it.executable.clone())
    })
}

fn shared(
    cell: &'static OnceLock<Result<PathBuf, BuildError>>,
    build: impl FnOnce() -> Result<PathBuf, BuildError>,
) -> Result<&'static Path, BuildError> {
    match cell.get_or_init(build) {
        Ok(path) => Ok(path),
        Err(error) => Err(error.clone()),
    }
}

/// One of cargo's messages about what it made.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    filenames: Vec<PathBuf>,
    executable: Option<PathBuf>,
}

fn build(
    package: &'static str,
    args: &[&str],
    file: &'static str,
    find: impl Fn(&Artifact) -> Option<PathBuf>,
) -> Result<PathBuf, BuildError> {
    let output = Command::new(cargo())
        .args(["build", "--message-format", "json-render-diagnostics", "-p", package])
        .args(args)
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|cause| no_tool("cargo", &cause))?;
    if !output.status.success() {
        return Err(BuildError::Cargo { what: package });
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        // Dependencies have artifacts too; ours is the one whose manifest is in the workspace.
        .filter(|artifact: &Artifact| artifact.manifest_path.starts_with(paths::root()))
        .find_map(|artifact| find(&artifact))
        .ok_or(BuildError::NoFile { what: package, file })
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Adds the plugin's target where rustup manages the compiler and has not done so by itself.
fn ensure_target() -> Result<(), BuildError> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", PLUGIN_TARGET])
        .current_dir(paths::root())
        .output()
        .map_err(|cause| no_tool("rustc", &cause))?;
    let libraries = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && Path::new(&libraries).is_dir() {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", PLUGIN_TARGET])
        .current_dir(paths::root())
        .stdout(Stdio::null())
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(BuildError::NoTarget),
    }
}

fn no_tool(tool: &str, cause: &io::Error) -> BuildError {
    BuildError::Tool { tool: tool.to_owned(), cause: cause.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mistake_can_be_asked_of_the_released_plugin() {
        let has = |file: &Path, text: &str| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        let (released, faulty) = (plugin().unwrap(), plugin_with_faults().unwrap());
        for text in ["TOLLGATE_FAULT", "x-tollgate-trap", "settle_twice"] {
            assert!(!has(released, text), "{text}");
            assert!(has(faulty, text), "{text}");
        }
    }
}
