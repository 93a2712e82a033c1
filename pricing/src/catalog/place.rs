//! Reading a tree: what is at a place, and the fields of a mapping, each taken once.
//!
//! Every reader notes its mistakes in the log and gives nothing, so that its caller can go on
//! with the next thing and find the mistakes there too.

use std::num::NonZeroU64;
use std::ops::RangeInclusive;

use super::mistake::{Log, closest, did_you_mean, show};
use super::raw::{At, Content, Field, Node, field_path, item_path};

/// The longest text of a field.
pub(super) const MAX_SCALAR_BYTES: usize = 1024;
/// The most calls a plan can speak of: exact in SQL, in JSON numbers and in a person's head.
pub const MAX_CALLS: u64 = 1_000_000_000_000_000;

/// Something written, and its path.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    node: &'a Node,
    path: String,
}

impl<'a> Place<'a> {
    /// The whole document.
    pub(super) fn root(node: &'a Node) -> Self {
        Self { node, path: String::new() }
    }

    pub(super) fn at(&self) -> At {
        self.node.at
    }

    /// Notes a mistake here.
    pub(super) fn mistake(&self, log: &mut Log, message: impl Into<String>) {
        log.add(self.node.at, &self.path, message);
    }

    /// Notes that something else was expected here.
    pub(super) fn expected(&self, log: &mut Log, expected: &str) {
        let found = match &self.node.content {
            Content::Nothing => "nothing".to_owned(),
            Content::Plain(number) if is_number(number) => number.clone(),
            Content::Plain(text) | Content::Quoted(text) => show(text),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Refused => return,
        };
        self.mistake(log, format!("expected {expected}, found {found}"));
    }

    /// The text here, if there is some: quoted or not, `5` and `true` too.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match &self.node.content {
            Content::Plain(text) | Content::Quoted(text) => Some(text),
            _ => None,
        }
    }

    /// The text here.
    pub(super) fn text(&self, log: &mut Log, expected: &str) -> Option<&'a str> {
        let Some(text) = self.as_text() else {
            self.expected(log, expected);
            return None;
        };
        if text.len() > MAX_SCALAR_BYTES {
            let found = text.len();
            self.mistake(
                log,
                format!("expected {expected} of at most {MAX_SCALAR_BYTES} bytes, found {found}"),
            );
            return None;
        }
        Some(text)
    }

    /// The text here as what `parse` makes of it.
    pub(super) fn parse<T>(
        &self,
        log: &mut Log,
        expected: &str,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Option<T> {
        let parsed = parse(self.text(log, expected)?);
        if parsed.is_none() {
            self.expected(log, expected);
        }
        parsed
    }

    /// A whole number in a range. Numbers in quotes are text, and no numbers.
    pub(super) fn number(&self, log: &mut Log, range: &RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (range.start(), range.end());
        let number = match &self.node.content {
            Content::Plain(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|number| range.contains(number))
            }
            _ => None,
        };
        if number.is_none() {
            self.expected(log, &format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// A number of calls from 1.
    pub(super) fn calls(&self, log: &mut Log) -> Option<NonZeroU64> {
        self.number(log, &(1..=MAX_CALLS)).and_then(NonZeroU64::new)
    }

    /// `true` or `false`.
    pub(super) fn truth(&self, log: &mut Log) -> Option<bool> {
        match &self.node.content {
            Content::Plain(word) if word == "true" => Some(true),
            Content::Plain(word) if word == "false" => Some(false),
            _ => {
                self.expected(log, "true or false");
                None
            }
        }
    }

    /// The items of a list of at most `most`; those past it are not looked at.
    pub(super) fn list(&self, log: &mut Log, what: &str, most: usize) -> Option<Vec<Place<'a>>> {
        let Content::List(nodes) = &self.node.content else {
            self.expected(log, &format!("a list of {what}"));
            return None;
        };
        if nodes.len() > most {
            let found = nodes.len();
            self.mistake(log, format!("expected at most {most} {what}, found {found}"));
        }
        let place = |(index, node)| Place { node, path: item_path(&self.path, index) };
        Some(nodes.iter().take(most).enumerate().map(place).collect())
    }

    /// Like [`Self::list`], and an empty list is a mistake.
    pub(super) fn filled_list(
        &self,
        log: &mut Log,
        what: &str,
        most: usize,
    ) -> Option<Vec<Place<'a>>> {
        let places = self.list(log, what, most)?;
        if places.is_empty() {
            self.mistake(log, format!("expected {what}, found an empty list"));
        }
        Some(places)
    }

    /// Reads a mapping by its fields. What `read` never asked for is a mistake.
    pub(super) fn fields<T>(
        &self,
        log: &mut Log,
        expected: &str,
        read: impl FnOnce(&mut Fields<'_, 'a>, &mut Log) -> Option<T>,
    ) -> Option<T> {
        let Content::Mapping(written) = &self.node.content else {
            self.expected(log, expected);
            return None;
        };
        let mut fields = Fields { place: self, written, known: Vec::new(), missing: Vec::new() };
        let value = read(&mut fields, log);
        fields.close(log);
        value
    }
}

