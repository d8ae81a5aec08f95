//! The paths of one host: exact ones in a map, prefixes in a trie of segments, expressions and "any" as they come.
//!
//! A look-up costs one hash of the path and one of each segment down to where the trie ends: nothing grows with the number of
//! routes, and a hostile path of many segments is left at the first one that no route knows.

use super::bucket::Bucket;
use super::map::{Map, map};
use super::table::Rule;
use crate::model::PathPattern;

/// The routes of one host by path.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    exact: Map<Box<str>, Bucket>,
    /// Parents stand before their children; the first is `/`.
    prefixes: Vec<Node>,
    regex: Bucket,
    any: Bucket,
}

/// A prefix, or a step on the way to one.
#[derive(Clone, Debug)]
struct Node {
    children: Map<Box<str>, u32>,
    bucket: Bucket,
    parent: u32,
    /// The nearest node above that holds routes.
    fallback: Option<u32>,
}

impl Node {
    fn below(parent: u32) -> Self {
        Self { children: map(), bucket: Bucket::default(), parent, fallback: None }
    }
}

impl Paths {
    pub(super) fn new() -> Self {
        Self { exact: map(), prefixes: Vec::new(), regex: Bucket::default(), any: Bucket::default() }
    }

    /// Adds a rule; rules come in ascending order.
    pub(super) fn insert(&mut self, pattern: &PathPattern, rule: u32) {
        let bucket = match pattern {
            PathPattern::Any => &mut self.any,
            PathPattern::Regex(_) => &mut self.regex,
            PathPattern::Exact(path) => self.exact.entry(path.as_str().into()).or_default(),
            PathPattern::Prefix(prefix) => self.prefix(prefix),
        };
        bucket.push(rule);
    }

    /// Readies the look-ups once all rules are in.
    pub(super) fn seal(&mut self, rules: &[Rule]) {
        for bucket in self.exact.values_mut().chain([&mut self.regex, &mut self.any]) {
            bucket.seal(rules);
        }
        for at in 0..self.prefixes.len() {
            self.prefixes[at].bucket.seal(rules);
            let parent = self.prefixes[at].parent;
            // The first node is its own parent and has nothing above it.
            if at > 0 {
                let above = &self.prefixes[parent as usize];
                self.prefixes[at].fallback = if above.bucket.is_empty() { above.fallback } else { Some(parent) };
            }
        }
    }

    /// Visits what may take `path`, the most specific first, until a visit returns something.
    pub(super) fn find_map<T>(&self, path: &str, visit: &mut impl FnMut(&Bucket) -> Option<T>) -> Option<T> {
        if !self.exact.is_empty()
            && let Some(found) = self.exact.get(path).and_then(&mut *visit)
        {
            return Some(found);
        }
        let mut next = self.deepest(path);
        while let Some(at) = next {
            let node = &self.prefixes[at as usize];
            if let Some(found) = visit(&node.bucket) {
                return Some(found);
            }
            next = node.fallback;
        }
        visit(&self.regex).or_else(|| visit(&self.any))
    }

    /// Returns the last node on the way down `path`.
    fn deepest(&self, path: &str) -> Option<u32> {
        let mut node = self.prefixes.first()?;
        let mut at = 0;
        for segment in path.strip_prefix('/')?.split('/') {
            let Some(&child) = node.children.get(segment) else { break };
            at = child;
            node = &self.prefixes[child as usize];
        }
        Some(at)
    }

    fn prefix(&mut self, prefix: &str) -> &mut Bucket {
        if self.prefixes.is_empty() {
            self.prefixes.push(Node::below(0));
        }
        let mut at = 0;
        for segment in prefix.trim_end_matches('/').split('/').skip(1) {
            let new = u32::try_from(self.prefixes.len()).expect("a config with 2^32 path segments does not fit memory");
            let child = *self.prefixes[at as usize].children.entry(segment.into()).or_insert(new);
            if child == new {
                self.prefixes.push(Node::below(at));
            }
            at = child;
        }
        &mut self.prefixes[at as usize].bucket
    }
}
