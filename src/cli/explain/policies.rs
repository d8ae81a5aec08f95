//! What applies to a request, in the order in which it meets it, and where each value comes from.
//!
//! A snapshot does not remember what the file said: a value that equals the default counts as the default.

mod listener;
mod pool;
mod route;
mod scaling;
mod shown;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde::Serialize;

pub(super) use listener::of_listener;
pub(super) use pool::of_pool;
pub(super) use route::of_route;
pub(super) use shown::{percent, word};

/// One value that applies to a request.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Policy {
    /// The key, as in the file.
    pub(super) name: Cow<'static, str>,
    pub(super) value: String,
    pub(super) source: Source,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// The file says nothing else.
    Default,
    /// The listener's section.
    Listener,
    /// The route's section.
    Route,
    /// The pool's section.
    Pool,
    /// The bulkhead's section.
    Bulkhead,
    /// The section `overload`.
    Overload,
}

impl Source {
    /// Returns the word for it.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Listener => "listener",
            Self::Route => "route",
            Self::Pool => "pool",
            Self::Bulkhead => "bulkhead",
            Self::Overload => "overload",
        }
    }
}

/// Compares a section with its defaults.
struct Section<'a> {
    source: Source,
    policies: &'a mut Vec<Policy>,
}

impl Section<'_> {
    /// Adds a value, as a default when it equals it.
    fn add<T: PartialEq>(&mut self, name: impl Into<Cow<'static, str>>, value: &T, default: &T, shown: impl Fn(&T) -> String) {
        let source = if value == default { Source::Default } else { self.source };
        self.policies.push(Policy { name: name.into(), value: shown(value), source });
    }

    /// Adds a value that has no default, so that it is there because the section says so.
    fn given(&mut self, name: impl Into<Cow<'static, str>>, value: String) {
        self.policies.push(Policy { name: name.into(), value, source: self.source });
    }

    /// Adds a value that is there because nothing is said.
    fn absent(&mut self, name: &'static str, value: &str) {
        self.policies.push(Policy { name: name.into(), value: value.to_owned(), source: Source::Default });
    }
}
