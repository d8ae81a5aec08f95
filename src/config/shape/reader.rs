//! A `serde::Deserializer` over the tree.
//!
//! Scalars are typed by who reads them, so a number from a variable is a number. A key without a value is an absent key in a
//! struct and an empty value in a map.

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::error::ShapeError;
use super::log::Log;
use super::wrap::{AT, LIST_OR, OR_NONE, TEXT_OR};
use crate::config::tree::{Entry, Kind, Node, NodeId};

/// What switches a thing off that can be switched off; `off` is `false` to a YAML 1.1 tool that writes the file anew.
const OFF: [&str; 3] = ["none", "off", "false"];

/// Reads a `T` from the tree, as far as it can be read; what is wrong goes to `log`.
pub(in crate::config) fn read<'de, T: Deserialize<'de>>(root: &'de Node, log: &'de Log) -> Option<T> {
    while !log.is_full() && !log.is_spoilt(root.id) {
        match T::deserialize(NodeReader { node: root, log }) {
            Ok(value) => return Some(value),
            Err(mut error) => log.record(&mut error, root.id),
        }
    }
    None
}

#[derive(Clone, Copy)]
struct NodeReader<'de> {
    node: &'de Node,
    log: &'de Log,
}

impl<'de> NodeReader<'de> {
    /// Gives the text of a scalar to the visitor.
    fn text<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let result = match &self.node.kind {
            Kind::Scalar(scalar) => visitor.visit_str(&scalar.text),
            _ => Err(ShapeError::invalid_type(serde::de::Unexpected::Unit, &visitor)),
        };
        result.map_err(|error| error.about(self.node))
    }

    fn list<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let items = match &self.node.kind {
            Kind::List(items) => items.as_slice(),
            _ if self.node.is_absent() => &[],
            _ => return Err(ShapeError::expected("a list").about(self.node)),
        };
        visitor.visit_seq(ListReader { items, log: self.log }).map_err(|error| error.about(self.node))
    }

    fn entries<V: Visitor<'de>>(
        self,
        expected: &str,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let entries = match &self.node.kind {
            Kind::Map(entries) => entries.as_slice(),
            _ if self.node.is_absent() => &[],
            _ => return Err(ShapeError::expected(expected).about(self.node)),
        };
        let reader = MapReader { entries, next: 0, fields, log: self.log };
        visitor.visit_map(reader).map_err(|mut error| {
            // Missing only because what was written there is wrong, which has been said.
            let is_consequence = error.at.is_none()
                && error.missing.is_some_and(|key| entries.iter().any(|entry| entry.key == key && is_spoilt(entry, self.log)));
            error.is_known |= is_consequence;
            error.about(self.node)
        })
    }
}

fn is_spoilt(entry: &Entry, log: &Log) -> bool {
    log.is_spoilt(entry.key_id) || log.is_spoilt(entry.value.id)
}

impl<'de> Deserializer<'de> for NodeReader<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit().map_err(|error: ShapeError| error.about(self.node)),
            Kind::Scalar(_) => self.text(visitor),
            Kind::List(_) => self.list(visitor),
            Kind::Map(_) => self.entries("a mapping", None, visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        let value = match &self.node.kind {
            Kind::Scalar(scalar) if scalar.quoted && scalar.source.is_none() => None,
            Kind::Scalar(scalar) if scalar.text.eq_ignore_ascii_case("true") => Some(true),
            Kind::Scalar(scalar) if scalar.text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        };
        match value {
            Some(value) => visitor.visit_bool(value),
            None => Err(ShapeError::expected("true or false")),
        }
        .map_err(|error: ShapeError| error.about(self.node))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.text(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.text(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        if self.node.is_absent() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        match (name, &self.node.kind) {
            (AT, _) => visitor.visit_seq(Placed { id: Some(self.node.id), value: Some(self) }),
            (OR_NONE, Kind::Scalar(scalar)) if OFF.contains(&scalar.text.as_str()) => visitor.visit_none(),
            (OR_NONE, _) => visitor.visit_some(self),
            (LIST_OR, Kind::List(_)) => self.list(visitor),
            (TEXT_OR, Kind::Scalar(scalar)) => visitor.visit_str(&scalar.text).map_err(|error: ShapeError| error.about(self.node)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        self.entries("a mapping of names to values", None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeError> {
        let expected = match fields {
            [] => "`{}`".to_owned(),
            _ => format!("a mapping with the keys {}", fields.join(", ")),
        };
        self.entries(&expected, Some(fields), visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

/// Yields the items of a list that are not spoilt; one that fails is written down and read again by the next call.
struct ListReader<'de> {
    items: &'de [Node],
    log: &'de Log,
}

impl<'de> SeqAccess<'de> for ListReader<'de> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        while let [node, rest @ ..] = self.items {
            if self.log.is_full() {
                break;
            }
            if self.log.is_spoilt(node.id) {
                self.items = rest;
                continue;
            }
            return match seed.deserialize(NodeReader { node, log: self.log }) {
                Ok(value) => {
                    self.items = rest;
                    Ok(Some(value))
                }
                Err(mut error) => {
                    self.log.record(&mut error, node.id);
                    Err(error)
                }
            };
        }
        Ok(None)
    }
}

/// Yields the entries that are not spoilt; in a map, one that fails is written down and read again by the next call.
struct MapReader<'de> {
    entries: &'de [Entry],
    next: usize,
    /// The keys of a struct; `None` for a map.
    fields: Option<&'static [&'static str]>,
    log: &'de Log,
}

impl<'de> MapReader<'de> {
    fn fail<T>(&mut self, mut error: ShapeError, fallback: NodeId) -> Result<T, ShapeError> {
        if self.fields.is_none() {
            self.log.record(&mut error, fallback);
        }
        Err(error)
    }
}

impl<'de> MapAccess<'de> for MapReader<'de> {
    type Error = ShapeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ShapeError> {
        while let Some(entry) = self.entries.get(self.next) {
            if self.log.is_full() {
                break;
            }
            let is_absent = entry.value.is_absent() && self.fields.is_some_and(|fields| fields.contains(&entry.key.as_str()));
            if is_absent || is_spoilt(entry, self.log) {
                self.next += 1;
                continue;
            }
            return match seed.deserialize(KeyReader { entry }) {
                Ok(key) => Ok(Some(key)),
                Err(error) => self.fail(error.about_key(entry.key_id), entry.key_id),
            };
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ShapeError> {
        let entry = self.entries.get(self.next).ok_or_else(|| ShapeError::custom("a value was asked for before its key"))?;
        match seed.deserialize(NodeReader { node: &entry.value, log: self.log }) {
            Ok(value) => {
                self.next += 1;
                Ok(value)
            }
            Err(error) => self.fail(error, entry.value.id),
        }
    }
}

struct KeyReader<'de> {
    entry: &'de Entry,
}

impl<'de> Deserializer<'de> for KeyReader<'de> {
    type Error = ShapeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeError> {
        visitor.visit_str(&self.entry.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, ShapeError> {
        match name {
            AT => visitor.visit_seq(Placed { id: Some(self.entry.key_id), value: Some(StrDeserializer::new(&self.entry.key)) }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Shows a value as the pair of its node's number and itself.
struct Placed<D> {
    id: Option<NodeId>,
    value: Option<D>,
}

impl<'de, D: Deserializer<'de, Error = ShapeError>> SeqAccess<'de> for Placed<D> {
    type Error = ShapeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, ShapeError> {
        if let Some(id) = self.id.take() {
            let id: U32Deserializer<ShapeError> = id.into_deserializer();
            return seed.deserialize(id).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}
