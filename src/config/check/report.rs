//! Collects what the checks find, with the places.

use crate::config::problem::{Problem, is_enough};
use crate::config::tree::{Kind, NodeId, Tree};

/// Errors and warnings of one file.
pub(in crate::config) struct Report<'t> {
    tree: &'t Tree,
    file: &'t str,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(in crate::config) fn new(tree: &'t Tree, file: &'t str) -> Self {
        Self { tree, file, errors: Vec::new(), warnings: Vec::new() }
    }

    /// Reports what makes the file unusable.
    pub(super) fn error(&mut self, id: NodeId, message: impl Into<String>) {
        self.error_with(id, message.into(), None);
    }

    /// Reports what makes the file unusable, and what to write instead.
    pub(in crate::config) fn error_with(&mut self, id: NodeId, message: String, suggestion: Option<String>) {
        let problem = self.problem(id, message, suggestion);
        self.errors.push(problem);
    }

    /// Reports what is allowed but odd.
    pub(super) fn warn(&mut self, id: NodeId, message: impl Into<String>) {
        let problem = self.problem(id, message.into(), None);
        self.warnings.push(problem);
    }

    /// Tells whether the mapping at `id` has the key, readable or not.
    pub(super) fn has_key(&self, id: NodeId, key: &str) -> bool {
        self.tree.find(id).and_then(|node| node.get(key)).is_some_and(|node| !node.is_absent())
    }

    /// Returns where the value of a key stands, readable or not, in the mapping at `id`.
    pub(super) fn child(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.tree.find(id).and_then(|node| node.get(key)).filter(|node| !node.is_absent()).map(|node| node.id)
    }

    /// Tells whether every item of the list under a key of the mapping at `id` could be read, when `read` of them were.
    pub(super) fn is_whole(&self, id: NodeId, key: &str, read: usize) -> bool {
        self.tree.find(id).and_then(|node| node.get(key)).is_some_and(|node| node.items().len() == read)
    }

    /// Tells whether more errors would not be kept, so that no work need go into their wording.
    pub(super) fn is_full(&self) -> bool {
        is_enough(self.errors.len())
    }

    /// Tells whether the list under a key of the mapping at `id` has items, readable or not.
    pub(super) fn has_items(&self, id: NodeId, key: &str) -> bool {
        self.tree.find(id).and_then(|node| node.get(key)).is_some_and(|node| match &node.kind {
            Kind::List(items) => !items.is_empty(),
            // Not a list, which has been told.
            _ => !node.is_absent(),
        })
    }

    /// Returns the names of all listeners that are written down, readable or not.
    pub(super) fn written_listeners(&self) -> impl Iterator<Item = &'t str> {
        let items = self.tree.root.get("listeners").map_or(&[][..], |node| node.items());
        items.iter().filter_map(|item| item.get("name")?.text())
    }

    /// Returns the names of all pools that are written down, readable or not.
    pub(super) fn written_pools(&self) -> impl Iterator<Item = &'t str> {
        self.tree.root.get("pools").into_iter().flat_map(|node| node.keys())
    }

    /// Returns the names of all bulkheads that are written down, readable or not.
    pub(super) fn written_bulkheads(&self) -> impl Iterator<Item = &'t str> {
        self.tree.root.get("bulkheads").into_iter().flat_map(|node| node.keys())
    }

    /// Returns "line N" of a node, to point at the other of two that clash.
    pub(super) fn line(&self, id: NodeId) -> String {
        format!("line {}", self.tree.position(id).0)
    }

    /// Returns the errors and the warnings.
    pub(in crate::config) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.errors, self.warnings)
    }

    fn problem(&self, id: NodeId, message: String, suggestion: Option<String>) -> Problem {
        let (line, column) = self.tree.position(id);
        let suggestion = suggestion.map(one_line);
        Problem {
            file: self.file.to_owned(),
            line,
            column,
            path: one_line(self.tree.path(id)),
            message: one_line(message),
            suggestion,
        }
    }
}

/// Keeps what a file says from breaking lines or steering a terminal.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() }).collect()
}
