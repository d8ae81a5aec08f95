//! The file as a tree of nodes that know where they stand.
//!
//! The YAML library parses (and bounds depth, aliases and merges); what comes out is text, lists and maps. What a scalar *means* is
//! decided later by who reads it, so that `1.10` stays `1.10` where a text is wanted.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DefaultMessageFormatter, Location, MessageFormatter, Options, Spanned};

/// Deeper nesting than any config needs, and shallow enough for a small stack.
const MAX_DEPTH: usize = 32;

/// Ten thousand endpoints with every key given are a quarter of this.
const MAX_NODES: usize = 500_000;

/// Aliases repeat settings, not fleets.
const MAX_REPLAYED: usize = 50_000;

/// Four times what the nodes above need.
const MAX_BYTES: usize = 16 * 1024 * 1024;

const QUOTES: [char; 2] = ['"', '\''];

/// A parsed file.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
    places: Vec<Place>,
}

/// The number of a node or key in its tree.
pub(super) type NodeId = u32;

/// One value of the file.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A text, number or truth value, not yet told apart.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written in quotes: a text, whatever it looks like.
    pub(super) quoted: bool,
    /// What the file says, when variables made the text.
    pub(super) source: Option<String>,
}

/// A key and its value.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_id: NodeId,
    pub(super) value: Node,
}

#[derive(Debug)]
struct Place {
    line: u32,
    column: u32,
    parent: NodeId,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Root,
    Key(String),
    Index(usize),
}

/// Why the text is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) message: String,
}

impl Tree {
    /// Parses one YAML document; an empty one is [`Kind::Null`].
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_BYTES {
            return Err(SyntaxError { line: 0, column: 0, message: format!("the file is larger than {MAX_BYTES} bytes") });
        }
        let mut options: Options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
        if let Some(budget) = options.budget.as_mut() {
            budget.max_depth = MAX_DEPTH;
            budget.flow_nesting_limit = MAX_DEPTH;
            budget.max_nodes = MAX_NODES;
            budget.max_documents = 1;
        }
        options.alias_limits.max_total_replayed_events = MAX_REPLAYED;
        let parsed: Spanned<Parsed> = serde_saphyr::from_str_with_options(text, options).map_err(syntax_error)?;
        let mut tree = Self { root: Node { id: 0, kind: Kind::Null }, places: Vec::new() };
        tree.root = tree.plant(text, parsed, 0, Step::Root);
        Ok(tree)
    }

    /// Returns the line and column of a node, from 1.
    pub(super) fn position(&self, id: NodeId) -> (u32, u32) {
        self.places.get(id as usize).map_or((0, 0), |place| (place.line, place.column))
    }

    /// Returns the path of a node, such as `routes[0].match`.
    pub(super) fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        while let Some(place) = self.places.get(at as usize) {
            match &place.step {
                Step::Root => break,
                step => steps.push(step),
            }
            at = place.parent;
        }
        let mut path = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Root => {}
                Step::Index(index) => path.push_str(&format!("[{index}]")),
                Step::Key(key) if path.is_empty() => path.push_str(key),
                Step::Key(key) => path.push_str(&format!(".{key}")),
            }
        }
        path
    }

    /// Finds a node by its number: children are numbered after their parent, in order.
    pub(super) fn find(&self, id: NodeId) -> Option<&Node> {
        let mut node = &self.root;
        while node.id != id {
            node = match &node.kind {
                Kind::List(items) => items.get(items.partition_point(|item| item.id <= id).checked_sub(1)?)?,
                Kind::Map(entries) => &entries.get(entries.partition_point(|entry| entry.value.id <= id).checked_sub(1)?)?.value,
                Kind::Null | Kind::Scalar(_) => return None,
            };
        }
        Some(node)
    }

    fn place(&mut self, at: Location, parent: NodeId, step: Step) -> NodeId {
        let id = NodeId::try_from(self.places.len()).unwrap_or(NodeId::MAX);
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        self.places.push(Place { line: narrow(at.line()), column: narrow(at.column()), parent, step });
        id
    }

    fn plant(&mut self, text: &str, parsed: Spanned<Parsed>, parent: NodeId, step: Step) -> Node {
        let id = self.place(parsed.defined, parent, step);
        let kind = match parsed.value {
            Parsed::Null => Kind::Null,
            Parsed::Text(value) => {
                let quoted = source_text(text, parsed.defined).is_none_or(|source| source.starts_with(QUOTES));
                Kind::Scalar(Scalar { text: value, quoted, source: None })
            }
            Parsed::Number(value) => {
                let written = source_text(text, parsed.defined)
                    .map(str::trim)
                    .filter(|source| !source.is_empty() && !source.starts_with(QUOTES));
                Kind::Scalar(Scalar { text: written.map_or(value, str::to_owned), quoted: false, source: None })
            }
            Parsed::List(items) => Kind::List(
                items.into_iter().enumerate().map(|(index, item)| self.plant(text, item, id, Step::Index(index))).collect(),
            ),
            Parsed::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let key_id = self.place(key.defined, id, Step::Key(key.value.0.clone()));
                        let value = self.plant(text, value, id, Step::Key(key.value.0.clone()));
                        Entry { key: key.value.0, key_id, value }
                    })
                    .collect(),
            ),
        };
        Node { id, kind }
    }
}

