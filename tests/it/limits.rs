//! Limits, the access log and the metrics page, as an operator meets them.

use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::agent::Agent;
use crate::client::{Http2, ask, request_http2, request_with};
use crate::lab::{Endpoint, Http1, Lab, get, raw, request, soon};

fn config(address: std::net::SocketAddr, listener: &str, rest: &str) -> String {
    format!(
        "listeners: [{{ name: public, bind: 127.0.0.1:0{listener} }}]\n\
         routes: [{{ name: agents, match: {{ path: /agents }}, pool: agents }}]\n\
         pools: {{ agents: {{ endpoints: [{{ id: a, address: {address} }}] }} }}\n{rest}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_above_the_limit_waits_and_is_served_when_one_leaves() {
    let endpoint = Endpoint::named("a").await;
    let lab = Lab::start(&config(endpoint.address, ", limits: { connections: 2 }", "")).await;
    let [mut first, mut second] = [Http1::connect(lab.address()).await, Http1::connect(lab.address()).await];
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(request("/agents")).await.status(), 200);
    }
    let mut third = TcpStream::connect(lab.address()).await.expect("the backlog takes it");
    third.write_all(b"GET /agents HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    for _ in 0..20 {
        assert_eq!(first.ask(request("/agents")).await.status(), 200);
    }
    let page = lab.metrics().await;
    assert!(page.contains("tidegate_connections_open{listener=\"public\"} 2"), "the third should wait: {page}");
    assert!(matches!(third.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock));
    drop(second);
    let mut answer = String::new();
    soon(third.read_to_string(&mut answer)).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// Waits until the log has this many lines, and returns them.
async fn lines(path: &Path, count: usize) -> Vec<Value> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    soon(async {
        while read().lines().count() < count {
            tokio::task::yield_now().await
        }
    })
    .await;
    read().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

