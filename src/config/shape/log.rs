//! What has gone wrong so far, and which nodes are spoilt by it.

use std::cell::RefCell;
use std::collections::HashSet;

use super::error::ShapeError;
use crate::config::problem::is_enough;
use crate::config::tree::NodeId;

/// One mistake, before its place is looked up.
#[derive(Debug)]
pub(in crate::config) struct Fault {
    pub(in crate::config) id: NodeId,
    pub(in crate::config) message: String,
    pub(in crate::config) suggestion: Option<String>,
}

/// Collects mistakes while a tree is read; shared by all readers of the tree.
#[derive(Debug, Default)]
pub(in crate::config) struct Log {
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Vec<Fault>,
    spoilt: HashSet<NodeId>,
}

impl Log {
    /// Marks a node as spoilt by something that is reported elsewhere.
    pub(in crate::config) fn spoil(&self, id: NodeId) -> bool {
        self.inner.borrow_mut().spoilt.insert(id)
    }

    pub(super) fn is_spoilt(&self, id: NodeId) -> bool {
        self.inner.borrow().spoilt.contains(&id)
    }

    /// Writes the error down and marks its node, `fallback` when it names none; afterwards the error is known.
    ///
    /// Each call spoils one more node, which is why reading again comes to an end.
    pub(super) fn record(&self, error: &mut ShapeError, fallback: NodeId) {
        if error.is_known && error.at.is_some_and(|id| self.is_spoilt(id)) {
            return;
        }
        let id = error.at.unwrap_or(fallback);
        if !self.spoil(id) {
            self.spoil(fallback);
        }
        if !error.is_known {
            let fault = Fault { id, message: error.message.clone(), suggestion: error.suggestion.clone() };
            self.inner.borrow_mut().faults.push(fault);
        }
        error.is_known = true;
    }

    /// Tells whether so much is wrong that further reading helps nobody.
    pub(super) fn is_full(&self) -> bool {
        is_enough(self.inner.borrow().faults.len())
    }

    /// Returns what was written down.
    pub(in crate::config) fn into_faults(self) -> Vec<Fault> {
        self.inner.into_inner().faults
    }
}
