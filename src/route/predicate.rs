//! What a route asks of a request besides its host and path: method, header fields, query parameters.

use http::{HeaderName, Method};
use regex::bytes::Regex;

use super::parameter;
use super::pattern::{Compiler, RouteError};
use super::table::Query;
use crate::model::{Id, Match, ValueMatch};

/// The conditions of a route, in the order in which they are checked: cheapest first.
#[derive(Debug)]
pub(super) struct Predicate {
    methods: Box<[Method]>,
    headers: Box<[(HeaderName, Value)]>,
    query: Box<[(Box<str>, Value)]>,
}

/// The first condition that a request failed; indices into the route's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmet {
    Method,
    Header(usize),
    Query(usize),
}

#[derive(Debug)]
enum Value {
    Present,
    Exact(Box<str>),
    Regex(Regex),
}

impl Predicate {
    pub(super) fn new<'a>(route: &Id, matcher: &'a Match, compiler: &mut Compiler<'a>) -> Result<Self, RouteError> {
        let mut value = |value: &'a ValueMatch| {
            Ok(match value {
                ValueMatch::Present => Value::Present,
                ValueMatch::Exact(text) => Value::Exact(text.as_str().into()),
                ValueMatch::Regex(pattern) => Value::Regex(compiler.whole(route, pattern)?),
            })
        };
        let headers = matcher.headers.iter().map(|field| Ok((field.name.clone(), value(&field.value)?)));
        let headers = headers.collect::<Result<_, RouteError>>()?;
        let query = matcher.query.iter().map(|parameter| Ok((parameter.name.as_str().into(), value(&parameter.value)?)));
        Ok(Self { methods: matcher.methods.as_slice().into(), headers, query: query.collect::<Result<_, RouteError>>()? })
    }

    /// Checks every condition.
    pub(super) fn check(&self, query: &Query<'_>) -> Result<(), Unmet> {
        if !self.methods.is_empty() && !self.methods.contains(query.method) {
            return Err(Unmet::Method);
        }
        self.check_fields(query)
    }

    /// Checks every condition but the method.
    pub(super) fn check_fields(&self, query: &Query<'_>) -> Result<(), Unmet> {
        let has_field =
            |(name, value): &(HeaderName, Value)| query.headers.get_all(name).iter().any(|line| value.takes(line.as_bytes()));
        if let Some(index) = self.headers.iter().position(|field| !has_field(field)) {
            return Err(Unmet::Header(index));
        }
        let raw = query.query.unwrap_or_default();
        let has_parameter = |(name, value): &(Box<str>, Value)| parameter::values(raw, name).any(|text| value.takes_encoded(text));
        match self.query.iter().position(|parameter| !has_parameter(parameter)) {
            Some(index) => Err(Unmet::Query(index)),
            None => Ok(()),
        }
    }

    /// Returns the methods that the route takes; empty is any.
    pub(super) fn methods(&self) -> &[Method] {
        &self.methods
    }
}

impl Value {
    fn takes(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => text.as_bytes() == value,
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    /// As [`takes`](Self::takes), for a value of a query; decodes only what it must.
    fn takes_encoded(&self, value: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => parameter::is(value, text),
            Self::Regex(regex) => regex.is_match(parameter::decode(value).as_bytes()),
        }
    }
}
