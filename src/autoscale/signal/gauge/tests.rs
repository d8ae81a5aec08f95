use proptest::prelude::{Just, Strategy as _, any, prop, prop_assert, prop_oneof, proptest};

use super::*;

const ALL: [Aggregation; 8] = [
    Aggregation::Average,
    Aggregation::Sum,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Count,
    Aggregation::P50,
    Aggregation::P95,
    Aggregation::P99,
];

fn meter(signal: Signal, aggregation: Aggregation, seconds: u64) -> Meter {
    Meter { signal, aggregation, window: Duration::from_secs(seconds) }
}

fn average(signal: Signal) -> Meter {
    meter(signal, Aggregation::Average, 10)
}

/// A gauge that sees `change` make of each second what it is.
fn seen(seconds: std::ops::Range<u64>, mut change: impl FnMut(u64, &mut Observation)) -> Gauge {
    let mut gauge = Gauge::new(600_000);
    let mut observation = Observation::default();
    for second in seconds {
        observation.at_ms = second * 1000;
        change(second, &mut observation);
        gauge.push(observation.clone());
    }
    gauge
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() <= expected.abs() * 0.0626 + 1e-9)
}

fn terms(policies: Vec<ScalePolicy>) -> Terms {
    Terms { max_replicas: 20, policies, forecast: None, ..Terms::default() }
}

fn target(name: &str, meter: Meter) -> ScalePolicy {
    ScalePolicy { name: name.parse().unwrap(), rule: ScaleRule::Target { meter, target: 1.0 }, priority: 1 }
}

fn threshold(name: &str, meter: Meter) -> ScalePolicy {
    let rule = ScaleRule::Threshold { meter, up: Some(1.0), down: None, step_up: 1, step_down: 1, weight: 1.0 };
    ScalePolicy { name: name.parse().unwrap(), rule, priority: 1 }
}

#[test]
fn levels_become_one_number_in_every_way() {
    // 1 to 20, one for each second; the last ten are 11 to 20.
    let gauge = seen(1..21, |second, seen| seen.queued = second);
    for (aggregation, expected) in ALL.into_iter().zip([14.5, 155.0, 11.0, 20.0, 10.0, 15.0, 20.0, 20.0]) {
        let value = gauge.read(&meter(Signal::QueueDepth, aggregation, 10), 20_000);
        assert_eq!(value, Some(expected), "{aggregation:?}");
    }
}

#[test]
fn a_level_counts_for_as_long_as_it_held() {
    let mut gauge = Gauge::new(60_000);
    for (at_ms, in_flight) in [(0, 0), (1_000, 10), (1_500, 40), (2_000, 20)] {
        gauge.push(Observation { at_ms, in_flight, queued: 2, ..Observation::default() });
    }
    // From 0.5 s on: 2 for 0.5 s, 12 for 0.5 s, 42 for 0.5 s, 22 for 0.5 s.
    assert_eq!(gauge.read(&meter(Signal::Concurrency, Aggregation::Average, 2), 2_500), Some(19.5));
    assert_eq!(gauge.read(&average(Signal::Concurrency), 0), Some(2.0), "one that has held for no time yet");
}

#[test]
fn a_gap_holds_nothing() {
    let mut gauge = Gauge::new(600_000);
    for (at_ms, in_flight) in [(0, 90), (100_000, 0), (101_000, 0)] {
        gauge.push(Observation { at_ms, in_flight, ..Observation::default() });
    }
    // 90 is trusted for three seconds, 0 for the last two.
    assert_eq!(gauge.read(&meter(Signal::Concurrency, Aggregation::Average, 300), 102_000), Some(54.0));
}

#[test]
fn an_idle_pool_is_known() {
    let gauge = seen(0..20, |_, _| ());
    for signal in [Signal::Concurrency, Signal::QueueDepth, Signal::RequestRate, Signal::QueueWait] {
        assert_eq!(gauge.read(&average(signal.clone()), 19_000), Some(0.0), "{signal:?}");
    }
}

#[test]
fn without_a_fresh_observation_nothing_is_known() {
    let signals = [Signal::Concurrency, Signal::RequestRate, Signal::QueueWait, Signal::CpuUtilization];
    for signal in signals {
        let gauge = seen(0..20, |_, seen| seen.cpu = Some(0.5));
        assert!(gauge.read(&average(signal.clone()), 22_000).is_some(), "{signal:?}");
        assert_eq!(gauge.read(&average(signal.clone()), 22_001), None, "{signal:?}");
        assert_eq!(Gauge::new(60_000).read(&average(signal), 0), None);
    }
}

