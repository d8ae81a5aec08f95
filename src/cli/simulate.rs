//! `simulate`: how a pool would be sized under a trace of requests, beside how others would size it.
//!
//! The simulation is `autoscale::simulate`; here are files, words and tables.

use std::fmt::{self, Write};
use std::fs;
use std::time::Duration;

use anyhow::Context;

use super::args::{self, Kind, ServiceLaw, Sheet};
use super::output::{self, Usage};
use super::source;
use super::table::{Side, Table};
use crate::autoscale::simulate::{
    Conditions, Contender, Figures, Law, Load, Manner, Report, Service, Settings, Shape, Trace, compare, generate, read,
};
use crate::config;
use crate::model::{Pool, Snapshot};

const HOUR: Duration = Duration::from_hours(1);

/// Two weeks: what a weekly season can be seen in.
const FORTNIGHT: Duration = Duration::from_hours(14 * 24);

/// Simulates a pool of a config file.
///
/// # Errors
/// When the config or the trace cannot be used, the pool is not sized, or the timeline cannot be written.
pub(super) fn run(arguments: &args::Simulate) -> anyhow::Result<()> {
    let contenders = contenders(&arguments.policy)?;
    let loaded = config::load(&source::path(&arguments.source)?)?;
    let pool = pool(&loaded.snapshot, arguments.pool.as_deref())?;
    let conditions = Conditions {
        startup: arguments.startup,
        slo: arguments.slo,
        slots: arguments.slots,
        metric_lag: arguments.metric_lag,
        seed: arguments.seed,
    };
    let settings =
        Settings::new(pool, conditions).ok_or_else(|| Usage(format!("pool {:?} has no autoscale", pool.name.as_str())))?;
    let trace = trace(arguments)?;
    let sample_every = arguments.timeline.as_ref().map(|_| arguments.timeline_step.max(Duration::from_millis(1)));
    let report = compare(&settings, &trace, &contenders, sample_every)?;
    if let Some(path) = &arguments.timeline {
        fs::write(path, timeline(&report)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    match arguments.format {
        Sheet::Text => output::show(Text(&report)),
        Sheet::Csv => output::show(csv(&report)),
        Sheet::Json => output::show(serde_json::to_string_pretty(&report)?),
    }
}

fn pool<'a>(snapshot: &'a Snapshot, name: Option<&str>) -> Result<&'a Pool, Usage> {
    let sized: Vec<_> = snapshot.pools.values().filter(|pool| pool.autoscale.is_some()).collect();
    match (name, sized.as_slice()) {
        (Some(name), _) => {
            let named = snapshot.pools.values().find(|pool| pool.name.as_str() == name).map(|pool| &**pool);
            named.ok_or_else(|| Usage(format!("there is no pool {name:?}")))
        }
        (None, [pool]) => Ok(pool),
        (None, []) => Err(Usage("no pool has autoscale".to_owned())),
        (None, many) => {
            let names: Vec<_> = many.iter().map(|pool| pool.name.as_str()).collect();
            Err(Usage(format!("name a pool with --pool: {}", names.join(", "))))
        }
    }
}

fn contenders(words: &[String]) -> Result<Vec<Contender>, Usage> {
    let mut contenders = Vec::new();
    for word in words {
        match word.trim() {
            "tidegate" => contenders.push(Contender::Tidegate),
            "hpa" => contenders.push(Contender::Hpa),
            "hpa-busy" => contenders.push(Contender::HpaBusy),
            "knative" => contenders.push(Contender::Knative),
            "fixed" => contenders.extend([Contender::FixedMean, Contender::FixedPeak]),
            "oracle" => contenders.push(Contender::Oracle),
            other => {
                let count = other.strip_prefix("fixed=").and_then(|count| count.parse().ok()).filter(|count| *count <= 100_000);
                contenders.push(Contender::Fixed(count.ok_or_else(|| Usage(format!("{other:?} is no policy")))?));
            }
        }
    }
    Ok(contenders)
}

fn trace(arguments: &args::Simulate) -> anyhow::Result<Trace> {
    let law = match arguments.service_law {
        ServiceLaw::Exponential => Law::Exponential,
        ServiceLaw::Fixed => Law::Fixed,
    };
    let service = Service { mean: arguments.service_time, law };
    let start_unix_ms = arguments.start.as_millisecond();
    if let Some(path) = &arguments.trace {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let manner = Manner {
            service,
            prefill_per_second: arguments.prefill_per_second,
            decode_per_second: arguments.decode_per_second,
            start_unix_ms,
            seed: arguments.seed,
        };
        return read(&text, &manner).map_err(|error| Usage(format!("{}: {error}", path.display())).into());
    }
    let kind = arguments.generate.ok_or_else(|| Usage("name a trace with --trace or --generate".to_owned()))?;
    let usual = if kind == Kind::Diurnal { FORTNIGHT } else { HOUR };
    let load = Load { rate: arguments.rate, duration: arguments.duration.unwrap_or(usual), service };
    Ok(generate(shape(kind), &load, start_unix_ms, arguments.seed))
}

