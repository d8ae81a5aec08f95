//! The building blocks of the raw structs: values that know their place, texts that are checked as they are read, and shorthands.
//!
//! They only work with the reader beside them: each asks for a newtype struct with a name that the reader knows.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::error::SUGGESTION_MARK;
use crate::config::tree::NodeId;

pub(super) const AT: &str = "tidegate::At";
pub(super) const OR_NONE: &str = "tidegate::OrNone";
pub(super) const TEXT_OR: &str = "tidegate::TextOr";
pub(super) const LIST_OR: &str = "tidegate::ListOr";

/// No list yields this many errors: the reader stops at a hundred. Ends the loop below for a foreign deserializer.
const MAX_RETRIES: usize = 100_000;

/// Why a text is not the value it should be.
#[derive(Debug, PartialEq)]
pub(in crate::config) struct Mistake {
    pub(in crate::config) message: String,
    pub(in crate::config) suggestion: Option<String>,
}

/// A value that is written as one text.
pub(in crate::config) trait Textual: Sized {
    /// What to write, with an example: "a duration such as 30s".
    const EXPECTED: &'static str;

    /// Reads and checks the text.
    fn read(text: &str) -> Result<Self, Mistake>;

    /// Describes the text for editors.
    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// A type that can also be written as one text.
pub(in crate::config) trait FromText: Sized {
    /// What the text may be.
    const EXPECTED: &'static str;

    /// Reads the short form, which stands at `id`.
    fn from_text(text: &str, id: NodeId) -> Result<Self, Mistake>;

    /// Describes the short form for editors.
    fn text_schema() -> Schema;
}

/// A value whose short form is the list of its main part.
pub(in crate::config) trait FromList: Sized {
    /// What is in the list.
    type Item;

    /// Takes the short form.
    fn from_list(items: List<Self::Item>) -> Self;
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(in crate::config) struct At<T> {
    pub(in crate::config) id: NodeId,
    pub(in crate::config) value: T,
}

/// A checked text and where it stands.
#[derive(Debug, Clone)]
pub(in crate::config) struct Text<T> {
    pub(in crate::config) id: NodeId,
    pub(in crate::config) value: T,
}

/// The items of a list that could be read.
#[derive(Debug)]
pub(in crate::config) struct List<T>(pub(in crate::config) Vec<T>);

/// The entries of a map that could be read, in the order of the file.
#[derive(Debug)]
pub(in crate::config) struct Entries<K, V>(pub(in crate::config) Vec<(K, V)>);

/// A value, or one of the words `none`, `off` and `false`.
#[derive(Debug)]
pub(in crate::config) enum OrNone<T> {
    None,
    Some(T),
}

/// A value in its long form, or in its short form as one text.
#[derive(Debug)]
pub(in crate::config) struct TextOr<T>(pub(in crate::config) T);

/// A value in its long form, or in its short form as a list.
#[derive(Debug)]
pub(in crate::config) struct ListOr<T>(pub(in crate::config) T);

/// One item, or a list of those that could be read.
#[derive(Debug)]
pub(in crate::config) struct OneOrMore<T>(pub(in crate::config) Vec<T>);

impl From<String> for Mistake {
    fn from(message: String) -> Self {
        Self { message, suggestion: None }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "{SUGGESTION_MARK}{suggestion}"),
            None => Ok(()),
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> OrNone<T> {
    /// Borrows the value.
    pub(in crate::config) fn as_option(&self) -> Option<&T> {
        match self {
            Self::None => None,
            Self::Some(value) => Some(value),
        }
    }
}

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtVisitor<T> {
    type Value = (NodeId, T);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let nothing = || A::Error::custom("expected a value");
        let id = seq.next_element()?.ok_or_else(nothing)?;
        Ok((id, seq.next_element()?.ok_or_else(nothing)?))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (id, value) = deserializer.deserialize_newtype_struct(AT, AtVisitor(PhantomData))?;
        Ok(Self { id, value })
    }
}

struct Checked<T>(T);

struct CheckedVisitor<T>(PhantomData<T>);

impl<T: Textual> Visitor<'_> for CheckedVisitor<T> {
    type Value = Checked<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::read(text).map(Checked).map_err(E::custom)
    }
}

impl<'de, T: Textual> Deserialize<'de> for Checked<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(CheckedVisitor(PhantomData))
    }
}

