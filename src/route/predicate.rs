//! What a route asks of a request beside host and path: method, header fields, query parameters; and its regular expressions.
//!
//! Compiled once, when the table is built. A query string is read only when a route asks for a parameter, and decoded only where
//! it holds an escape. Comma-separated header values are not taken apart: a line is a value.

use std::borrow::Cow;

use http::{HeaderName, Method};
use percent_encoding::percent_decode;
use regex::{Regex, RegexBuilder, bytes};

use super::table::Query;
use crate::model::{Match, PathPattern, ValueMatch};

/// The most memory that one compiled expression may take; far above what a path needs, and a bound on what a config can cost.
const REGEX_BYTES: usize = 1 << 20;

/// What a route asks beside host and path.
#[derive(Clone, Debug)]
pub(super) struct Predicate {
    /// Empty is any.
    pub(super) methods: Vec<Method>,
    pub(super) headers: Vec<HeaderTest>,
    pub(super) query: Vec<QueryTest>,
    /// Last, since it costs most.
    pub(super) path: Option<Regex>,
}

#[derive(Clone, Debug)]
pub(super) struct HeaderTest {
    pub(super) name: HeaderName,
    pub(super) value: ValueTest,
}

#[derive(Clone, Debug)]
pub(super) struct QueryTest {
    pub(super) name: Box<str>,
    pub(super) value: ValueTest,
}

#[derive(Clone, Debug)]
pub(super) enum ValueTest {
    Present,
    Exact(Box<[u8]>),
    Regex {
        /// As the file has it.
        pattern: Box<str>,
        regex: bytes::Regex,
    },
}

impl Predicate {
    pub(super) fn compile(matcher: &Match) -> Result<Self, regex::Error> {
        let headers = matcher.headers.iter().map(|test| {
            let value = ValueTest::compile(&test.value)?;
            Ok(HeaderTest { name: test.name.clone(), value })
        });
        let query = matcher.query.iter().map(|test| {
            let value = ValueTest::compile(&test.value)?;
            Ok(QueryTest { name: test.name.as_str().into(), value })
        });
        let path = match &matcher.path {
            PathPattern::Regex(pattern) => {
                Some(whole(pattern, |anchored| RegexBuilder::new(anchored).size_limit(REGEX_BYTES).build())?)
            }
            PathPattern::Any | PathPattern::Exact(_) | PathPattern::Prefix(_) => None,
        };
        Ok(Self {
            methods: matcher.methods.clone(),
            headers: headers.collect::<Result<_, regex::Error>>()?,
            query: query.collect::<Result<_, regex::Error>>()?,
            path,
        })
    }

    pub(super) fn takes_method(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Tells whether all but the method holds.
    pub(super) fn takes_rest(&self, query: &Query<'_>) -> bool {
        self.headers.iter().all(|test| test.holds(query))
            && self.query.iter().all(|test| test.holds(query))
            && self.path.as_ref().is_none_or(|regex| regex.is_match(query.path))
    }
}

impl HeaderTest {
    pub(super) fn holds(&self, query: &Query<'_>) -> bool {
        query.headers.get_all(&self.name).iter().any(|value| self.value.holds(value.as_bytes()))
    }
}

impl QueryTest {
    pub(super) fn holds(&self, query: &Query<'_>) -> bool {
        query_values(query.query, &self.name).any(|value| self.value.holds(&value))
    }
}

impl ValueTest {
    fn compile(value: &ValueMatch) -> Result<Self, regex::Error> {
        Ok(match value {
            ValueMatch::Present => Self::Present,
            ValueMatch::Exact(text) => Self::Exact(text.as_bytes().into()),
            ValueMatch::Regex(pattern) => {
                let regex = whole(pattern, |anchored| bytes::RegexBuilder::new(anchored).size_limit(REGEX_BYTES).build())?;
                Self::Regex { pattern: pattern.as_str().into(), regex }
            }
        })
    }

    fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) => value == &**text,
            Self::Regex { regex, .. } => regex.is_match(value),
        }
    }
}

