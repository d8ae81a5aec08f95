use futures_util::FutureExt;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;

fn bulkhead(max_concurrent: u32, capacity: u32) -> Arc<Bulkhead> {
    let queue = model::Queue { capacity, timeout: Duration::from_secs(30) };
    Arc::new(Bulkhead::new(&model::Bulkhead { name: "b".parse().unwrap(), max_concurrent, queue }))
}

fn at(ms: u64) -> Tick {
    Tick::from_nanos(ms * 1_000_000)
}

#[test]
fn a_slot_that_frees_goes_to_the_first_in_line_and_not_to_a_newcomer() {
    let bulkhead = bulkhead(1, 2);
    let slot = bulkhead.try_enter().unwrap();
    let mut first = bulkhead.wait(0, at(1), at(1)).unwrap();
    let mut important = bulkhead.wait(5, at(2), at(2)).unwrap();
    assert!((&mut first).now_or_never().is_none());
    assert_eq!(bulkhead.wait(0, at(3), at(3)).unwrap_err(), Refusal::Full);
    slot.completed();
    assert!(bulkhead.try_enter().is_none(), "nobody overtakes those who wait");
    assert!((&mut first).now_or_never().is_none());
    let slot = (&mut important).now_or_never().unwrap().unwrap();
    slot.failed();
    drop(first.now_or_never().unwrap().unwrap());
    let report = bulkhead.report();
    assert_eq!((report.completed_total, report.failed_total, report.aborted_total, report.active), (1, 1, 1, 0));
    assert_eq!((report.admitted_total, report.queue.rejected_total), (3, 1));
    assert!(bulkhead.try_enter().is_some());
}

#[test]
fn a_grant_that_nobody_came_for_goes_to_the_next() {
    let bulkhead = bulkhead(1, 2);
    let slot = bulkhead.try_enter().unwrap();
    let first = bulkhead.wait(0, at(1), at(1)).unwrap();
    let second = bulkhead.wait(0, at(2), at(2)).unwrap();
    drop(slot);
    drop(first);
    assert!(second.now_or_never().unwrap().is_ok());
}

#[test]
fn a_raised_limit_lets_waiting_requests_in() {
    let bulkhead = bulkhead(1, 2);
    let _slot = bulkhead.try_enter().unwrap();
    let wait = bulkhead.wait(0, at(1), at(1)).unwrap();
    let queue = model::Queue { capacity: 2, timeout: Duration::from_secs(30) };
    bulkhead.configure(&model::Bulkhead { name: "b".parse().unwrap(), max_concurrent: 2, queue });
    assert!(wait.now_or_never().unwrap().is_ok());
}

#[test]
fn threads_that_race_lose_no_wake_up_and_no_slot() {
    let bulkhead = bulkhead(2, 1000);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let bulkhead = &bulkhead;
            scope.spawn(move || {
                for turn in 0..500 {
                    let slot = match bulkhead.try_enter() {
                        Some(slot) => slot,
                        None => futures_executor(bulkhead.wait(0, at(thread), at(turn)).unwrap()).unwrap(),
                    };
                    assert!(bulkhead.running.load(SeqCst) <= 2);
                    slot.completed();
                }
            });
        }
    });
    let report = bulkhead.report();
    assert_eq!((report.admitted_total, report.completed_total, report.active, report.queue.waiting), (2000, 2000, 0, 0));
}

/// Waits on this thread alone, as a worker would.
fn futures_executor<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #[test]
    fn the_accounts_agree_and_nobody_waits_beside_a_free_slot(
        calls in prop::collection::vec((0_u8..5, any::<prop::sample::Index>(), -2_i8..3), 1..120),
        limit in 1_u32..4, capacity in 0_u32..4,
    ) {
        let bulkhead = bulkhead(limit, capacity);
        let (mut slots, mut waits) = (Vec::new(), Vec::new());
        for (time, (call, which, priority)) in (0_u64..).zip(calls) {
            match call {
                0 | 1 => match bulkhead.try_enter() {
                    Some(slot) => slots.push(slot),
                    None => waits.extend(bulkhead.wait(priority, at(time), at(time))),
                },
                2 if !slots.is_empty() => slots.swap_remove(which.index(slots.len())).completed(),
                3 if !slots.is_empty() => drop(slots.swap_remove(which.index(slots.len()))),
                4 if !waits.is_empty() => drop(waits.swap_remove(which.index(waits.len()))),
                _ => {}
            }
            let mut still = Vec::new();
            for mut wait in waits {
                match (&mut wait).now_or_never() {
                    Some(Ok(slot)) => slots.push(slot),
                    Some(Err(refusal)) => prop_assert_eq!(refusal, Refusal::Displaced),
                    None => still.push(wait),
                }
            }
            waits = still;
            let report = bulkhead.report();
            prop_assert_eq!(report.active as usize, slots.len());
            prop_assert_eq!(report.queue.waiting as usize, waits.len());
            prop_assert!(report.active <= limit && report.queue.waiting <= u64::from(capacity));
            prop_assert!(report.active == limit || waits.is_empty());
            let ended = report.completed_total + report.failed_total + report.aborted_total;
            prop_assert_eq!(report.admitted_total, ended + u64::from(report.active));
            let queue = report.queue;
            let gone = queue.granted_total + queue.displaced_total + queue.left_total;
            prop_assert_eq!(queue.queued_total, gone + queue.waiting);
        }
    }
}
