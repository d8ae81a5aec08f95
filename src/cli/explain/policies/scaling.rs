//! How a pool is sized: what is scaled, why, and within which limits.

use super::shown::{duration, list, none, number, off, percent, word};
use super::{Policy, Section, Source};
use crate::config::defaults;
use crate::model::{
    Aggregation, Autoscale, Fallback, Forecast, Meter, Panic, Pool, ScaleDown, ScaleMode, ScalePolicy, ScaleRule, ScaleUp, Signal,
    Step, Target, Terms, Workload,
};

/// Lists how a pool is sized.
pub(super) fn scaling(pool: &Pool, policies: &mut Vec<Policy>) {
    let mut section = Section { source: Source::Pool, policies };
    let Some(autoscale) = &pool.autoscale else { return section.absent("autoscale", "off") };
    let Autoscale { target, mode, terms, drain_timeout, cold_start_timeout, cost } = autoscale;
    section.given("autoscale.target", self::target(target));
    section.add("autoscale.mode", mode, &ScaleMode::Act, word);
    bounds(terms, &mut section);
    let usual: Vec<ScalePolicy> = pool.max_connections.map(defaults::scale_policy).into_iter().collect();
    for policy in &terms.policies {
        // The only policy that is there without a word is that of a list which names none.
        let source = if terms.policies == usual { Source::Default } else { Source::Pool };
        let name = format!("autoscale.policies.{}", policy.name);
        section.policies.push(Policy { name: name.into(), value: self::policy(policy), source });
    }
    behavior(terms, &mut section);
    panic(terms, &mut section);
    forecast(terms.forecast.as_ref(), &mut section);
    section.add("autoscale.missing_after", &terms.missing_after, &Terms::default().missing_after, duration);
    section.add("autoscale.fallback", &terms.fallback, &Terms::default().fallback, |fallback| match fallback {
        Fallback::Replicas(count) => count.to_string(),
        other => word(other),
    });
    section.add("autoscale.drain.timeout", drain_timeout, &defaults::REPLICA_DRAIN, duration);
    section.add("autoscale.cold_start_timeout", cold_start_timeout, &defaults::COLD_START_TIMEOUT, duration);
    section.add("autoscale.cost", cost, &None, |cost| match cost {
        None => "not known".to_owned(),
        Some(cost) => format!("{} {} an hour for each replica", cost.replica_hour, cost.currency),
    });
}

fn target(target: &Target) -> String {
    match target {
        Target::Kubernetes(Workload { kind, name, namespace: Some(namespace), .. }) => {
            format!("kubernetes: {kind} {name} in {namespace}")
        }
        Target::Kubernetes(Workload { kind, name, .. }) => format!("kubernetes: {kind} {name}"),
        Target::Docker(container) => format!("docker: {} on port {}", container.image, container.port),
        // Without the environment, which may hold secrets.
        Target::Process(program) => format!("process: {}", program.command.join(" ")),
    }
}

fn bounds(terms: &Terms, section: &mut Section<'_>) {
    section.add("autoscale.min_replicas", &terms.min_replicas, &Terms::default().min_replicas, number);
    section.add("autoscale.max_replicas", &terms.max_replicas, &Terms::default().max_replicas.max(terms.min_replicas), number);
    if terms.min_replicas == 0 {
        section.add("autoscale.idle_after", &terms.idle_after, &Terms::default().idle_after, duration);
    }
    section.add("autoscale.interval", &terms.interval, &Terms::default().interval, duration);
}

fn policy(policy: &ScalePolicy) -> String {
    let measured =
        |meter: &Meter| format!("{} of {}, priority {}", word(&meter.aggregation), duration(&meter.window), policy.priority);
    match &policy.rule {
        ScaleRule::Target { meter, target } => {
            format!("{} {} for each replica, {}", amount(meter, *target), signal(&meter.signal), measured(meter))
        }
        ScaleRule::Threshold { meter, up, down, step_up, step_down, weight } => {
            let step = |step: u32| (f64::from(step) * weight).round().max(1.0);
            let up = up.map(|up| format!(" above {} adds {},", amount(meter, up), step(*step_up)));
            let down = down.map(|down| format!(" below {} takes {},", amount(meter, down), step(*step_down)));
            let bounds = [up, down].into_iter().flatten().collect::<String>();
            format!("{}{bounds} {}", signal(&meter.signal), measured(meter))
        }
        ScaleRule::Schedule { cron, time_zone, lasts, min_replicas, max_replicas } => {
            let min = min_replicas.map(|min| format!(", at least {min} replicas")).unwrap_or_default();
            let max = max_replicas.map(|max| format!(", at most {max} replicas")).unwrap_or_default();
            format!("{cron} in {time_zone} for {}{min}{max}", duration(lasts))
        }
    }
}

