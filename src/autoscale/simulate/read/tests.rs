use std::time::Duration;

use super::super::trace::Law;
use super::*;

const START: i64 = 1_767_571_200_000;

fn manner() -> Manner {
    let service = Service { mean: Duration::from_secs(2), law: Law::Fixed };
    Manner { service, prefill_per_second: 100.0, decode_per_second: 10.0, start_unix_ms: START, seed: 7 }
}

fn pairs(trace: &Trace) -> Vec<(u64, u64)> {
    trace.requests.iter().map(|request| (request.at_us, request.service_us)).collect()
}

#[test]
fn requests_are_read_in_any_order_and_with_further_columns() {
    let trace = read("tenant,service_time,time\r\na,0.5,3\nb,1,0.25\n\n", &manner()).unwrap();
    assert_eq!(pairs(&trace), [(250_000, 1_000_000), (3_000_000, 500_000)]);
    assert_eq!((trace.end_us, trace.start_unix_ms), (3_000_000, START));
}

#[test]
fn absolute_times_begin_with_the_first_and_say_when_it_was() {
    for (first, second) in [
        ("2023-11-16T18:15:46.5Z", "2023-11-16T18:15:48Z"),
        ("2023-11-16T19:15:46.5+01:00", "2023-11-16T18:15:48Z"),
        ("2023-11-16 18:15:46.5000000", "2023-11-16 18:15:48"),
        ("1700158546.5", "1700158548"),
    ] {
        let trace = read(&format!("time,service_time\n{first},1\n{second},2\n"), &manner()).unwrap();
        assert_eq!(pairs(&trace), [(0, 1_000_000), (1_500_000, 2_000_000)], "{first}");
        assert_eq!(trace.start_unix_ms, 1_700_158_546_500, "{first}");
    }
}

#[test]
fn tokens_take_the_time_to_read_and_to_write_them() {
    let trace = read("TIMESTAMP,ContextTokens,GeneratedTokens\n0,200,30\n", &manner()).unwrap();
    assert_eq!(pairs(&trace), [(0, 5_000_000)]);
}

#[test]
fn counted_requests_come_within_their_step() {
    let trace =
        read("timestamp,value\n2014-04-10 00:04:00,3.0\n2014-04-10 00:09:00,0\n2014-04-10 00:19:00,2\n", &manner()).unwrap();
    let minutes: Vec<_> = trace.requests.iter().map(|request| request.at_us / 60_000_000).collect();
    assert!(minutes[..3].iter().all(|minute| *minute < 5), "{minutes:?}");
    assert!(minutes[3..].iter().all(|minute| (15..25).contains(minute)), "{minutes:?}");
    assert_eq!((minutes.len(), trace.end_us), (5, 25 * 60_000_000));
    assert!(trace.requests.iter().all(|request| request.service_us == 2_000_000));
}

#[test]
fn counts_are_spread_evenly() {
    let trace = read("time,count\n0,20000\n100,0\n", &manner()).unwrap();
    let early = trace.requests.iter().filter(|request| request.at_us < 25_000_000).count();
    assert!((4_800..5_200).contains(&early), "{early}");
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        ("", "line 1: the file is empty"),
        ("\n\n", "line 1: the file is empty"),
        ("5,1\n", "line 1: no column is named time or timestamp"),
        ("time,cost\n", "line 1: beside the time there is neither"),
        ("time,service_time\n", "line 1: there is no row"),
        ("time,service_time\n1,2\n\nx,1\n", "line 4: \"x\" is neither seconds nor a time"),
        ("time,service_time\n1,-2\n", "line 2: \"-2\" is not a number from 0"),
        ("time,service_time\n1,NaN\n", "line 2: \"NaN\" is not a number from 0"),
        ("time,service_time\n1\n", "line 2: has 1 cells only"),
        ("time,service_time\n-1,1\n", "line 2: \"-1\" is neither"),
        ("time,service_time\n1800-01-01T00:00:00Z,1\n", "line 2: \"1800"),
        ("time,value\n1,3\n", "line 2: counts need two rows"),
        ("time,value\n1,3\n3,1\n2,1\n", "line 3: counts must be in the order"),
        ("time,value\n1,3\n2,1e30\n3,1\n", "line 3: there are more than"),
    ];
    for (text, message) in cases {
        let error = read(text, &manner()).unwrap_err().to_string();
        assert!(error.starts_with(message), "{text:?}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_is_too_odd(text in "(time|value|service_time|[0-9.,eE+ -]|\n|\u{feff}|[a-z])*") {
        let _ = read(&text, &manner());
        let _ = read(&format!("time,service_time\n{text}"), &manner());
    }
}
