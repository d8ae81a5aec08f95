//! A check by the gRPC health protocol (`grpc.health.v1.Health/Check`), by hand over HTTP/2.
//!
//! Two messages of one field each need no code generator: the request's field 1 is the service, the answer's field 1 is the status, 1 for
//! serving (grpc/grpc-proto, `grpc/health/v1/health.proto`).

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request};
use percent_encoding::percent_decode;

use super::check::{Good, MAX_BODY, Says, host};
use super::http::AGENT;
use crate::message::grpc::is_grpc;
use crate::upstream::once::{Answer, Spoken, exchange, open};
use crate::upstream::{Lookup, Target};

const METHOD: &str = "grpc.health.v1.Health/Check";

/// ALPN's word for HTTP/2.
const H2: &[u8] = b"h2";

/// Bytes before a message: one that says whether it is compressed, four of its length (gRPC over HTTP2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// Statuses of gRPC that have a meaning of their own here.
const OK: &str = "0";
const NOT_FOUND: &str = "5";
const UNIMPLEMENTED: &str = "12";

pub(super) async fn ask(service: &str, target: &Target, lookup: &Lookup, limit: Duration) -> Result<Good, String> {
    let stream = open(&speaking_h2(target), lookup, limit).await?;
    let answer = exchange(stream, Spoken::H2, request(service, target)?, |_| MAX_BODY).await?;
    judge(service, &answer)
}

/// Returns a target whose ALPN offers HTTP/2, whatever the pool's requests use.
fn speaking_h2(target: &Target) -> Target {
    let mut target = target.clone();
    if let Some(tls) = &mut target.tls
        && !tls.config.alpn_protocols.iter().any(|name| name == H2)
    {
        let mut config = (*tls.config).clone();
        config.alpn_protocols = vec![H2.to_vec()];
        tls.config = Arc::new(config);
    }
    target
}

fn request(service: &str, target: &Target) -> Result<Request<Bytes>, String> {
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    let uri = format!("{scheme}://{}/{METHOD}", host(&target.address));
    let mut request = Request::new(message(service));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.parse().map_err(|error| format!("the endpoint's address has no HTTP/2 form: {error}"))?;
    *request.version_mut() = http::Version::HTTP_2;
    let fields = request.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(TE, HeaderValue::from_static("trailers"));
    fields.insert(USER_AGENT, AGENT);
    Ok(request)
}

/// Writes a `HealthCheckRequest` with its prefix; an empty service is the field's default, and left out.
fn message(service: &str) -> Bytes {
    let mut field = BytesMut::new();
    if !service.is_empty() {
        // Field 1, length-delimited.
        field.put_u8(0x0A);
        put_varint(&mut field, service.len() as u64);
        field.put_slice(service.as_bytes());
    }
    let mut message = BytesMut::with_capacity(PREFIX + field.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(field.len()).unwrap_or(u32::MAX));
    message.put(field);
    message.freeze()
}

fn put_varint(to: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        to.put_u8((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    to.put_u8(number as u8);
}

fn judge(service: &str, answer: &Answer) -> Result<Good, String> {
    let Answer { head, body, trailers } = answer;
    if head.status != http::StatusCode::OK {
        return Err(format!("status {}, expected 200 from gRPC", head.status.as_u16()));
    }
    if !is_grpc(&head.headers) {
        return Err("the answer is not gRPC".to_owned());
    }
    // An answer without a message has its status in the head ("Trailers-Only").
    let fields = if trailers.contains_key("grpc-status") { trailers } else { &head.headers };
    match fields.get("grpc-status").and_then(|status| status.to_str().ok()) {
        None => Err("the answer has no grpc-status".to_owned()),
        Some(OK) => judge_status(status(body)),
        Some(NOT_FOUND) => Err(format!("the endpoint does not know the service {service:?}")),
        Some(UNIMPLEMENTED) => Err("the endpoint does not implement grpc.health.v1.Health".to_owned()),
        Some(other) => Err(format!("grpc-status {other}{}", detail(fields))),
    }
}

fn judge_status(status: Option<u64>) -> Result<Good, String> {
    let word = match status {
        Some(1) => return Ok(Good { message: "SERVING".to_owned(), says: Says::Well }),
        Some(0) => "UNKNOWN",
        Some(2) => "NOT_SERVING",
        Some(3) => "SERVICE_UNKNOWN",
        Some(other) => return Err(format!("serving status {other}, expected SERVING")),
        None => return Err("the answer is not a HealthCheckResponse".to_owned()),
    };
    Err(format!("{word}, expected SERVING"))
}

/// Returns `grpc-message`, which is percent-encoded.
fn detail(fields: &HeaderMap) -> String {
    match fields.get("grpc-message") {
        Some(text) => format!(": {}", percent_decode(text.as_bytes()).decode_utf8_lossy()),
        None => String::new(),
    }
}

/// Reads the status from a `HealthCheckResponse` with its prefix; 0 when the field is left out, `None` when it is none.
fn status(body: &[u8]) -> Option<u64> {
    let (&compressed, rest) = body.split_first()?;
    let (length, message) = rest.split_first_chunk::<4>()?;
    let mut message = message.get(..u32::from_be_bytes(*length) as usize).filter(|_| compressed == 0)?;
    let mut status = 0;
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        match tag & 7 {
            // Of a field that comes twice, the last counts (Protocol Buffers, "Last One Wins").
            0 => {
                let number = take_varint(&mut message)?;
                if tag >> 3 == 1 {
                    status = number;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(take_varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7F) << (7 * place);
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}