struct Logged {
    lab: Lab,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

async fn logged(address: std::net::SocketAddr) -> Logged {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let rest = format!("telemetry: {{ access_log: {{ format: json, path: {} }} }}", path.display());
    Logged { lab: Lab::start(&config(address, "", &rest)).await, path, _folder: folder }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_has_one_line_that_says_how_it_ended() {
    let endpoint = Endpoint::named("four").await;
    let logged = logged(endpoint.address).await;
    let address = logged.lab.address();
    let fields = [("x-request-id", "id-1"), ("user-agent", "test \"quoted\"")];
    ask(address, request_with(Method::POST, "/agents/x?secret=1", &fields, "body!")).await;
    let line = &lines(&logged.path, 1).await[0];
    for (key, expected) in [
        ("listener", Value::from("public")),
        ("route", "agents".into()),
        ("pool", "agents".into()),
        ("endpoint", "a".into()),
        ("method", "POST".into()),
        ("host", "agents.example.com".into()),
        ("path", "/agents/x".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 200.into()),
        ("outcome", "completed".into()),
        ("request_id", "id-1".into()),
        ("user_agent", "test \"quoted\"".into()),
        ("bytes_in", 5.into()),
        ("bytes_out", 4.into()),
        ("attempts", 1.into()),
    ] {
        assert_eq!(line[key], expected, "{key}: {line}");
    }
    assert!(line["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    assert!(line["first_byte_ms"].as_f64() <= line["duration_ms"].as_f64(), "{line}");
    assert!(!line.to_string().contains("secret"), "a query may hold a key and is not logged: {line}");

    get(address, "/nowhere").await;
    Http2::connect(address).await.ask(request_http2("/agents")).await;
    raw(address, b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n").await;
    let lines = lines(&logged.path, 4).await;
    assert_eq!((&lines[1]["status"], &lines[1]["reason"]), (&404.into(), &"no_route".into()), "{}", lines[1]);
    assert_eq!((&lines[1]["outcome"], lines[1].get("pool")), (&"failed".into(), None), "{}", lines[1]);
    assert_eq!((&lines[2]["protocol"], lines[2].get("reason")), (&"HTTP/2.0".into(), None), "{}", lines[2]);
    assert_eq!((&lines[3]["status"], &lines[3]["reason"]), (&400.into(), &"invalid_host".into()), "{}", lines[3]);
    assert_eq!((&lines[3]["method"], &lines[3]["path"]), (&"-".into(), &"-".into()), "{}", lines[3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_and_an_endpoint_that_is_not_there_have_their_lines() {
    let mut agent = Agent::start().await;
    let logged = logged(agent.address).await;
    let mut client = Http1::connect(logged.lab.address()).await;
    let stream = client.send(request("/agents")).await.unwrap();
    let say = agent.next().await;
    drop((stream, client));
    let line = &lines(&logged.path, 1).await[0];
    assert_eq!(
        (&line["status"], &line["outcome"], &line["reason"]),
        (&200.into(), &"aborted".into(), &"client_abort".into()),
        "{line}"
    );
    drop((say, agent));
    let refused = get(logged.lab.address(), "/agents").await;
    let line = &lines(&logged.path, 2).await[1];
    assert_eq!((refused.status(), &line["status"], &line["outcome"]), (502, &502.into(), &"failed".into()), "{line}");
    assert_eq!((&line["reason"], &line["endpoint"]), (&"connection_refused".into(), &"a".into()), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_that_are_lost_are_counted() {
    let endpoint = Endpoint::named("a").await;
    let rest = "telemetry: { access_log: { path: /dev/full } }";
    let lab = Lab::start(&config(endpoint.address, "", rest)).await;
    assert_eq!(get(lab.address(), "/agents").await.text, "a");
    soon(async { while !lab.metrics().await.contains("\ntidegate_access_log_dropped_total 1\n") {} }).await;
}

/// Makes traffic of every kind, so that every family has a sample.
async fn traffic(lab: &Lab) {
    get(lab.address(), "/agents").await;
    get(lab.address(), "/nowhere").await;
    Http2::connect(lab.address()).await.ask(request_http2("/agents")).await;
    ask(lab.address(), request_with(Method::POST, "/agents", &[], "body")).await;
}

fn families(page: &str) -> Vec<(&str, &str)> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_family_of_metrics_is_in_the_reference_and_no_other() {
    let endpoint = Endpoint::named("a").await;
    let lab = Lab::start(&config(endpoint.address, "", "")).await;
    traffic(&lab).await;
    let page = lab.metrics().await;
    let reference = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/observability.md")).unwrap();
    let rows: Vec<Vec<&str>> = reference
        .lines()
        .filter(|line| line.starts_with("| `tidegate_"))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    for (name, kind) in families(&page) {
        let row = rows.iter().find(|row| row[1] == name).unwrap_or_else(|| panic!("docs/observability.md does not tell {name}"));
        assert_eq!(row[2], kind, "{name}");
    }
    for row in &rows {
        assert!(families(&page).iter().any(|(name, _)| *name == row[1]), "there is no {}", row[1]);
    }
    let keys = reference.lines().filter(|line| line.starts_with("| `")).count();
    assert!(keys > rows.len(), "the fields of the access log are there too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_page_is_well_formed_and_counts_what_happened() {
    let endpoint = Endpoint::named("a").await;
    let lab = Lab::start(&config(endpoint.address, "", "")).await;
    traffic(&lab).await;
    let page = lab.metrics().await;
    let names = families(&page);
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "a family is there once");
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = series.split('{').next().unwrap_or_default();
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let known = |name: &str| names.iter().any(|(family, _)| *family == name);
        assert!(known(name) || base.is_some_and(known), "{line}");
    }
    for sample in [
        "tidegate_requests_total{listener=\"public\",route=\"agents\",status_class=\"2xx\"} 3",
        "tidegate_requests_total{listener=\"public\",route=\"\",status_class=\"4xx\"} 1",
        "tidegate_request_failures_total{listener=\"public\",route=\"\",reason=\"no_route\"} 1",
        "tidegate_request_body_bytes_total{listener=\"public\",route=\"agents\"} 4",
        "tidegate_response_body_bytes_total{listener=\"public\",route=\"agents\"} 3",
        "tidegate_request_duration_seconds_count{listener=\"public\",route=\"agents\"} 3",
        "tidegate_attempts_total{pool=\"agents\",endpoint=\"a\",outcome=\"completed\"} 3",
        "tidegate_connections_protocol_total{listener=\"public\",protocol=\"http2\"} 1",
        "tidegate_connections_total{listener=\"public\"} 4",
        "tidegate_endpoint_available{pool=\"agents\",endpoint=\"a\"} 1",
        "tidegate_config_generation 1",
    ] {
        assert!(page.contains(&format!("\n{sample}\n")), "{sample} is missing:\n{page}");
    }
}
