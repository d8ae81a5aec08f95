use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

use super::super::ledger::testing::{NOW, decision, entry, id, terms};
use super::super::ledger::{Carried, Entry, Upshot};
use super::*;
use crate::autoscale::{Outlook, Trigger, Vote};
use crate::model::{Cost, Forecast, ForecastMode, ScaleMode, Terms};
use crate::telemetry::history::{Column, Series};

const MINUTE: i64 = 60_000;

/// A day of a pool from [`NOW`] on.
struct Day {
    entries: Vec<Entry>,
    ready: Vec<Option<f32>>,
    wanted: Vec<Option<f32>>,
}

impl Day {
    fn of(entries: Vec<Entry>) -> Self {
        Self { entries, ready: vec![Some(2.0); 288], wanted: Vec::new() }
    }

    fn report(self) -> Report {
        let entries: Vec<Arc<Entry>> = self.entries.into_iter().map(Arc::new).collect();
        let series = |column, values| Series { column, from: NOW / MINUTE, step: 5, values };
        let (ready, wanted) = (series(Column::Ready, self.ready), series(Column::Wanted, self.wanted));
        let cost = Cost { replica_hour: 0.5, currency: "USD".to_owned() };
        let evidence = Evidence { pool: id("coders"), entries: &entries, ready: &ready, wanted: &wanted, cost: Some(&cost) };
        Report::of(&[evidence], Duration::from_secs(86_400), NOW + 1440 * MINUTE)
    }
}

fn up(minute: i64, from: u32, to: u32) -> Entry {
    entry(minute, decision(from, to, 2.0, Vote::Up))
}

fn down(minute: i64, from: u32, to: u32) -> Entry {
    entry(minute, decision(from, to, 0.1, Vote::Down))
}

fn looked(minute: i64, value: f64, vote: Vote) -> Entry {
    let mut seen = entry(minute, decision(2, 2, value, vote));
    seen.decision.trigger = Trigger::Steady;
    seen
}

fn kinds(report: &Report) -> Vec<Advice> {
    report.recommendations.iter().map(|found| found.kind).collect()
}

#[test]
fn scalings_are_counted_by_kind_pool_and_hour() {
    let mut failed = up(70, 2, 4);
    let refused = Upshot::Failed { error: "refused".to_owned(), text: "quota".to_owned() };
    failed.carried_out = Some(Carried { result: refused, at_unix_ms: NOW, ready_after_ms: None });
    let mut unanswered = up(75, 2, 4);
    unanswered.carried_out = None;
    let mut recommended = unanswered.clone();
    (recommended.mode, recommended.id) = (ScaleMode::Recommend, recommended.id + 1);
    let mut predictive = up(130, 2, 4);
    predictive.decision.trigger = Trigger::Forecast;
    let (early, late) = (up(-1, 1, 2), up(1440, 1, 2));
    let entries =
        vec![early, up(5, 1, 2), looked(20, 0.2, Vote::Hold), failed, unanswered, recommended, predictive, down(400, 4, 3), late];
    let report = Day::of(entries).report();
    let counts = Counts { events: 3, up: 2, down: 1, predictive: 1, reversals: 0, failed: 1, unanswered: 1, recommended: 1 };
    assert_eq!((report.counts, report.pools[0].counts), (counts, counts));
    assert_eq!(report.hours.len(), 24);
    let busy: Vec<_> = report.hours.iter().filter(|hour| hour.up + hour.down + hour.failed > 0).collect();
    let seen = busy.iter().map(|hour| ((hour.from_unix_ms - NOW) / 3_600_000, hour.up, hour.down, hour.failed));
    assert_eq!(seen.collect::<Vec<_>>(), [(0, 1, 0, 0), (1, 0, 0, 1), (2, 1, 0, 0), (6, 0, 1, 0)]);
    assert_eq!(
        report.pools[0].triggers.iter().map(|(word, count)| (*word, *count)).collect::<Vec<_>>(),
        [("forecast", 1), ("policy", 2)]
    );
}

