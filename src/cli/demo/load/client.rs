//! One request of the load, as a client sends it: on a connection of its own, to the last byte.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};

use super::schedule::Ask;

/// How long a request may take, its time in the queue included: more than the queue of the demo's pool lets anybody wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest answer that is read: many times that of an agent.
const MAX_BODY: usize = 1024 * 1024;

/// How a stream of an agent ends that is whole.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered to the last byte.
    Answered {
        /// From the request to the head of the answer.
        first_byte: Duration,
    },
    /// It was not answered, or with an error.
    Failed(String),
    /// Its answer began well and broke off.
    Cut(String),
}

/// Asks the proxy once.
pub(super) async fn ask(proxy: SocketAddr, ask: Ask) -> Outcome {
    match time::timeout(PATIENCE, exchange(proxy, ask)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
        Err(_) => Outcome::Failed(format!("no end within {PATIENCE:?}")),
    }
}

async fn exchange(proxy: SocketAddr, ask: Ask) -> anyhow::Result<Outcome> {
    let path = match ask {
        Ask::Answer => "/",
        Ask::Stream => "/stream?n=20&every_ms=100",
    };
    let began = Instant::now();
    let (mut sender, connection) = http1::handshake(TokioIo::new(TcpStream::connect(proxy).await?)).await?;
    // The set ends the connection's task when this function ends; its errors come back through the request too.
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(path).header(HOST, proxy.to_string()).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let first_byte = began.elapsed();
    let (status, body) = (response.status(), whole(response.into_body()).await);
    Ok(judge(ask, status, body, first_byte))
}

/// Reads a body to its end; the error says how it broke off.
async fn whole(body: Incoming) -> Result<Bytes, String> {
    Limited::new(body, MAX_BODY).collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string())
}

fn judge(ask: Ask, status: StatusCode, body: Result<Bytes, String>, first_byte: Duration) -> Outcome {
    match body {
        body if status != StatusCode::OK => Outcome::Failed(format!("{status}{}", reason(&body.unwrap_or_default()))),
        Err(error) => Outcome::Cut(error),
        Ok(body) if ask == Ask::Stream && !body.ends_with(DONE) => Outcome::Cut("the stream ended before its end".to_owned()),
        Ok(_) => Outcome::Answered { first_byte },
    }
}

/// Returns the reason that a problem document of the proxy names.
fn reason(body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    let reason = problem.as_ref().and_then(|problem| problem.get("reason")).and_then(Value::as_str);
    reason.map(|reason| format!(", {reason}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Asks a server that sends `answer` to whatever comes, and closes.
    async fn asked(kind: Ask, answer: &'static str) -> Outcome {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let outcome = ask(address, kind).await;
        server.await.unwrap();
        outcome
    }

    #[tokio::test]
    async fn an_answer_counts_when_it_is_whole() {
        let outcome = asked(Ask::Answer, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        assert!(matches!(outcome, Outcome::Answered { .. }), "{outcome:?}");
        let outcome = asked(Ask::Answer, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok").await;
        assert!(matches!(outcome, Outcome::Cut(_)), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_stream_is_whole_with_its_last_event_only() {
        let outcome = asked(Ask::Stream, "HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\ndata: [DONE]\n\n").await;
        assert!(matches!(outcome, Outcome::Answered { .. }), "{outcome:?}");
        let outcome = asked(Ask::Stream, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ndata: 1\n\n").await;
        assert_eq!(outcome, Outcome::Cut("the stream ended before its end".to_owned()));
    }

    #[tokio::test]
    async fn a_failure_is_told_with_the_proxys_reason() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 26\r\n\r\n{\"reason\":\"queue_timeout\"}\n";
        assert_eq!(asked(Ask::Answer, answer).await, Outcome::Failed("503 Service Unavailable, queue_timeout".to_owned()));
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_a_failure() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(matches!(ask(closed, Ask::Answer).await, Outcome::Failed(_)));
    }
}
