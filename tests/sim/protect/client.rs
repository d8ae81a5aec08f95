//! Clients: they send, wait, and leave; and those of them that stand in a line.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Method;
use tidegate::kit::clock::Tick;
use tidegate::model::{Outcome, Strategy};
use tidegate::resilience::queue::{Issuer, Refusal, Wait};

use super::books::{End, Line, Waiting};
use super::lab::{Event, Flag};
use super::proxy::Proxy;
use super::request::{Call, serve};
use super::scenario::CAPABILITIES;
use super::seen::Seen;
use crate::draw::exponential;

/// One who waits in a queue, and is written down there.
pub(super) struct Standing<I: Issuer> {
    proxy: Rc<Proxy>,
    wait: Wait<I>,
    flag: Arc<Flag>,
    is_hull: bool,
    /// What is written down, until it is.
    terms: Option<Waiting>,
    number: Option<u64>,
    stood_before: bool,
}

/// A request's own account; ended by drop, it counts as aborted.
struct Record(Rc<Proxy>, Option<End>);

impl<I: Issuer> Standing<I> {
    pub(super) fn new(proxy: &Rc<Proxy>, is_hull: bool, wait: Wait<I>, required: u8, call: &Call, deadline: Tick) -> Self {
        let flag = Flag::new(&proxy.lab.steps);
        let terms = Waiting {
            required,
            priority: call.priority,
            arrived: call.started,
            deadline,
            flag: flag.clone(),
            is_called: false,
            has_strangers: false,
            overtook: false,
            spared: false,
        };
        Self { proxy: proxy.clone(), wait, flag, is_hull, terms: Some(terms), number: None, stood_before: false }
    }

    /// It has stood in the line before, and had a grant that was worth nothing; perhaps of an endpoint that its worker does not know.
    pub(super) fn again(mut self, stood_before: bool, has_strangers: bool) -> Self {
        self.stood_before = stood_before;
        if let Some(terms) = &mut self.terms {
            terms.has_strangers = has_strangers;
        }
        self
    }

    /// Returns what is raised at the moment in which it is called out of the line.
    pub(super) const fn flag(&self) -> &Arc<Flag> {
        &self.flag
    }

    fn line<R>(&self, act: impl FnOnce(&mut Line) -> R) -> R {
        let mut books = self.proxy.books.borrow_mut();
        act(if self.is_hull { &mut books.hull } else { &mut books.queue })
    }

    fn note_end(&self, result: &Result<I::Grant, Refusal>, waiting: Option<&Waiting>) {
        let mut books = self.proxy.books.borrow_mut();
        books.counts.note(match (result, self.is_hull) {
            (Ok(_), false) => Seen::Granted,
            (Ok(_), true) => Seen::Entered,
            (Err(Refusal::Displaced), false) => Seen::Displaced,
            (Err(Refusal::Displaced), true) => Seen::HullDisplaced,
            // Who finds no place never comes to stand.
            (Err(Refusal::Full), _) => return,
        });
        let Some(waiting) = waiting else { return };
        if result.is_ok() && waiting.overtook {
            books.note::<()>(Err("one was served before another who wants no more and comes first".to_owned()));
        }
        if result.is_err() && waiting.spared {
            books.note::<()>(Err("one was displaced while a less important one may wait".to_owned()));
        }
    }
}

impl<I: Issuer> Future for Standing<I> {
    type Output = Result<I::Grant, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let waker = self.flag.under(cx);
        match Pin::new(&mut self.wait).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {
                if let Some(terms) = self.terms.take() {
                    let stood_before = u64::from(self.stood_before);
                    self.number = Some(self.line(|line| {
                        line.returned += stood_before;
                        line.enter(terms)
                    }));
                }
                Poll::Pending
            }
            Poll::Ready(result) => {
                let number = self.number.take();
                let waiting = number.and_then(|number| self.line(|line| line.waiting.remove(&number)));
                if waiting.is_some() && self.stood_before {
                    self.line(|line| line.returned -= 1);
                }
                self.note_end(&result, waiting.as_ref());
                Poll::Ready(result)
            }
        }
    }
}

impl<I: Issuer> Drop for Standing<I> {
    fn drop(&mut self) {
        if let Some(number) = self.number.take() {
            let stood_before = u64::from(self.stood_before);
            let was_called = u64::from(self.flag.is_up());
            self.line(|line| {
                line.waiting.remove(&number);
                line.returned -= stood_before;
                line.withdrawn += was_called;
            });
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.0.books.borrow_mut().requests.end(self.1.unwrap_or(End::Aborted));
    }
}

impl Proxy {
    /// Requests come: one, or many at once.
    pub(super) fn arrive(self: &Rc<Self>) {
        let (count, pause) = {
            let rng = &mut *self.draws.borrow_mut();
            let count = if rng.u32(..40) == 0 { rng.usize(5..80) } else { 1 };
            // A burst of 42 in one of 40 doubles the traffic.
            (count, exponential(Duration::from_secs_f64(2.0 / self.scenario.rate), rng))
        };
        for _ in 0..count {
            self.send_request();
        }
        if self.now() < self.evening() {
            self.lab.after(pause, Event::Arrive);
        }
    }

    fn send_request(self: &Rc<Self>) {
        let call = self.draw_call();
        let patience = {
            let rng = &mut *self.draws.borrow_mut();
            (rng.f64() < 0.4).then(|| exponential(self.scenario.service, rng))
        };
        let mut books = self.books.borrow_mut();
        books.counts.note(Seen::Requests);
        if !self.lab.slept().is_zero() {
            books.counts.note(Seen::RequestsAfterLeap);
        }
        books.requests.begin();
        drop(books);
        let proxy = self.clone();
        let task = self.lab.spawn(async move {
            let mut record = Record(proxy.clone(), None);
            record.1 = Some(match serve(proxy, call).await {
                Outcome::Completed => End::Completed,
                _ => End::Failed,
            });
        });
        if let Some(patience) = patience {
            self.lab.after(patience, Event::Leave(task));
        }
    }

    fn draw_call(&self) -> Call {
        let settings = self.settings.borrow().clone();
        let rng = &mut *self.draws.borrow_mut();
        let required = match rng.u32(..10) {
            0..6 => vec![],
            6..9 => vec![CAPABILITIES[rng.usize(..3)]],
            _ => vec![CAPABILITIES[0], CAPABILITIES[rng.usize(1..3)]],
        };
        Call {
            worker: rng.usize(..self.workers.len()),
            method: if rng.u32(..4) > 0 { Method::GET } else { Method::POST },
            required: required.into_iter().map(Box::from).collect(),
            priority: [0, 0, 0, 0, 10, -10][rng.usize(..6)],
            started: self.lab.now(),
            key: (settings.pool.strategy == Strategy::ConsistentHashing).then(|| rng.u64(..50)),
            tried: Vec::new(),
            end: None,
            trying: Rc::default(),
            settings,
        }
    }
}