#[test]
fn replicas_are_measured_where_there_is_data_only() {
    let mut day = Day::of(vec![entry(-60, decision(2, 2, 0.1, Vote::Hold))]);
    day.ready = vec![Some(3.0), None, Some(3.0), Some(1.0)];
    day.wanted = vec![Some(1.5), None, None, Some(4.0)];
    let report = day.report();
    let usage = report.usage;
    assert!((usage.replica_hours - 7.0 / 12.0).abs() < 1e-9, "{usage:?}");
    assert!((usage.measured_hours - 0.25).abs() < 1e-9, "{usage:?}");
    // 1.5 too many by history, then 1 too many by the last decision, which wanted 2; too few make up for nothing.
    assert!((usage.over_provisioned_hours - 2.5 / 12.0).abs() < 1e-9, "{usage:?}");
    assert!((report.cost["USD"] - 3.5 / 12.0).abs() < 1e-9, "{:?}", report.cost);
    assert_eq!(report.pools[0].cost, Some(report.cost["USD"]));
}

#[test]
fn seconds_until_ready_are_those_of_scalings_upwards() {
    let ready = |mut entry: Entry, ms| {
        entry.carried_out.as_mut().unwrap().ready_after_ms = Some(ms);
        entry
    };
    let report =
        Day::of(vec![ready(up(1, 1, 2), 2000), ready(up(100, 2, 3), 5000), ready(down(300, 3, 2), 90_000), up(500, 2, 3)]).report();
    assert_eq!(report.pools[0].ready_seconds, Some(Waits { mean: 3.5, max: 5.0 }));
    assert_eq!(Day::of(vec![up(1, 1, 2)]).report().pools[0].ready_seconds, None);
}

/// Returns what is said of the policy `slow`: judged, effective, in vain.
fn judged(entries: Vec<Entry>) -> (u32, u32, u32) {
    let report = Day::of(entries).report();
    let policy = report.pools[0].policies.iter().find(|policy| policy.policy == id("slow")).unwrap().clone();
    assert_eq!(policy.effectiveness, (policy.judged > 0).then(|| f64::from(policy.effective) / f64::from(policy.judged)));
    (policy.judged, policy.effective, policy.in_vain)
}

#[test]
fn a_scaling_upwards_helped_when_its_signal_is_back_inside_in_ten_minutes() {
    assert_eq!(judged(vec![up(0, 1, 2), looked(1, 1.9, Vote::Up), looked(9, 0.2, Vote::Hold)]), (1, 1, 0));
    assert_eq!(judged(vec![up(0, 1, 2), looked(11, 0.2, Vote::Hold)]), (1, 0, 0));
    assert_eq!(judged(vec![up(0, 1, 2), looked(9, 1.9, Vote::Up)]), (1, 0, 1));
    assert_eq!(judged(vec![up(0, 1, 2), looked(9, 1.0, Vote::Up)]), (1, 0, 0));
    assert_eq!(judged(vec![up(1435, 1, 2), looked(1437, 1.9, Vote::Up)]), (0, 0, 0));
    assert_eq!(judged(vec![up(1435, 1, 2), looked(1437, 0.1, Vote::Hold)]), (1, 1, 0));
}

#[test]
fn a_scaling_downwards_helped_when_it_is_not_undone_in_ten_minutes() {
    assert_eq!(judged(vec![down(0, 3, 2)]), (1, 1, 0));
    // Too early, which says nothing of what the signal depends on.
    assert_eq!(judged(vec![down(0, 3, 2), up(9, 2, 3), looked(12, 0.2, Vote::Hold)]), (2, 1, 0));
    assert_eq!(judged(vec![down(1435, 3, 2)]), (0, 0, 0));
}

