//! The routes of one host and one path, in the order in which they are tried.
//!
//! A few are tried one by one. Many (a header value for each tenant, say) are indexed: each route is listed under the rarest exact
//! header or query value that it asks for, so that a request tries only the routes that name one of its own values.

use http::{HeaderName, Method};

use super::map::{Map, map};
use super::predicate::{ValueTest, query_values};
use super::table::{Query, Rule};

/// From this many routes on, an index costs less than trying them one by one.
const INDEXED_FROM: usize = 8;

/// Positions in the table's rules, ascending; a lower one is more specific.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    rules: Vec<u32>,
    index: Option<Box<Index>>,
}

/// The same positions, each in exactly one of the lists.
#[derive(Clone, Debug, Default)]
struct Index {
    headers: Vec<(HeaderName, Lists)>,
    query: Vec<(Box<str>, Lists)>,
    /// Those that ask for no exact value.
    rest: Vec<u32>,
}

type Lists = Map<Box<[u8]>, Vec<u32>>;

/// An exact value that a rule asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'r> {
    Header(&'r HeaderName, &'r [u8]),
    Query(&'r str, &'r [u8]),
}

impl Bucket {
    /// Adds a rule; rules come in ascending order, and one that came last is not added again.
    pub(super) fn push(&mut self, rule: u32) {
        if self.rules.last() != Some(&rule) {
            self.rules.push(rule);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Builds the index once all rules are in.
    pub(super) fn seal(&mut self, rules: &[Rule]) {
        if self.rules.len() < INDEXED_FROM {
            return;
        }
        let mut counts: Map<Key<'_>, usize> = map();
        for key in self.rules.iter().flat_map(|&rule| keys(&rules[rule as usize])) {
            *counts.entry(key).or_default() += 1;
        }
        let mut index = Index::default();
        for &rule in &self.rules {
            let rarest = keys(&rules[rule as usize]).min_by_key(|key| counts.get(key).copied().unwrap_or_default());
            index.list(rarest).push(rule);
        }
        self.index = Some(Box::new(index));
    }

    /// Returns the most specific rule that takes the request.
    pub(super) fn first(&self, rules: &[Rule], query: &Query<'_>) -> Option<u32> {
        let mut best = None;
        self.each_list(query, &mut |list| {
            let fits = |&&rule: &&u32| {
                let predicate = &rules[rule as usize].predicate;
                predicate.takes_method(query.method) && predicate.takes_rest(query)
            };
            let found = list.iter().take_while(|&&rule| best.is_none_or(|best| rule < best)).find(fits);
            best = found.copied().or(best);
        });
        best
    }

    /// Adds the methods of the rules that take all of the request but its method.
    pub(super) fn allowed(&self, rules: &[Rule], query: &Query<'_>, methods: &mut Vec<Method>) {
        self.each_list(query, &mut |list| {
            for &rule in list {
                let predicate = &rules[rule as usize].predicate;
                if !predicate.takes_method(query.method) && predicate.takes_rest(query) {
                    methods.extend(predicate.methods.iter().cloned());
                }
            }
        });
    }

    /// Visits lists that hold, together, every rule that can take the request.
    fn each_list(&self, query: &Query<'_>, visit: &mut impl FnMut(&[u32])) {
        let Some(index) = &self.index else { return visit(&self.rules) };
        for (name, lists) in &index.headers {
            for list in query.headers.get_all(name).iter().filter_map(|value| lists.get(value.as_bytes())) {
                visit(list);
            }
        }
        for (name, lists) in &index.query {
            for list in query_values(query.query, name).filter_map(|value| lists.get(&*value)) {
                visit(list);
            }
        }
        visit(&index.rest);
    }
}

impl Index {
    fn list(&mut self, key: Option<Key<'_>>) -> &mut Vec<u32> {
        match key {
            None => &mut self.rest,
            Some(Key::Header(name, value)) => {
                let at = self.headers.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    self.headers.push((name.clone(), map()));
                    self.headers.len() - 1
                });
                self.headers[at].1.entry(value.into()).or_default()
            }
            Some(Key::Query(name, value)) => {
                let at = self.query.iter().position(|(known, _)| **known == *name).unwrap_or_else(|| {
                    self.query.push((name.into(), map()));
                    self.query.len() - 1
                });
                self.query[at].1.entry(value.into()).or_default()
            }
        }
    }
}

fn keys(rule: &Rule) -> impl Iterator<Item = Key<'_>> {
    let headers = rule.predicate.headers.iter().filter_map(|test| match &test.value {
        ValueTest::Exact(value) => Some(Key::Header(&test.name, value)),
        ValueTest::Present | ValueTest::Regex { .. } => None,
    });
    let query = rule.predicate.query.iter().filter_map(|test| match &test.value {
        ValueTest::Exact(value) => Some(Key::Query(&test.name, value)),
        ValueTest::Present | ValueTest::Regex { .. } => None,
    });
    headers.chain(query)
}
