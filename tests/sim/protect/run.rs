//! One run: a seed to its end, with the laws held after every event.

use std::collections::VecDeque;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use super::lab::Event;
use super::laws;
use super::proxy::Proxy;
use super::scenario::Scenario;
use super::seen::{Counts, Seen};

/// Nothing that a request waits for takes that long.
const NIGHT: Duration = Duration::from_secs(4 * 60 * 60);

/// Events that are told of when a law is broken.
const TOLD: usize = 12;

/// What a run was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// The same for the same events at the same times with the same effects.
    pub(super) digest: u64,
    pub(super) counts: Counts,
}

/// Returns how to see a seed again.
pub(super) fn replay(seed: u64) -> String {
    format!("TIDEGATE_SIM_SEED={seed} cargo test --test sim protect")
}

/// Runs `seed` to its end.
///
/// # Errors
/// The law that was broken, what had happened last, and how to see it again.
pub(super) fn run(seed: u64) -> Result<Summary, String> {
    // Machines that draw by themselves draw from this thread's source.
    fastrand::seed(seed);
    let proxy = Proxy::new(Scenario::draw(seed));
    proxy.start();
    let mut told = VecDeque::new();
    let mut digest = 0;
    let result = live(&proxy, &mut told, &mut digest);
    let mut counts = proxy.books.borrow().counts;
    counts.add(Seen::Withdrawn, proxy.books.borrow().queue.withdrawn);
    counts.add(Seen::HullWithdrawn, proxy.books.borrow().hull.withdrawn);
    for identity in &proxy.books.borrow().identities {
        counts.add(Seen::Openings, identity.breaker.report(proxy.now()).map_or(0, |report| report.opened_total));
    }
    result.map(|()| Summary { digest, counts }).map_err(|breach| {
        let mut text = format!("seed {seed}: {breach}\n  replay: {}\n  last:", replay(seed));
        for (at, event) in told {
            let _ = write!(text, " {event:?}@{at}");
        }
        text
    })
}

fn live(proxy: &Rc<Proxy>, told: &mut VecDeque<(u64, Event)>, digest: &mut u64) -> Result<(), String> {
    laws::check(proxy)?;
    while let Some(event) = proxy.lab.next(proxy.evening() + NIGHT) {
        if told.len() == TOLD {
            told.pop_front();
        }
        told.push_back((proxy.now().as_nanos(), event));
        proxy.happen(event)?;
        proxy.lab.post();
        proxy.ring();
        laws::check(proxy)?;
        *digest = mix(*digest, proxy, event);
        if proxy.now() > proxy.evening() && proxy.lab.running_tasks() == 0 {
            return laws::everything_has_ended(proxy);
        }
    }
    Err(format!("{} requests never end", proxy.lab.running_tasks()))
}

fn mix(digest: u64, proxy: &Proxy, event: Event) -> u64 {
    let what = match event {
        Event::Poll(task) | Event::Leave(task) => task,
        Event::Check(place) | Event::Clear(place) | Event::Told(place) => place as u64,
        _ => 0,
    };
    let figures = proxy.queue.figures();
    let in_flight = proxy.members.borrow().set.state().in_flight();
    let seen = [proxy.now().as_nanos(), what, in_flight, figures.waiting, figures.granted_total];
    // Fowler, Noll and Vo's, by words instead of bytes.
    seen.into_iter().fold(digest, |digest, word| (digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(5))
}

impl Proxy {
    fn happen(self: &Rc<Self>, event: Event) -> Result<(), String> {
        self.books.borrow_mut().counts.note(Seen::Events);
        match event {
            Event::Arrive => self.arrive(),
            Event::Poll(task) => self.lab.poll(task)?,
            Event::Leave(task) => {
                if self.lab.drop_task(task) {
                    self.books.borrow_mut().counts.note(Seen::Left);
                }
            }
            Event::Guard => self.guard()?,
            Event::Check(number) => self.check(number),
            Event::Weather => self.storm(),
            Event::Clear(number) => self.clear(number),
            Event::Reload => self.reload(),
            Event::Told(worker) => self.tell(worker),
            Event::Follow => self.follow(),
            Event::Operate => self.operate(),
            Event::Leap => self.leap(),
        }
        Ok(())
    }
}
