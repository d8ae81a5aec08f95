//! Sizing from end to end: a proxy, real agents as its replicas, real requests, and what the admin server tells of all that.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Method, Request};
use hyper::body::Incoming;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;

use crate::agent::{body_in_hand, piece};
use crate::client::{admin, request_with};
use crate::lab::{Answer, Body, Http1, Lab, PATIENCE, soon};
use crate::stage::{Client, answer, get, send, send_it};
use crate::written::Written;

/// How often it is looked how the sizing stands.
const PACE: Duration = Duration::from_millis(20);

const AGENT: &str = env!("CARGO_BIN_EXE_tidegate");

/// A pool whose replicas are agents that take `delay` milliseconds.
struct Plan {
    folder: TempDir,
    delay: u32,
    pool: &'static str,
    scaling: &'static str,
    route: &'static str,
    extra: &'static str,
}

impl Plan {
    /// Sizing that has neither a memory nor patience, with these keys more.
    fn new(scaling: &'static str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), delay: 0, pool: "", scaling, route: "", extra: "" }
    }

    fn delay(self, delay: u32) -> Self {
        Self { delay, ..self }
    }

    fn pool(self, pool: &'static str) -> Self {
        Self { pool, ..self }
    }

    fn route(self, route: &'static str) -> Self {
        Self { route, ..self }
    }

    fn yaml(&self) -> String {
        let Self { folder, delay, pool, scaling, route, extra } = self;
        let folder = folder.path().display();
        format!(
            "workers: 2\n\
             storage: {{ path: \"{folder}\" }}\n\
             listeners: [{{ name: public, bind: \"127.0.0.1:0\" }}]\n\
             routes: [{{ name: all, pool: agents{route} }}]\n\
             pools:\n  \
               agents:\n    \
                 queue: 200\n\
                 {pool}\n    \
                 autoscale:\n      \
                   target: {{ process: {{ command: [{AGENT}, agent, --port, '{{port}}', --name, '{{name}}{extra}', --delay, '{delay}'] }} }}\n      \
                   interval: 100ms\n      \
                   panic: off\n      \
                   behavior:\n        \
                     scale_up: {{ cooldown: 0s }}\n        \
                     scale_down: {{ cooldown: 0s, stabilization: 0s, sustained: 0s }}\n        \
                     max_events_per_hour: 3600\n\
                 {scaling}\n"
        )
    }

    async fn start(self) -> Sized {
        let written = Written::start(&self.yaml()).await;
        Sized { written, plan: self }
    }
}

/// A proxy with a pool that is sized.
struct Sized {
    written: Written,
    plan: Plan,
}

impl Sized {
    fn lab(&self) -> &Lab {
        &self.written.lab
    }

    async fn page(&self, path: &str) -> Answer {
        crate::lab::get(self.lab().admin(), path).await
    }

    /// Returns how the sizing stands.
    async fn standing(&self) -> Value {
        self.page("/api/v1/pools/agents/autoscale").await.json()
    }