#[test]
fn a_pool_that_goes_up_and_down_flaps() {
    let flapping = vec![up(0, 1, 2), down(10, 2, 1), up(20, 1, 2), down(60, 2, 1)];
    let report = Day::of(flapping).report();
    assert_eq!(report.counts.reversals, 2);
    assert!(kinds(&report).contains(&Advice::TooFrequent));
    let calm = Day::of(vec![up(0, 1, 2), down(16, 2, 1), up(32, 1, 2), up(33, 2, 3)]).report();
    assert_eq!(calm.counts.reversals, 0);
    assert!(!kinds(&calm).contains(&Advice::TooFrequent));
}

#[test]
fn a_pool_that_only_goes_one_way_is_lopsided() {
    let ups: Vec<Entry> = (0..4).map(|turn| up(i64::from(turn) * 60, turn + 1, turn + 2)).collect();
    assert!(kinds(&Day::of(ups.clone()).report()).contains(&Advice::Lopsided));
    assert!(!kinds(&Day::of(ups[1..].to_vec()).report()).contains(&Advice::Lopsided));
    let both = [ups, vec![down(300, 5, 4)]].concat();
    assert!(!kinds(&Day::of(both).report()).contains(&Advice::Lopsided));
    let downs = (0..4).map(|turn| down(i64::from(turn) * 60, 9 - turn, 8 - turn)).collect();
    assert!(kinds(&Day::of(downs).report()).contains(&Advice::Lopsided));
}

#[test]
fn a_policy_that_asks_for_nothing_is_named_once_there_is_a_day_of_data() {
    let texts = |day: Day| {
        let found = day.report().recommendations.into_iter().filter(|found| found.kind == Advice::NeverFires);
        found.map(|found| found.text).collect::<Vec<_>>()
    };
    let quiet = || vec![looked(5, 0.2, Vote::Hold), up(10, 1, 2)];
    // `slow` has scaled; `busy` is never heard of.
    let found = texts(Day::of(quiet()));
    assert!(found.len() == 1 && found[0].contains("Policy busy"), "{found:?}");
    let mut short = Day::of(quiet());
    short.ready.truncate(100);
    assert_eq!(texts(short), Vec::<String>::new());
    let mut newer = quiet();
    newer[0].terms = Arc::new(Terms { policies: Vec::new(), ..terms() });
    assert_eq!(texts(Day::of(newer)), Vec::<String>::new());
}

#[test]
fn more_than_the_most_is_told_by_its_minutes() {
    let mut wanting = decision(10, 10, 2.0, Vote::Up);
    wanting.wanted = 14;
    let mut day = Day::of(vec![entry(0, wanting.clone()), entry(30, decision(10, 10, 0.2, Vote::Hold))]);
    day.wanted.clear();
    let report = day.report();
    assert!((report.usage.at_max_minutes - 30.0).abs() < 1e-9, "{:?}", report.usage);
    let text = &report.recommendations.iter().find(|found| found.kind == Advice::AtMax).unwrap().text;
    assert!(text.contains("max_replicas (10)") && text.contains("30 minutes"), "{text}");
    let shorter = Day::of(vec![entry(0, wanting), entry(25, decision(10, 10, 0.2, Vote::Hold))]).report();
    assert!(!kinds(&shorter).contains(&Advice::AtMax));
}

#[test]
fn scalings_that_do_not_help_are_told() {
    let vain = |count: i64| {
        let pair = |turn: i64| [up(turn * 60, 1, 2), looked(turn * 60 + 5, 2.1, Vote::Up)];
        (0..count).flat_map(pair).collect::<Vec<_>>()
    };
    assert!(kinds(&Day::of(vain(3)).report()).contains(&Advice::DidNotHelp));
    assert!(!kinds(&Day::of(vain(2)).report()).contains(&Advice::DidNotHelp));
}

