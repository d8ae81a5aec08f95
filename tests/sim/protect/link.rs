//! What an attempt and its replica have between them, and what a fault that comes later does to it. Knows no proxy.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use tidegate::kit::clock::Tick;

use super::lab::{Lab, Sleep};
use super::replica::Fault;

/// How an answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// It does.
    Flows,
    /// Not since, until the replica goes on.
    Held(Tick),
    /// Not since, and never again.
    Dead(Tick),
    /// No more, and the proxy knows.
    Cut,
}

/// Why something did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hitch {
    /// The replica broke it off.
    Cut,
    /// Nothing came for too long.
    Idle,
}

/// The connection of one attempt.
pub(super) struct Link {
    course: Cell<Course>,
    /// Its head has come.
    has_head: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One stretch of a course.
struct Leg {
    course: Course,
    begun: Tick,
    sleep: Option<Sleep>,
}

impl Link {
    pub(super) fn new(course: Course) -> Rc<Self> {
        Rc::new(Self { course: Cell::new(course), has_head: Cell::new(false), waker: RefCell::default() })
    }

    pub(super) fn head_has_come(&self) {
        self.has_head.set(true);
    }

    /// Lets a fault of the replica befall it, and returns what it comes to when that is another course.
    pub(super) fn strike(&self, fault: Fault, now: Tick) -> Option<Course> {
        let struck = match (self.course.get(), fault) {
            (Course::Cut | Course::Dead(_), _) | (_, Fault::None | Fault::Slow) => return None,
            (_, Fault::Fast | Fault::Flap) => Course::Cut,
            (_, Fault::Truncate) if self.has_head.get() => Course::Cut,
            (_, Fault::Truncate) => return None,
            (_, Fault::Stall) => Course::Held(now),
            (_, Fault::HalfOpen) => Course::Dead(now),
        };
        self.turn(struck);
        Some(struck)
    }

    /// The replica goes on; tells whether it was held.
    pub(super) fn release(&self) -> bool {
        let is_held = matches!(self.course.get(), Course::Held(_));
        if is_held {
            self.turn(Course::Flows);
        }
        is_held
    }

    fn turn(&self, course: Course) {
        self.course.set(course);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits until as much has come as takes `length`; no longer than `idle` while nothing does.
    ///
    /// # Errors
    /// When it never will, as far as the proxy can know.
    pub(super) async fn flow(&self, lab: &Rc<Lab>, length: Duration, idle: Option<Duration>) -> Result<(), Hitch> {
        let (mut left, mut leg) = (length, None::<Leg>);
        poll_fn(|cx| {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            let course = self.course.get();
            if leg.as_ref().is_none_or(|leg| leg.course != course) {
                let now = lab.now();
                let stop = match course {
                    Course::Flows => None,
                    Course::Held(at) | Course::Dead(at) => Some(at),
                    Course::Cut => return Poll::Ready(Err(Hitch::Cut)),
                };
                if let (Some(Leg { course: Course::Flows, begun, .. }), Some(at)) = (&leg, stop) {
                    left = left.saturating_sub(at.since(*begun));
                    if left.is_zero() {
                        return Poll::Ready(Ok(()));
                    }
                }
                let end = match stop {
                    None => Some(now + left),
                    Some(at) => idle.map(|idle| at + idle),
                };
                leg = Some(Leg { course, begun: now, sleep: end.map(|end| lab.sleep_until(end)) });
            }
            let Some(sleep) = leg.as_mut().and_then(|leg| leg.sleep.as_mut()) else { return Poll::Pending };
            std::task::ready!(Pin::new(sleep).poll(cx));
            Poll::Ready(if course == Course::Flows { Ok(()) } else { Err(Hitch::Idle) })
        })
        .await
    }
}

#[test]
fn what_is_held_comes_later_and_what_is_dead_or_cut_never_does() {
    use super::lab::Event;

    let secs = Duration::from_secs;
    for (fault, is_released, expected) in [
        (Fault::Slow, true, (Ok(()), 10)),
        (Fault::Stall, true, (Ok(()), 12)),
        (Fault::Stall, false, (Err(Hitch::Idle), 9)),
        (Fault::HalfOpen, true, (Err(Hitch::Idle), 9)),
        (Fault::Truncate, true, (Err(Hitch::Cut), 4)),
        (Fault::Flap, true, (Err(Hitch::Cut), 4)),
    ] {
        let (lab, link, found) = (Rc::new(Lab::new(1)), Link::new(Course::Flows), Rc::new(Cell::new(None)));
        link.head_has_come();
        let flow = (lab.clone(), link.clone(), found.clone());
        lab.spawn(async move {
            let (lab, link, found) = flow;
            let result = link.flow(&lab, secs(10), Some(secs(5))).await;
            found.set(Some((result, lab.now().since(Tick::default()).as_secs())));
        });
        lab.after(secs(4), Event::Weather);
        lab.after(secs(6), Event::Clear(0));
        while let Some(event) = lab.next(Tick::default() + secs(20)) {
            match event {
                Event::Poll(task) => lab.poll(task).unwrap(),
                Event::Weather => _ = link.strike(fault, lab.now()),
                Event::Clear(_) if is_released => _ = link.release(),
                _ => {}
            }
            lab.post();
        }
        assert_eq!(found.get(), Some(expected), "{fault:?}");
    }
}
