//! What could be better, in sentences. Pure.
//!
//! Each kind has a bound below which nothing is said: a report that always advises something is not read.

use serde::Serialize;

use super::events::{Counts, PolicyReport};
use super::evidence::{Evidence, Span};
use super::usage::Usage;
use super::whole::PoolReport;
use crate::autoscale::ledger::Entry;
use crate::model::{ForecastMode, Id, ScaleRule, Terms};

/// Reversals from which on a pool flaps.
const REVERSALS: u32 = 2;

/// Scalings from which on it is odd that all go one way.
const ONE_WAY: u32 = 4;

/// Hours of data from which on it is odd that a policy asks for nothing.
const SILENT_HOURS: f64 = 23.0;

/// Minutes at the most from which on they are a shortage.
const AT_MAX_MINUTES: f64 = 30.0;

/// Scalings in vain from which on they are no accident.
const IN_VAIN: u32 = 3;

/// Hours of data from which on low use is no accident, and the share of them.
const LOW_HOURS: f64 = 12.0;
const LOW_SHARE: f64 = 0.9;

/// Decisions with a forecast from which on it says something that it is not trusted, in at least half of them.
const FORECASTS: usize = 5;

/// A kind of advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// It is scaled up and down again too often.
    TooFrequent,
    /// It is only ever scaled up, or only ever down.
    Lopsided,
    /// A policy asks for nothing.
    NeverFires,
    /// More than `max_replicas` is wanted.
    AtMax,
    /// More replicas do not make the signal better.
    DidNotHelp,
    /// Fewer than `min_replicas` would do.
    LowUse,
    /// Decisions do not follow the forecast, as it is not trusted.
    ForecastNotTrusted,
}

/// What could be better.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recommendation {
    /// The kind.
    pub kind: Advice,
    /// The pool.
    pub pool: Id,
    /// The sentence.
    pub text: String,
}

/// Says what could be better for one pool.
pub(super) fn of(report: &PoolReport, evidence: &Evidence<'_>, span: Span) -> Vec<Recommendation> {
    let mut found: Vec<(Advice, String)> = Vec::new();
    found.extend(too_frequent(&report.counts).map(|text| (Advice::TooFrequent, text)));
    found.extend(lopsided(&report.counts).map(|text| (Advice::Lopsided, text)));
    if let Some(terms) = evidence.terms() {
        let first = evidence.entries.first().map(|entry| &*entry.terms);
        let silent = report.policies.iter().filter(|policy| is_silent(policy, first, terms, &report.usage));
        found.extend(silent.map(|policy| (Advice::NeverFires, never_fires(policy, &report.usage))));
        found.extend(at_max(&report.usage, terms).map(|text| (Advice::AtMax, text)));
        found.extend(report.policies.iter().filter_map(did_not_help).map(|text| (Advice::DidNotHelp, text)));
        found.extend(low_use(&report.usage, terms).map(|text| (Advice::LowUse, text)));
    }
    found.extend(not_trusted(evidence.inside(span)).map(|text| (Advice::ForecastNotTrusted, text)));
    found.into_iter().map(|(kind, text)| Recommendation { kind, pool: report.pool.clone(), text }).collect()
}

fn too_frequent(counts: &Counts) -> Option<String> {
    (counts.reversals >= REVERSALS).then(|| {
        format!(
            "{} of {} scalings went the other way within 15 minutes: a longer stabilization or cooldown, or bounds that are farther apart, would calm it.",
            counts.reversals, counts.events
        )
    })
}

fn lopsided(counts: &Counts) -> Option<String> {
    match (counts.up, counts.down) {
        (up, 0) if up >= ONE_WAY => {
            Some(format!("All {up} scalings went up and none down: look whether a policy ever lets replicas go."))
        }
        (0, down) if down >= ONE_WAY => {
            Some(format!("All {down} scalings went down and none up: look whether replicas come from elsewhere."))
        }
        _ => None,
    }
}

/// Tells whether a policy that was there all the time has had the time to ask for something, and has not.
fn is_silent(policy: &PolicyReport, first: Option<&Terms>, terms: &Terms, usage: &Usage) -> bool {
    let measures = |terms: &Terms| {
        terms.policies.iter().any(|known| known.name == policy.policy && !matches!(known.rule, ScaleRule::Schedule { .. }))
    };
    !policy.has_fired && usage.measured_hours >= SILENT_HOURS && measures(terms) && first.is_some_and(measures)
}

fn never_fires(policy: &PolicyReport, usage: &Usage) -> String {
    format!(
        "Policy {} has asked for nothing in {:.0} hours: its bounds are out of reach, or others are always first.",
        policy.policy, usage.measured_hours
    )
}

fn at_max(usage: &Usage, terms: &Terms) -> Option<String> {
    (usage.at_max_minutes >= AT_MAX_MINUTES)
        .then(|| format!("More than max_replicas ({}) was wanted for {:.0} minutes.", terms.max_replicas, usage.at_max_minutes))
}

fn did_not_help(policy: &PolicyReport) -> Option<String> {
    (policy.in_vain >= IN_VAIN && policy.in_vain * 2 > policy.judged).then(|| {
        format!(
            "{} of {} scalings by policy {} did not make its signal better: what it measures may depend on something else than replicas.",
            policy.in_vain, policy.judged, policy.policy
        )
    })
}

fn low_use(usage: &Usage, terms: &Terms) -> Option<String> {
    let hours = usage.at_min_minutes / 60.0;
    (usage.measured_hours >= LOW_HOURS && hours >= usage.measured_hours * LOW_SHARE).then(|| {
        format!(
            "Fewer than min_replicas ({}) would have done for {hours:.0} of {:.0} hours.",
            terms.min_replicas, usage.measured_hours
        )
    })
}

fn not_trusted<'a>(entries: impl Iterator<Item = &'a Entry>) -> Option<String> {
    let mut judged = 0;
    let mut distrusted = 0;
    for entry in entries {
        let forecast = entry.terms.forecast.as_ref().filter(|forecast| forecast.mode == ForecastMode::Act);
        let (Some(forecast), Some(outlook)) = (forecast, &entry.input.outlook) else { continue };
        judged += 1;
        distrusted += usize::from(outlook.is_demoted || outlook.confidence < forecast.confidence);
    }
    (judged >= FORECASTS && distrusted * 2 >= judged).then(|| {
        format!("In {distrusted} of {judged} decisions the forecast was not trusted: the load may have no season, or its history may be too short.")
    })
}
