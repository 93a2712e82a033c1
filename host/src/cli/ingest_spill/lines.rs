//! Lines of a log, in bounded memory whatever the log.

use std::io::{self, BufRead, Read as _};

use tollgate_pricing::sync::spill::MARK;

/// The longest line that is looked at: no gateway writes one half as long, with all that a log
/// puts around it.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Lines, and the bytes read so far.
pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    bytes: u64,
}

/// A line of a log.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Line<'a> {
    /// Without a mark: somebody else's.
    Other,
    /// With one.
    Marked(&'a [u8]),
    /// With one, and longer than [`MAX_LINE_BYTES`].
    TooLong,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), bytes: 0 }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        if self.read()? == 0 {
            return Ok(None);
        }
        let mut marked = is_marked(&self.buffer);
        let mut is_long = false;
        while self.buffer.last() != Some(&b'\n') && self.buffer.len() >= MAX_LINE_BYTES {
            is_long = true;
            // A mark may lie across two parts.
            let kept = self.buffer.len().saturating_sub(MARK.len());
            self.buffer.drain(..kept);
            if self.read()? == 0 {
                break;
            }
            marked |= is_marked(&self.buffer);
        }
        Ok(Some(match (marked, is_long) {
            (false, _) => Line::Other,
            (true, true) => Line::TooLong,
            (true, false) => Line::Marked(&self.buffer),
        }))
    }

    /// Reads on to the end of the line, or until the buffer is full.
    fn read(&mut self) -> io::Result<usize> {
        let room = MAX_LINE_BYTES.saturating_sub(self.buffer.len());
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let read = self.reader.by_ref().take(room).read_until(b'\n', &mut self.buffer)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}

fn is_marked(line: &[u8]) -> bool {
    // Most logs are text, of which all is searched at once.
    match std::str::from_utf8(line) {
        Ok(text) => text.contains(MARK),
        Err(_) => line.windows(MARK.len()).any(|bytes| bytes == MARK.as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_marked_lines_are_looked_at_and_none_is_kept_whole_that_is_too_long() {
        let check = |log: &[u8], expected: &[&str]| {
            let mut lines = Lines::new(log);
            let mut found = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                found.push(match line {
                    Line::Other => "other".to_owned(),
                    Line::Marked(line) => String::from_utf8_lossy(line).trim_end().to_owned(),
                    Line::TooLong => "too long".to_owned(),
                });
                assert!(lines.buffer.capacity() <= 2 * MAX_LINE_BYTES);
            }
            assert_eq!(found, expected);
            assert_eq!(lines.bytes(), u64::try_from(log.len()).unwrap());
        };
        let long = |before: usize, mark: &str, after: usize| {
            let mut line = vec![b'x'; before];
            line.extend(mark.as_bytes());
            line.extend(vec![b'y'; after]);
            line.extend(b"\nTOLLGATE-SPILL-1 next\n");
            line
        };
        let next = "TOLLGATE-SPILL-1 next";
        check(b"", &[]);
        check(b"\n\nabc", &["other", "other", "other"]);
        check(b"a TOLLGATE-SPILL-1 b", &["a TOLLGATE-SPILL-1 b"]);
        check(b"\xff\xfe\na \xff TOLLGATE-SPILL-1\r\n", &["other", "a \u{fffd} TOLLGATE-SPILL-1"]);
        check(&long(3 * MAX_LINE_BYTES, "", 5), &["other", next]);
        // Wherever the mark is: at every place around the end of a part.
        for before in MAX_LINE_BYTES - 20..MAX_LINE_BYTES + 4 {
            check(&long(before, MARK, 10 * MAX_LINE_BYTES), &["too long", next]);
            check(&long(before, &MARK[1..], 9), &["other", next]);
        }
        // The longest that fits.
        let fits = MAX_LINE_BYTES - MARK.len() - 1;
        let mut line = vec![b'x'; fits];
        line.extend(MARK.as_bytes());
        let text = String::from_utf8(line).unwrap();
        check(format!("{text}\n").as_bytes(), &[text.as_str()]);
    }
}
