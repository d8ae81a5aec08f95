use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use super::check;
use crate::health::testing::{Body, health, listen, no_lookup, serve, serve_tls, soon, target, text, with_trailers};
use crate::health::verdict::{Checked, Finding};
use crate::model::UpstreamProtocol::{Auto, Http1, Http2};
use crate::model::{Health, HttpProbe, JsonField, Probe};
use crate::upstream::Target;

fn probe() -> HttpProbe {
    let expect = vec![(200, 299)];
    HttpProbe { method: Method::GET, path: "/health".to_owned(), host: None, headers: Vec::new(), expect, body: None, json: None }
}

fn asking(probe: HttpProbe) -> Health {
    Health { probe: Probe::Http(probe), ..health() }
}

fn grpc(service: &str) -> Health {
    Health { probe: Probe::Grpc { service: service.to_owned() }, ..health() }
}

async fn ask(health: &Health, target: &Target) -> (Finding, String) {
    let Checked { finding, message, .. } = soon(check(health, target, &no_lookup())).await;
    (finding, message.into())
}

async fn expect(health: &Health, target: &Target, finding: Finding, message: &str) {
    assert_eq!(ask(health, target).await, (finding, message.to_owned()));
}

fn json(body: &'static str) -> Response<Body> {
    let mut response = text(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

fn status(code: u16) -> Response<Body> {
    let mut response = text("no");
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// Answers by the path: each is a case of its own.
fn cases(request: Request<Incoming>) -> Response<Body> {
    match request.uri().path() {
        "/500" => status(500),
        "/304" => status(304),
        "/degraded-field" => {
            let mut response = text("ok");
            response.headers_mut().insert("x-health", HeaderValue::from_static(" Degraded "));
            response
        }
        "/degraded-json" => json(r#"{"status": "degraded"}"#),
        "/degraded-text" => text(r#"{"status": "degraded"}"#),
        "/degraded-500" => {
            let mut response = json(r#"{"status": "degraded"}"#);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
        "/json" => json(r#"{"status": "up", "load": {"free": 3}, "list": [true]}"#),
        "/broken-json" => json(r#"{"status": "#),
        _ => text("all is well here"),
    }
}

#[tokio::test]
async fn an_answer_is_judged_by_status_body_and_json() {
    use Finding::{Bad, Degraded, Ok};
    let field = |pointer: &str, equals: &str| Some(JsonField { pointer: pointer.to_owned(), equals: equals.to_owned() });
    let body = |body: &str| HttpProbe { body: Some(body.to_owned()), ..probe() };
    let with_json = |pointer, equals| HttpProbe { json: field(pointer, equals), ..probe() };
    let statuses = |expect: &[(u16, u16)]| HttpProbe { expect: expect.to_vec(), ..probe() };
    let table = [
        ("/", probe(), Ok, "status 200"),
        ("/500", probe(), Bad, "status 500, expected 200-299"),
        ("/", statuses(&[(204, 204), (300, 399)]), Bad, "status 200, expected 204, 300-399"),
        ("/304", statuses(&[(204, 204), (300, 399)]), Ok, "status 304"),
        ("/", body("is well"), Ok, "status 200"),
        ("/", body("is bad"), Bad, "the body does not contain \"is bad\""),
        ("/json", with_json("/status", "up"), Ok, "status 200"),
        ("/json", with_json("/load/free", "3"), Ok, "status 200"),
        ("/json", with_json("/list", "[true]"), Ok, "status 200"),
        ("/json", with_json("/status", "down"), Bad, "/status is \"up\", expected \"down\""),
        ("/json", with_json("/none", "x"), Bad, "the JSON body has no /none"),
        ("/", with_json("/status", "up"), Bad, "the body is not JSON"),
        ("/broken-json", with_json("/status", "up"), Bad, "the body is not JSON"),
        ("/broken-json", probe(), Ok, "status 200"),
        ("/degraded-field", probe(), Degraded, "status 200, x-health: degraded"),
        ("/degraded-json", probe(), Degraded, "status 200, says that it is degraded"),
        ("/degraded-text", probe(), Ok, "status 200"),
        ("/degraded-text", body("degraded"), Ok, "status 200"),
        ("/degraded-text", with_json("/status", "degraded"), Ok, "status 200"),
        ("/degraded-500", probe(), Bad, "status 500, expected 200-299"),
        ("/degraded-json", HttpProbe { method: Method::HEAD, ..probe() }, Ok, "status 200"),
    ];
    for protocol in [Http1, Http2] {
        let target = serve(protocol, cases).await;
        for (path, probe, finding, message) in &table {
            let probe = HttpProbe { path: (*path).to_owned(), ..probe.clone() };
            assert_eq!(ask(&asking(probe), &target).await, (*finding, (*message).to_owned()), "{path} over {protocol:?}");
        }
    }
}

#[tokio::test]
async fn the_request_is_as_configured_and_says_who_asks() {
    let headers = |names: &[(&'static str, &'static str)]| -> Vec<_> {
        names.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    };
    let asked =
        HttpProbe { method: Method::POST, path: "/a?b=c".to_owned(), headers: headers(&[("x-a", "1"), ("x-a", "2")]), ..probe() };
    for protocol in [Http1, Http2] {
        let target = serve(protocol, |request| {
            let fields = request.headers();
            let all = |name| fields.get_all(name).iter().map(|v: &HeaderValue| v.to_str().unwrap()).collect::<Vec<_>>().join("+");
            let authority = request.uri().authority().map_or_else(|| all("host"), ToString::to_string);
            let path = request.uri().path_and_query().unwrap().clone();
            let seen = format!("{} {path} {} {} {authority}", request.method(), all("user-agent"), all("x-a"));
            text(seen.leak())
        })
        .await;
        let sees = |host: &str, agent: &str| Some(format!("POST /a?b=c {agent} 1+2 {host}"));
        let address = target.address.to_string();
        let plain = HttpProbe { body: sees(&address, "tidegate/health"), ..asked.clone() };
        expect(&asking(plain), &target, Finding::Ok, "status 200").await;
        let named = HttpProbe { host: Some("a.test".to_owned()), body: sees("a.test", "tidegate/health"), ..asked.clone() };
        expect(&asking(named), &target, Finding::Ok, "status 200").await;
        let fields = headers(&[("x-a", "1"), ("host", "b.test"), ("user-agent", "me"), ("x-a", "2")]);
        let by_field = HttpProbe { headers: fields, body: sees("b.test", "me"), ..asked.clone() };
        expect(&asking(by_field), &target, Finding::Ok, "status 200").await;
    }
}

#[tokio::test]
async fn only_the_first_64_kib_of_a_body_are_searched() {
    let long = |pad: usize| -> &'static str { format!("{}needle", "x".repeat(pad)).leak() };
    let (inside, outside) = (long(65_530), long(65_531));
    let target = serve(Http1, move |request| text(if request.uri().path() == "/in" { inside } else { outside })).await;
    let probe = |path: &str| asking(HttpProbe { path: path.to_owned(), body: Some("needle".to_owned()), ..probe() });
    expect(&probe("/in"), &target, Finding::Ok, "status 200").await;
    expect(&probe("/out"), &target, Finding::Bad, "the body does not contain \"needle\"").await;
}

#[tokio::test]
async fn a_slow_answer_is_degraded() {
    let target = serve(Http1, cases).await;
    let slow = Health { degraded_above: Some(Duration::ZERO), ..asking(probe()) };
    let (finding, message) = ask(&slow, &target).await;
    assert_eq!(finding, Finding::Degraded);
    assert!(message.starts_with("slow: ") && message.ends_with("ms, more than 0ns; status 200"), "{message}");
    let patient = Health { degraded_above: Some(Duration::from_secs(60)), ..asking(probe()) };
    expect(&patient, &target, Finding::Ok, "status 200").await;
}

#[tokio::test]
async fn a_refused_connection_is_bad_for_every_probe() {
    let (listener, address) = listen().await;
    drop(listener);
    for health in [asking(probe()), health(), grpc("")] {
        expect(&health, &target(address, Http1), Finding::Bad, "connection refused").await;
    }
}

#[tokio::test]
async fn an_endpoint_that_never_answers_is_bad_when_the_timeout_is_over() {
    // The kernel accepts for a listener that nobody asks.
    let (_listener, address) = listen().await;
    let hasty = |health: Health| Health { timeout: Duration::from_millis(100), ..health };
    for (health, protocol) in [(asking(probe()), Http1), (asking(probe()), Http2), (grpc(""), Auto)] {
        expect(&hasty(health), &target(address, protocol), Finding::Bad, "no answer within 100ms").await;
    }
    expect(&hasty(health()), &target(address, Http1), Finding::Ok, "connected").await;
}

#[tokio::test]
async fn an_endpoint_that_hangs_up_or_speaks_otherwise_is_bad() {
    let (listener, address) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    let (finding, message) = ask(&asking(probe()), &target(address, Http1)).await;
    assert_eq!(finding, Finding::Bad);
    assert!(message.starts_with("the connection "), "{message}");
    let (finding, message) = ask(&asking(probe()), &target(address, Http2)).await;
    assert!(finding == Finding::Bad && message.starts_with("HTTP/2 failed: "), "{message}");
    let h1 = serve(Http1, cases).await;
    let (finding, message) = ask(&grpc(""), &h1).await;
    assert!(finding == Finding::Bad && message.starts_with("HTTP/2 failed: "), "{message}");
}

#[tokio::test]
async fn checks_use_the_endpoints_tls() {
    for (protocol, probe) in [(Http1, asking(probe())), (Http1, health()), (Http2, grpc(""))] {
        let good = serve_tls(protocol, true, |request| {
            if request.version() == Version::HTTP_2 { serving(b"\0\0\0\0\x02\x08\x01") } else { text("ok") }
        })
        .await;
        assert_eq!(ask(&probe, &good).await.0, Finding::Ok, "{probe:?}");
        let strange = serve_tls(protocol, false, cases).await;
        let (finding, message) = ask(&probe, &strange).await;
        assert!(finding == Finding::Bad && message.starts_with("certificate not accepted: "), "{message}");
        let plain = Target { tls: good.tls.clone(), ..serve(Http1, cases).await };
        let (finding, message) = ask(&probe, &plain).await;
        assert!(finding == Finding::Bad && message.starts_with("TLS handshake failed: "), "{message}");
    }
}

fn serving(message: &'static [u8]) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = with_trailers(message, trailers);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn failing(status: &'static str, message: &'static str) -> Response<Body> {
    let mut response = text("");
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    fields.insert("grpc-status", HeaderValue::from_static(status));
    fields.insert("grpc-message", HeaderValue::from_static(message));
    response
}

#[tokio::test]
async fn a_grpc_answer_is_judged_by_its_status_and_message() {
    use Finding::{Bad, Ok};
    type Case = (fn() -> Response<Body>, Finding, &'static str);
    let table: [Case; 13] = [
        (|| serving(b"\0\0\0\0\x02\x08\x01"), Ok, "SERVING"),
        (|| serving(b"\0\0\0\0\x02\x08\x02"), Bad, "NOT_SERVING, expected SERVING"),
        (|| serving(b"\0\0\0\0\x02\x08\x03"), Bad, "SERVICE_UNKNOWN, expected SERVING"),
        (|| serving(b"\0\0\0\0\x00"), Bad, "UNKNOWN, expected SERVING"),
        (|| serving(b"\0\0\0\0\x03\x08\xAC\x02"), Bad, "serving status 300, expected SERVING"),
        // Fields that nobody knows yet are passed over.
        (|| serving(b"\0\0\0\0\x09\x12\x02ab\x18\x07\x25\0\0\0\0\x08\x01"), Bad, "the answer is not a HealthCheckResponse"),
        (|| serving(b"\0\0\0\0\x0D\x12\x02ab\x18\x07\x25\0\0\0\0\x08\x01"), Ok, "SERVING"),
        (|| serving(b"\x01\0\0\0\x02\x08\x01"), Bad, "the answer is not a HealthCheckResponse"),
        (|| serving(b"\0\0\0\0\x09\x08\x01"), Bad, "the answer is not a HealthCheckResponse"),
        (|| failing("12", ""), Bad, "the endpoint does not implement grpc.health.v1.Health"),
        (|| failing("5", ""), Bad, "the endpoint does not know the service \"agents.v1.Coder\""),
        (|| failing("14", "try%20later"), Bad, "grpc-status 14: try later"),
        (|| text("hello"), Bad, "the answer is not gRPC"),
    ];
    for (answer, finding, message) in table {
        let target = serve(Http2, move |request| {
            assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
            answer()
        })
        .await;
        expect(&grpc("agents.v1.Coder"), &target, finding, message).await;
    }
}

#[tokio::test]
async fn the_question_is_the_protobuf_message_that_servers_expect() {
    use http_body_util::BodyExt;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    struct HealthCheckRequest {
        #[prost(string, tag = "1")]
        service: String,
    }
    let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
    let target = serve(Http2, move |request| {
        let sender = sender.clone();
        tokio::spawn(async move { sender.send(request.into_body().collect().await.unwrap().to_bytes()) });
        serving(b"\0\0\0\0\x02\x08\x01")
    })
    .await;
    for service in [String::new(), "a".to_owned(), "x".repeat(300)] {
        expect(&grpc(&service), &target, Finding::Ok, "SERVING").await;
        let message = soon(received.recv()).await.unwrap();
        let (prefix, message) = message.split_at(5);
        assert_eq!(prefix, [&[0][..], &(message.len() as u32).to_be_bytes()].concat());
        assert_eq!(HealthCheckRequest::decode(message).unwrap().service, service);
    }
}