fn signal(signal: &Signal) -> String {
    match signal {
        Signal::Custom(metric) => format!("custom {metric}"),
        Signal::Promql { query, .. } => query.clone(),
        other => other.as_str().to_owned(),
    }
}

/// Shows a value of a signal as it is written in the file.
fn amount(meter: &Meter, value: f64) -> String {
    match &meter.signal {
        _ if meter.aggregation == Aggregation::Count => value.to_string(),
        Signal::ResponseTime | Signal::FirstByte | Signal::QueueWait => seconds(value),
        Signal::ErrorRate | Signal::CpuUtilization | Signal::MemoryUtilization => percent(value),
        Signal::Concurrency | Signal::RequestRate | Signal::QueueDepth | Signal::Custom(_) | Signal::Promql { .. } => {
            value.to_string()
        }
    }
}

fn seconds(value: f64) -> String {
    std::time::Duration::try_from_secs_f64(value).map_or_else(|_| format!("{value}s"), |time| duration(&time))
}

fn behavior(terms: &Terms, section: &mut Section<'_>) {
    let (up, default) = (&terms.scale_up, ScaleUp::default());
    section.add("autoscale.behavior.scale_up.cooldown", &up.cooldown, &default.cooldown, duration);
    section.add("autoscale.behavior.scale_up.max_step", &up.max_step, &default.max_step, step);
    section.add("autoscale.behavior.scale_up.stabilization", &up.stabilization, &default.stabilization, duration);
    let (down, default) = (&terms.scale_down, ScaleDown::default());
    section.add("autoscale.behavior.scale_down.cooldown", &down.cooldown, &default.cooldown, duration);
    section.add("autoscale.behavior.scale_down.max_step", &down.max_step, &default.max_step, step);
    section.add("autoscale.behavior.scale_down.stabilization", &down.stabilization, &default.stabilization, duration);
    section.add("autoscale.behavior.scale_down.sustained", &down.sustained, &default.sustained, duration);
    section.add("autoscale.behavior.tolerance", &terms.tolerance, &Terms::default().tolerance, |ratio| percent(*ratio));
    let events = (&terms.max_events_per_hour, &Terms::default().max_events_per_hour);
    section.add("autoscale.behavior.max_events_per_hour", events.0, events.1, number);
}

fn step(step: &Option<Step>) -> String {
    match step {
        None => none(),
        Some(Step::Replicas(count)) => count.to_string(),
        Some(Step::Share(share)) => percent(*share),
    }
}

fn panic(terms: &Terms, section: &mut Section<'_>) {
    let default = Panic::default();
    let usual = Panic { window: default.window.max(terms.interval), ..default };
    section.add("autoscale.panic", &terms.panic, &Some(usual), |panic| match panic {
        None => off(),
        Some(panic) => {
            format!("from {} of what the ready replicas are for, over {}", percent(panic.threshold), duration(&panic.window))
        }
    });
}

fn forecast(forecast: Option<&Forecast>, section: &mut Section<'_>) {
    let Some(forecast) = forecast else { return section.given("autoscale.forecast", off()) };
    let default = Forecast::default();
    section.add("autoscale.forecast.mode", &forecast.mode, &default.mode, word);
    section.add("autoscale.forecast.horizon", &forecast.horizon, &default.horizon, duration);
    let seasons = |forecast: &Forecast| (forecast.daily, forecast.weekly);
    section.add("autoscale.forecast.season", &seasons(forecast), &seasons(&default), |(daily, weekly)| {
        let all = [(*daily, "daily"), (*weekly, "weekly")];
        let given: Vec<&str> = all.into_iter().filter(|(is_given, _)| *is_given).map(|(_, word)| word).collect();
        list(&given, number)
    });
    section.add("autoscale.forecast.confidence", &forecast.confidence, &default.confidence, |ratio| percent(*ratio));
    section.add("autoscale.forecast.quantile", &forecast.quantile, &default.quantile, |ratio| {
        format!("p{}", percent(*ratio).trim_end_matches('%'))
    });
}
