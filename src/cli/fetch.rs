//! The one request that the command line makes itself: `GET` to an admin server.
//!
//! The admin server speaks plain HTTP/1.1, so there is no TLS here, no redirect and no kept connection.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time;

use super::output::Usage;

/// How long an answer may take: the admin server is near, and its own limit is 10 s.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest answer that is read: some 30,000 endpoints.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// The port of an admin server whose URL names none.
const DEFAULT_PORT: u16 = 9900;

/// Where an admin server is, and what it is shown.
#[derive(Debug)]
pub(super) struct Server {
    authority: Authority,
    token: Option<HeaderValue>,
}

impl Server {
    /// Reads `url`, such as `http://127.0.0.1:9900` or `127.0.0.1:9900`.
    ///
    /// # Errors
    /// [`Usage`], when it is no such URL, or `token` cannot be sent.
    pub(super) fn new(url: &str, token: Option<&str>) -> Result<Self, Usage> {
        let uri: Uri = url.parse().map_err(|error| Usage(format!("{url:?} is not a URL: {error}")))?;
        if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
            return Err(Usage(format!("the admin server speaks plain HTTP: write http://HOST:PORT, found {url:?}")));
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(|| Usage(format!("write http://HOST:PORT, found {url:?}")))?.clone();
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}"))).transpose();
        let mut token = token.map_err(|_| Usage("the admin token cannot be sent in a header field".to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { authority, token })
    }

    /// Asks for `path`, and reads the answer as JSON.
    ///
    /// # Errors
    /// When the server cannot be reached, takes too long, answers other than 200, or does not answer JSON.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let body = self.body(path).await?;
        serde_json::from_slice(&body).with_context(|| format!("http://{}{path} did not answer JSON", self.authority))
    }

    /// Asks for `path`, and reads the answer as text, such as the metrics.
    ///
    /// # Errors
    /// When the server cannot be reached, takes too long, or answers other than 200.
    pub(super) async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&self.body(path).await?).into_owned())
    }

    async fn body(&self, path: &str) -> anyhow::Result<Bytes> {
        let asked = time::timeout(PATIENCE, self.ask(path)).await;
        let (status, body) = match asked {
            Ok(answered) => answered.with_context(|| format!("cannot ask http://{}{path}", self.authority))?,
            Err(_) => bail!("http://{}{path} did not answer within {PATIENCE:?}", self.authority),
        };
        let problem = || serde_json::from_slice(&body).ok();
        ensure!(status == StatusCode::OK, "http://{}{path} answered {status}{}", self.authority, detail(problem().as_ref()));
        Ok(body)
    }

    async fn ask(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        // An IPv6 address is written in brackets in a URL, and without in a look-up.
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.authority.port_u16().unwrap_or(DEFAULT_PORT))).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // The set ends the connection's task when this function ends; its errors come back through the request too.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let mut request = Request::get(path).header(HOST, self.authority.as_str()).header(ACCEPT, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(anyhow::Error::from_boxed)?;
        Ok((parts.status, body.to_bytes()))
    }
}

/// Returns what a problem document says, for the end of a message.
fn detail(problem: Option<&Value>) -> String {
    let detail = problem.and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))).and_then(Value::as_str);
    detail.map(|detail| format!(": {detail}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with `answer`, and returns what was asked.
    async fn answer_once(answer: &'static str) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(asked).unwrap()
        });
        (address, task)
    }

    #[test]
    fn only_plain_urls_of_a_server_are_taken() {
        for url in ["http://127.0.0.1:9900", "127.0.0.1:9900", "http://[::1]:9900/", "http://admin"] {
            assert!(Server::new(url, None).is_ok(), "{url}");
        }
        for url in ["https://127.0.0.1:9900", "", "/api", "http://a b", "http://user:secret@host"] {
            assert!(Server::new(url, None).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn the_token_is_sent_and_the_answer_read() {
        let (address, asked) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"a\": 1}").await;
        let server = Server::new(&format!("http://{address}"), Some("hunter2")).unwrap();
        assert_eq!(server.get("/api/v1/status").await.unwrap(), serde_json::json!({ "a": 1 }));
        let asked = asked.await.unwrap();
        assert!(asked.starts_with("GET /api/v1/status HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer hunter2\r\n"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words() {
        let problem = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 31\r\n\r\n{\"detail\": \"a token is needed\"}";
        let (address, _asked) = answer_once(problem).await;
        let error = Server::new(&address.to_string(), None).unwrap().get("/").await.unwrap_err();
        assert!(error.to_string().ends_with("answered 401 Unauthorized: a token is needed"), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = Server::new(&closed.to_string(), None).unwrap().get("/x").await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot ask http://{closed}/x"));
    }
}
