//! The catalog's text as a tree of what was written, where.
//!
//! Built from the parser's events rather than its values, so that `14.95` keeps its digits and a
//! key written twice is a mistake like any other. Nothing here knows what a catalog is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use super::mistake::{Log, show};

/// The largest catalog.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// How deep lists and mappings may nest; a catalog needs seven.
const MAX_DEPTH: usize = 16;

/// A place in the text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct At {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
}

impl At {
    /// The first character.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

impl From<Marker> for At {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col().saturating_add(1) }
    }
}

/// Something written.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) content: Content,
}

/// What was written.
#[derive(Debug)]
pub(super) enum Content {
    /// Nothing, `~` or `null`.
    Nothing,
    /// Text without quotes: a word or a number.
    Plain(String),
    /// Text in quotes or a block.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// What is in the log already.
    Refused,
    /// A mapping; each name is there once.
    Mapping(Vec<Field>),
}

/// A name and its value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) at: At,
    pub(super) name: String,
    pub(super) value: Node,
}

impl Content {
    fn scalar(text: &str, style: ScalarStyle) -> Self {
        match (style, text) {
            (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Self::Nothing,
            (ScalarStyle::Plain, _) => Self::Plain(text.to_owned()),
            _ => Self::Quoted(text.to_owned()),
        }
    }
}

/// Reads the one document of a text. None if there is none, with the reason in the log; mistakes
/// that leave a tree behind are in the log too.
pub(super) fn read(text: &str, log: &mut Log) -> Option<Node> {
    if text.len() > MAX_TEXT_BYTES {
        let found = text.len();
        log.add(At::START, "", format!("expected at most {MAX_TEXT_BYTES} bytes, found {found}"));
        return None;
    }
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.take(event, span.start.into(), log),
            Err(error) => {
                let message = format!("expected YAML or JSON: {}", error.info());
                log.add((*error.marker()).into(), "", message);
                Err(Stop)
            }
        };
        if step.is_err() {
            return None;
        }
    }
    if builder.root.is_none() {
        log.add(At::START, "", "expected a catalog, found an empty text");
    }
    builder.root
}

/// The text is not to be read on.
struct Stop;

/// Puts events together.
#[derive(Default)]
struct Builder {
    /// Lists and mappings begun and not ended, the innermost last.
    open: Vec<Open>,
    root: Option<Node>,
}

struct Open {
    at: At,
    parts: Parts,
}

enum Parts {
    List(Vec<Node>),
    Mapping {
        fields: Vec<Field>,
        /// Every name so far and its line.
        names: BTreeMap<String, usize>,
        /// A name that waits for its value.
        name: Option<(At, String)>,
    },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: At, log: &mut Log) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                log.add(at, "", "expected one document, found a second");
                Err(Stop)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(_) => {
                log.add(
                    at,
                    &self.path(),
                    "expected the value itself, found an alias, which catalogs do not have",
                );
                self.put(at, Content::Refused, log)
            }
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(at, tag, log);
                self.put(at, Content::scalar(&text, style), log)
            }
            Event::SequenceStart(_, tag) => {
                self.refuse_tag(at, tag, log);
                self.begin(at, Parts::List(Vec::new()), log)
            }
            Event::MappingStart(_, tag) => {
                self.refuse_tag(at, tag, log);
                let parts =
                    Parts::Mapping { fields: Vec::new(), names: BTreeMap::new(), name: None };
                self.begin(at, parts, log)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(log),
        }
    }

    fn refuse_tag(&self, at: At, tag: Option<Cow<'_, Tag>>, log: &mut Log) {
        if let Some(tag) = tag {
            let tag = show(&tag.to_string());
            log.add(at, &self.path(), format!("expected no tag, found {tag}"));
        }
    }

    fn begin(&mut self, at: At, parts: Parts, log: &mut Log) -> Result<(), Stop> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("expected at most {MAX_DEPTH} levels of nesting, found more");
            log.add(at, &self.path(), message);
            return Err(Stop);
        }
        self.open.push(Open { at, parts });
        Ok(())
    }

    fn end(&mut self, log: &mut Log) -> Result<(), Stop> {
        let Open { at, parts } = self.open.pop().ok_or(Stop)?;
        let content = match parts {
            Parts::List(nodes) => Content::List(nodes),
            Parts::Mapping { fields, .. } => Content::Mapping(fields),
        };
        self.put(at, content, log)
    }

    /// Puts what was written into the innermost list or mapping, as an item, a name or a value.
    fn put(&mut self, at: At, content: Content, log: &mut Log) -> Result<(), Stop> {
        let path = self.path();
        let node = Node { at, content };
        match self.open.last_mut().map(|open| &mut open.parts) {
            None => self.root = Some(node),
            Some(Parts::List(nodes)) => nodes.push(node),
            Some(Parts::Mapping { fields, names, name }) => match (name.take(), node.content) {
                (None, Content::Plain(text) | Content::Quoted(text)) => *name = Some((at, text)),
                (None, _) => {
                    log.add(at, &path, "expected the name of a field");
                    return Err(Stop);
                }
                (Some((at, name)), content) => {
                    if let Some(line) = names.insert(name.clone(), at.line) {
                        let message = format!("expected once, found again after line {line}");
                        log.add(at, &path, message);
                    } else {
                        let value = Node { at: node.at, content };
                        fields.push(Field { at, name, value });
                    }
                }
            },
        }
        Ok(())
    }

    /// Where the next event belongs.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |path, open| match &open.parts {
            Parts::List(nodes) => item_path(&path, nodes.len()),
            Parts::Mapping { name: Some((_, name)), .. } => field_path(&path, name),
            Parts::Mapping { .. } => path,
        })
    }
}

/// The path of an item of a list.
pub(super) fn item_path(list: &str, index: usize) -> String {
    format!("{list}[{index}]")
}

/// The path of a field of a mapping. A name that is no word is shown in quotes.
pub(super) fn field_path(mapping: &str, name: &str) -> String {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_word = !name.is_empty() && name.bytes().all(is_part);
    let shown = show(name);
    let name = if is_word { shown.replace('"', "") } else { shown };
    if mapping.is_empty() { name } else { format!("{mapping}.{name}") }
}
