//! The routes of one listener, indexed: by host, then by path; what is left is a short list to try in order.

use std::cmp::Reverse;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use super::explain::{self, Explanation};
use super::host::Hosts;
use super::leaf::Leaf;
use super::path::{Hit, Paths};
use super::pattern::{Compiler, RouteError};
use super::predicate::Predicate;
use crate::model::{Id, Match, PathPattern, Route, ValueMatch};

/// The routes of one listener, most specific first.
///
/// Built once per listener and reload, then shared by all workers. See `docs/routing.md` for the order.
#[derive(Debug)]
pub struct Table {
    /// By specificity of everything but host and path; lists below keep this order.
    entries: Box<[Entry]>,
    hosts: Hosts<Paths<Leaf>>,
    /// The routes that other listeners have.
    elsewhere: Box<[(usize, Id)]>,
}

/// What is known of a request when its route is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// In lower case, without port; empty when there is none.
    pub host: &'a str,
    /// In normal form.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// What follows the `?`, as it was sent.
    pub query: Option<&'a str>,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its place among the routes that the table was built from.
    pub route: usize,
    /// How many bytes of the path the route names, for a rewrite; 0 when it takes any path or a regular expression.
    pub prefix_len: usize,
}

/// Why no route takes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// None takes it with any method.
    NoRoute,
    /// Some would take it with one of these methods, each named once.
    Method(Vec<Method>),
}

/// A route of this listener.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place among the routes that the table was built from.
    pub(super) route: usize,
    pub(super) model: Arc<Route>,
    pub(super) predicate: Predicate,
}

impl Table {
    /// Indexes those of `routes` that `listener` has; a route that names no listener belongs to all.
    ///
    /// # Errors
    /// When a regular expression does not compile; `config` has refused those before.
    pub fn build(routes: &[Arc<Route>], listener: &Id) -> Result<Self, RouteError> {
        let is_here = |matcher: &Match| matcher.listeners.is_empty() || matcher.listeners.contains(listener);
        let (mut here, elsewhere): (Vec<_>, Vec<_>) = routes.iter().enumerate().partition(|(_, route)| is_here(&route.matcher));
        // Stable: equals stay in the order of the file.
        here.sort_by_key(|(_, route)| {
            let Match { methods, headers, query, .. } = &route.matcher;
            Reverse((!methods.is_empty(), headers.len(), query.len()))
        });
        let mut compiler = Compiler::default();
        let mut hosts = Hosts::<Paths<Leaf>>::default();
        let mut entries = Vec::with_capacity(here.len());
        for (route, model) in here {
            file(&mut hosts, entries.len(), model, &mut compiler)?;
            let predicate = Predicate::new(&model.name, &model.matcher, &mut compiler)?;
            entries.push(Entry { route, model: model.clone(), predicate });
        }
        for leaf in hosts.all_mut().flat_map(Paths::all_mut) {
            leaf.index(|place| exact_headers(&entries[place].model.matcher));
        }
        let elsewhere = elsewhere.into_iter().map(|(route, model)| (route, model.name.clone())).collect();
        Ok(Self { entries: entries.into(), hosts, elsewhere })
    }

    /// Finds the most specific route that takes a request. Allocates nothing when there is one.
    ///
    /// # Errors
    /// When there is none; then says whether another method would do, which costs a second search.
    pub fn find(&self, query: &Query<'_>) -> Result<Matched, Miss> {
        for hit in self.hits(query) {
            for entry in hit.found.of(query.headers).filter_map(|place| self.entries.get(place)) {
                if entry.predicate.check(query).is_ok() {
                    return Ok(Matched { route: entry.route, prefix_len: hit.prefix_len });
                }
            }
        }
        Err(self.miss(query))
    }

    /// Tells what every route has to say about a request. Slow: for people.
    pub fn explain(&self, query: &Query<'_>) -> Explanation {
        explain::explain(self, query)
    }

    /// Returns the routes of this listener, by specificity of everything but host and path.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the routes of other listeners.
    pub(super) fn elsewhere(&self) -> &[(usize, Id)] {
        &self.elsewhere
    }

    /// Returns the routes whose host and path take a request, most specific first; one may come twice.
    pub(super) fn candidates<'a>(&'a self, query: &Query<'a>) -> impl Iterator<Item = &'a Entry> {
        self.hits(query).flat_map(|hit| hit.found.all()).filter_map(|place| self.entries.get(place))
    }

    fn hits<'a>(&'a self, query: &Query<'a>) -> impl Iterator<Item = Hit<'a, Leaf>> {
        let path = query.path;
        self.hosts.of(query.host).flat_map(move |paths| paths.of(path))
    }

    #[cold]
    fn miss(&self, query: &Query<'_>) -> Miss {
        let mut allowed: Vec<Method> = Vec::new();
        let entries = self.hits(query).flat_map(|hit| hit.found.of(query.headers)).filter_map(|place| self.entries.get(place));
        for entry in entries.filter(|entry| entry.predicate.check_fields(query).is_ok()) {
            for method in entry.predicate.methods() {
                if !allowed.contains(method) {
                    allowed.push(method.clone());
                }
            }
        }
        if allowed.is_empty() { Miss::NoRoute } else { Miss::Method(allowed) }
    }
}

/// Files `place` under every host and the path of `model`.
fn file<'a>(hosts: &mut Hosts<Paths<Leaf>>, place: usize, model: &'a Route, compiler: &mut Compiler<'a>) -> Result<(), RouteError> {
    let matcher = &model.matcher;
    let any_host = matcher.hosts.is_empty().then_some(None);
    for pattern in matcher.hosts.iter().map(Some).chain(any_host) {
        let paths = hosts.entry(pattern);
        let leaf = match &matcher.path {
            PathPattern::Any => paths.any(),
            PathPattern::Exact(path) => paths.exact(path),
            PathPattern::Prefix(prefix) => paths.prefix(prefix),
            PathPattern::Regex(pattern) => paths.regex(compiler.whole(&model.name, pattern)?),
        };
        leaf.push(place);
    }
    Ok(())
}

fn exact_headers(matcher: &Match) -> impl Iterator<Item = (&HeaderName, &str)> {
    matcher.headers.iter().filter_map(|field| match &field.value {
        ValueMatch::Exact(value) => Some((&field.name, value.as_str())),
        ValueMatch::Present | ValueMatch::Regex(_) => None,
    })
}

#[cfg(test)]
mod tests;
