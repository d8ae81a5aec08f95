//! The report. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::advice::{self, Recommendation};
use super::events::{self, Counts, Hour, PolicyReport, Waits};
use super::evidence::{Evidence, Span};
use super::usage::Usage;
use crate::model::Id;

/// What scaling has done over a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// When the time begins, in milliseconds since 1970.
    pub from_unix_ms: i64,
    /// When it ends.
    pub until_unix_ms: i64,
    /// Scalings of all pools.
    #[serde(flatten)]
    pub counts: Counts,
    /// Replicas of all pools.
    #[serde(flatten)]
    pub usage: Usage,
    /// What they cost, by currency.
    pub cost: BTreeMap<String, f64>,
    /// Scalings by hour.
    pub hours: Vec<Hour>,
    /// Each pool, in the order in which they were given.
    pub pools: Vec<PoolReport>,
    /// What could be better.
    pub recommendations: Vec<Recommendation>,
}

/// What scaling has done to one pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolReport {
    /// The pool.
    pub pool: Id,
    /// Its scalings.
    #[serde(flatten)]
    pub counts: Counts,
    /// Its replicas.
    #[serde(flatten)]
    pub usage: Usage,
    /// What they cost, when that is known.
    pub cost: Option<f64>,
    /// Its scalings by the word of their trigger.
    pub triggers: BTreeMap<&'static str, u32>,
    /// Its policies.
    pub policies: Vec<PolicyReport>,
    /// Seconds until new replicas were ready, when that is known.
    pub ready_seconds: Option<Waits>,
}

impl Report {
    /// Makes the report of the last `window` (at most five weeks) before `now_unix_ms`.
    pub fn of(evidence: &[Evidence<'_>], window: Duration, now_unix_ms: i64) -> Self {
        let span = Span::new(window, now_unix_ms);
        let mut report = Self {
            from_unix_ms: span.from,
            until_unix_ms: span.until,
            counts: Counts::default(),
            usage: Usage::default(),
            cost: BTreeMap::new(),
            hours: events::hours(evidence.iter(), span),
            pools: Vec::with_capacity(evidence.len()),
            recommendations: Vec::new(),
        };
        for evidence in evidence {
            let pool = PoolReport::of(evidence, span);
            report.counts.add(&pool.counts);
            report.usage.add(&pool.usage);
            if let (Some(price), Some(cost)) = (evidence.cost, pool.cost) {
                *report.cost.entry(price.currency.clone()).or_insert(0.0) += cost;
            }
            report.recommendations.extend(advice::of(&pool, evidence, span));
            report.pools.push(pool);
        }
        report
    }
}

impl PoolReport {
    fn of(evidence: &Evidence<'_>, span: Span) -> Self {
        let events = events::events(evidence, span);
        let usage = Usage::of(evidence, span);
        Self {
            pool: evidence.pool.clone(),
            counts: events::counts(evidence, &events, span),
            usage,
            cost: evidence.cost.map(|cost| cost.replica_hour * usage.replica_hours),
            triggers: events::triggers(&events),
            policies: events::policies(evidence, &events, span),
            ready_seconds: events::waits(&events),
        }
    }
}
