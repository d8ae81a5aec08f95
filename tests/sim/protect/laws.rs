//! What must be true after every event; `docs/invariants.md` says each in words. Each law is a function that tells how it is broken.

use std::sync::Arc;

use tidegate::endpoint::{Cause, Endpoint, Totals};
use tidegate::kit::clock::Tick;
use tidegate::model::Outlier;
use tidegate::resilience::breaker::State;

use super::books::{Books, Identity, Line};
use super::control::MIN_SLEEP;
use super::proxy::{Proxy, offers};
use super::seen::Seen;

type Law = Result<(), String>;

/// Half a share of a pool of 10 is 5, not 4.999.
const ROUNDING: f64 = 1e-9;

/// Holds every law against what the machines say and what the books say.
pub(super) fn check(proxy: &Proxy) -> Law {
    let mut books = proxy.books.borrow_mut();
    let books = &mut *books;
    books.breach.take().map_or(Ok(()), Err)?;
    books.queue.note_calls();
    books.hull.note_calls();
    endpoints_are_in_order(proxy, books)?;
    accounts_of_requests_agree(proxy, books)?;
    queue_counts_who_waits(proxy, books)?;
    nobody_waits_in_vain(proxy, books)?;
    nobody_waits_too_long(proxy, &books.queue)?;
    nobody_waits_too_long(proxy, &books.hull)?;
    queue_has_room_for_who_waits(&mut books.queue, u64::from(proxy.queue_capacity.get()))?;
    bulkhead_is_in_order(proxy, books)
}

/// Holds the laws of each endpoint, and of their sums.
fn endpoints_are_in_order(proxy: &Proxy, books: &mut Books) -> Law {
    let (now, called) = (proxy.now(), books.queue.called());
    let (mut in_flight, mut running, mut ejected) = (0, 0, 0);
    for identity in &mut books.identities {
        let taken = identity.state.vitals().in_flight();
        in_flight += u64::from(taken);
        running += identity.account.running;
        // Without a place that was taken or given back, only a slot that changed hands can make a difference.
        if std::mem::take(&mut identity.is_touched) || taken != std::mem::replace(&mut identity.in_flight_before, taken) {
            let totals = identity.state.vitals().totals();
            accounts_of_an_endpoint_agree(identity, totals, taken)?;
            no_attempt_begins_beyond_the_slots(identity, totals, taken)?;
        }
        if identity.is_member {
            let availability = identity.state.availability();
            let is_available = availability.is_available();
            ejected += usize::from(!is_available && availability.has(Cause::Ejected));
            let has_bit = !is_available && availability.has(Cause::Breaker);
            breaker_and_bit_agree(proxy, identity, called, has_bit, now)?;
            breaker_stays_open_for_its_time(identity, now)?;
        }
    }
    accounts_of_the_pool_agree(proxy, books, in_flight, running)?;
    nobody_is_ejected_between_judgements(ejected, proxy.ejected.get())
}

/// Attempts = completed + failed + aborted + in flight, and each of them is what the books say.
fn accounts_of_an_endpoint_agree(identity: &Identity, totals: Totals, in_flight: u32) -> Law {
    let (account, in_flight) = (identity.account, u64::from(in_flight));
    let is_sum = totals.attempts == totals.completed + totals.failed + totals.aborted + in_flight;
    let is_known = totals.completed == account.completed && totals.failed == account.failed && totals.aborted == account.aborted;
    // A slot that is on its way to one who waits has no place yet.
    if is_sum && is_known && in_flight >= account.running {
        return Ok(());
    }
    Err(format!("an endpoint says {totals:?} and {in_flight} in flight, the books say {account:?}"))
}

/// In flight exceeds the slots of no membership that anybody goes by; when slots are taken away, no attempt begins until there are fewer.
fn no_attempt_begins_beyond_the_slots(identity: &mut Identity, totals: Totals, in_flight: u32) -> Law {
    let has_begun = totals.attempts > std::mem::replace(&mut identity.attempts_before, totals.attempts);
    if has_begun && in_flight > identity.limit {
        return Err(format!("an attempt has begun as number {in_flight} of {}", identity.limit));
    }
    Ok(())
}

/// In flight of the pool is the sum of its endpoints', and no more than the books say run or are on their way.
fn accounts_of_the_pool_agree(proxy: &Proxy, books: &Books, in_flight: u64, running: u64) -> Law {
    let pool = proxy.members.borrow().set.state().in_flight();
    if pool != in_flight || in_flight < running || in_flight > running + books.queue.called() {
        let called = books.queue.called();
        return Err(format!("the pool says {pool} in flight, its endpoints {in_flight}, the books {running} and {called} called"));
    }
    Ok(())
}

