//! Regular expressions that must match the whole text, each compiled once per table however many routes name it.

use std::collections::HashMap;

use regex::bytes::{Regex, RegexBuilder};

use crate::model::Id;

/// Four times what `config` allows, so that what passed there passes here: these match bytes, and may compile to a little more.
const SIZE_LIMIT: usize = 4 << 20;

/// Why routes make no table.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A regular expression does not compile.
    #[error("route \"{route}\": the regular expression {pattern:?} does not compile")]
    Regex {
        /// The route.
        route: Id,
        /// The expression as written.
        pattern: String,
        /// Why.
        #[source]
        source: Box<regex::Error>,
    },
}

/// Compiles expressions, and remembers them.
#[derive(Debug, Default)]
pub(super) struct Compiler<'a>(HashMap<&'a str, Regex>);

impl<'a> Compiler<'a> {
    /// Compiles `pattern` for `route`. Clones of one expression share their program.
    pub(super) fn whole(&mut self, route: &Id, pattern: &'a str) -> Result<Regex, RouteError> {
        if let Some(known) = self.0.get(pattern) {
            return Ok(known.clone());
        }
        // Bytes, as fields may hold some above 127. The group keeps `a|b` together.
        let built = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(SIZE_LIMIT).build();
        let regex = built.map_err(|source| RouteError::Regex {
            route: route.clone(),
            pattern: pattern.to_owned(),
            source: Box::new(source),
        })?;
        self.0.insert(pattern, regex.clone());
        Ok(regex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let route: Id = "a".parse().unwrap();
        let regex = Compiler::default().whole(&route, "a|bc").unwrap();
        assert!(regex.is_match(b"a") && regex.is_match(b"bc"));
        assert!(!regex.is_match(b"ac") && !regex.is_match(b"abc") && !regex.is_match(b"a\n"));
    }

    #[test]
    fn an_expression_that_does_not_compile_names_its_route() {
        let route: Id = "coder".parse().unwrap();
        let error = Compiler::default().whole(&route, "(").unwrap_err();
        assert_eq!(error.to_string(), "route \"coder\": the regular expression \"(\" does not compile");
        assert!(std::error::Error::source(&error).is_some());
    }
}