impl Node {
    /// Tells whether the value is as good as not there: null, or a variable that is empty.
    pub(super) fn is_absent(&self) -> bool {
        match &self.kind {
            Kind::Null => true,
            Kind::Scalar(scalar) => scalar.text.is_empty() && scalar.source.is_some(),
            Kind::List(_) | Kind::Map(_) => false,
        }
    }

    /// Returns what the file says under a key; nothing when this is no mapping.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value),
            _ => None,
        }
    }

    /// Returns the text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// Returns the keys of a mapping.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// Returns the items of a list.
    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    /// Replaces what variables put into the value by their names, wherever `message` quotes it; a text under 4 bytes is no secret.
    pub(super) fn without_secrets(&self, message: String) -> String {
        match &self.kind {
            Kind::Scalar(Scalar { text, source: Some(source), .. }) if text.len() >= 4 => {
                let escaped = text.escape_debug().to_string();
                message.replace(&escaped, source).replace(text.as_str(), source)
            }
            _ => message,
        }
    }

    /// Says what the value is, for "expected .., found ..".
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Scalar(scalar) if scalar.source.is_some() => format!("the value of {}", scalar.shown()),
            Kind::Scalar(scalar) if scalar.quoted => format!("the text {}", scalar.shown()),
            Kind::Scalar(scalar) => scalar.shown(),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }
}

impl Scalar {
    /// The text as the file has it, quoted and cut to a readable length; the value of a variable may be a secret and is not shown.
    pub(super) fn shown(&self) -> String {
        let text = self.source.as_ref().unwrap_or(&self.text);
        let cut: String = text.chars().take(60).collect();
        if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
    }
}

/// Finds what the file says at a location; `None` when the location is not in it.
fn source_text(text: &str, at: Location) -> Option<&str> {
    let span = at.span();
    let start = usize::try_from(span.byte_offset()?).ok()?;
    let length = usize::try_from(span.byte_len()?).ok()?;
    text.get(start..start.checked_add(length)?)
}

fn syntax_error(error: serde_saphyr::Error) -> SyntaxError {
    let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let message = DefaultMessageFormatter.format_message(error.without_snippet());
    SyntaxError {
        line: narrow(line),
        column: narrow(column),
        message: message.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"),
    }
}

/// What the YAML library hands over, before it is numbered.
enum Parsed {
    Null,
    Text(String),
    Number(String),
    List(Vec<Spanned<Parsed>>),
    Map(Vec<(Spanned<KeyText>, Spanned<Parsed>)>),
}

struct KeyText(String);

struct ParsedVisitor;

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parsed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Parsed::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Parsed::Map(entries))
    }
}

#[cfg(test)]
mod tests;