#[test]
fn low_use_is_told_when_it_lasts() {
    let mut day = Day::of(vec![entry(0, decision(2, 2, 0.1, Vote::Hold))]);
    day.entries[0].terms = Arc::new(Terms { min_replicas: 2, ..terms() });
    day.wanted = vec![Some(0.4); 288];
    let busy_hours = |hours: usize| {
        let mut wanted = vec![Some(0.4); 288];
        wanted[..hours * 12].fill(Some(3.0));
        wanted
    };
    let kinds_with = |wanted| kinds(&Day { entries: day.entries.clone(), ready: day.ready.clone(), wanted }.report());
    assert!(kinds_with(busy_hours(2)).contains(&Advice::LowUse));
    assert!(!kinds_with(busy_hours(3)).contains(&Advice::LowUse));
}

#[test]
fn a_forecast_that_is_not_trusted_is_told() {
    let forecast = |mode| Some(Forecast { mode, ..Forecast::default() });
    let entries = |mode, confidence: f64| -> Vec<Entry> {
        let one = |minute| {
            let mut seen = looked(minute, 0.2, Vote::Hold);
            seen.terms = Arc::new(Terms { forecast: forecast(mode), ..terms() });
            let model = "seasonal".to_owned();
            seen.input.outlook = Some(Outlook { replicas: 3, confidence, peak_unix_ms: NOW, model, is_demoted: false });
            seen
        };
        (0..6).map(one).collect()
    };
    let is_told = |entries| kinds(&Day::of(entries).report()).contains(&Advice::ForecastNotTrusted);
    assert!(is_told(entries(ForecastMode::Act, 0.4)));
    assert!(!is_told(entries(ForecastMode::Act, 0.9)));
    assert!(!is_told(entries(ForecastMode::Watch, 0.4)));
    assert!(!is_told(entries(ForecastMode::Act, 0.4)[..4].to_vec()));
}

#[test]
fn a_report_of_nothing_says_nothing() {
    let report = Report::of(&[], Duration::from_secs(3600), NOW);
    assert_eq!((report.counts, report.hours.len(), report.recommendations.len()), (Counts::default(), 1, 0));
    for now in [i64::MIN, i64::MAX, 0] {
        for window in [Duration::ZERO, Duration::MAX] {
            assert!(Report::of(&[], window, now).hours.len() <= 35 * 24 + 1);
        }
    }
}

#[test]
fn a_report_is_json() {
    let json = serde_json::to_value(Day::of(vec![up(0, 1, 2)]).report()).unwrap();
    assert_eq!((&json["events"], &json["pools"][0]["up"], &json["pools"][0]["pool"]), (&1.into(), &1.into(), &"coders".into()));
    assert_eq!(json["hours"][0]["up"], 1);
}

proptest! {
    #[test]
    fn sums_agree(changes in prop::collection::vec((0..2000_i64, 0..12_u32, 0..12_u32), 0..40), ready in prop::collection::vec(prop::option::of(0.0..20.0_f32), 0..300)) {
        let mut changes = changes;
        changes.sort_unstable();
        changes.dedup_by_key(|(minute, ..)| *minute);
        let entries = changes.iter().map(|&(minute, from, to)| if from < to { up(minute, from, to) } else { down(minute, from, to) }).collect();
        let mut day = Day::of(entries);
        day.ready = ready;
        let report = day.report();
        let inside = changes.iter().filter(|(minute, from, to)| *minute < 1440 && from != to).count();
        prop_assert_eq!(report.counts.events as usize, inside);
        prop_assert_eq!(report.counts.events, report.counts.up + report.counts.down);
        let by_hour: u32 = report.hours.iter().map(|hour| hour.up + hour.down).sum();
        let by_trigger: u32 = report.pools[0].triggers.values().sum();
        let by_policy: u32 = report.pools[0].policies.iter().map(|policy| policy.up + policy.down).sum();
        prop_assert_eq!([by_hour, by_trigger, by_policy], [report.counts.events; 3]);
        prop_assert!(report.counts.reversals <= report.counts.events);
        prop_assert!(report.usage.over_provisioned_hours <= report.usage.replica_hours + 1e-9);
        prop_assert!(report.usage.measured_hours <= 24.0 + 1e-9);
    }
}
