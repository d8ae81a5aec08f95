//! A request on its way through the layers: what `pool/{deadline,bulkhead,hedge,retry,seat,dispatch,download}.rs` do, without sockets.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use http::{HeaderMap, Method, StatusCode};
use tidegate::balance::NoPick;
use tidegate::endpoint::Serial;
use tidegate::kit::clock::Tick;
use tidegate::model::{self, Outcome, Priority, Reason};
use tidegate::resilience::bulkhead::{Bulkhead, Slot};
use tidegate::resilience::queue::{Refusal, Want};
use tidegate::resilience::retry::{Delays, Event, honour, is_idempotent, is_safe, matches};

use super::books;
use super::client::Standing;
use super::link::{Hitch, Link};
use super::place::Place;
use super::proxy::{Proxy, has_slot_for};
use super::replica::{End, Plan};
use super::scenario::{Settings, bits, number};
use super::seen::Seen;

/// As in `pool/seat.rs`.
const MAX_PICKS: usize = 16;

/// A request, or another attempt of it.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) worker: usize,
    pub(super) settings: Rc<Settings>,
    pub(super) method: Method,
    pub(super) required: Box<[Box<str>]>,
    pub(super) priority: Priority,
    pub(super) started: Tick,
    pub(super) key: Option<u64>,
    pub(super) tried: Vec<Serial>,
    pub(super) end: Option<(Tick, Reason)>,
    /// Who serves it now.
    pub(super) trying: Rc<RefCell<Option<Serial>>>,
}

/// An answer whose body is to come.
struct Reply {
    place: Place,
    status: StatusCode,
    retry_after: Option<Duration>,
    link: Rc<Link>,
    body: Duration,
    end: End,
    slot: Option<Held>,
}

/// Why there is no answer.
struct Denied {
    reason: Reason,
    member: Option<Serial>,
    sent: bool,
}

type Attempted = Pin<Box<dyn Future<Output = Result<Reply, Denied>>>>;

/// A slot of the bulkhead, and what is written down of it.
struct Held {
    slot: Option<Slot>,
    proxy: Rc<Proxy>,
    /// When the time of the whole request is over.
    end: Option<(Tick, Reason)>,
}

impl Call {
    fn end_by(&mut self, end: Tick, reason: Reason) {
        if self.end.is_none_or(|(known, _)| end < known) {
            self.end = Some((end, reason));
        }
    }
}

impl Denied {
    const fn by_proxy(reason: Reason) -> Self {
        Self { reason, member: None, sent: false }
    }
}

impl Held {
    fn new(slot: Slot, proxy: &Rc<Proxy>, end: Option<(Tick, Reason)>) -> Self {
        proxy.books.borrow_mut().slots.begin();
        Self { slot: Some(slot), proxy: proxy.clone(), end }
    }

    fn end(mut self, end: books::End) {
        self.finish(end);
    }

