//! The text of the live view.

use super::super::schedule::Phase;
use super::*;

fn picture() -> Picture {
    let change = |at_unix_ms, from, to, reason: &str| Change { at_unix_ms, from, to, reason: reason.to_owned() };
    Picture {
        at: Duration::from_secs(75),
        phase: Phase::Burst,
        replicas: Replicas { desired: 5, ready: 2, starting: 2, draining: 1 },
        max_replicas: 6,
        in_flight: 4,
        waiting: 7,
        depths: vec![0, 1, 7, 14],
        rate: 37.25,
        failures: 0,
        p50: Some(0.1609),
        p95: Some(1.25),
        changes: vec![
            (Duration::from_millis(2900), change(9, 2, 4, "queue_depth is 7.0")),
            (Duration::from_secs(130), change(5, 3, 2, "bell \u{7}")),
        ],
    }
}

fn place() -> Place {
    let (proxy, admin) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
    Place { proxy, admin, hints: vec!["curl x".to_owned()] }
}

#[test]
fn the_view_shows_replicas_queue_requests_latency_and_why() {
    let blank = " ".repeat(56);
    let expected = format!(
        "\
tidegate demo  http://127.0.0.1:1  admin http://127.0.0.1:2  burst, 01:15

replicas  ██ ██ ▒▒ ▒▒ ░░ ·· \u{20} 5 wanted: 2 ready, 2 starting, 1 draining
queue     {blank}▁▂▄█  7 waiting
requests  37.2/s, 4 running, 0 errors
1st byte  p50 161 ms, p95 1.2 s

Last decisions
    2 s ago  2 → 4  queue_depth is 7.0
  2 min ago  3 → 2  bell ?

Meanwhile, elsewhere
  curl x

Ctrl-C ends everything, and tells what came of it.
"
    );
    assert_eq!(screen(&picture(), &place(), Ink::Plain), expected);
}

#[test]
fn colours_only_colour() {
    let coloured = screen(&Picture { failures: 3, ..picture() }, &place(), Ink::Coloured);
    assert!(coloured.contains("\x1b[31m3 errors\x1b[0m"), "{coloured}");
    let mut plain = String::new();
    for (index, part) in coloured.split("\x1b[").enumerate() {
        plain.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, screen(&Picture { failures: 3, ..picture() }, &place(), Ink::Plain));
}

#[test]
fn a_line_says_the_same_in_short_and_news_once() {
    let quiet =
        "01:15 burst  replicas 5 wanted: 2 ready, 2 starting, 1 draining  waiting 7  37.2/s  p50 161 ms  p95 1.2 s  errors 0";
    for (told, news) in
        [(Some(9), ""), (Some(5), "; 2 → 4  queue_depth is 7.0"), (None, "; 3 → 2  bell ?; 2 → 4  queue_depth is 7.0")]
    {
        assert_eq!(line(&picture(), told), format!("{quiet}{news}"), "{told:?}");
    }
}

#[test]
fn a_sparkline_shows_everybody_who_waits() {
    for (depths, expected) in [(&[0, 0][..], "▁▁"), (&[1, 2, 4], "▂▂▃"), (&[14], "█"), (&[1, 1000], "▂█"), (&[u64::MAX, 0], "▂▁")]
    {
        assert_eq!(sparkline(depths).trim_start(), expected, "{depths:?}");
        assert_eq!(sparkline(depths).chars().count(), SECONDS, "{depths:?}");
    }
    assert_eq!(sparkline(&[5; 200]).chars().count(), SECONDS);
}

#[test]
fn a_bar_is_as_long_as_there_may_be_replicas() {
    for (ready, starting, draining, marks) in [(0, 0, 0, "······"), (1, 5, 0, "█▒▒▒▒▒"), (2, 0, 2, "██░░··"), (7, 0, 1, "███████░")]
    {
        let replicas = Replicas { desired: 0, ready, starting, draining };
        let doubled: String = marks.chars().map(|mark| format!("{mark}{mark} ")).collect();
        assert_eq!(bar(&Picture { replicas, ..picture() }, Ink::Plain), doubled);
    }
}

#[test]
fn times_are_shown_as_people_say_them() {
    for (value, expected) in
        [(None, "-"), (Some(0.0), "0 ms"), (Some(0.9994), "999 ms"), (Some(1.0), "1.0 s"), (Some(61.0), "61.0 s")]
    {
        assert_eq!(seconds(value), expected);
    }
}