#[test]
fn a_longer_interval_keeps_observations_fresh_for_longer() {
    let slow = Terms { interval: Duration::from_secs(20), ..terms(vec![target("busy", average(Signal::Concurrency))]) };
    let mut gauge = Gauge::of(&slow);
    gauge.push(Observation { in_flight: 7, ..Observation::default() });
    assert_eq!(gauge.read(&average(Signal::Concurrency), 60_000), Some(7.0));
    assert_eq!(gauge.read(&average(Signal::Concurrency), 60_001), None);
}

#[test]
fn a_level_that_nobody_says_any_more_is_unknown_although_the_pool_is_seen() {
    let gauge = seen(0..20, |second, seen| seen.cpu = (second < 15).then_some(0.5));
    assert_eq!(gauge.read(&average(Signal::CpuUtilization), 17_000), Some(0.5));
    assert_eq!(gauge.read(&average(Signal::CpuUtilization), 19_000), None);
}

#[test]
fn a_rate_is_over_the_time_that_really_passed() {
    let mut gauge = Gauge::new(60_000);
    for (at_ms, arrived_total) in [(0, 500), (4_000, 520), (11_500, 595)] {
        gauge.push(Observation { at_ms, arrived_total, ..Observation::default() });
    }
    // The window is 10 s; the observation before it is from 4 s before the one in it, so 7.5 s have passed.
    assert_eq!(gauge.read(&average(Signal::RequestRate), 14_000), Some(10.0));
    let steps = [(Aggregation::Min, 5.0), (Aggregation::Max, 10.0), (Aggregation::Sum, 95.0), (Aggregation::Count, 95.0)];
    for (aggregation, expected) in steps {
        assert_eq!(gauge.read(&meter(Signal::RequestRate, aggregation, 60), 12_000), Some(expected), "{aggregation:?}");
    }
}

#[test]
fn a_single_observation_has_no_rate() {
    let gauge = seen(0..1, |_, seen| seen.arrived_total = 500);
    assert_eq!(gauge.read(&average(Signal::RequestRate), 0), None);
}

#[test]
fn totals_that_begin_anew_are_counted_from_there() {
    // Ten a second; at second 15 the totals begin anew.
    let gauge =
        |until| seen(0..until, |second, seen| seen.arrived_total = if second < 15 { 1000 + second * 10 } else { second - 15 });
    assert_eq!(gauge(15).read(&average(Signal::RequestRate), 14_000), Some(10.0));
    assert_eq!(gauge(16).read(&average(Signal::RequestRate), 15_000), None);
    assert_eq!(gauge(18).read(&average(Signal::RequestRate), 17_000), Some(1.0));
}

#[test]
fn latency_is_of_the_samples_of_the_window() {
    // A slow time, then a fast one; ten samples a second.
    let gauge = seen(0..40, |second, seen| {
        seen.arrived_total += 10;
        (0..10).for_each(|_| seen.response_time.record(if second < 30 { 2.0 } else { 0.1 }));
        seen.first_byte.record(0.05);
    });
    let read = |aggregation, window, now| gauge.read(&meter(Signal::ResponseTime, aggregation, window), now);
    assert!(near(read(Aggregation::P95, 10, 29_000), 2.0));
    assert!(near(read(Aggregation::P95, 9, 39_000), 0.1));
    assert!(near(read(Aggregation::Average, 20, 39_000), 1.05));
    assert!(near(read(Aggregation::Max, 20, 39_000), 2.0) && near(read(Aggregation::Min, 20, 39_000), 0.1));
    assert_eq!(read(Aggregation::Count, 10, 39_000), Some(100.0));
    assert!(near(read(Aggregation::Sum, 9, 39_000), 9.0));
    assert!(near(gauge.read(&average(Signal::FirstByte), 39_000), 0.05));
}

#[test]
fn those_who_still_wait_count_so_that_a_stuck_queue_is_seen() {
    // Four left at once; then the queue is stuck with four, the first of whom has waited for 8 s.
    let gauge = seen(0..20, |second, seen| {
        if second == 12 {
            (0..4).for_each(|_| seen.queue_wait.record(0.001));
        }
        (seen.queued, seen.oldest_wait) = (4, 8.0);
    });
    let read = |aggregation| gauge.read(&meter(Signal::QueueWait, aggregation, 10), 19_000);
    assert!(near(read(Aggregation::Max), 8.0));
    assert!(near(read(Aggregation::Average), 20.0 / 8.0), "2, 4, 6 and 8 s, and four who did not wait");
    assert!(near(read(Aggregation::P50), 0.001));
    let alone = seen(0..1, |_, seen| (seen.queued, seen.oldest_wait) = (1, 3.0));
    assert!(near(alone.read(&average(Signal::QueueWait), 0), 3.0), "also at first sight");
}