    fn finish(&mut self, end: books::End) {
        let Some(slot) = self.slot.take() else { return };
        self.proxy.books.borrow_mut().slots.end(end);
        match end {
            books::End::Completed => slot.completed(),
            books::End::Failed => slot.failed(),
            books::End::Aborted => drop(slot),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let is_over = self.end.is_some_and(|(end, _)| end <= self.proxy.now());
        self.finish(if is_over { books::End::Failed } else { books::End::Aborted });
    }
}

/// Serves `call` to its end, and returns it.
pub(super) async fn serve(proxy: Rc<Proxy>, mut call: Call) -> Outcome {
    if let Some(total) = proxy.scenario.timeouts.total {
        call.end_by(proxy.now() + total, Reason::TotalTimeout);
    }
    let end = call.end;
    match proxy.lab.within(end.map(|(end, _)| end), contained(&proxy, call)).await {
        None => Outcome::Failed(Reason::TotalTimeout),
        Some(Err(denied)) => Outcome::Failed(denied.reason),
        Some(Ok(reply)) => download(&proxy, reply).await,
    }
}

async fn contained(proxy: &Rc<Proxy>, call: Call) -> Result<Reply, Denied> {
    let Some(bulkhead) = &proxy.bulkhead else { return hedged(proxy, call).await };
    let slot = match bulkhead.try_enter() {
        Some(slot) => slot,
        None => {
            let limit = bulkhead.timeout();
            let wait = bulkhead.wait(call.priority, call.started, proxy.now());
            let wait = wait.map_err(|refusal| {
                note_hull_refusal(proxy, bulkhead);
                Denied::by_proxy(of(refusal, Reason::BulkheadFull))
            })?;
            let standing = Standing::new(proxy, true, wait, 0, &call, proxy.now() + limit);
            match proxy.lab.within(Some(proxy.now() + limit), standing).await {
                Some(granted) => granted.map_err(|refusal| Denied::by_proxy(of(refusal, Reason::BulkheadFull)))?,
                None => return Err(Denied::by_proxy(Reason::BulkheadTimeout)),
            }
        }
    };
    let slot = Held::new(slot, proxy, call.end);
    match hedged(proxy, call).await {
        Ok(reply) => Ok(Reply { slot: Some(slot), ..reply }),
        Err(denied) => {
            slot.end(books::End::Failed);
            Err(denied)
        }
    }
}

const fn of(refusal: Refusal, full: Reason) -> Reason {
    match refusal {
        Refusal::Full => full,
        Refusal::Displaced => Reason::Displaced,
    }
}

async fn hedged(proxy: &Rc<Proxy>, call: Call) -> Result<Reply, Denied> {
    let Some(hedging) = proxy.hedging.clone() else { return retried(proxy.clone(), call).await };
    let begun = proxy.now();
    hedging.note_request(begun);
    proxy.books.borrow_mut().hedges.note_request(begun);
    let delay = hedging.delay(begun).filter(|_| is_idempotent(&call.method));
    let mut timer = delay.map(|delay| proxy.lab.sleep(delay));
    let mut first: Option<Attempted> = Some(Box::pin(retried(proxy.clone(), call.clone())));
    let mut second: Option<Attempted> = None;
    let result = poll_fn(|cx| {
        let one = poll_one(&mut first, cx);
        if one.is_none() && second.is_none() && timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready()) {
            timer = None;
            second = second_attempt(proxy, &call);
        }
        let other = if one.as_ref().is_some_and(Result::is_ok) { None } else { poll_one(&mut second, cx) };
        match (one, other) {
            (Some(Ok(reply)), _) | (_, Some(Ok(reply))) => Poll::Ready(Ok(reply)),
            (Some(Err(denied)), None) if second.is_none() => Poll::Ready(Err(denied)),
            (None, Some(Err(denied))) if first.is_none() => Poll::Ready(Err(denied)),
            (Some(Err(_)), Some(Err(denied))) => Poll::Ready(Err(denied)),
            _ => Poll::Pending,
        }
    })
    .await;
    if result.is_ok() {
        let now = proxy.now();
        hedging.record(now.since(begun), now);
    }
    result
}

fn second_attempt(proxy: &Rc<Proxy>, call: &Call) -> Option<Attempted> {
    let slow = (*call.trying.borrow())?;
    let now = proxy.now();
    if !proxy.hedging.as_ref()?.spend(now) {
        return None;
    }
    let settings = proxy.settings.borrow();
    let max_extra = settings.hedge.as_ref().map_or(0.0, |hedge| hedge.max_extra);
    let mut books = proxy.books.borrow_mut();
    books.counts.note(Seen::Hedges);
    let spent = books.hedges.note_spent(&model::Budget { ratio: max_extra, min_per_second: 0 }, now);
    books.note(spent.map_err(|breach| format!("hedges: {breach}")));
    let mut call = Call { trying: Rc::default(), ..call.clone() };
    call.tried.push(slow);
    Some(Box::pin(retried(proxy.clone(), call)))
}

fn poll_one(attempt: &mut Option<Attempted>, cx: &mut std::task::Context<'_>) -> Option<Result<Reply, Denied>> {
    match attempt.as_mut()?.as_mut().poll(cx) {
        Poll::Ready(result) => {
            *attempt = None;
            Some(result)
        }
        Poll::Pending => None,
    }
}

async fn retried(proxy: Rc<Proxy>, mut call: Call) -> Result<Reply, Denied> {
    let (Some(budget), Some(settings)) = (proxy.budget.clone(), call.settings.retry.clone()) else {
        return attempt(&proxy, call).await;
    };
    budget.note_request(proxy.now());
    proxy.books.borrow_mut().retries.note_request(proxy.now());
    let (mut attempts, mut delays) = (1, Delays::new());
    loop {
        let result = attempt(&proxy, call.clone()).await;
        let (event, asked) = match &result {
            Ok(reply) => (Event::Answered(reply.status), reply.retry_after),
            Err(denied) => (Event::Failed { reason: denied.reason, sent: denied.sent }, None),
        };
        let wanted = matches(&settings.on, event).is_some() && attempts < settings.max_attempts;
        if !wanted || !is_safe(event, &call.method, &HeaderMap::new(), &settings) {
            return result;
        }
        let delay = honour(asked, delays.next(&settings, &mut draw(&proxy)), settings.max_delay);
        let now = proxy.now();
        if call.end.is_some_and(|(end, _)| now + delay >= end) || !budget.spend(now) {
            return result;
        }
        note_retry(&proxy, now);
        let member = match result {
            Ok(Reply { mut place, .. }) => {
                place.ended(Outcome::Completed);
                Some(place.member().endpoint.serial())
            }
            Err(denied) => denied.member,
        };
        call.tried.extend(member);
        proxy.lab.sleep(delay).await;
        attempts += 1;
    }
}