    /// Waits until it stands so.
    async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        // A pace, so that asking does not take the machine from those who are asked about.
        let mut pace = tokio::time::interval(PACE);
        let seen = async {
            loop {
                pace.tick().await;
                let standing = self.standing().await;
                if is_so(&standing) {
                    return standing;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, seen).await {
            Ok(standing) => standing,
            Err(_) => panic!("{what}: {:#}\n{:#}", self.standing().await, Value::from(self.told().await)),
        }
    }

    /// Waits until so many replicas serve, and there is no other one.
    async fn until_ready(&self, count: usize) -> Value {
        self.until(&format!("{count} should be ready"), |standing| {
            let shown = standing["shown"].as_array().unwrap();
            let is_ready = |replica: &Value| replica["phase"] == "ready" && replica["leaving"].is_null();
            standing["replicas"]["desired"] == count && shown.len() == count && shown.iter().all(is_ready)
        })
        .await
    }

    /// Returns the decisions in their order.
    async fn decisions(&self) -> Vec<Value> {
        let page = self.page("/api/v1/pools/agents/autoscale/decisions?limit=1000").await.json();
        page.as_array().unwrap().iter().rev().cloned().collect()
    }

    /// Returns each decision in short.
    async fn told(&self) -> Vec<String> {
        let short = |entry: &Value| format!("{} {}", entry["input"]["replicas"], entry["decision"]["reason"]);
        self.decisions().await.iter().map(short).collect()
    }

    /// Returns the decisions that changed something: from, to and why.
    async fn changes(&self) -> Vec<(u64, u64, Value)> {
        let change = |entry: &Value| {
            let decision = &entry["decision"];
            (decision["from"].as_u64().unwrap(), decision["to"].as_u64().unwrap(), decision["trigger"].clone())
        };
        let mut changes: Vec<_> = self.decisions().await.iter().map(change).filter(|(from, to, _)| from != to).collect();
        // Repeated while the platform is at it.
        changes.dedup();
        changes
    }

    async fn order(&self, order: Value) {
        let path = "/api/v1/pools/agents/autoscale/order";
        let given = match order {
            Value::Null => admin(self.lab().admin(), Method::DELETE, path, "").await,
            order => admin(self.lab().admin(), Method::PUT, path, &order.to_string()).await,
        };
        assert_eq!(given.status(), 200, "{given:?}");
    }

    /// Opens a stream that says what it is told.
    async fn stream(&self) -> Stream {
        let (say, body) = body_in_hand();
        let mut client = Http1::connect(self.lab().address()).await;
        let request = Request::post("/echo").header("host", "agents.example.com").body(body).unwrap();
        let response = client.send(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let agent = response.headers()["x-agent"].to_str().unwrap().to_owned();
        let mut stream = Stream { say, body: response.into_body(), agent, _client: client };
        stream.goes_on().await;
        stream
    }

    /// Ends the proxy, which must leave no process behind.
    async fn end(self) {
        let standing = self.standing().await;
        let addresses: Vec<SocketAddr> = shown(&standing, "address").iter().map(|address| address.parse().unwrap()).collect();
        soon(self.lab().proxy.drain()).await;
        soon(self.lab().proxy.close()).await;
        for address in addresses {
            crate::client::refused(address).await;
        }
    }
}

fn shown(standing: &Value, field: &str) -> BTreeSet<String> {
    standing["shown"].as_array().unwrap().iter().filter_map(|replica| Some(replica[field].as_str()?.to_owned())).collect()
}

/// A stream through the proxy.
struct Stream {
    say: UnboundedSender<&'static str>,
    body: Incoming,
    agent: String,
    _client: Http1,
}

impl Stream {
    /// Proves that it is not cut.
    async fn goes_on(&mut self) {
        self.say.send("on").unwrap();
        assert_eq!(piece(&mut self.body).await.as_deref(), Some("on"));
    }

    /// Proves that it ends as it should.
    async fn end(mut self) {
        self.goes_on().await;
        drop(self.say);
        assert_eq!(piece(&mut self.body).await, None);
    }
}

async fn all_answered(clients: Vec<Client>) {
    for client in clients {
        let answer = answer(client).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_is_met_by_replicas_that_leave_again_one_by_one() {
    let plan = Plan::new(
        "      max_replicas: 3\n      policies: [{ name: line, signal: queue_depth, target: 3, window: 1s, aggregation: max }]",
    );
    let sized = plan.delay(150).pool("    max_connections: 1").start().await;
    sized.until_ready(1).await;
    let mut stream = sized.stream().await;
    all_answered((0..20).map(|_| send(sized.lab(), "/")).collect()).await;
    stream.goes_on().await;
    let standing = sized.until_ready(1).await;
    assert_eq!(shown(&standing, "name"), BTreeSet::from([stream.agent.clone()]), "who was busy stays");
    let changes = sized.changes().await;
    let ups = changes.iter().take_while(|(from, to, _)| to > from).count();
    let (up, down) = changes.split_at(ups);
    assert_eq!((up[0].0, up[0].1), (0, 1), "the fewest: {changes:?}");
    assert_eq!((up[ups - 1].1, &up[1].2), (3, &json!({ "policy": "line" })), "{changes:?}");
    assert_eq!(down.iter().map(|(from, to, _)| (*from, *to)).collect::<Vec<_>>(), [(3, 2), (2, 1)], "{changes:?}");
    let decisions = sized.decisions().await;
    let first = decisions.iter().find(|entry| entry["decision"]["to"].as_u64() > Some(1)).unwrap();
    assert!(first["input"]["demand"]["queued"].as_u64() > Some(0), "{first:#}");
    assert_eq!(first["carried_out"]["result"], "done");
    assert!(first["carried_out"]["ready_after_ms"].is_u64(), "{first:#}");
    stream.end().await;
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_goes_to_zero_and_comes_back_without_a_failed_request() {
    let rounds = std::env::var("TIDEGATE_ZERO_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(10);
    let sized = Plan::new("      min_replicas: 0\n      max_replicas: 2\n      idle_after: 200ms\n      policies: [{ name: busy, signal: concurrency, target: 8, window: 1s }]").start().await;
    for round in 0..rounds {
        // At every point of the way down: before the last one goes, while it does, and when nobody is there.
        match round % 3 {
            0 => drop(sized.until("none should be there", |standing| standing["shown"] == json!([])).await),
            1 => drop(sized.until("none should be wanted", |standing| standing["replicas"]["desired"] == 0).await),
            _ => drop(sized.until("the last one should leave", |standing| standing["replicas"]["ready"] == 0).await),
        }
        all_answered(vec![send(sized.lab(), "/"), send_it(sized.lab(), request_with(Method::POST, "/echo", &[], "x"))]).await;
    }
    sized.until("none should be there", |standing| standing["shown"] == json!([])).await;
    let changes = sized.changes().await;
    assert!(changes.contains(&(0, 1, "first_request".into())) && changes.contains(&(1, 0, "idle".into())), "{changes:?}");
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_is_cut_by_a_scale_in_and_a_draining_replica_comes_back_first() {
    let sized = Plan::new("      max_replicas: 3\n      policies: [{ name: busy, signal: concurrency, target: 6, window: 1s }]")
        .start()
        .await;
    sized.order(json!({ "replicas": 3 })).await;
    sized.until_ready(3).await;
    let mut streams = Vec::new();
    while streams.iter().map(|stream: &Stream| stream.agent.clone()).collect::<BTreeSet<_>>().len() < 3 {
        streams.push(sized.stream().await);
    }
    sized.order(Value::Null).await;
    sized.until("two should drain", |standing| standing["replicas"]["draining"] == 2).await;
    for stream in &mut streams {
        stream.goes_on().await;
    }
    let mut more = Vec::new();
    for _ in 0..6 {
        more.push(sized.stream().await);
    }
    let standing = sized
        .until("one should be taken back", |standing| standing["taken_back_total"] == 1 && standing["replicas"]["draining"] == 1)
        .await;
    assert_eq!(standing["shown"].as_array().unwrap().len(), 3, "nobody went and nobody was started: {standing:#}");
    let leaving = |standing: &Value| {
        let replicas = standing["shown"].as_array().unwrap().iter();
        replicas.filter(|replica| !replica["leaving"].is_null()).map(|replica| replica["name"].as_str().unwrap().to_owned()).next()
    };
    let gone = leaving(&standing).unwrap();
    for stream in streams.extract_if(.., |stream| stream.agent == gone) {
        stream.end().await;
    }
    let standing = sized
        .until("the one that still drains should go", |standing| {
            standing["shown"].as_array().unwrap().iter().all(|replica| replica["name"] != gone.as_str())
        })
        .await;
    assert_eq!(standing["down_total"], 1, "{standing:#}");
    for stream in streams.into_iter().chain(more) {
        stream.end().await;
    }
    sized.until_ready(1).await;
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_has_the_last_word() {
    let sized = Plan::new("      max_replicas: 4\n      policies: [{ name: busy, signal: concurrency, target: 1, window: 1s }]")
        .start()
        .await;
    sized.order(json!({ "replicas": 3 })).await;
    let standing = sized.until_ready(3).await;
    assert_eq!((&standing["order"]["order"], &standing["decision"]["trigger"]), (&json!({ "replicas": 3 }), &"operator".into()));
    sized.order(Value::Null).await;
    assert!(sized.until_ready(1).await["order"].is_null());
    sized.order(json!({ "paused": true })).await;
    let streams = [sized.stream().await, sized.stream().await, sized.stream().await];
    let standing = sized.until("more should be wanted", |standing| standing["decision"]["wanted"] == 3).await;
    assert_eq!((&standing["decision"]["to"], &standing["replicas"]["desired"]), (&1.into(), &1.into()), "{standing:#}");
    assert_eq!(standing["decision"]["limits"].as_array().unwrap().last().unwrap()["limit"], "paused");
    sized.order(Value::Null).await;
    sized.until_ready(3).await;
    for stream in streams {
        stream.end().await;
    }
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recommendation_is_written_down_and_nothing_else() {
    let sized = Plan::new("      mode: recommend\n      min_replicas: 2").pool("    max_connections: 8").start().await;
    let standing = sized.until("there should be a decision", |standing| standing["decision"]["to"] == 2).await;
    assert_eq!((&standing["mode"], &standing["shown"], &standing["up_total"]), (&"recommend".into(), &json!([]), &0.into()));
    let decided = standing["decisions_total"].as_u64();
    // Long after the platform would have been called.
    let standing = sized.until("it should go on", |standing| standing["decisions_total"].as_u64() > decided.map(|n| n + 5)).await;
    assert_eq!((&standing["shown"], &standing["replicas"]["desired"]), (&json!([]), &0.into()));
    let decisions = sized.decisions().await;
    assert_eq!(decisions.len(), 1, "news once: {decisions:#?}");
    assert_eq!((&decisions[0]["mode"], &decisions[0]["carried_out"]), (&"recommend".into(), &Value::Null));
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_killed_comes_back_and_its_requests_are_told_or_tried_again() {
    let sized = Plan::new("      max_replicas: 1\n      policies: [{ name: busy, signal: concurrency, target: 9, window: 1s }]")
        .delay(500)
        .start()
        .await;
    sized.until_ready(1).await;
    let card = get(sized.lab(), "/").await.json();
    let mut told = sized.stream().await;
    let again = send(sized.lab(), "/");
    crate::stage::until_running(sized.lab(), "all", 2).await;
    let pid = Pid::from_raw(card["pid"].as_i64().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let retried = answer(again).await;
    assert_eq!(retried.status(), 200, "{retried:?}");
    assert_ne!(retried.json()["pid"], card["pid"], "by a new process");
    // What has begun cannot be tried again, and must not look complete.
    let rest = soon(http_body_util::BodyExt::frame(&mut told.body)).await;
    assert!(rest.is_some_and(|frame| frame.is_err()));
    let standing = sized.until_ready(1).await;
    assert_eq!(shown(&standing, "name"), BTreeSet::from(["agents-1".to_owned()]));
    assert_eq!(sized.changes().await, [(0, 1, "bounds".into())], "a crash is no reason to scale");
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_no_longer_sized_ends_its_replicas_when_they_are_empty() {
    let sized = Plan::new("      min_replicas: 2").pool("    max_connections: 8").start().await;
    let standing = sized.until_ready(2).await;
    let addresses: Vec<SocketAddr> = shown(&standing, "address").iter().map(|address| address.parse().unwrap()).collect();
    let mut stream = sized.stream().await;
    let other = crate::lab::Endpoint::named("other").await;
    let mut yaml = sized.plan.yaml();
    yaml.truncate(yaml.find("    autoscale:").unwrap());
    yaml.push_str(&format!("    endpoints: [{{ id: other, address: \"{}\" }}]\n", other.address));
    sized.written.reload(&yaml).await.unwrap();
    assert_eq!(get(sized.lab(), "/").await.text, "other");
    assert_eq!(sized.page("/api/v1/pools/agents/autoscale").await.status(), 404);
    for _ in 0..20 {
        stream.goes_on().await;
    }
    stream.end().await;
    for address in addresses {
        crate::client::refused(address).await;
    }
    soon(sized.lab().proxy.drain()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_command_holds_for_new_replicas_and_leaves_the_old_ones_alone() {
    let mut sized = Plan::new("      min_replicas: 1\n      max_replicas: 3")
        .pool("    max_connections: 8\n    strategy: round_robin")
        .start()
        .await;
    let before = sized.until_ready(1).await;
    let stream = sized.stream().await;
    sized.plan.extra = "-new";
    let yaml = sized.plan.yaml();
    sized.written.reload(&yaml).await.unwrap();
    sized.order(json!({ "replicas": 2 })).await;
    let after = sized.until_ready(2).await;
    assert!(shown(&after, "address").is_superset(&shown(&before, "address")), "{after:#}");
    let mut names = BTreeSet::new();
    while names.len() < 2 {
        names.insert(get(sized.lab(), "/").await.field("x-agent").to_owned());
    }
    assert_eq!(names, BTreeSet::from(["agents-1".to_owned(), "agents-2-new".to_owned()]));
    stream.end().await;
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_decided_can_be_computed_again_and_is_reported() {
    let sized = Plan::new("      max_replicas: 2\n      cost: { replica_hour: 0.5 }\n      policies: [{ name: busy, signal: concurrency, target: 2, window: 1s }]")
        .route(", timeouts: { queue: 10s }")
        .start()
        .await;
    sized.until_ready(1).await;
    let streams = [sized.stream().await, sized.stream().await, sized.stream().await];
    sized.until_ready(2).await;
    for stream in streams {
        stream.end().await;
    }
    sized.until_ready(1).await;
    let decisions = sized.decisions().await;
    assert!(decisions.len() >= 3, "{decisions:#?}");
    for entry in &decisions {
        let again = sized.page(&format!("/api/v1/pools/agents/autoscale/decisions/{}", entry["id"])).await.json();
        assert!(again["difference"].is_null() && again["decision"] == entry["decision"], "{again:#}");
        assert_eq!(again["generation"], 1);
    }
    let report = sized.page("/api/v1/reports/scaling?window=1h").await.json();
    let pool = &report["pools"][0];
    assert_eq!((&pool["pool"], &pool["up"], &pool["down"]), (&"agents".into(), &2.into(), &1.into()), "{report:#}");
    let page = "/api/v1/pools/agents/autoscale/forecast";
    let why = async {
        loop {
            // Made beside the loop.
            let forecast = sized.page(page).await.json();
            if let Some(reason) = forecast["signals"]["concurrency"]["reason"].as_str() {
                return reason.to_owned();
            }
        }
    };
    let why = soon(why).await;
    assert!(why.starts_with("needs 100 points"), "{why}");
    let history = sized.page("/api/v1/pools/agents/autoscale/history").await.json();
    assert_eq!((&history["pool"], &history["step_minutes"]), (&"agents".into(), &1.into()), "{history}");
    let metrics = sized.lab().metrics().await;
    let series = "tidegate_attempts_total{pool=\"agents\",endpoint=\"agents-1\",outcome=\"completed\"}";
    assert!(metrics.lines().any(|line| line.starts_with(series)), "{metrics}");
    sized.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_waits_for_the_first_replica_hears_of_it_and_is_served() {
    let sized = Plan::new(
        "      min_replicas: 0\n      idle_after: 5s\n      policies: [{ name: busy, signal: concurrency, target: 8, window: 1s }]",
    )
    .delay(1500)
    .route(", heartbeat: 1s")
    .start()
    .await;
    let mut client = Http1::connect(sized.lab().address()).await;
    let request: Request<Body> = request_with(Method::GET, "/stream?n=2&every_ms=0", &[("accept", "text/event-stream")], "");
    let heard = client.ask(request).await;
    assert_eq!(heard.status(), 200, "{heard:?}");
    assert!(heard.text.starts_with(": waiting\n\n") && heard.text.ends_with("data: [DONE]\n\n"), "{heard:?}");
    sized.end().await;
}
