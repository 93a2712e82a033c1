//! Ids: how they look, and that each is there once.

use std::collections::BTreeMap;

use crate::gate::MAX_ID_BYTES;
use crate::id::Tag;

use super::mistake::{Log, did_you_mean};
use super::place::Place;

/// The ids of one kind in one list, as they are read.
pub(super) struct Ids {
    /// The thing they name.
    what: &'static str,
    /// Every id and its line, unusable ones too: whoever refers to one makes no second mistake.
    lines: BTreeMap<String, usize>,
    /// What records would call them, if records name this kind.
    tags: Option<BTreeMap<Tag, String>>,
}

impl Ids {
    /// For things that no record names.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, lines: BTreeMap::new(), tags: None }
    }

    /// For things that records name by tag.
    pub(super) fn tagged(what: &'static str) -> Self {
        Self { tags: Some(BTreeMap::new()), ..Self::new(what) }
    }

    /// Reads an id that no other has.
    pub(super) fn take(&mut self, place: &Place<'_>, log: &mut Log) -> Option<String> {
        let id = place.text(log, "an id")?;
        if let Some(line) = self.lines.get(id) {
            let what = self.what;
            place.mistake(
                log,
                format!("expected an id of its own, found that of the {what} in line {line}"),
            );
            return None;
        }
        self.lines.insert(id.to_owned(), place.at().line);
        if !is_id(id) {
            place.expected(
                log,
                &format!(
                    "an id of at most {MAX_ID_BYTES} letters, digits and -_. that begins with a \
                     letter or digit"
                ),
            );
            return None;
        }
        if let Some(other) =
            self.tags.as_mut().and_then(|tags| tags.insert(Tag::of(id), id.to_owned()))
        {
            place.mistake(
                log,
                format!(
                    "`{id}` and `{other}` have the same 32-bit tag, by which gateways know them: \
                     rename one"
                ),
            );
            return None;
        }
        Some(id.to_owned())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Reads a mention of one of these ids; `of` tells where they belong, if not to the catalog.
    pub(super) fn mention(&self, place: &Place<'_>, of: &str, log: &mut Log) -> Option<String> {
        let what = self.what;
        let id = place.text(log, &format!("the id of an {what}"))?;
        if !self.lines.contains_key(id) {
            let hint = did_you_mean(id, self.lines.keys().map(String::as_str));
            place.mistake(log, format!("no {what}{of} has the id `{}`{hint}", id.escape_debug()));
            return None;
        }
        Some(id.to_owned())
    }
}

fn is_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= MAX_ID_BYTES
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().all(is_part)
}
