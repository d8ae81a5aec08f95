//! What the tests of layers share: a route, calls, and a service that fails as it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Method, Request};
use tower::Service;

use super::RouteState;
use super::call::{Answer, Call, Denied, Reply, Tries};
use crate::kit::clock;
use crate::message::body::Upload;
use crate::model::{Action, Match, Policies, Reason, Rewrite, Route, RouteTimeouts};
use crate::resilience::shed::ReplayMemory;

pub(super) fn route(policies: Policies) -> Route {
    Route {
        name: "r".parse().unwrap(),
        matcher: Match::default(),
        action: Action::Forward(Vec::new()),
        require: Default::default(),
        rewrite: Rewrite::default(),
        timeouts: RouteTimeouts::default(),
        heartbeat: None,
        policies,
    }
}

pub(super) fn state(policies: Policies) -> RouteState {
    RouteState::new(&route(policies), None, &BTreeMap::new(), &Arc::new(ReplayMemory::new(1024)))
}

pub(super) fn call(method: Method) -> Box<Call> {
    let request = Request::builder().method(method).body(Upload::empty()).unwrap();
    Call::new(request, clock::now())
}

/// Fails with one after the other of the given reasons, then with the last one for ever; counts.
#[derive(Clone, Debug)]
pub(super) struct Failing {
    reasons: Rc<RefCell<VecDeque<(Reason, bool)>>>,
    pub(super) calls: Rc<RefCell<Vec<tokio::time::Instant>>>,
}

impl Failing {
    /// Each with whether the request was sent.
    pub(super) fn with(reasons: impl IntoIterator<Item = (Reason, bool)>) -> Self {
        Self { reasons: Rc::new(RefCell::new(reasons.into_iter().collect())), calls: Rc::default() }
    }

    pub(super) fn count(&self) -> usize {
        self.calls.borrow().len()
    }
}

impl Service<Box<Call>> for Failing {
    type Response = Box<Reply>;
    type Error = Box<Denied>;
    type Future = Ready<Answer>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Box<Denied>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Box<Call>) -> Self::Future {
        self.calls.borrow_mut().push(tokio::time::Instant::now());
        let mut reasons = self.reasons.borrow_mut();
        let (reason, sent) = if reasons.len() > 1 { reasons.pop_front() } else { reasons.front().copied() }.unwrap();
        ready(Err(Box::new(Denied { sent, tries: Tries::ONE, ..*Denied::new(reason, "as told") })))
    }
}
