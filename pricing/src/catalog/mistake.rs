//! What is wrong with a catalog, and where.

use std::fmt;

use super::raw::At;

/// Mistakes that are listed; of more, only the number is told.
const MAX_LISTED: usize = 1_000;
/// Characters of a found text that a message shows.
const MAX_SHOWN: usize = 60;

/// One mistake in a catalog's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Counts from 1.
    pub line: usize,
    /// Counts characters from 1.
    pub column: usize,
    /// Where in the document, as `products[2].limits[0].quota.calls`; empty where only the text's
    /// form is wrong.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// `12:7 products[2].price: expected …, found …`, to be put behind a file's name and a colon.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All mistakes of a catalog in the order of its text; never empty. Displayed one a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// In the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, mistake) in self.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Mistakes as they are found.
#[derive(Default)]
pub(super) struct Log {
    mistakes: Vec<Mistake>,
    unlisted: usize,
}

impl Log {
    /// Notes a mistake.
    pub(super) fn add(&mut self, at: At, path: &str, message: impl Into<String>) {
        if self.mistakes.len() >= MAX_LISTED {
            self.unlisted = self.unlisted.saturating_add(1);
            return;
        }
        self.mistakes.push(Mistake {
            line: at.line,
            column: at.column,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    /// What was read, if there was no mistake in it.
    pub(super) fn finish<T>(mut self, read: Option<T>) -> Result<T, Mistakes> {
        match read {
            Some(read) if self.mistakes.is_empty() => return Ok(read),
            None if self.mistakes.is_empty() => {
                // No reader gives nothing without a mistake; if one did, the catalog is refused.
                self.add(At::START, "", "expected a catalog");
            }
            _ => {}
        }
        self.mistakes.sort_by_key(|mistake| (mistake.line, mistake.column));
        if self.unlisted > 0 {
            let (line, column) =
                self.mistakes.last().map_or((1, 1), |last| (last.line, last.column));
            self.mistakes.push(Mistake {
                line,
                column,
                path: String::new(),
                message: format!("and {} more mistakes", self.unlisted),
            });
        }
        Err(Mistakes(self.mistakes))
    }
}

/// Found text as messages show it: in quotes, escaped, and not too long.
pub(super) fn show(text: &str) -> String {
    if text.chars().nth(MAX_SHOWN).is_none() {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(MAX_SHOWN).collect();
    format!("{start:?}…")
}

/// ` (did you mean `x`?)` for the known word most like `found`, or nothing if none is close.
pub(super) fn did_you_mean<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(found, known).map_or_else(String::new, |word| format!(" (did you mean `{word}`?)"))
}

/// The known word that `found` is most likely a slip of.
pub(super) fn closest<'a>(
    found: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if found.len() > MAX_SHOWN {
        return None;
    }
    let plain = |word: &str| word.to_ascii_lowercase().replace('-', "_");
    let found = plain(found);
    known
        .into_iter()
        .filter(|word| word.len().abs_diff(found.len()) <= 2)
        .map(|word| (strsim::osa_distance(&found, &plain(word)), word))
        // One slip in short words, two in longer ones.
        .filter(|(slips, word)| *slips <= if word.len() < 5 { 1 } else { 2 })
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}
