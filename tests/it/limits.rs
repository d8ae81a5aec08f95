//! The limit on connections, and the access log.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;

use crate::client::{ask, request_with};
use crate::lab::{Endpoint, Http1, Lab, full, raw, request, soon};
use crate::wire::nobody;

/// A proxy with an access log in a file, which is whole when the proxy has been drained.
struct Logged {
    lab: Lab,
    folder: TempDir,
}

impl Logged {
    /// Routes `/coder` to an agent, and `/gone` to one that is not there.
    async fn start(format: &str, agent: &Endpoint) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let lab = Lab::start(&format!(
            "listeners: [{{ name: public, bind: 127.0.0.1:0 }}]\n\
             routes:\n\
             - {{ name: coder, match: {{ path: {{ prefix: /coder }} }}, pool: agents }}\n\
             - {{ name: gone, match: {{ path: {{ prefix: /gone }} }}, pool: gone, retry: off }}\n\
             pools:\n\
             \x20 agents: {{ endpoints: [{{ id: a, address: \"{}\" }}] }}\n\
             \x20 gone: {{ circuit_breaker: off, endpoints: [{{ id: nobody, address: \"{}\" }}] }}\n\
             telemetry: {{ access_log: {{ format: {format}, path: \"{}\" }} }}\n",
            agent.address,
            nobody(),
            path.display()
        ))
        .await;
        Self { lab, folder }
    }

    async fn lines(self) -> Vec<String> {
        soon(self.lab.proxy.drain()).await;
        read(&self.folder.path().join("access.log"))
    }

    async fn json_lines(self) -> Vec<Value> {
        self.lines().await.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }
}

fn read(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).expect("the access log should be there").lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_above_the_limit_wait_and_are_served_when_one_leaves() {
    let (seen, mut paths) = unbounded_channel();
    let endpoint = Endpoint::start(move |request: http::Request<_>| {
        let _ = seen.send(request.uri().path().to_owned());
        async { Response::new(full("here")) }
    })
    .await;
    let lab = Lab::start(&format!(
        "workers: 1\n\
         listeners: [{{ name: public, bind: 127.0.0.1:0, pool: agents, limits: {{ connections: 2 }} }}]\n\
         pools: {{ agents: {{ endpoints: [\"{}\"] }} }}\n",
        endpoint.address
    ))
    .await;
    let mut first = Http1::connect(lab.address()).await;
    let mut second = Http1::connect(lab.address()).await;
    first.ask(request("/first")).await;
    second.ask(request("/second")).await;
    let [mut third, mut fourth] = [Http1::connect(lab.address()).await, Http1::connect(lab.address()).await];
    let third = tokio::spawn(async move { (third.ask(request("/third")).await.status(), third) });
    let fourth = tokio::spawn(async move { fourth.ask(request("/fourth")).await.status() });
    for _ in 0..50 {
        assert_eq!(first.ask(request("/first")).await.status(), 200);
        assert_eq!(second.ask(request("/second")).await.status(), 200);
    }
    let so_far: Vec<String> = std::iter::from_fn(|| paths.try_recv().ok()).collect();
    assert!(so_far.iter().all(|path| path == "/first" || path == "/second"), "{so_far:?}");
    assert_eq!(so_far.len(), 102);
    assert!(lab.metrics().await.contains("tidegate_connections_open{listener=\"public\"} 2"));

    drop(first);
    let (status, third) = soon(third).await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(paths.recv().await.as_deref(), Some("/third"), "those that wait come in their order");
    second.ask(request("/second")).await;
    assert_eq!(paths.recv().await.as_deref(), Some("/second"));
    assert!(paths.try_recv().is_err(), "one left, so one came");
    drop(third);
    assert_eq!(soon(fourth).await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_tells_everything_of_a_request_but_its_query() {
    let agent = Endpoint::named("done").await;
    let logged = Logged::start("json", &agent).await;
    let fields = [("user-agent", "test \"1\""), ("x-request-id", "id-7")];
    let answer = ask(logged.lab.address(), request_with(Method::POST, "/coder/run?key=hidden", &fields, "hello")).await;
    assert_eq!(answer.text, "done");
    let lines = logged.json_lines().await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let expected = [
        ("listener", json!("public")),
        ("route", json!("coder")),
        ("pool", json!("agents")),
        ("endpoint", json!("a")),
        ("method", json!("POST")),
        ("host", json!("agents.example.com")),
        ("path", json!("/coder/run")),
        ("protocol", json!("HTTP/1.1")),
        ("status", json!(200)),
        ("outcome", json!("completed")),
        ("user_agent", json!("test \"1\"")),
        ("bytes_in", json!(5)),
        ("bytes_out", json!(4)),
        ("attempts", json!(1)),
    ];
    for (name, value) in expected {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert!(line.get("reason").is_none() && !line.to_string().contains("hidden"), "{line}");
    assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    assert!(line["client"].as_str().is_some_and(|client| client.starts_with("127.0.0.1:")), "{line}");
    assert_eq!(line["request_id"], "id-7", "{line}");
    let [duration, first_byte] = ["duration_ms", "first_byte_ms"].map(|name| line[name].as_f64().expect("a number"));
    assert!(first_byte > 0.0 && duration >= first_byte, "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_says_why_a_request_failed() {
    let agent = Endpoint::named("done").await;
    let logged = Logged::start("json", &agent).await;
    let address = logged.lab.address();
    for path in ["/nowhere", "/gone"] {
        ask(address, request(path)).await;
    }
    raw(address, b"GET /coder HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let lines = logged.json_lines().await;
    let told =
        |line: &Value| ["status", "outcome", "reason", "route", "endpoint", "attempts", "path"].map(|name| line[name].clone());
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            [json!(404), json!("failed"), json!("no_route"), Value::Null, Value::Null, json!(0), json!("/nowhere")],
            [json!(502), json!("failed"), json!("connection_refused"), json!("gone"), json!("nobody"), json!(1), json!("/gone")],
            [json!(400), json!("failed"), json!("ambiguous_framing"), Value::Null, Value::Null, json!(0), json!("-")],
        ],
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_tells_of_a_client_that_left() {
    let (arrived, mut arrivals) = unbounded_channel();
    let agent = Endpoint::start(move |_| {
        let _ = arrived.send(());
        std::future::pending::<Response<crate::lab::Body>>()
    })
    .await;
    let logged = Logged::start("json", &agent).await;
    let mut client = Http1::connect(logged.lab.address()).await;
    let asking = tokio::spawn(async move { client.send(request("/coder")).await.is_ok() });
    soon(arrivals.recv()).await.expect("the request should arrive");
    asking.abort();
    let lines = logged.json_lines().await;
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(
        ["status", "outcome", "reason"].map(|name| line[name].clone()),
        [json!(499), json!("aborted"), json!("client_abort")]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_as_text_is_one_line_for_people() {
    let agent = Endpoint::start(|_| async { Response::new(full(Bytes::from_static(b"done"))) }).await;
    let logged = Logged::start("text", &agent).await;
    let address = logged.lab.address();
    ask(address, request_with(Method::POST, "/coder/run?key=hidden", &[("x-request-id", "id-7")], "hello")).await;
    ask(address, request("/nowhere")).await;
    let lines = logged.lines().await;
    let [good, bad] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(good.contains(" public coder a \"POST /coder/run HTTP/1.1\" 200 completed 5 4 "), "{good}");
    assert!(good.contains("ms agents.example.com ") && good.ends_with(" id-7"), "{good}");
    assert!(bad.contains(" public - - \"GET /nowhere HTTP/1.1\" 404 no_route 0 "), "{bad}");
}
