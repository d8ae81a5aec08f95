use super::super::fleet::Census;
use super::super::sizer::Totals;
use super::*;

/// Lets an HPA with target 4 see a pool with constant concurrency in each period of 15 seconds, whose replicas are ready at once.
fn course(concurrency: &[u64], first: u32, max_replicas: u32) -> Vec<u32> {
    let mut hpa = Hpa::new(Spec { metric: Metric::Concurrency(4.0), lag_us: 0, min_replicas: 1, max_replicas });
    let mut totals = Totals::default();
    let mut ready = first;
    let mut seen = Vec::new();
    hpa.decide(&look(0, ready, 0, &totals));
    for (turn, running) in (1..).zip(concurrency) {
        totals.in_flight_us += running * SYNC_US;
        ready = hpa.decide(&look(turn * SYNC_US, ready, 0, &totals));
        seen.push(ready);
    }
    seen
}

fn look(now_us: u64, ready: u32, starting: u32, totals: &Totals) -> Look<'_> {
    let census = Census { ready, starting, draining: 0, in_flight: 0 };
    Look { now_us, census, queued: 0, oldest_us: 0, queue_full: false, idle_us: 0, busy: None, totals }
}

#[test]
fn an_example_by_hand_goes_as_documented() {
    // Ratio 10 / (4 * 2) = 1.25: ceil(10 / 4) = 3. Then 40 ask for 10, of which 3 + max(4, 3) may come; then for 10, which may.
    // 43 are within a tenth of 40. 60 ask for 15, and 200 for 50: 30 may come, and 40 are the most.
    assert_eq!(course(&[8, 10, 40, 40, 43, 60, 200, 200], 2, 40), [2, 3, 7, 10, 10, 15, 30, 40]);
}

#[test]
fn it_goes_down_to_the_most_of_the_last_five_minutes() {
    let mut load = vec![40; 1];
    load.extend([8; 21]);
    let course = course(&load, 10, 40);
    assert_eq!(course[..20], [10; 20]);
    assert_eq!(course[20..], [2, 2]);
}

#[test]
fn it_sees_what_was() {
    let mut hpa = Hpa::new(Spec { metric: Metric::Concurrency(4.0), lag_us: 2 * SCRAPE_US, min_replicas: 1, max_replicas: 9 });
    let mut totals = Totals::default();
    let mut seen = Vec::new();
    for turn in 0..5 {
        seen.push(hpa.decide(&look(turn * SYNC_US, 1, 0, &totals)));
        totals.in_flight_us += 8 * SYNC_US;
    }
    assert_eq!(seen, [1, 1, 1, 2, 2]);
}

#[test]
fn replicas_that_start_count_as_idle_ones() {
    // 2 that are busy at 1.5 times the target ask for 3; with 1 on its way that is what there is.
    assert_eq!(of_ready(1.5, 2, 0, 2), 3);
    assert_eq!(of_ready(1.5, 2, 1, 3), 3);
    assert_eq!(of_ready(2.4, 2, 1, 3), 5);
    assert_eq!(of_ready(0.5, 4, 1, 5), 2);
    assert_eq!(of_ready(1.05, 4, 0, 4), 4);
}

#[test]
fn a_busy_ratio_is_that_of_the_replicas_that_serve() {
    let metric = Metric::Busy { target: 0.5, slots: 4 };
    let mut hpa = Hpa::new(Spec { metric, lag_us: 0, min_replicas: 1, max_replicas: 9 });
    let mut totals = Totals::default();
    hpa.decide(&look(0, 2, 0, &totals));
    totals.in_flight_us += 8 * SYNC_US;
    assert_eq!(hpa.decide(&look(SYNC_US, 2, 0, &totals)), 4);
}
