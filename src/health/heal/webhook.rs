//! The call: a `POST` of what happened as JSON.
//!
//! One connection for each call, and no second try: the next cooldown brings the next call. A redirect is a failure, so that a token goes
//! nowhere but where the file says.

use std::time::Duration;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method};
use serde::Serialize;
use tokio::time::timeout;

use crate::model::Secret;
use crate::upstream::Lookup;
use crate::upstream::once::{Site, SiteError};

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(5);

const AGENT: HeaderValue = HeaderValue::from_static("tidegate/health");

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Webhook(Site);

/// Why a webhook cannot be called as configured.
#[derive(Debug, thiserror::Error)]
#[error("webhook {0}")]
pub struct WebhookError(#[source] SiteError);

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
        Site::new(url, token).map(Self).map_err(WebhookError)
    }

    /// Tells what happened, within 5 s; the error is one line.
    pub(in crate::health) async fn call(&self, event: &Event, lookup: &Lookup) -> Result<(), String> {
        let calling = async {
            let body = serde_json::to_vec(event).map_err(|error| error.to_string())?;
            let mut request = self.0.request(Method::POST, "", body.into())?;
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.headers_mut().insert(USER_AGENT, AGENT);
            let answer = self.0.ask(request, lookup, LIMIT, 0).await?;
            let status = answer.head.status;
            if status.is_success() { Ok(()) } else { Err(format!("status {}, expected 200-299", status.as_u16())) }
        };
        timeout(LIMIT, calling).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }
}

#[cfg(test)]
mod tests {
    use http::header::{AUTHORIZATION, HOST};

    use super::*;
    use crate::health::testing::{listen, no_lookup, serve, soon, text};
    use crate::model::UpstreamProtocol;

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
