//! What the sample agent answers to each request.

use std::convert::Infallible;
use std::process;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time;

use super::super::args;

/// Names the agent in every answer.
const AGENT: HeaderName = HeaderName::from_static("x-agent");

/// The words of a stream, over and over.
const WORDS: [&str; 8] = ["the", "tide", "waits", "for", "no", "one", "agent", "alone"];

/// The most events of one stream.
const MAX_EVENTS: u64 = 1_000_000;

/// The longest pause between two events.
const MAX_PAUSE_MS: u64 = 60_000;

/// The body of an answer.
type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// What an agent answers.
pub(super) struct Answers {
    name: String,
    delay: Duration,
    capabilities: Vec<String>,
    /// The value of `x-agent`; none when the name cannot be one.
    tag: Option<HeaderValue>,
}

/// What `/stream` is asked for.
#[derive(Debug, PartialEq)]
struct Pace {
    events: u64,
    pause: Duration,
}

impl Answers {
    /// Prepares the answers of the agent that `arguments` describe.
    pub(super) fn new(arguments: &args::Agent) -> Self {
        Self {
            name: arguments.name.clone(),
            delay: Duration::from_millis(arguments.delay),
            capabilities: arguments.capabilities.clone(),
            tag: HeaderValue::from_str(&arguments.name).ok(),
        }
    }

    /// Answers `request`, after the agent's delay.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let mut response = self.route(request).await;
        if let Some(tag) = &self.tag {
            response.headers_mut().insert(AGENT, tag.clone());
        }
        Ok(response)
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let allowed: &[Method] = match request.uri().path() {
            "/" | "/stream" | "/health" => &[Method::GET, Method::HEAD],
            "/echo" => &[Method::POST, Method::PUT],
            _ => return text(StatusCode::NOT_FOUND, "There is /, /stream, /echo and /health.\n"),
        };
        if !allowed.contains(request.method()) {
            return method_not_allowed(allowed);
        }
        // Health is asked for often and must not look like work.
        if request.uri().path() == "/health" {
            return text(StatusCode::OK, "ok\n");
        }
        time::sleep(jittered(self.delay, fastrand::f64())).await;
        match request.uri().path() {
            "/stream" => stream_of_tokens(request.uri().query().unwrap_or_default()),
            "/echo" => echo(request),
            _ => json_of(&self.card()),
        }
    }

    fn card(&self) -> Value {
        json!({
            "agent": self.name,
            "pid": process::id(),
            "delay_ms": u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX),
            "capabilities": self.capabilities,
        })
    }
}

impl Pace {
    /// Reads `n` and `every_ms` from a query; others are ignored.
    fn read(query: &str) -> Result<Self, String> {
        let mut pace = Self { events: 10, pause: Duration::from_millis(200) };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "n" => pace.events = bounded(name, value, MAX_EVENTS)?,
                "every_ms" => pace.pause = Duration::from_millis(bounded(name, value, MAX_PAUSE_MS)?),
                _ => {}
            }
        }
        Ok(pace)
    }
}

fn bounded(name: &str, value: &str, most: u64) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| format!("{name} is a number from 0 to {most}.\n"))
}

/// Spreads `delay` by 20% to either side; `chance` is from 0 to 1.
fn jittered(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(0.8 + 0.4 * chance)
}

/// Sends server-sent events as a language model does: a token each, `[DONE]` at the end.
fn stream_of_tokens(query: &str) -> Response<Body> {
    let pace = match Pace::read(query) {
        Ok(pace) => pace,
        Err(message) => return text(StatusCode::BAD_REQUEST, message),
    };
    let events = stream::unfold(0, move |index| next_event(index, pace.events, pace.pause));
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(events)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn next_event(index: u64, events: u64, pause: Duration) -> Option<(Result<Frame<Bytes>, hyper::Error>, u64)> {
    let event = match index {
        _ if index > events => return None,
        _ if index == events => "data: [DONE]\n\n".to_owned(),
        _ => {
            let word = WORDS[(index % WORDS.len() as u64) as usize];
            format!("data: {}\n\n", json!({ "index": index, "token": word }))
        }
    };
    if (1..events).contains(&index) {
        time::sleep(pause).await;
    }
    Some((Ok(Frame::data(event.into())), index + 1))
}

/// Sends the body back as it comes.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let content_type = request.headers().get(CONTENT_TYPE).cloned();
    let mut response = Response::new(BodyExt::boxed_unsync(request.into_body()));
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

fn method_not_allowed(allowed: &[Method]) -> Response<Body> {
    let names = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("Allowed here: {names}.\n"));
    if let Ok(names) = HeaderValue::try_from(names) {
        response.headers_mut().insert(ALLOW, names);
    }
    response
}

fn json_of(value: &Value) -> Response<Body> {
    let mut response = full(StatusCode::OK, format!("{value}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = full(status, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn full(status: StatusCode, bytes: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(bytes.into()).map_err(|never: Infallible| match never {});
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_spreads_a_delay_by_a_fifth() {
        let delay = Duration::from_millis(100);
        assert_eq!(jittered(delay, 0.0), Duration::from_millis(80));
        assert_eq!(jittered(delay, 0.5), delay);
        assert_eq!(jittered(delay, 1.0), Duration::from_millis(120));
    }

    #[test]
    fn the_pace_of_a_stream_is_read_and_bounded() {
        let pace = |events, ms| Ok(Pace { events, pause: Duration::from_millis(ms) });
        assert_eq!(Pace::read(""), pace(10, 200));
        assert_eq!(Pace::read("every_ms=5&x=y&n=3&z"), pace(3, 5));
        for query in ["n=", "n=-1", "n=1000001", "every_ms=60001", "every_ms=x"] {
            assert!(Pace::read(query).is_err(), "{query}");
        }
    }
}
