//! The paths of one host: exact paths, prefixes on segment borders, regular expressions, any path.
//!
//! Prefixes are a trie of segments, so a search costs what the path is long, whatever a client sends; falling back to a shorter prefix is a
//! step to the parent.

use rapidhash::RapidHashMap;
use regex::bytes::Regex;

/// The paths of one host, each with its `T`.
#[derive(Debug, Default)]
pub(super) struct Paths<T> {
    exact: RapidHashMap<Box<str>, T>,
    prefixes: Trie<T>,
    /// Tried in order, when nothing above took the request.
    regexes: Vec<(Regex, T)>,
    any: T,
}

/// A path that takes a request.
#[derive(Debug)]
pub(super) struct Hit<'a, T> {
    pub(super) found: &'a T,
    /// How many bytes of the request's path the route names.
    pub(super) prefix_len: usize,
}

/// Prefixes by segment; the first node is `/`.
#[derive(Debug)]
struct Trie<T> {
    nodes: Vec<Node<T>>,
    used: bool,
}

#[derive(Debug)]
struct Node<T> {
    children: RapidHashMap<Box<str>, usize>,
    parent: Option<usize>,
    /// The length of the prefix that ends here.
    len: usize,
    found: Option<T>,
}

impl<T: Default> Paths<T> {
    pub(super) fn exact(&mut self, path: &str) -> &mut T {
        self.exact.entry(path.into()).or_default()
    }

    pub(super) fn prefix(&mut self, prefix: &str) -> &mut T {
        self.prefixes.entry(prefix)
    }

    pub(super) fn regex(&mut self, regex: Regex) -> &mut T {
        &mut self.regexes.push_mut((regex, T::default())).1
    }

    pub(super) fn any(&mut self) -> &mut T {
        &mut self.any
    }

    /// Returns everything there is, in no order.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let prefixes = self.prefixes.nodes.iter_mut().filter_map(|node| node.found.as_mut());
        let regexes = self.regexes.iter_mut().map(|(_, found)| found);
        self.exact.values_mut().chain(prefixes).chain(regexes).chain(std::iter::once(&mut self.any))
    }

    /// Returns everything that takes `path`, most specific first.
    pub(super) fn of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = Hit<'a, T>> {
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        let regexes = self.regexes.iter().filter(|(regex, _)| regex.is_match(path.as_bytes()));
        exact
            .map(|found| Hit { found, prefix_len: path.len() })
            .into_iter()
            .chain(self.prefixes.of(path))
            .chain(regexes.map(|(_, found)| Hit { found, prefix_len: 0 }))
            .chain(std::iter::once(Hit { found: &self.any, prefix_len: 0 }))
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { nodes: vec![Node { children: RapidHashMap::default(), parent: None, len: 1, found: None }], used: false }
    }
}

impl<T: Default> Trie<T> {
    fn entry(&mut self, prefix: &str) -> &mut T {
        self.used = true;
        let inner = prefix.trim_end_matches('/');
        let inner = inner.strip_prefix('/').unwrap_or(inner);
        let mut at = 0;
        let mut len = 0;
        for segment in inner.split('/').filter(|_| !inner.is_empty()) {
            len += 1 + segment.len();
            at = self.child(at, segment, len);
        }
        self.nodes[at].found.get_or_insert_default()
    }

    fn child(&mut self, parent: usize, segment: &str, len: usize) -> usize {
        if let Some(child) = self.nodes[parent].children.get(segment) {
            return *child;
        }
        let child = self.nodes.len();
        self.nodes[parent].children.insert(segment.into(), child);
        self.nodes.push(Node { children: RapidHashMap::default(), parent: Some(parent), len, found: None });
        child
    }

    /// Returns what the prefixes of `path` have, longest first.
    fn of(&self, path: &str) -> impl Iterator<Item = Hit<'_, T>> {
        let deepest = path.strip_prefix('/').filter(|_| self.used).map(|inner| self.deepest(inner));
        std::iter::successors(deepest, |node| Some(&self.nodes[node.parent?]))
            .filter_map(|node| Some(Hit { found: node.found.as_ref()?, prefix_len: node.len }))
    }

    fn deepest(&self, inner: &str) -> &Node<T> {
        let mut node = &self.nodes[0];
        for segment in inner.split('/') {
            match node.children.get(segment) {
                Some(child) => node = &self.nodes[*child],
                None => break,
            }
        }
        node
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(list: &[&'static str]) -> Paths<Vec<&'static str>> {
        let mut paths = Paths::<Vec<&'static str>>::default();
        for prefix in list {
            paths.prefix(prefix).push(*prefix);
        }
        paths
    }

    fn of(paths: &Paths<Vec<&'static str>>, path: &str) -> Vec<(&'static str, usize)> {
        paths.of(path).flat_map(|hit| hit.found.iter().map(move |name| (*name, hit.prefix_len))).collect()
    }

    #[test]
    fn prefixes_end_on_segment_borders() {
        let paths = prefixes(&["/coder"]);
        for (path, taken) in
            [("/coder", true), ("/coder/", true), ("/coder/x", true), ("/coders", false), ("/code", false), ("/", false)]
        {
            assert_eq!(!of(&paths, path).is_empty(), taken, "{path}");
        }
    }

    #[test]
    fn the_longest_prefix_comes_first_and_the_others_follow() {
        let paths = prefixes(&["/a", "/", "/a/b/c", "/b"]);
        assert_eq!(of(&paths, "/a/b/c/d"), [("/a/b/c", 6), ("/a", 2), ("/", 1)]);
        assert_eq!(of(&paths, "/a/b"), [("/a", 2), ("/", 1)]);
        assert_eq!(of(&paths, "/"), [("/", 1)]);
        assert_eq!(of(&paths, "*"), []);
    }

    #[test]
    fn exact_comes_before_prefix_before_regex_before_any() {
        let mut paths = Paths::<Vec<&'static str>>::default();
        paths.any().push("any");
        paths.regex(Regex::new("^/a.*$").unwrap()).push("regex");
        paths.prefix("/a").push("prefix");
        paths.exact("/a").push("exact");
        assert_eq!(of(&paths, "/a"), [("exact", 2), ("prefix", 2), ("regex", 0), ("any", 0)]);
        assert_eq!(of(&paths, "/a/"), [("prefix", 2), ("regex", 0), ("any", 0)]);
        assert_eq!(of(&paths, "/ab"), [("regex", 0), ("any", 0)]);
        assert_eq!(of(&paths, "*"), [("any", 0)]);
    }

    #[test]
    fn a_final_slash_of_a_prefix_means_nothing() {
        assert_eq!(of(&prefixes(&["/a/"]), "/a"), [("/a/", 2)]);
    }
}
