//! The routes of one listener, indexed so that the most specific one is found in time that does not grow with their number.
//!
//! "Most specific" is an order on routes, compared criterion by criterion: host (exact, longest wildcard, any), path (exact, longest
//! prefix, expression, any), method given or not, number of header fields, number of query parameters, place in the file. The
//! indexes walk that order and fall back along it; `explain` and the property tests state it a second time without indexes.

use std::cmp::Reverse;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::explain::{self, Explanation};
use super::map::{Map, map};
use super::paths::Paths;
use super::predicate::Predicate;
use crate::model::{HostPattern, Id, PathPattern, Route};

/// What is asked of a table.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The host, in lower case, without port; empty when there is none.
    pub host: &'q str,
    /// The normalised path.
    pub path: &'q str,
    /// The method.
    pub method: &'q Method,
    /// The header fields.
    pub headers: &'q HeaderMap,
    /// The query string, without `?`.
    pub query: Option<&'q str>,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its index in the list that the table was built from.
    pub route: usize,
    /// How many bytes of the path `rewrite.prefix` replaces: the exact path, the prefix (0 for `/`), or 0.
    pub prefix_len: usize,
}

/// Why no route takes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No route would, whatever the method.
    NoRoute,
    /// A route would with one of these methods (sorted, never empty): an answer 405 names them in `Allow`.
    Method(Vec<Method>),
}

/// Why no table could be built.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// A regular expression does not compile, or takes too much memory.
    #[error("route \"{route}\": a regular expression cannot be used")]
    Regex {
        /// The route.
        route: Id,
        /// What is wrong with it.
        #[source]
        source: Box<regex::Error>,
    },
    /// A path to match does not begin with `/`.
    #[error("route \"{route}\": path {path:?} does not begin with \"/\"")]
    Path {
        /// The route.
        route: Id,
        /// The path.
        path: String,
    },
}

/// The routes of one listener.
///
/// A clone has scratch memory of its own for its regular expressions: workers that have one each never wait for one another.
#[derive(Clone, Debug)]
pub struct Table {
    /// By all criteria after host and path, most specific first, so that the lower position wins within a host and path.
    rules: Vec<Rule>,
    exact: Map<Box<str>, Paths>,
    /// By what stands after `*.`.
    below: Map<Box<str>, Paths>,
    /// Bytes of the longest key of `below`; longer suffixes of a host are not looked up.
    longest_below: usize,
    any: Paths,
}

/// A route, compiled.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    /// Its index in the caller's list.
    pub(super) index: usize,
    pub(super) route: Arc<Route>,
    pub(super) prefix_len: usize,
    pub(super) predicate: Predicate,
}

impl Table {
    /// Builds the table of `listener` from those of `routes` that name it or no listener.
    ///
    /// # Errors
    /// When a regular expression does not compile or a path does not begin with `/`.
    pub fn build(routes: &[Arc<Route>], listener: &Id) -> Result<Self, RouteError> {
        let own = routes.iter().enumerate().filter(|(_, route)| {
            let listeners = &route.matcher.listeners;
            listeners.is_empty() || listeners.contains(listener)
        });
        let mut rules = own.map(|(index, route)| Rule::compile(index, route)).collect::<Result<Vec<_>, _>>()?;
        rules.sort_by_key(|rule| {
            let matcher = &rule.route.matcher;
            (matcher.methods.is_empty(), Reverse(matcher.headers.len()), Reverse(matcher.query.len()), rule.index)
        });
        let mut table = Self { rules: Vec::new(), exact: map(), below: map(), longest_below: 0, any: Paths::new() };
        for (at, rule) in (0_u32..).zip(&rules) {
            table.insert(at, &rule.route);
        }
        for paths in table.exact.values_mut().chain(table.below.values_mut()).chain([&mut table.any]) {
            paths.seal(&rules);
        }
        table.rules = rules;
        Ok(table)
    }

