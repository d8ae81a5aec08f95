//! Virtual time for futures: a clock, tasks, and wakers that keep no thread awake.
//!
//! A task that is woken is polled a little later, as its worker has other work: what was handed to it is on its way meanwhile, and everybody else
//! goes on. Tasks, timers and delays are told by the seed alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use fastrand::Rng;
use tidegate::kit::clock::Tick;

use crate::world::{Ticket, World};

/// The longest that a woken task waits for its worker, in nanoseconds.
const POST_NANOS: u64 = 300_000;

/// Polls after which a task turns in circles: one has a few for each attempt.
const MAX_POLLS: u32 = 400;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Requests come.
    Arrive,
    /// A task may go on.
    Poll(u64),
    /// A client leaves.
    Leave(u64),
    /// The guard of the pool looks at its breakers, outliers and queue.
    Guard,
    /// A replica is checked.
    Check(usize),
    /// The faults change.
    Weather,
    /// A replica's fault ends.
    Clear(usize),
    /// The config changes.
    Reload,
    /// A worker hears of new members.
    Told(usize),
    /// Every worker has heard of them.
    Follow,
    /// An operator drains an endpoint, brings it back, or sets its weight.
    Operate,
    /// The clock leaps.
    Leap,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Time, tasks, and what is due.
pub(super) struct Lab {
    world: RefCell<World<Event>>,
    /// The clock has leapt so far; what was due before is late.
    leapt: Cell<Tick>,
    /// The time that all leaps have left out.
    slept: Cell<Duration>,
    tasks: RefCell<BTreeMap<u64, (Option<Task>, u32)>>,
    running: Cell<u64>,
    woken: Arc<Mutex<Vec<u64>>>,
    post: RefCell<Rng>,
    pub(super) steps: Steps,
}

/// Wakes a task.
struct Bell {
    task: u64,
    woken: Arc<Mutex<Vec<u64>>>,
}

/// Counts what happens within one moment too.
#[derive(Clone, Default)]
pub(super) struct Steps(Arc<AtomicU64>);

/// Tells whether and when somebody has woken it, and passes that on.
pub(super) struct Flag {
    steps: Steps,
    /// The step at which it was woken; 0 when it was not.
    raised: AtomicU64,
    parent: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.woken.lock().unwrap().push(self.task);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raised.store(self.steps.next(), Relaxed);
        if let Some(parent) = self.parent.lock().unwrap().take() {
            parent.wake();
        }
    }
}

impl Steps {
    /// Returns a number that was never returned before; rising, from 1.
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed) + 1
    }
}

impl Flag {
    pub(super) fn new(steps: &Steps) -> Arc<Self> {
        Arc::new(Self { steps: steps.clone(), raised: AtomicU64::new(0), parent: Mutex::new(None) })
    }

    pub(super) fn is_up(&self) -> bool {
        self.raised().is_some()
    }

    /// Returns the step at which it was woken.
    pub(super) fn raised(&self) -> Option<u64> {
        Some(self.raised.load(Relaxed)).filter(|&step| step > 0)
    }

    /// Returns a waker that raises the flag and wakes whom `cx` wakes.
    pub(super) fn under(self: &Arc<Self>, cx: &Context<'_>) -> Waker {
        *self.parent.lock().unwrap() = Some(cx.waker().clone());
        self.clone().into()
    }
}

