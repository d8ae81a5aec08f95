//! `status`: asks the admin server of a running Tidegate, and shows its state, its pools and their endpoints.
//!
//! Other versions may say more or less than this one knows: what is unknown is shown by its name, what is missing as `-`.

use std::env;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::args;
use super::fetch::Server;
use super::output;
use super::table::{Side, Table};

/// What is sent to the admin server as bearer token, when it is set.
const TOKEN_VARIABLE: &str = "TIDEGATE_ADMIN_TOKEN";

/// What is shown for a figure that there is none of.
const NOTHING: &str = "-";

/// The answers of the admin server.
#[derive(Debug, Serialize)]
struct Report {
    status: Value,
    pools: Value,
}

/// Asks, and shows the answers.
///
/// # Errors
/// When the admin server cannot be asked, or refuses.
pub(super) fn run(arguments: &args::Status) -> anyhow::Result<()> {
    let token = env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let server = Server::new(&arguments.admin, token.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let status = server.get("/api/v1/status").await?;
        let pools = server.get("/api/v1/pools").await?;
        anyhow::Ok(Report { status, pools })
    })?;
    output::show_as(arguments.format, &report)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        facts(&self.status).fmt(f)?;
        for pool in self.pools.as_array().into_iter().flatten() {
            let name = shown(pool.get("name")).replace(char::is_control, "?");
            let strategy = shown(pool.get("strategy")).replace(char::is_control, "?");
            write!(f, "\npool {name}, {strategy}{}\n{}", waiting(pool), endpoints(pool))?;
        }
        Ok(())
    }
}

/// Shows what is known of the process: its plain figures, whether it is ready, and its listeners.
fn facts(status: &Value) -> Table<2> {
    let mut facts = Table::new([("STATUS", Side::Left), ("", Side::Left)]);
    let plain = status.as_object().into_iter().flatten().filter(|(_, value)| !value.is_object() && !value.is_array());
    for (name, value) in plain {
        facts.push([name.replace('_', " "), shown(Some(value))]);
    }
    if let Some(readiness) = status.get("readiness") {
        let why = shown(readiness.get("reasons"));
        let ready = shown(readiness.get("ready"));
        facts.push(["ready".to_owned(), if why.is_empty() { ready } else { format!("{ready}: {why}") }]);
    }
    for listener in status.get("listeners").and_then(Value::as_array).into_iter().flatten() {
        facts.push([format!("listener {}", shown(listener.get("name"))), connections(listener)]);
    }
    facts
}

/// Shows where a listener is, how many connections it has, how many wait for a place, and how many guards have cut.
fn connections(listener: &Value) -> String {
    let figure = |name: &str| listener.get(name).and_then(Value::as_u64);
    let limit = figure("max_connections").map_or_else(String::new, |limit| format!(" of {limit}"));
    let waiting = figure("waiting").map_or_else(String::new, |waiting| format!(", {waiting} waiting"));
    let cuts = listener.get("cut_total").and_then(Value::as_object);
    let sum = |cuts: &serde_json::Map<String, Value>| cuts.values().filter_map(Value::as_u64).sum::<u64>();
    let cut = cuts.map_or_else(String::new, |cuts| format!(", {} cut", sum(cuts)));
    format!("{}, {}{limit} connections{waiting}{cut}", shown(listener.get("address")), shown(listener.get("connections")))
}

/// Tells how many requests wait for a slot; nothing when the pool has no queue.
fn waiting(pool: &Value) -> String {
    let figure = |name: &str| pool.get("queue").and_then(|queue| queue.get(name)).and_then(Value::as_u64);
    figure("waiting")
        .zip(figure("capacity"))
        .map_or_else(String::new, |(waiting, capacity)| format!(", {waiting} of {capacity} waiting"))
}