fn draw(proxy: &Proxy) -> Rng {
    proxy.draws.borrow_mut().fork()
}

fn note_retry(proxy: &Proxy, now: Tick) {
    // The budget goes by the newest settings, the request by those that it came under.
    let settings = proxy.settings.borrow();
    let Some(retry) = &settings.retry else { return };
    let mut books = proxy.books.borrow_mut();
    books.counts.note(Seen::Retries);
    let spent = books.retries.note_spent(&retry.budget, now);
    books.note(spent.map_err(|breach| format!("retries: {breach}")));
}

async fn attempt(proxy: &Rc<Proxy>, mut call: Call) -> Result<Reply, Denied> {
    let mut place = seat(proxy, &call).await?;
    let serial = place.member().endpoint.serial();
    call.trying.replace(Some(serial));
    if let Some(limit) = proxy.scenario.timeouts.attempt {
        call.end_by(proxy.now() + limit, Reason::AttemptTimeout);
    }
    place.end_by(call.end, call.started);
    let own = call.end.filter(|(_, reason)| *reason == Reason::AttemptTimeout);
    match proxy.lab.within(own.map(|(end, _)| end), send(proxy, place)).await {
        Some(result) => result,
        None => Err(Denied { reason: Reason::AttemptTimeout, member: Some(serial), sent: true }),
    }
}

async fn seat(proxy: &Rc<Proxy>, call: &Call) -> Result<Place, Denied> {
    let queue = &proxy.queue;
    let worker = &proxy.workers[call.worker];
    let found = if queue.is_busy() && queue.is_on() {
        let members = worker.members.borrow().clone();
        Err(members.required(&call.required).err().unwrap_or(NoPick::Full))
    } else {
        look(proxy, call)
    };
    match found {
        Ok(place) => Ok(place),
        Err(NoPick::Empty | NoPick::Unavailable | NoPick::Full) if queue.is_on() => wait(proxy, call).await,
        Err(reason) => {
            note_no_place(proxy, call, reason);
            Err(Denied::by_proxy(match reason {
                NoPick::Empty => Reason::NoEndpoint,
                NoPick::Unavailable => Reason::NoAvailableEndpoint,
                NoPick::Full => Reason::QueueFull,
                NoPick::Capability => Reason::CapabilityUnavailable,
            }))
        }
    }
}

/// Who may not wait must not be one whom a free slot suits, as far as its worker knows.
fn note_no_place(proxy: &Proxy, call: &Call, reason: NoPick) {
    let required = bits(call.required.iter().map(AsRef::as_ref));
    let members = proxy.workers[call.worker].members.borrow().clone();
    let mut books = proxy.books.borrow_mut();
    if reason == NoPick::Full {
        books.counts.note(Seen::TurnedAway);
    }
    if let Some(endpoint) = members.set.endpoints().iter().find(|endpoint| has_slot_for(endpoint, required)) {
        books.note::<()>(Err(format!("one was turned away, {reason:?}, while {} had a slot for it", endpoint.spec.id)));
    }
}

/// Who is turned away from the bulkhead must find every slot taken.
fn note_hull_refusal(proxy: &Proxy, bulkhead: &Bulkhead) {
    let report = bulkhead.report();
    let mut books = proxy.books.borrow_mut();
    books.counts.note(Seen::HullRefused);
    if report.active < report.max_concurrent {
        books.note::<()>(Err(format!("one was turned away from a bulkhead with a free slot: {report:?}")));
    }
}

fn look(proxy: &Rc<Proxy>, call: &Call) -> Result<Place, NoPick> {
    let mut refusal = NoPick::Unavailable;
    for _ in 0..MAX_PICKS {
        let member = proxy.workers[call.worker].pick(call, proxy.now())?;
        match Place::take(proxy, member) {
            Some(place) => return Ok(place),
            None => refusal = NoPick::Full,
        }
    }
    Err(refusal)
}