impl Lab {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = World::new(seed);
        let post = RefCell::new(world.randomness());
        Self {
            world: RefCell::new(world),
            leapt: Cell::default(),
            slept: Cell::default(),
            tasks: RefCell::default(),
            running: Cell::new(0),
            woken: Arc::default(),
            post,
            steps: Steps::default(),
        }
    }

    /// Returns the present.
    pub(super) fn now(&self) -> Tick {
        self.world.borrow().now().max(self.leapt.get())
    }

    /// Tells whether the clock has leapt and what was due before has not all happened yet.
    pub(super) fn is_late(&self) -> bool {
        self.world.borrow().now() < self.leapt.get()
    }

    /// Lets the clock leap: what is due meanwhile happens late, in its order.
    pub(super) fn leap(&self, by: Duration) {
        self.leapt.set(self.now() + by);
        self.slept.set(self.slept.get() + by);
    }

    /// Returns how much time all leaps have left out.
    pub(super) fn slept(&self) -> Duration {
        self.slept.get()
    }

    pub(super) fn randomness(&self) -> Rng {
        self.world.borrow_mut().randomness()
    }

    pub(super) fn after(&self, delay: Duration, event: Event) -> Ticket {
        let due = self.now() + delay;
        let mut world = self.world.borrow_mut();
        let delay = due.since(world.now());
        world.after(delay, event)
    }

    /// Puts in an event that comes as soon as whoever is told of it has the time.
    pub(super) fn soon(&self, event: Event) -> Ticket {
        let nanos = self.post.borrow_mut().u64(1_000..POST_NANOS);
        self.after(Duration::from_nanos(nanos), event)
    }

    pub(super) fn cancel(&self, ticket: Ticket) {
        self.world.borrow_mut().cancel(ticket);
    }

    pub(super) fn next(&self, end: Tick) -> Option<Event> {
        self.world.borrow_mut().next(end)
    }

    /// Begins a task at once, and returns its number.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + 'static) -> u64 {
        let number = self.world.borrow_mut().fresh();
        self.tasks.borrow_mut().insert(number, (Some(Box::pin(task)), 0));
        self.poll(number).expect("a first poll is no circle");
        number
    }

    /// Lets a task go on.
    ///
    /// # Errors
    /// When it has been polled so often that it turns in circles.
    pub(super) fn poll(&self, number: u64) -> Result<(), String> {
        let Some((task, polls)) = self.tasks.borrow_mut().get_mut(&number).map(|(task, polls)| (task.take(), *polls)) else {
            return Ok(());
        };
        let Some(mut task) = task else { return Ok(()) };
        self.running.set(number);
        let waker = Waker::from(Arc::new(Bell { task: number, woken: self.woken.clone() }));
        let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.tasks.borrow_mut().remove(&number);
            return Ok(());
        }
        self.tasks.borrow_mut().insert(number, (Some(task), polls + 1));
        if polls > MAX_POLLS { Err(format!("request {number} turns in circles")) } else { Ok(()) }
    }

    /// Drops a task, as hyper does with a request whose client has left; tells whether it was still there.
    pub(super) fn drop_task(&self, number: u64) -> bool {
        let task = self.tasks.borrow_mut().remove(&number);
        task.is_some()
    }

    /// Puts in the polls of those who were woken.
    pub(super) fn post(&self) {
        let woken = std::mem::take(&mut *self.woken.lock().unwrap());
        for number in woken {
            self.soon(Event::Poll(number));
            // Some leave just then, before or after they know why they were woken.
            if self.post.borrow_mut().u32(..100) == 0 {
                self.soon(Event::Leave(number));
            }
        }
    }

    pub(super) fn running_tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    /// Waits.
    pub(super) fn sleep(self: &Rc<Self>, delay: Duration) -> Sleep {
        self.sleep_until(self.now() + delay)
    }

    pub(super) fn sleep_until(self: &Rc<Self>, at: Tick) -> Sleep {
        Sleep { lab: self.clone(), at, ticket: None }
    }

    /// Waits for `future` until `end`; `None` when that comes first, and then the future is dropped.
    pub(super) async fn within<F: Future>(self: &Rc<Self>, end: Option<Tick>, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        let mut sleep = end.map(|end| self.sleep_until(end));
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            match &mut sleep {
                Some(sleep) => Pin::new(sleep).poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// A timer of the task that polls it.
pub(super) struct Sleep {
    lab: Rc<Lab>,
    at: Tick,
    ticket: Option<Ticket>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let now = self.lab.now();
        if now >= self.at {
            return Poll::Ready(());
        }
        if self.ticket.is_none() {
            self.ticket = Some(self.lab.after(self.at.since(now), Event::Poll(self.lab.running.get())));
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.lab.cancel(ticket);
        }
    }
}