#[test]
fn a_long_queue_keeps_its_shape() {
    let gauge = seen(0..2, |_, seen| (seen.queued, seen.oldest_wait) = (1_000_000, 10.0));
    assert!(near(gauge.read(&meter(Signal::QueueWait, Aggregation::P50, 10), 1_000), 5.0));
    assert!(near(gauge.read(&meter(Signal::QueueWait, Aggregation::P95, 10), 1_000), 9.5));
}

#[test]
fn errors_are_a_share_of_what_ended() {
    let gauge = seen(0..20, |second, seen| {
        seen.completed_total += 9;
        seen.failed_total += if second < 15 { 1 } else { 6 };
    });
    let read = |aggregation, window| gauge.read(&meter(Signal::ErrorRate, aggregation, window), 19_000);
    assert_eq!(read(Aggregation::Average, 5), Some(0.4));
    assert_eq!(read(Aggregation::Max, 20), Some(0.4));
    assert_eq!(read(Aggregation::Min, 20), Some(0.1));
    assert_eq!((read(Aggregation::Sum, 5), read(Aggregation::Count, 5)), (Some(30.0), Some(75.0)));
    assert_eq!(seen(0..20, |_, _| ()).read(&average(Signal::ErrorRate), 19_000), None);
}

#[test]
fn figures_of_pages_and_queries_are_found_by_their_keys() {
    let query = Signal::Promql { server: "http://prometheus:9090".to_owned(), query: "sum(jobs)".to_owned() };
    let gauge = seen(0..5, |_, seen| {
        seen.custom.insert("jobs".to_owned(), 3.0);
        seen.custom.insert("http://prometheus:9090 sum(jobs)".to_owned(), 4.0);
    });
    assert_eq!(gauge.read(&average(Signal::Custom("jobs".to_owned())), 4_000), Some(3.0));
    assert_eq!(gauge.read(&average(query), 4_000), Some(4.0));
    assert_eq!(gauge.read(&average(Signal::Custom("other".to_owned())), 4_000), None);
}

#[test]
fn a_latency_without_requests_is_idle_and_one_without_answers_is_missing() {
    let slow = terms(vec![target("slow", average(Signal::ResponseTime))]);
    // Idle; requests that come and do not end; one that waits.
    type Change = fn(&mut Observation);
    let cases: [(Change, bool); 3] = [(|_| (), true), (|seen| seen.arrived_total += 1, false), (|seen| seen.queued = 1, false)];
    for (change, is_idle) in cases {
        let mut gauge = seen(0..20, |_, seen| change(seen));
        gauge.readings(&slow, 18_000);
        let reading = gauge.readings(&slow, 19_000).remove(0);
        let missing_ms = if is_idle { 0 } else { 1_000 };
        assert_eq!((reading.value, reading.is_idle, reading.missing_ms), (None, is_idle, missing_ms));
    }
}

#[test]
fn a_pool_that_is_not_seen_is_not_idle() {
    let slow = terms(vec![target("slow", average(Signal::ResponseTime)), target("cpu", average(Signal::CpuUtilization))]);
    assert!(seen(0..20, |_, _| ()).readings(&slow, 40_000).iter().all(|reading| !reading.is_idle));
    let readings = seen(0..20, |_, _| ()).readings(&slow, 19_000);
    assert_eq!([readings[0].is_idle, readings[1].is_idle], [true, true], "endpoints report their processors with answers");
    let readings = seen(0..20, |_, seen| seen.in_flight = 1).readings(&slow, 19_000);
    assert_eq!([readings[0].is_idle, readings[1].is_idle], [true, false], "who works could be measured");
}