/// Compiles `pattern` so that it matches whole texts only.
fn whole<R>(pattern: &str, build: impl Fn(&str) -> Result<R, regex::Error>) -> Result<R, regex::Error> {
    // On its own first: `a)(b` is not an expression, though it would become one between brackets.
    build(pattern)?;
    // An expression in `x` mode may end in a comment, which would swallow the bracket; in that mode a line break means nothing.
    build(&format!(r"\A(?:{pattern})\z")).or_else(|_| build(&format!("\\A(?:{pattern}\n)\\z")))
}

/// Returns the decoded values of the query parameter `name`; one without `=` is empty.
pub(super) fn query_values<'q>(query: Option<&'q str>, name: &'q str) -> impl Iterator<Item = Cow<'q, [u8]>> {
    query.unwrap_or_default().split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        // An empty pair, as in `a=1&&b=2`, is no parameter.
        let named = !pair.is_empty() && (key == name || (is_escaped(key) && *decode(key) == *name.as_bytes()));
        named.then(|| decode(value))
    })
}

fn is_escaped(text: &str) -> bool {
    text.bytes().any(|b| b == b'%' || b == b'+')
}

/// Decodes as `application/x-www-form-urlencoded` asks (URL Standard section 5.1): `+` is a space, a broken escape stays as it is.
fn decode(text: &str) -> Cow<'_, [u8]> {
    if !is_escaped(text) {
        return Cow::Borrowed(text.as_bytes());
    }
    let spaced: Vec<u8> = text.bytes().map(|b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(query: &str, name: &str) -> Vec<String> {
        query_values(Some(query), name).map(|value| String::from_utf8_lossy(&value).into_owned()).collect()
    }

    #[test]
    fn query_parameters_are_decoded_and_may_repeat() {
        assert_eq!(values("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(values("a=x+y%20z%2B", "a"), ["x y z+"]);
        assert_eq!(values("%61%2D=1", "a-"), ["1"]);
        assert_eq!(values("a&&a=&ab=4", "a"), ["", ""]);
        assert_eq!(values("a=%zz%4", "a"), ["%zz%4"]);
        assert_eq!(values("a=b=c", "a"), ["b=c"]);
        assert!(values("a=1&&b", "").is_empty());
        assert!(query_values(None, "a").next().is_none());
    }

    #[test]
    fn an_unescaped_value_is_borrowed() {
        assert!(matches!(query_values(Some("a=plain"), "a").next(), Some(Cow::Borrowed(b"plain"))));
    }

    fn compiled(pattern: &str) -> Result<Regex, regex::Error> {
        whole(pattern, |anchored| RegexBuilder::new(anchored).size_limit(REGEX_BYTES).build())
    }

    #[test]
    fn an_expression_matches_the_whole_text_only() {
        let either = compiled("a|ab").unwrap();
        assert!(either.is_match("a") && either.is_match("ab"));
        assert!(!either.is_match("xa") && !either.is_match("abc") && !either.is_match("a\n"));
        assert!(!compiled("(?m)^a$").unwrap().is_match("b\na"));
    }

    #[test]
    fn an_expression_that_ends_in_a_comment_is_taken() {
        let commented = compiled("(?x) /v\\d+ # the version").unwrap();
        assert!(commented.is_match("/v12"));
        assert!(!commented.is_match("/v12/"));
    }

    #[test]
    fn an_expression_cannot_close_the_bracket_it_is_put_in() {
        assert!(compiled("a)|(?:b").is_err());
        assert!(compiled("(").is_err());
    }

    #[test]
    fn an_expression_that_takes_too_much_memory_is_refused() {
        assert!(matches!(compiled(r"(?:\w{100}){100}"), Err(regex::Error::CompiledTooBig(_))));
    }

    #[test]
    fn a_regex_on_bytes_that_are_no_text_does_not_match_dots() {
        let any = ValueTest::compile(&ValueMatch::Regex(".*".to_owned())).unwrap();
        assert!(any.holds("né".as_bytes()));
        assert!(!any.holds(b"\xff"));
        assert!(ValueTest::Present.holds(b"\xff"));
    }
}
