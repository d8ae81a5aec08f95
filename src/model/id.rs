//! Names of configured things, as they appear in the file, in logs, in metrics and in the admin API.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest name, in bytes: fits a Kubernetes object name and keeps metric labels readable.
const MAX_LEN: usize = 253;

/// The checked name of a listener, route, pool or endpoint: 1 to 253 of `A-Z a-z 0-9 _ . : -`, beginning with a letter or digit.
///
/// Cloning costs one atomic increment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Id(Arc<str>);

/// Why a text is not an [`Id`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than 253 bytes.
    #[error("a name has at most {MAX_LEN} characters")]
    TooLong,
    /// The text holds a character that a name must not have at that place.
    #[error("a name is made of letters, digits, `_`, `.`, `:` and `-`, and begins with a letter or digit; found {0:?}")]
    Character(char),
}

impl Id {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LEN {
            return Err(ParseIdError::TooLong);
        }
        let first = text.chars().next().ok_or(ParseIdError::Empty)?;
        if !first.is_ascii_alphanumeric() {
            return Err(ParseIdError::Character(first));
        }
        let bad = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')));
        match bad {
            Some(c) => Err(ParseIdError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!("a".parse::<Id>().is_ok());
        assert!("coders-1.eu:8080".parse::<Id>().is_ok());
        assert_eq!("".parse::<Id>(), Err(ParseIdError::Empty));
        assert_eq!("-a".parse::<Id>(), Err(ParseIdError::Character('-')));
        assert_eq!("a b".parse::<Id>(), Err(ParseIdError::Character(' ')));
        assert_eq!("a".repeat(254).parse::<Id>(), Err(ParseIdError::TooLong));
    }
}