fn endpoints(pool: &Value) -> Table<12> {
    let mut table = Table::new([
        ("ENDPOINT", Side::Left),
        ("ADDRESS", Side::Left),
        ("STATE", Side::Left),
        ("HEALTH", Side::Left),
        ("BREAKER", Side::Left),
        ("WEIGHT", Side::Right),
        ("IN FLIGHT", Side::Right),
        ("ATTEMPTS", Side::Right),
        ("FAILED", Side::Right),
        ("P50", Side::Right),
        ("P95", Side::Right),
        ("P99", Side::Right),
    ]);
    for endpoint in pool.get("endpoints").and_then(Value::as_array).into_iter().flatten() {
        let figure = |name: &str| shown(endpoint.get(name));
        let time = |name: &str| milliseconds(endpoint.pointer(&format!("/response_time/{name}")));
        table.push([
            figure("id"),
            figure("address"),
            state(endpoint),
            shown(endpoint.pointer("/health/state")),
            shown(endpoint.pointer("/breaker/state")),
            figure("effective_weight"),
            figure("in_flight"),
            figure("attempts"),
            figure("failed"),
            time("p50"),
            time("p95"),
            time("p99"),
        ]);
    }
    table
}

/// Shows the state, with its causes when there are any.
fn state(endpoint: &Value) -> String {
    let state = shown(endpoint.get("state"));
    match endpoint.get("causes").and_then(Value::as_array) {
        Some(causes) if !causes.is_empty() => format!("{state} ({})", shown(endpoint.get("causes"))),
        _ => state,
    }
}

/// Shows a value: texts as they are, lists by their items, no value as [`NOTHING`].
fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(" "),
        Some(Value::Number(number)) => match number.as_f64() {
            // The weight 1 comes as 1.0; hundredths are what a weight has, and enough for the others.
            Some(number) if number.fract() != 0.0 => format!("{number:.2}"),
            Some(number) => number.to_string(),
            None => number.to_string(),
        },
        Some(other) => other.to_string(),
    }
}

/// Shows seconds as milliseconds.
fn milliseconds(value: Option<&Value>) -> String {
    value.and_then(Value::as_f64).map_or_else(|| NOTHING.to_owned(), |seconds| format!("{:.1} ms", seconds * 1000.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_for_each_endpoint_shows_its_state_and_figures() {
        let endpoint = json!({
            "id": "fast", "address": "127.0.0.1:7", "state": "unavailable", "causes": ["ejected", "breaker"], "effective_weight": 1.0,
            "health": { "state": "degraded" }, "breaker": { "state": "open" },
            "in_flight": 3, "attempts": 1200, "failed": 2, "response_time": { "p50": 0.0205, "p95": 0.03, "p99": 1.5 },
        });
        let queue = json!({ "waiting": 7, "capacity": 1000 });
        let unchecked = json!({ "id": "new", "health": null });
        let pools = json!([{ "name": "agents", "strategy": "round_robin", "queue": queue, "endpoints": [endpoint, unchecked] }]);
        let status = json!({
            "uptime_seconds": 5.128,
            "readiness": { "ready": false, "reasons": ["stopping"] },
            "listeners": [
                { "name": "public", "address": "127.0.0.1:8080", "connections": 4 },
                { "name": "safe", "address": "127.0.0.1:8443", "connections": 5, "max_connections": 5, "waiting": 2, "cut_total": { "write": 3, "header": 4 } },
            ],
        });
        let expected = "\
STATUS
uptime seconds   5.13
ready            false: stopping
listener public  127.0.0.1:8080, 4 connections
listener safe    127.0.0.1:8443, 5 of 5 connections, 2 waiting, 7 cut

pool agents, round_robin, 7 of 1000 waiting
ENDPOINT  ADDRESS      STATE                          HEALTH    BREAKER  WEIGHT  IN FLIGHT  ATTEMPTS  FAILED      P50      P95        P99
fast      127.0.0.1:7  unavailable (ejected breaker)  degraded  open          1          3      1200       2  20.5 ms  30.0 ms  1500.0 ms
new       -            -                              -         -             -          -         -       -        -        -          -
";
        assert_eq!(Report { status, pools }.to_string(), expected);
    }

    #[test]
    fn an_answer_of_another_shape_is_shown_as_far_as_it_goes() {
        for strange in [json!(null), json!(5), json!([5]), json!([{ "endpoints": 7 }]), json!({ "listeners": 7 })] {
            let report = Report { status: strange.clone(), pools: strange };
            assert!(report.to_string().starts_with("STATUS"));
        }
    }
}