impl<'de, T: Textual> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { id, value: Checked(value) } = At::deserialize(deserializer)?;
        Ok(Self { id, value })
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        let mut retries = 0;
        loop {
            match seq.next_element() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(List(items)),
                Err(error) if retries >= MAX_RETRIES => return Err(error),
                // The reader has written it down and spoilt a node, so the next call gets further.
                Err(_) => retries += 1,
            }
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct EntriesVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for EntriesVisitor<K, V> {
    type Value = Entries<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut retries = 0;
        loop {
            match map.next_entry() {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => return Ok(Entries(entries)),
                Err(error) if retries >= MAX_RETRIES => return Err(error),
                Err(_) => retries += 1,
            }
        }
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor(PhantomData))
    }
}

struct OrNoneVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OrNoneVisitor<T> {
    type Value = OrNone<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or `none`")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(OrNone::None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(OrNone::Some)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrNone<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(OR_NONE, OrNoneVisitor(PhantomData))
    }
}

/// Before its place is known to the short form.
enum Form<T> {
    Short(String),
    Long(T),
}

struct FormVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + FromText> Visitor<'de> for FormVisitor<T> {
    type Value = Form<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        // Checked here, where the error gets its place; read once more where the place is known.
        T::from_text(text, 0).map_err(E::custom)?;
        Ok(Form::Short(text.to_owned()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(Form::Long)
    }
}

impl<'de, T: Deserialize<'de> + FromText> Deserialize<'de> for Form<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT_OR, FormVisitor(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + FromText> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match At::deserialize(deserializer)? {
            At { value: Form::Long(value), .. } => Ok(Self(value)),
            At { value: Form::Short(text), id } => T::from_text(&text, id).map(Self).map_err(D::Error::custom),
        }
    }
}

struct ListOrVisitor<T>(PhantomData<T>);

impl<'de, T> Visitor<'de> for ListOrVisitor<T>
where
    T: Deserialize<'de> + FromList,
    T::Item: Deserialize<'de>,
{
    type Value = ListOr<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list or a mapping")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ListVisitor(PhantomData).visit_seq(seq).map(|items| ListOr(T::from_list(items)))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(ListOr)
    }
}

impl<'de, T> Deserialize<'de> for ListOr<T>
where
    T: Deserialize<'de> + FromList,
    T::Item: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LIST_OR, ListOrVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping or a list of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        ListVisitor(PhantomData).visit_seq(seq).map(|List(items)| OneOrMore(items))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        T::deserialize(deserializer).map(|item| OneOrMore(vec![item]))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(LIST_OR, OneOrMoreVisitor(PhantomData))
    }
}

/// Implements `JsonSchema` for a wrapper, inline, so that no wrapper shows in the schema.
macro_rules! inline_schema {
    ([$($generics:tt)*] $type:ty, $name:literal, |$generator:ident| $body:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schema_id() -> std::borrow::Cow<'static, str> {
                std::any::type_name::<Self>().into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $body
            }
        }
    };
}

inline_schema!([T: JsonSchema] At<T>, "At", |generator| generator.subschema_for::<T>());
inline_schema!([T: Textual] Text<T>, "Text", |_generator| T::schema());
inline_schema!([T: JsonSchema] List<T>, "List", |generator| {
    let items = generator.subschema_for::<T>();
    json_schema!({ "type": "array", "items": items })
});
inline_schema!([K, V: JsonSchema] Entries<K, V>, "Entries", |generator| {
    let values = generator.subschema_for::<V>();
    json_schema!({ "type": "object", "additionalProperties": values })
});
inline_schema!([T: JsonSchema] OrNone<T>, "OrNone", |generator| {
    let value = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [{ "enum": ["none", "off", false] }, value] })
});
inline_schema!([T: JsonSchema + FromText] TextOr<T>, "TextOr", |generator| {
    let long = generator.subschema_for::<T>();
    let short = T::text_schema();
    json_schema!({ "anyOf": [short, long] })
});
inline_schema!([T: JsonSchema + FromList<Item: JsonSchema>] ListOr<T>, "ListOr", |generator| {
    let long = generator.subschema_for::<T>();
    let short = generator.subschema_for::<List<T::Item>>();
    json_schema!({ "anyOf": [short, long] })
});
inline_schema!([T: JsonSchema] OneOrMore<T>, "OneOrMore", |generator| {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
});