#[test]
fn missing_time_grows_until_there_is_data() {
    let cpu = terms(vec![target("cpu", average(Signal::CpuUtilization))]);
    let mut gauge = Gauge::of(&cpu);
    for (at_ms, use_of_cpu, missing_ms) in [
        (5_000, None, 0),
        (6_000, None, 1_000),
        (9_000, None, 4_000),
        (10_000, Some(0.5), 0),
        (11_000, None, 0),
        (14_000, None, 0),
        (15_000, None, 1_000),
    ] {
        gauge.push(Observation { at_ms, in_flight: 1, cpu: use_of_cpu, ..Observation::default() });
        assert_eq!(gauge.readings(&cpu, at_ms)[0].missing_ms, missing_ms, "at {at_ms}");
    }
}

#[test]
fn the_short_window_is_read_for_targets_only_and_only_with_panic() {
    let busy = average(Signal::Concurrency);
    let mut both = terms(vec![target("busy", busy.clone()), threshold("high", busy)]);
    let mut gauge = seen(0..20, |second, seen| seen.in_flight = if second < 14 { 0 } else { 12 });
    let fast =
        |gauge: &mut Gauge, terms: &Terms| gauge.readings(terms, 19_000).iter().map(|reading| reading.fast).collect::<Vec<_>>();
    assert_eq!(fast(&mut gauge, &both), [Some(10.0), None]);
    both.panic = None;
    assert_eq!(fast(&mut gauge, &both), [None, None]);
}

#[test]
fn schedules_have_no_readings() {
    let rule = ScaleRule::Schedule {
        cron: "0 8 * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        lasts: Duration::from_secs(60),
        min_replicas: Some(1),
        max_replicas: None,
    };
    let only = terms(vec![ScalePolicy { name: "office".parse().unwrap(), rule, priority: 1 }]);
    assert_eq!(Gauge::of(&only).readings(&only, 0), []);
}

#[test]
fn an_observation_from_another_clock_begins_anew() {
    let mut gauge = seen(100..120, |_, seen| seen.in_flight = 9);
    gauge.push(Observation { at_ms: 5_000, in_flight: 1, ..Observation::default() });
    assert_eq!(gauge.read(&average(Signal::Concurrency), 5_000), Some(1.0));
}

#[test]
fn what_no_window_needs_is_dropped_and_wake_ups_are_thinned_out() {
    let mut gauge = Gauge::new(60_000);
    for at_ms in 0..100_000 {
        gauge.push(Observation { at_ms, in_flight: 4, arrived_total: at_ms, ..Observation::default() });
    }
    let kept = gauge.observations.len();
    assert!((1_500..=3_002).contains(&kept), "{kept}");
    assert_eq!(gauge.read(&meter(Signal::RequestRate, Aggregation::Average, 60), 99_999), Some(1000.0));
}

proptest! {
    #[test]
    fn no_reading_is_negative_or_beyond_what_was_seen(
        steps in prop::collection::vec((0..5_000_u64, 0..50_u64, 0..50_u64, any::<bool>(), prop_oneof![Just(None), (0.0..1.0_f64).prop_map(Some)]), 1..60),
        window in 0..120_u64,
        late in 0..10_000_u64,
    ) {
        let mut gauge = Gauge::new(120_000);
        let (mut observation, mut most) = (Observation::default(), 0);
        for (passed, in_flight, arrived, is_anew, cpu) in steps {
            if is_anew && arrived == 7 {
                observation = Observation { at_ms: observation.at_ms, ..Observation::default() };
            }
            observation.at_ms += passed;
            observation.in_flight = in_flight;
            observation.cpu = cpu;
            observation.arrived_total += arrived;
            observation.completed_total += arrived / 2;
            observation.failed_total += arrived / 3;
            observation.response_time.record(cpu.unwrap_or_default());
            most = most.max(in_flight);
            gauge.push(observation.clone());
        }
        let now_ms = observation.at_ms + late;
        for aggregation in ALL {
            for signal in [Signal::Concurrency, Signal::RequestRate, Signal::ErrorRate, Signal::CpuUtilization, Signal::ResponseTime, Signal::QueueWait] {
                let value = gauge.read(&meter(signal, aggregation, window), now_ms);
                prop_assert!(value.is_none_or(|value| value >= 0.0 && value.is_finite()));
            }
        }
        let mean = gauge.read(&meter(Signal::Concurrency, Aggregation::Average, window), now_ms);
        prop_assert!(mean.is_none_or(|mean| mean <= most as f64 + 1e-9));
        let share = gauge.read(&meter(Signal::ErrorRate, Aggregation::Average, window), now_ms);
        prop_assert!(share.is_none_or(|share| share <= 1.0));
        prop_assert!(mean.is_some() == (late <= 3_000));
    }
}