const fn shape(kind: Kind) -> Shape {
    match kind {
        Kind::Step => Shape::Step,
        Kind::Ramp => Shape::Ramp,
        Kind::Sawtooth => Shape::Sawtooth,
        Kind::Diurnal => Shape::Diurnal,
        Kind::FlashCrowd => Shape::FlashCrowd,
        Kind::OnOff => Shape::OnOff,
    }
}

/// A report for people.
struct Text<'a>(&'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        for note in &report.notes {
            writeln!(f, "note: {note}")?;
        }
        let Report { requests, duration_seconds, mean_in_flight, peak_in_flight, slots, startup_seconds, slo_seconds, .. } = report;
        writeln!(
            f,
            "{requests} requests in {:.2} h, in flight {mean_in_flight:.1} in the mean and {peak_in_flight} at most",
            duration_seconds / 3600.0
        )?;
        writeln!(f, "a replica has {slots} slots and starts in {startup_seconds} s; a wait up to {slo_seconds} s is good")?;
        let cost = report.currency.as_deref().unwrap_or("-");
        writeln!(f, "waits and bad (waits beyond that, summed over the requests) in seconds, cost in {cost}\n")?;
        let mut table = Table::new(COLUMNS);
        report.policies.iter().for_each(|figures| table.push(cells(figures)));
        write!(f, "{table}")
    }
}

const COLUMNS: [(&str, Side); 15] = [
    ("POLICY", Side::Left),
    ("P50", Side::Right),
    ("P95", Side::Right),
    ("P99", Side::Right),
    ("EXPIRED", Side::Right),
    ("REFUSED", Side::Right),
    ("CUT", Side::Right),
    ("BAD", Side::Right),
    ("HOURS", Side::Right),
    ("COST", Side::Right),
    ("EVENTS", Side::Right),
    ("REVERSALS", Side::Right),
    ("MAX", Side::Right),
    ("BUSY", Side::Right),
    ("SERVED", Side::Right),
];

fn cells(figures: &Figures) -> [String; 15] {
    [
        figures.policy.clone(),
        format!("{:.2}", figures.wait_p50_seconds),
        format!("{:.2}", figures.wait_p95_seconds),
        format!("{:.2}", figures.wait_p99_seconds),
        figures.expired.to_string(),
        figures.refused.to_string(),
        figures.cut.to_string(),
        format!("{:.0}", figures.bad_seconds),
        format!("{:.2}", figures.replica_hours),
        figures.cost.map_or("-".to_owned(), |cost| format!("{cost:.2}")),
        figures.events.to_string(),
        figures.reversals.to_string(),
        figures.max_replicas.to_string(),
        format!("{:.0}%", figures.utilization * 100.0),
        figures.served.to_string(),
    ]
}

/// The names of the columns are those of the JSON document.
fn csv(report: &Report) -> String {
    let mut text = "policy,requests,served,refused,expired,cut,wait_mean_seconds,wait_p50_seconds,wait_p95_seconds,wait_p99_seconds,bad_seconds,\
                    replica_hours,cost,events,reversals,max_replicas,utilization\n"
        .to_owned();
    for figures in &report.policies {
        let Figures { policy, requests, served, refused, expired, cut, events, reversals, max_replicas, .. } = figures;
        let Figures { wait_mean_seconds, wait_p50_seconds, wait_p95_seconds, wait_p99_seconds, bad_seconds, .. } = figures;
        let cost = figures.cost.map(|cost| cost.to_string()).unwrap_or_default();
        let Figures { replica_hours, utilization, .. } = figures;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{policy},{requests},{served},{refused},{expired},{cut},{wait_mean_seconds},{wait_p50_seconds},{wait_p95_seconds},\
             {wait_p99_seconds},{bad_seconds},{replica_hours},{cost},{events},{reversals},{max_replicas},{utilization}"
        );
    }
    text
}

fn timeline(report: &Report) -> String {
    let mut text = "policy,time,starting,ready,draining,in_flight,queued\n".to_owned();
    for (figures, samples) in report.policies.iter().zip(&report.timelines) {
        for sample in samples {
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{}",
                figures.policy, sample.at, sample.starting, sample.ready, sample.draining, sample.in_flight, sample.queued
            );
        }
    }
    text
}
