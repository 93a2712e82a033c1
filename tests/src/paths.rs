//! Where things are: the workspace, its target directory, and directories for a run's state.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, process};

/// The workspace's root.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |configured| root().join(configured))
}

/// A fresh directory under `target/<kind>/`, removed when dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    keep: bool,
}

impl StateDir {
    /// Makes a directory that no other process and no other call uses.
    pub fn new(kind: &str) -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", process::id());
        let path = target().join(kind).join(name);
        // Left behind by a killed process that had this id.
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self { path, keep: false })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Leaves what is in the directory for whoever looks into what went wrong: whether there is
    /// anything.
    pub fn keep(&mut self) -> bool {
        self.keep = fs::read_dir(&self.path).is_ok_and(|mut files| files.next().is_some());
        self.keep
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about a file that stays, and nothing depends on it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
