//! A catalog's file: its text, read within bounds, and its mistakes with their places.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use tollgate_pricing::catalog::{MAX_TEXT_BYTES, Mistakes};

/// The last byte only tells that there is more.
const READ_BYTES: u64 = MAX_TEXT_BYTES as u64 + 1;

/// The text of a catalog file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(READ_BYTES).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_TEXT_BYTES {
        return Err(io::Error::other(format!(
            "expected a catalog of at most {MAX_TEXT_BYTES} bytes, found a larger file"
        )));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("expected UTF-8"))
}

/// `file:line:column path: message`, one a line, as editors and people read it.
pub(crate) fn lines(path: &Path, mistakes: &Mistakes) -> String {
    let mut lines = String::new();
    for mistake in mistakes {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{}:{mistake}", path.display());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_size_of_a_catalog() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let check = |bytes: &[u8]| {
            std::fs::write(file.path(), bytes).unwrap();
            read(file.path()).map(|text| text.len()).map_err(|error| error.to_string())
        };
        let largest = "#".repeat(MAX_TEXT_BYTES);
        assert_eq!(check(largest.as_bytes()), Ok(MAX_TEXT_BYTES));
        // The bound goes through the last letter.
        let larger = largest + "é";
        let expected = "expected a catalog of at most 4194304 bytes, found a larger file";
        assert_eq!(check(larger.as_bytes()), Err(expected.to_owned()));
        assert_eq!(check(b"\xff"), Err("expected UTF-8".to_owned()));
    }
}
