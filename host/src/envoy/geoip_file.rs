//! The file that says where addresses are, looked at before Envoy has to: Envoy ends at once, and
//! in few words, over one that it cannot read.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// What stands before the description of a `MaxMind` DB, at most so far from its end
/// (`MaxMind` DB File Format 2.0).
const MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
const MARK_WITHIN_BYTES: u64 = 128 * 1024;

/// A `MaxMind` DB that exists, by its absolute path: Envoy may be started elsewhere. Links in it stay:
/// an update may change what they lead to.
#[derive(Debug)]
pub(crate) struct GeoipFile(String);

/// A file that is not such a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GeoipError {
    /// Absent or unreadable.
    #[error("no database of addresses can be read at {path}: {error}")]
    Unreadable {
        /// As given.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// Something else.
    #[error(
        "{path} is not a MaxMind DB: unpack the archive it came in, and name its .mmdb file with \
         --geoip"
    )]
    NotMaxmind {
        /// As given.
        path: String,
    },
    /// Envoy takes none that is called otherwise.
    #[error("expected a file whose name ends in .mmdb, found {path}: Envoy reads no other")]
    OtherName {
        /// As given.
        path: String,
    },
    /// A path that YAML, which is Unicode, cannot hold.
    #[error("the path of {path} is not Unicode: move the database to one that is")]
    NotUnicode {
        /// Its nearest text.
        path: String,
    },
}

impl GeoipFile {
    /// Finds the file and looks at how it ends.
    pub(crate) fn open(path: &Path) -> Result<Self, GeoipError> {
        let name = || path.display().to_string();
        let unreadable = |error| GeoipError::Unreadable { path: name(), error };
        let end = end_of(path).map_err(unreadable)?;
        if !end.windows(MARK.len()).any(|window| window == MARK) {
            return Err(GeoipError::NotMaxmind { path: name() });
        }
        if path.extension().is_none_or(|extension| extension != "mmdb") {
            return Err(GeoipError::OtherName { path: name() });
        }
        let absolute = std::path::absolute(path).map_err(unreadable)?;
        match absolute.to_str() {
            Some(absolute) => Ok(Self(absolute.to_owned())),
            None => Err(GeoipError::NotUnicode { path: name() }),
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

fn end_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(MARK_WITHIN_BYTES)))?;
    let mut end = Vec::new();
    file.take(MARK_WITHIN_BYTES).read_to_end(&mut end)?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_database_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let check = |file: &str, content: Option<&[u8]>, expected: &str| {
            let file = directory.path().join(file);
            if let Some(content) = content {
                std::fs::write(&file, content).unwrap();
            }
            let found = match GeoipFile::open(&file) {
                Ok(file) if Path::new(file.path()).is_absolute() => "good",
                Ok(_) => "relative",
                Err(GeoipError::Unreadable { .. }) => "unreadable",
                Err(GeoipError::NotMaxmind { .. }) => "not maxmind",
                Err(GeoipError::OtherName { .. }) => "other name",
                Err(GeoipError::NotUnicode { .. }) => "not unicode",
            };
            assert_eq!(found, expected, "{file:?}");
        };
        let good = [&vec![0; 300_000][..], MARK, b"\xe9 and so on"].concat();
        check("absent.mmdb", None, "unreadable");
        check(".", None, "unreadable");
        check("empty.mmdb", Some(b""), "not maxmind");
        check("archive.tar.gz", Some(b"\x1f\x8b"), "not maxmind");
        check("head.mmdb", Some(&[MARK, &vec![0; 300_000]].concat()), "not maxmind");
        check("good.mmdb", Some(&good), "good");
        check("good.bin", Some(&good), "other name");
    }
}
