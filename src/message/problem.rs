//! The answer to a request that got none from an endpoint: a problem document (RFC 9457) with `Proxy-Status` (RFC 9209), or the same told to
//! a gRPC client as a response of trailers only.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::grpc::is_grpc;
use crate::model::{Failure, Reason};

const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// In which language a client expects an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP: a status and a problem document.
    Plain,
    /// gRPC: status 200 and the fields `grpc-status` and `grpc-message`.
    Grpc,
}

impl Kind {
    /// Tells the kind of a request.
    pub fn of(headers: &HeaderMap) -> Self {
        if is_grpc(headers) { Self::Grpc } else { Self::Plain }
    }
}

/// An answer to be made.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// What happened.
    pub failure: Failure,
    /// A sentence that says it exactly; empty when there is no more to say than the title.
    pub detail: &'a str,
    /// The id of the request, when it got far enough to have one.
    pub request_id: Option<&'a HeaderValue>,
    /// In which language.
    pub kind: Kind,
    /// The name of this gateway, for `Proxy-Status`.
    pub name: &'a str,
}

/// The problem document; `type` is left out, which means `about:blank` (RFC 9457 section 4.2.1).
#[derive(Serialize)]
struct Document<'a> {
    status: u16,
    title: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem<'_> {
    /// Builds the answer. Neither `Content-Length` nor `x-request-id` is set: the server does the one, the caller the other for every answer.
    pub fn respond(&self) -> Response<Bytes> {
        let (status, body) = match self.kind {
            Kind::Plain => (self.failure.status(), self.document()),
            // The gRPC library has its own status; a response with a body or another status would hide it.
            Kind::Grpc => (StatusCode::OK, Bytes::new()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        self.fill(response.headers_mut());
        response
    }

    fn fill(&self, headers: &mut HeaderMap) {
        let reason = self.failure.reason;
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PROXY_STATUS, self.proxy_status());
        if let Some(wait) = self.failure.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        match self.kind {
            Kind::Plain => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
                if reason.status() == StatusCode::METHOD_NOT_ALLOWED {
                    // RFC 9110 section 15.5.6 asks for the list; what the endpoint takes is not known here.
                    headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
                }
            }
            Kind::Grpc => {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(reason.grpc_status())));
                headers.insert(GRPC_MESSAGE, grpc_message(reason.title(), self.detail));
            }
        }
    }

    fn document(&self) -> Bytes {
        let reason = self.failure.reason;
        let document = Document {
            status: self.failure.status().as_u16(),
            title: reason.title(),
            detail: self.detail,
            reason,
            request_id: self.request_id.and_then(|id| id.to_str().ok()),
        };
        serde_json::to_vec(&document).map(Bytes::from).unwrap_or_default()
    }

    /// `name; error=type; details="..."` (RFC 9209 section 2).
    fn proxy_status(&self) -> HeaderValue {
        let mut text = Vec::with_capacity(64 + self.detail.len());
        push_name(&mut text, self.name);
        text.extend_from_slice(b"; error=");
        text.extend_from_slice(self.failure.reason.proxy_error().as_bytes());
        if !self.detail.is_empty() {
            text.extend_from_slice(b"; details=");
            push_string(&mut text, self.detail);
        }
        HeaderValue::from_maybe_shared(Bytes::from(text)).expect("tokens and quoted visible ASCII are a field value")
    }
}

/// A token where the name is one, a string otherwise (RFC 9651 sections 3.3.3 and 3.3.4).
fn push_name(out: &mut Vec<u8>, name: &str) {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    if first && rest { out.extend_from_slice(name.as_bytes()) } else { push_string(out, name) }
}

/// Only visible ASCII and spaces may be in a string; anything else becomes `?`.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend_from_slice(&[b'\\', c as u8]),
            ' '..='~' => out.push(c as u8),
            _ => out.push(b'?'),
        }
    }
    out.push(b'"');
}

/// Title and detail, percent-encoded as "Responses" of the gRPC over HTTP/2 specification asks.
fn grpc_message(title: &str, detail: &str) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = Vec::with_capacity(title.len() + detail.len() + 2);
    let separator = if detail.is_empty() { "" } else { ": " };
    for byte in [title, separator, detail].into_iter().flat_map(str::bytes) {
        match byte {
            b'%' | ..b' ' | 0x7f.. => {
                text.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            _ => text.push(byte),
        }
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("visible ASCII and spaces are a field value")
}

/// Rounds up, so that a client that obeys does not come too early; at least 1, because 0 says that waiting does not help.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests;