/// Requests = completed + failed + aborted + running.
fn accounts_of_requests_agree(proxy: &Proxy, books: &Books) -> Law {
    let (account, tasks) = (books.requests, proxy.lab.running_tasks() as u64);
    if account.begun() != books.counts.of(Seen::Requests) || account.running != tasks {
        return Err(format!("{} requests, {tasks} of them run, the books say {account:?}", books.counts.of(Seen::Requests)));
    }
    Ok(())
}

/// The queue's own figures are what the books say.
fn queue_counts_who_waits(proxy: &Proxy, books: &Books) -> Law {
    let (figures, length) = (proxy.queue.figures(), books.queue.length());
    let ended = figures.granted_total + figures.displaced_total + figures.left_total;
    if figures.waiting != length || figures.queued_total != ended + length {
        return Err(format!("{length} wait, the queue says {figures:?}"));
    }
    Ok(())
}

/// Nobody waits while an endpoint that suits him takes requests and has a free slot, unless the guard was rung and has not come yet.
fn nobody_waits_in_vain(proxy: &Proxy, books: &mut Books) -> Law {
    if books.queue.length() == 0 {
        return Ok(());
    }
    books.counts.note(Seen::Waiting);
    if proxy.is_guard_owed.get() {
        return Ok(());
    }
    books.counts.note(Seen::Watched);
    let wants = books.queue.waiting.values().filter(|waiting| !waiting.flag.is_up()).fold([false; 8], |mut wants, waiting| {
        wants[usize::from(waiting.required)] = true;
        wants
    });
    for endpoint in proxy.queue_set.borrow().endpoints() {
        if !endpoint.has_slot() || !endpoint.is_eligible() || !proxy.is_member(endpoint) {
            continue;
        }
        let offered = usize::from(offers(endpoint));
        if let Some(required) = (0..wants.len()).find(|&required| wants[required] && required & !offered == 0) {
            let (id, in_flight) = (&endpoint.spec.id, endpoint.vitals().in_flight());
            let slots = endpoint.spec.max_connections;
            return Err(format!("one waits for {required:#b} while {id} has {in_flight} of {slots:?} slots taken"));
        }
    }
    Ok(())
}

/// Nobody waits beyond the deadline.
fn nobody_waits_too_long(proxy: &Proxy, line: &Line) -> Law {
    let now = proxy.now();
    // After a leap, deadlines that passed meanwhile are kept one by one.
    let is_late = line.waiting.values().find(|waiting| !proxy.lab.is_late() && !waiting.flag.is_up() && waiting.deadline < now);
    is_late.map_or(Ok(()), |waiting| Err(format!("one waits at {now:?} whose deadline was {:?}", waiting.deadline)))
}

/// No more wait than may; when places are taken away, nobody comes to wait until fewer do. Who stands again at an old place needs no new one.
fn queue_has_room_for_who_waits(line: &mut Line, capacity: u64) -> Law {
    let length = line.length();
    let before = std::mem::replace(&mut line.length_before, length);
    let returned = line.returned.saturating_sub(std::mem::replace(&mut line.returned_before, line.returned));
    let room = (capacity + line.returned).max(before + returned);
    if length > room { Err(format!("{length} wait where {capacity} may and {before} did")) } else { Ok(()) }
}

/// The bulkhead's figures add up, are what the books say, and nobody waits while it has a slot.
fn bulkhead_is_in_order(proxy: &Proxy, books: &mut Books) -> Law {
    let Some(bulkhead) = &proxy.bulkhead else { return Ok(()) };
    let report = bulkhead.report();
    let (slots, called, active) = (books.slots, books.hull.called(), u64::from(report.active));
    let is_sum = report.admitted_total == report.completed_total + report.failed_total + report.aborted_total + active;
    // A grant that nobody came for counts as aborted, and was never a slot in the books.
    let aborted = slots.aborted..=slots.aborted + books.hull.withdrawn;
    let is_known = report.completed_total == slots.completed && report.failed_total == slots.failed;
    let is_known = is_known && aborted.contains(&report.aborted_total);
    let is_running = active >= slots.running && active <= slots.running + called;
    let has_begun = report.admitted_total > std::mem::replace(&mut books.admitted_before, report.admitted_total);
    let is_beyond = has_begun && report.active > report.max_concurrent;
    let is_vain = report.queue.waiting > 0 && report.active < report.max_concurrent;
    if !is_sum || !is_known || !is_running || is_beyond || is_vain || report.queue.waiting != books.hull.length() {
        let length = books.hull.length();
        return Err(format!("the bulkhead says {report:?}, the books {slots:?}, {length} waiting, {called} called"));
    }
    queue_has_room_for_who_waits(&mut books.hull, u64::from(report.capacity))
}