/// Whether a plain text needs no quotes in a message.
fn is_number(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    text.len() <= 30 && text.bytes().all(is_part)
}

/// The fields of a mapping while it is read.
pub(super) struct Fields<'p, 'a> {
    place: &'p Place<'a>,
    written: &'a [Field],
    /// Every name asked for.
    known: Vec<&'static str>,
    /// What had to be there and is not: one of these names each.
    missing: Vec<Vec<&'static str>>,
}

impl<'a> Fields<'_, 'a> {
    /// A field that may be left out.
    pub(super) fn optional(&mut self, name: &'static str) -> Option<Place<'a>> {
        self.known.push(name);
        let field = self.written.iter().find(|field| field.name == name)?;
        Some(Place { node: &field.value, path: field_path(&self.place.path, name) })
    }

    /// A field that must be there.
    pub(super) fn required(&mut self, name: &'static str) -> Option<Place<'a>> {
        let place = self.optional(name);
        if place.is_none() {
            self.missing.push(vec![name]);
        }
        place
    }

    /// The one of these fields that is there.
    pub(super) fn one_of(
        &mut self,
        names: &[&'static str],
        log: &mut Log,
    ) -> Option<(&'static str, Place<'a>)> {
        let mut chosen = None;
        for name in names {
            match (self.optional(name), &chosen) {
                (Some(place), None) => chosen = Some((*name, place)),
                (Some(place), Some((first, _))) => {
                    place
                        .mistake(log, format!("expected either `{first}` or `{name}`, found both"));
                }
                (None, _) => {}
            }
        }
        if chosen.is_none() {
            self.missing.push(names.to_vec());
        }
        chosen
    }

    /// Notes that one of these fields must be there, or several.
    pub(super) fn require_any(&mut self, names: &[&'static str]) {
        if !self.written.iter().any(|field| names.contains(&field.name.as_str())) {
            self.missing.push(names.to_vec());
        }
    }

    /// Notes what is unknown and what is missing. A missing field that an unknown one seems to
    /// mean is one mistake, not two.
    fn close(self, log: &mut Log) {
        let mut meant = Vec::new();
        for field in self.written {
            let name = field.name.as_str();
            if self.known.contains(&name) {
                continue;
            }
            meant.extend(closest(name, self.known.iter().copied()));
            let hint = did_you_mean(name, self.known.iter().copied());
            let known = self.known.join(", ");
            log.add(
                field.at,
                &field_path(&self.place.path, name),
                format!("unknown field{hint}: expected {known}"),
            );
        }
        for names in &self.missing {
            if names.iter().any(|name| meant.contains(name)) {
                continue;
            }
            let names = match names.as_slice() {
                [name] => format!("the field `{name}`"),
                names => format!("one of the fields {}", names.join(", ")),
            };
            self.place.mistake(log, format!("expected {names}, found none"));
        }
    }
}
