use super::*;
use crate::model::ScalePolicy;

const HOUR: u64 = 3600;

fn schedule(name: &str, cron: &str, hours: u64, bounds: (Option<u32>, Option<u32>)) -> ScalePolicy {
    zoned(name, cron, "Europe/Berlin", (hours, bounds))
}

fn zoned(name: &str, cron: &str, zone: &str, (hours, bounds): (u64, (Option<u32>, Option<u32>))) -> ScalePolicy {
    let rule = ScaleRule::Schedule {
        cron: cron.to_owned(),
        time_zone: zone.to_owned(),
        lasts: Duration::from_secs(hours * HOUR),
        min_replicas: bounds.0,
        max_replicas: bounds.1,
    };
    ScalePolicy { name: name.parse().unwrap(), rule, priority: 1 }
}

fn terms(policies: Vec<ScalePolicy>) -> Terms {
    Terms { max_replicas: 20, policies, panic: None, forecast: None, ..Terms::default() }
}

fn schedules(policies: Vec<ScalePolicy>) -> Schedules {
    Schedules::new(&terms(policies)).unwrap()
}

/// What one schedule asks for at each of these times.
fn at(schedules: &Schedules, times: &[&str]) -> Vec<bool> {
    let look = |time: &&str| schedules.look(time.parse::<Timestamp>().unwrap().as_millisecond());
    times.iter().map(|time| look(time).min_replicas.is_some()).collect()
}

#[test]
fn a_schedule_holds_from_its_start_for_as_long_as_it_lasts() {
    // Monday to Friday from eight to six in Berlin, in winter an hour ahead of UTC, in summer two.
    let office = schedules(vec![schedule("office", "0 8 * * mon-fri", 10, (Some(5), None))]);
    let winter = ["2026-01-14T06:59:59.999Z", "2026-01-14T07:00:00Z", "2026-01-14T16:59:59.999Z", "2026-01-14T17:00:00Z"];
    assert_eq!(at(&office, &winter), [false, true, true, false]);
    let summer = ["2026-07-15T05:59:59Z", "2026-07-15T06:00:00.5Z", "2026-07-15T15:59:59Z", "2026-07-15T16:00:00Z"];
    assert_eq!(at(&office, &summer), [false, true, true, false]);
    assert_eq!(at(&office, &["2026-01-17T12:00:00Z", "2026-01-18T12:00:00Z", "2026-01-19T12:00:00Z"]), [false, false, true]);
}

#[test]
fn a_schedule_lasts_beyond_midnight_and_beyond_its_next_start() {
    let night = schedules(vec![schedule("night", "0 22 * * *", 8, (Some(2), None))]);
    assert_eq!(at(&night, &["2026-01-14T21:00:00Z", "2026-01-15T04:59:59Z", "2026-01-15T05:00:00Z"]), [true, true, false]);
    let always = schedules(vec![schedule("always", "0 * * * *", 2, (Some(2), None))]);
    assert_eq!(at(&always, &["2026-01-14T21:00:00Z", "2026-01-14T21:59:59Z", "2026-01-15T00:30:00Z"]), [true, true, true]);
}

#[test]
fn a_start_in_the_skipped_hour_comes_when_that_hour_would_have_ended() {
    // In Berlin, 2026-03-29 has no time from 02:00 to 03:00; 03:00 is 01:00 UTC.
    let early = schedules(vec![schedule("early", "30 2 * * *", 1, (Some(5), None))]);
    assert_eq!(
        at(&early, &["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:59:59Z", "2026-03-29T02:00:00Z"]),
        [false, true, true, false]
    );
}

#[test]
fn a_start_in_the_hour_that_comes_twice_comes_once() {
    // In Berlin, 2026-10-25 has the time from 02:00 to 03:00 twice: from 00:00 UTC and from 01:00 UTC.
    let early = schedules(vec![schedule("early", "30 2 * * *", 1, (Some(5), None))]);
    assert_eq!(
        at(&early, &["2026-10-25T00:29:59Z", "2026-10-25T00:30:00Z", "2026-10-25T01:29:59Z", "2026-10-25T01:30:00Z"]),
        [false, true, true, false]
    );
    assert_eq!(at(&early, &["2026-10-25T01:45:00Z", "2026-10-26T01:30:00Z"]), [false, true]);
}

#[test]
fn hours_are_real_hours_on_the_days_on_which_the_clocks_change() {
    let night = schedules(vec![schedule("night", "0 22 * * *", 8, (Some(2), None))]);
    // From 22:00 in Berlin: 21:00 UTC in winter, 20:00 UTC in summer.
    assert_eq!(at(&night, &["2026-03-28T21:00:00Z", "2026-03-29T04:59:59Z", "2026-03-29T05:00:00Z"]), [true, true, false]);
    assert_eq!(at(&night, &["2026-10-24T20:00:00Z", "2026-10-25T03:59:59Z", "2026-10-25T04:00:00Z"]), [true, true, false]);
}

#[test]
fn of_several_the_largest_minimum_and_the_least_maximum_hold() {
    let several = schedules(vec![
        schedule("a", "0 8 * * *", 4, (Some(3), Some(12))),
        schedule("b", "0 9 * * *", 4, (Some(5), Some(9))),
        schedule("c", "0 10 * * *", 4, (None, Some(4))),
    ]);
    // What holds at each hour of Berlin: bounds, and whose.
    let table =
        [(7, (None, None), ""), (8, (Some(3), Some(12)), "a"), (9, (Some(5), Some(9)), "a b"), (10, (Some(5), Some(5)), "a b c")];
    for (hour, (min_replicas, max_replicas), names) in table.into_iter().chain([(13, (None, Some(4)), "c")]) {
        let time: Timestamp = format!("2026-01-14T{:02}:30:00Z", hour - 1).parse().unwrap();
        let names = names.split_whitespace().map(|name| name.parse().unwrap()).collect();
        assert_eq!(several.look(time.as_millisecond()), Look { min_replicas, max_replicas, names }, "at {hour}");
    }
}

#[test]
fn what_cannot_be_followed_is_refused_by_name() {
    let error = |policy| Schedules::new(&terms(vec![policy])).unwrap_err().to_string();
    assert_eq!(
        error(schedule("office", "0 0 8 * * mon", 1, (Some(1), None))),
        r#"schedule "office": "0 0 8 * * mon" is not a cron expression of five fields"#
    );
    assert_eq!(
        error(zoned("office", "0 8 * * *", "Europe/Atlantis", (1, (Some(1), None)))),
        r#"schedule "office": there is no time zone "Europe/Atlantis""#
    );
}

#[test]
fn no_time_is_too_strange() {
    let office = schedules(vec![schedule("office", "0 8 * * *", 10, (Some(5), None))]);
    for unix_ms in [i64::MIN, -1, 0, i64::MAX, 253_402_207_200_000, -377_705_023_201_000] {
        let look = office.look(unix_ms);
        assert!(look.names.len() <= 1);
    }
    assert_eq!(schedules(Vec::new()).look(0), Look::default());
}
