//! The error type of the reader: a message that may know which node it is about.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use crate::config::problem::did_you_mean;
use crate::config::tree::{Node, NodeId};

/// Parts a message from its suggestion on the way through [`Error::custom`], which takes a single text.
pub(super) const SUGGESTION_MARK: char = '\u{1f}';

/// What went wrong while a node was read.
#[derive(Debug)]
pub(super) struct ShapeError {
    /// The innermost node that it is about, once known.
    pub(super) at: Option<NodeId>,
    pub(super) message: String,
    pub(super) suggestion: Option<String>,
    /// The key that is missing, when that is what is wrong.
    pub(super) missing: Option<&'static str>,
    /// Something was expected, and what was found is not said yet.
    is_unfinished: bool,
    /// Already written down, or a mere consequence of what is.
    pub(super) is_known: bool,
}

impl ShapeError {
    fn new(message: String) -> Self {
        Self { at: None, message, suggestion: None, missing: None, is_unfinished: false, is_known: false }
    }

    /// Makes the error "expected `what`, found the node".
    pub(super) fn expected(what: &str) -> Self {
        Self { is_unfinished: true, ..Self::new(format!("expected {what}")) }
    }

    /// Names `node` as what the error is about, unless a node further inside is.
    pub(super) fn about(mut self, node: &Node) -> Self {
        if self.at.is_none() {
            self.at = Some(node.id);
            if self.is_unfinished {
                self.message = format!("{}, found {}", self.message, node.describe());
            }
            self.message = node.without_secrets(std::mem::take(&mut self.message));
            self.suggestion = self.suggestion.take().map(|suggestion| node.without_secrets(suggestion));
        }
        self
    }

    /// Names a key as what the error is about, unless a node is.
    pub(super) fn about_key(mut self, id: NodeId) -> Self {
        self.at.get_or_insert(id);
        self
    }
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ShapeError {}

impl Error for ShapeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        match text.split_once(SUGGESTION_MARK) {
            Some((message, suggestion)) => Self { suggestion: Some(suggestion.to_owned()), ..Self::new(message.to_owned()) },
            None => Self::new(text),
        }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(&expected.to_string())
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(&expected.to_string())
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        let suggestion = match did_you_mean(field, known.iter().copied()) {
            Some(key) => format!("did you mean `{key}`?"),
            None if known.is_empty() => "it has no keys".to_owned(),
            None => format!("known keys are {}", known.join(", ")),
        };
        Self { suggestion: Some(suggestion), ..Self::new(format!("unknown key `{}`", field.escape_debug())) }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("the key `{field}` is missing")) }
    }
}