    /// Finds the most specific route that takes the request.
    ///
    /// Allocates nothing, unless a query parameter that a route asks for is percent-encoded.
    ///
    /// # Errors
    /// When no route takes it; that it is the method's fault is found out only then.
    pub fn find(&self, query: &Query<'_>) -> Result<Matched, Miss> {
        let found =
            self.find_map(query.host, &mut |paths| paths.find_map(query.path, &mut |bucket| bucket.first(&self.rules, query)));
        let rule = found.map(|at| &self.rules[at as usize]).ok_or_else(|| self.miss(query))?;
        Ok(Matched { route: rule.index, prefix_len: rule.prefix_len })
    }

    /// Tells for each route why it is or is not the one; slow, for people.
    pub fn explain(&self, query: &Query<'_>) -> Explanation {
        let allow = match self.find(query) {
            Err(Miss::Method(allow)) => allow,
            Ok(_) | Err(Miss::NoRoute) => Vec::new(),
        };
        explain::explain(&self.rules, query, &allow)
    }

    fn insert(&mut self, at: u32, route: &Route) {
        let path = &route.matcher.path;
        if route.matcher.hosts.is_empty() {
            self.any.insert(path, at);
        }
        for host in &route.matcher.hosts {
            let (hosts, host) = match host {
                HostPattern::Exact(host) => (&mut self.exact, host),
                HostPattern::Below(host) => {
                    self.longest_below = self.longest_below.max(host.len());
                    (&mut self.below, host)
                }
            };
            hosts.entry(absolute(host).to_ascii_lowercase().into()).or_insert_with(Paths::new).insert(path, at);
        }
    }

    /// Visits the paths of the hosts that take `host`, the most specific first, until a visit returns something.
    fn find_map<T>(&self, host: &str, visit: &mut impl FnMut(&Paths) -> Option<T>) -> Option<T> {
        let host = absolute(host);
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(host).and_then(&mut *visit)
        {
            return Some(found);
        }
        if !self.below.is_empty() {
            // A dot at 0 would leave an empty label for the `*`.
            let dots = host.bytes().enumerate().skip(1).filter(|&(_, b)| b == b'.').map(|(at, _)| at + 1);
            for suffix in dots.filter_map(|at| host.get(at..)).filter(|suffix| suffix.len() <= self.longest_below) {
                if let Some(found) = self.below.get(suffix).and_then(&mut *visit) {
                    return Some(found);
                }
            }
        }
        visit(&self.any)
    }

    #[cold]
    fn miss(&self, query: &Query<'_>) -> Miss {
        let mut methods = Vec::new();
        let _: Option<()> = self.find_map(query.host, &mut |paths| {
            paths.find_map(query.path, &mut |bucket| {
                bucket.allowed(&self.rules, query, &mut methods);
                None
            })
        });
        if methods.is_empty() {
            return Miss::NoRoute;
        }
        methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        methods.dedup();
        Miss::Method(methods)
    }
}

impl Rule {
    fn compile(index: usize, route: &Arc<Route>) -> Result<Self, RouteError> {
        let prefix_len = match &route.matcher.path {
            PathPattern::Any | PathPattern::Regex(_) => 0,
            // `*` is the target of `OPTIONS *`.
            PathPattern::Exact(path) if path.starts_with('/') || path == "*" => path.len(),
            PathPattern::Prefix(prefix) if prefix.starts_with('/') => prefix.trim_end_matches('/').len(),
            PathPattern::Exact(path) | PathPattern::Prefix(path) => {
                return Err(RouteError::Path { route: route.name.clone(), path: path.clone() });
            }
        };
        let predicate = Predicate::compile(&route.matcher)
            .map_err(|source| RouteError::Regex { route: route.name.clone(), source: Box::new(source) })?;
        Ok(Self { index, route: Arc::clone(route), prefix_len, predicate })
    }
}

/// Returns `host` without the dot at its end: `example.com.` is the same host as `example.com` (RFC 1034 section 3.1).
pub(super) fn absolute(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}
