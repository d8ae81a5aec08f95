//! The call: a `POST` of what happened as JSON.
//!
//! One connection for each call, and no second try: the next cooldown brings the next call. A redirect is a failure, so that a token goes
//! nowhere but where the file says.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, Uri};
use serde::Serialize;
use tokio::time::timeout;

use crate::health::active::connect;
use crate::health::exchange::{Spoken, exchange};
use crate::model::{Address, Secret, Upstream, UpstreamProtocol, UpstreamTls};
use crate::upstream::{Lookup, Target, TlsError, build_tls};

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(5);

const AGENT: HeaderValue = HeaderValue::from_static("tidegate/health");

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Webhook {
    target: Target,
    path: Uri,
    host: HeaderValue,
    token: Option<HeaderValue>,
}

/// Why a webhook cannot be called as configured.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// Not an address of the web.
    #[error("webhook {0:?} is not a URL such as https://HOST/PATH")]
    Url(String),
    /// The token has characters that a header field cannot carry.
    #[error("the token of webhook {0:?} cannot be sent in a header field")]
    Token(String),
    /// TLS cannot be set up.
    #[error("webhook {url:?}: {source}")]
    Tls {
        /// The URL.
        url: String,
        /// Why.
        source: Box<TlsError>,
    },
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::health) struct Event {
    pub(in crate::health) event: &'static str,
    pub(in crate::health) pool: String,
    pub(in crate::health) endpoint: String,
    pub(in crate::health) address: String,
    pub(in crate::health) since_seconds: u64,
    pub(in crate::health) last_message: Box<str>,
    pub(in crate::health) time: String,
}

impl Webhook {
    /// Prepares calls to `url`, of `http` or `https`, whose certificate the system's authorities vouch for.
    ///
    /// # Errors
    /// When the URL or the token cannot be used, or the system has no authorities.
    pub fn new(url: &str, token: Option<&Secret>) -> Result<Self, WebhookError> {
        let bad_url = || WebhookError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad_url())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad_url)?;
        let (port, is_tls) = match uri.scheme_str() {
            Some("http") => (80, false),
            Some("https") => (443, true),
            _ => return Err(bad_url()),
        };
        let port = match authority.port_u16() {
            Some(port) => port,
            None if authority.as_str() == authority.host() => port,
            // Something is after the host that is no port.
            None => return Err(bad_url()),
        };
        let address: Address = format!("{}:{port}", authority.host()).parse().map_err(|_| bad_url())?;
        let tls_error = |source| WebhookError::Tls { url: url.to_owned(), source: Box::new(source) };
        let tls = if is_tls { Some(build_tls(&UpstreamTls::default(), UpstreamProtocol::Http1).map_err(tls_error)?) } else { None };
        let target = Target::new(address, tls.as_deref(), Arc::new(Upstream::default())).map_err(tls_error)?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).parse().map_err(|_| bad_url())?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| bad_url())?;
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {}", token.expose()))).transpose();
        let mut token = token.map_err(|_| WebhookError::Token(url.to_owned()))?;
        if let Some(token) = &mut token {
            token.set_sensitive(true);
        }
        Ok(Self { target, path, host, token })
    }

    /// Tells what happened, within 5 s; the error is one line.
    pub(in crate::health) async fn call(&self, event: &Event, lookup: &Lookup) -> Result<(), String> {
        let calling = async {
            let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
            let stream = connect(&self.target, lookup, LIMIT).await?;
            let answer = exchange(stream, Spoken::H1, self.request(body.into()), |_| false).await?;
            let status = answer.head.status;
            if status.is_success() { Ok(()) } else { Err(format!("status {}, expected 200-299", status.as_u16())) }
        };
        timeout(LIMIT, calling).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        let fields = request.headers_mut();
        fields.insert(HOST, self.host.clone());
        fields.insert(USER_AGENT, AGENT);
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            fields.insert(AUTHORIZATION, token.clone());
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::testing::{listen, no_lookup, serve, soon, text};

    fn to(url: &str) -> Result<Webhook, WebhookError> {
        Webhook::new(url, Some(&Secret::new("hunter2".to_owned())))
    }

    fn event() -> Event {
        Event {
            event: "endpoint_unhealthy",
            pool: "coders".to_owned(),
            endpoint: "a".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            since_seconds: 61,
            last_message: "connection refused".into(),
            time: "2026-01-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn a_url_that_cannot_be_called_is_refused() {
        for url in ["", "a.test", "/path", "ftp://a.test/", "http://me:secret@a.test:80/", "http://a b/", "http://a.test:99999/"] {
            assert!(matches!(to(url), Err(WebhookError::Url(_))), "{url}");
        }
        let odd = Secret::new("a\nb".to_owned());
        let error = Webhook::new("http://a.test/", Some(&odd)).unwrap_err().to_string();
        assert!(error.contains("a.test") && !error.contains("a\nb"));
    }

    #[test]
    fn ports_and_paths_may_be_left_out() {
        let place = |url: &str| to(url).map(|hook| (hook.target.address.to_string(), hook.path.to_string())).unwrap();
        assert_eq!(place("http://a.test"), ("a.test:80".to_owned(), "/".to_owned()));
        assert_eq!(place("http://[::1]:81/x?y=z"), ("[::1]:81".to_owned(), "/x?y=z".to_owned()));
        assert_eq!(place("http://10.0.0.1/x"), ("10.0.0.1:80".to_owned(), "/x".to_owned()));
    }

    #[tokio::test]
    async fn the_call_carries_the_event_and_the_token() {
        let (sender, mut received) = tokio::sync::mpsc::unbounded_channel();
        let target = serve(UpstreamProtocol::Http1, move |request| {
            let sender = sender.clone();
            tokio::spawn(async move {
                let (head, body) = request.into_parts();
                let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
                sender.send((head, body)).unwrap();
            });
            text("thanks")
        })
        .await;
        let hook = to(&format!("http://{}/heal?x=1", target.address)).unwrap();
        soon(hook.call(&event(), &no_lookup())).await.unwrap();
        let (head, body) = soon(received.recv()).await.unwrap();
        assert_eq!((head.method, head.uri.to_string()), (Method::POST, "/heal?x=1".to_owned()));
        assert_eq!(head.headers[AUTHORIZATION], "Bearer hunter2");
        assert_eq!(head.headers[HOST], target.address.to_string());
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
            serde_json::json!({
                "event": "endpoint_unhealthy", "pool": "coders", "endpoint": "a", "address": "10.0.0.1:80", "since_seconds": 61,
                "last_message": "connection refused", "time": "2026-01-01T00:00:00Z",
            })
        );
    }

    #[tokio::test]
    async fn a_call_that_is_not_taken_says_why() {
        let target = serve(UpstreamProtocol::Http1, |_| {
            let mut response = text("elsewhere");
            *response.status_mut() = http::StatusCode::FOUND;
            response
        })
        .await;
        let hook = to(&format!("http://{}/", target.address)).unwrap();
        assert_eq!(soon(hook.call(&event(), &no_lookup())).await, Err("status 302, expected 200-299".to_owned()));
        let (listener, address) = listen().await;
        drop(listener);
        let hook = to(&format!("http://{address}/")).unwrap();
        assert_eq!(soon(hook.call(&event(), &no_lookup())).await, Err("connection refused".to_owned()));
    }
}