async fn wait(proxy: &Rc<Proxy>, call: &Call) -> Result<Place, Denied> {
    let queue = &proxy.queue;
    let deadline = proxy.now() + queue.timeout();
    let required = bits(call.required.iter().map(AsRef::as_ref));
    let (mut has_stood, mut strangers) = (false, Vec::new());
    loop {
        let want =
            Want { required: call.required.clone(), priority: call.priority, arrived: call.started, strangers: strangers.clone() };
        let wait = queue.wait(want, proxy.now()).map_err(|refusal| {
            note_refusal(proxy, required, has_stood);
            Denied::by_proxy(of(refusal, Reason::QueueFull))
        })?;
        proxy.books.borrow_mut().counts.note(Seen::Queued);
        let standing = Standing::new(proxy, false, wait, required, call, deadline).again(has_stood, !strangers.is_empty());
        let flag = standing.flag().clone();
        let grant = match proxy.lab.within(Some(deadline), standing).await {
            Some(granted) => granted.map_err(|refusal| Denied::by_proxy(of(refusal, Reason::QueueFull)))?,
            None => {
                proxy.books.borrow_mut().counts.note(Seen::Late);
                return Err(Denied::by_proxy(Reason::QueueTimeout));
            }
        };
        has_stood = true;
        let worker = &proxy.workers[call.worker];
        match worker.member_of(grant.endpoint()) {
            Some(member) => return Ok(Place::granted(proxy, member, grant, flag.raised())),
            None => {
                proxy.books.borrow_mut().counts.note(Seen::Strangers);
                let endpoint = grant.endpoint().clone();
                grant.withdraw();
                proxy.books.borrow_mut().identity(endpoint.serial()).is_touched = true;
                queue.freed(&endpoint, proxy.now());
                strangers.push(endpoint.serial());
            }
        }
    }
}

/// Who is turned away must not be one who had a place, nor one whom a free slot suits.
fn note_refusal(proxy: &Proxy, required: u8, has_stood: bool) {
    let free = proxy.has_slot_for(required);
    let mut books = proxy.books.borrow_mut();
    books.counts.note(Seen::Refused);
    if has_stood {
        books.note::<()>(Err("one who had a place in the queue was turned away from it".to_owned()));
    }
    if let Some(endpoint) = free {
        books.note::<()>(Err(format!("one was turned away from the queue while {} had a slot for it", endpoint.spec.id)));
    }
}

async fn send(proxy: &Rc<Proxy>, mut place: Place) -> Result<Reply, Denied> {
    let endpoint = place.member().endpoint.clone();
    let (plan, link) = {
        let replica = &mut proxy.replicas.borrow_mut()[number(&endpoint.spec.id)];
        if let Some(seen) = Seen::of_fault(replica.fault) {
            proxy.books.borrow_mut().counts.note(seen);
        }
        replica.take(proxy.now())
    };
    let (Plan::Answers { after, .. } | Plan::Fails { after, .. }) = plan;
    let limit = proxy.now() + proxy.scenario.timeouts.first_byte;
    let answer = match (proxy.lab.within(Some(limit), link.flow(&proxy.lab, after, None)).await, plan) {
        (None, _) => Err((Reason::FirstByteTimeout, true)),
        (Some(Err(_)), _) => Err((Reason::EndpointReset, true)),
        (Some(Ok(())), Plan::Fails { reason, sent, .. }) => Err((reason, sent)),
        (Some(Ok(())), Plan::Answers { status, retry_after, body, end, .. }) => Ok((status, retry_after, body, end)),
    };
    let (status, retry_after, body, end) = match answer {
        Ok(answer) => answer,
        Err((reason, sent)) => {
            place.ended(Outcome::Failed(reason));
            return Err(Denied { reason, member: Some(endpoint.serial()), sent });
        }
    };
    link.head_has_come();
    let status = StatusCode::from_u16(status).expect("replicas answer with valid statuses");
    place.answered(status);
    if let (Some(attempt), Some(wait), StatusCode::TOO_MANY_REQUESTS) = (place.attempt(), retry_after, status) {
        attempt.park(wait, proxy.now());
    }
    Ok(Reply { place, status, retry_after, link, body, end, slot: None })
}

async fn download(proxy: &Rc<Proxy>, reply: Reply) -> Outcome {
    let Reply { mut place, link, body, end, slot, .. } = reply;
    let (limit, idle) = (place.end(), proxy.scenario.timeouts.idle);
    let body = proxy.lab.within(limit.map(|(end, _)| end), async {
        link.flow(&proxy.lab, body, Some(idle)).await?;
        match end {
            End::Whole => Ok(()),
            End::Broken => Err(Hitch::Cut),
            End::Never => {
                proxy.lab.sleep(idle).await;
                Err(Hitch::Idle)
            }
        }
    });
    let outcome = match body.await {
        None => Outcome::Truncated(limit.map_or(Reason::Internal, |(_, reason)| reason)),
        Some(Ok(())) => Outcome::Completed,
        Some(Err(Hitch::Cut)) => Outcome::Truncated(Reason::EndpointTruncated),
        Some(Err(Hitch::Idle)) => Outcome::Truncated(Reason::IdleTimeout),
    };
    if let Some(slot) = slot {
        let is_good = outcome == Outcome::Completed && !place.is_failure();
        slot.end(if is_good { books::End::Completed } else { books::End::Failed });
    }
    place.ended(outcome);
    outcome
}