/// The endpoint's bit says what its breaker does; somebody probes when the breaker waits for a probe, unless he is among those whom the queue
/// has just `called`.
fn breaker_and_bit_agree(proxy: &Proxy, identity: &Identity, called: u64, has_bit: bool, now: Tick) -> Law {
    let (wait, probes) = (identity.breaker.opens_in(now), identity.probes.len());
    if has_bit != wait.is_some() {
        return Err(format!("a breaker opens in {wait:?}, its bit is {has_bit}"));
    }
    if wait.is_some_and(|wait| wait.is_zero()) && probes == 0 && called == 0 && !proxy.is_guard_owed.get() && !proxy.lab.is_late() {
        // Due at this very moment, or blocked for ever.
        let state = identity.breaker.report(now).map(|report| report.state);
        let is_due = matches!(state, Some(State::Open { until }) if now.since(until) <= MIN_SLEEP);
        if !is_due {
            return Err(format!("a breaker is {state:?} at {now:?}, and nobody probes"));
        }
    }
    Ok(())
}

/// A breaker that has said until when it stays open does so, neither longer nor shorter, unless it is switched off or closed.
fn breaker_stays_open_for_its_time(identity: &Identity, now: Tick) -> Law {
    let says = identity.breaker.opens_in(now).filter(|wait| !wait.is_zero()).map(|wait| now + wait);
    let said = identity.opening.map(|opening| opening.until).filter(|&until| now < until);
    if says == said { Ok(()) } else { Err(format!("at {now:?} a breaker says that it is open until {says:?}, and said {said:?}")) }
}

/// Only a judgement ejects.
fn nobody_is_ejected_between_judgements(ejected: usize, before: usize) -> Law {
    if ejected > before { Err(format!("{ejected} are ejected, the last judgement left {before}")) } else { Ok(()) }
}

/// Returns how many are ejected.
pub(super) fn ejected(endpoints: &[Arc<Endpoint>]) -> usize {
    endpoints.iter().filter(|endpoint| endpoint.state.availability().has(Cause::Ejected)).count()
}

/// After a judgement: no more than the share of the pool is ejected unless it was before, and not everybody who could serve.
pub(super) fn ejections(settings: &Outlier, endpoints: &[Arc<Endpoint>], before: usize) -> Law {
    let most = (settings.max_ejected * endpoints.len() as f64 + ROUNDING) as usize;
    let now = ejected(endpoints);
    let others = |endpoint: &Arc<Endpoint>| endpoint.state.availability().causes().all(|cause| cause == Cause::Ejected);
    let mut able = endpoints.iter().filter(|endpoint| others(endpoint) && !endpoint.weight().is_zero()).peekable();
    let is_nobody_left = able.peek().is_some() && able.all(|endpoint| endpoint.state.availability().has(Cause::Ejected));
    if now > most.max(before) || is_nobody_left {
        return Err(format!("{now} of {} are ejected after {before}, {most} may be; all: {is_nobody_left}", endpoints.len()));
    }
    Ok(())
}

/// When all requests have ended, nothing runs and nobody waits.
pub(super) fn everything_has_ended(proxy: &Proxy) -> Law {
    let books = proxy.books.borrow();
    let in_flight = proxy.members.borrow().set.state().in_flight();
    let active = proxy.bulkhead.as_ref().map_or(0, |bulkhead| bulkhead.report().active);
    let waiting = proxy.queue.figures().waiting + books.queue.waiting.len() as u64 + books.hull.waiting.len() as u64;
    let probes: usize = books.identities.iter().map(|identity| identity.probes.len()).sum();
    let running = (books.requests.running, books.slots.running, proxy.lab.running_tasks());
    if (in_flight, active, waiting, probes, running) != (0, 0, 0, 0, (0, 0, 0)) {
        return Err(format!(
            "at the end {in_flight} are in flight, {active} active, {waiting} wait, {probes} probe, {running:?} run"
        ));
    }
    Ok(())
}
