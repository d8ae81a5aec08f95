//! An HTTP check: one request, and what its answer must look like.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, response};
use memchr::memmem;
use serde_json::Value;

use super::check::{Good, MAX_BODY, Says, host};
use crate::model::{HttpProbe, JsonField};
use crate::upstream::once::{Answer, Spoken, exchange, open};
use crate::upstream::{Lookup, Target};

/// What checks call themselves.
pub(super) const AGENT: HeaderValue = HeaderValue::from_static("tidegate/health");

/// Where an endpoint may say that it is degraded, in a field or at the top of a JSON body.
const X_HEALTH: HeaderName = HeaderName::from_static("x-health");
const STATUS: &str = "/status";
const DEGRADED: &str = "degraded";

/// How much of a JSON value a message shows, in characters.
const SHOWN: usize = 40;

pub(super) async fn ask(probe: &HttpProbe, target: &Target, lookup: &Lookup, limit: Duration) -> Result<Good, String> {
    let stream = open(target, lookup, limit).await?;
    let spoken = Spoken::over(&stream, target.settings.protocol);
    let wanted = |head: &response::Parts| {
        let is_wanted = probe.method != Method::HEAD
            && is_expected(&probe.expect, head.status.as_u16())
            && (probe.body.is_some() || probe.json.is_some() || is_json(&head.headers));
        if is_wanted { MAX_BODY } else { 0 }
    };
    judge(probe, &exchange(stream, spoken, request(probe, target, spoken)?, wanted).await?)
}

fn request(probe: &HttpProbe, target: &Target, spoken: Spoken) -> Result<Request<Bytes>, String> {
    let named = probe.host.clone().or_else(|| {
        let field = probe.headers.iter().find(|(name, _)| name == HOST);
        field.and_then(|(_, value)| value.to_str().ok()).map(str::to_owned)
    });
    let authority = named.unwrap_or_else(|| host(&target.address));
    let uri: Uri = match spoken {
        Spoken::H1 => probe.path.parse(),
        Spoken::H2 => {
            let scheme = if target.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{authority}{}", probe.path).parse()
        }
    }
    .map_err(|error| format!("the check's host or path cannot be sent: {error}"))?;
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = probe.method.clone();
    *request.uri_mut() = uri;
    let fields = request.headers_mut();
    fields.insert(USER_AGENT, AGENT);
    // The first of a name replaces what is sent anyway, the next ones are added.
    for (place, (name, value)) in probe.headers.iter().enumerate().filter(|(_, (name, _))| name != HOST) {
        if probe.headers.iter().take(place).any(|(other, _)| other == name) {
            fields.append(name, value.clone());
        } else {
            fields.insert(name, value.clone());
        }
    }
    match spoken {
        Spoken::H1 => {
            let host = HeaderValue::try_from(authority).map_err(|_| "the check's host cannot be sent".to_owned())?;
            fields.insert(HOST, host);
            fields.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Spoken::H2 => *request.version_mut() = http::Version::HTTP_2,
    }
    Ok(request)
}

fn judge(probe: &HttpProbe, answer: &Answer) -> Result<Good, String> {
    let status = answer.head.status.as_u16();
    if !is_expected(&probe.expect, status) {
        return Err(format!("status {status}, expected {}", ranges(&probe.expect)));
    }
    if let Some(text) = &probe.body
        && memmem::find(&answer.body, text.as_bytes()).is_none()
    {
        return Err(format!("the body does not contain {text:?}"));
    }
    let json = match &probe.json {
        Some(field) => Some(expect_json(field, &answer.body)?),
        None if is_json(&answer.head.headers) => serde_json::from_slice(&answer.body).ok(),
        None => None,
    };
    let message = |says: &str| format!("status {status}{says}");
    let field = answer.head.headers.get(X_HEALTH).is_some_and(|value| is_degraded(value.as_bytes()));
    if field {
        return Ok(Good { message: message(", x-health: degraded"), says: Says::Degraded });
    }
    let said = json.as_ref().and_then(|json| json.pointer(STATUS)).and_then(Value::as_str);
    if is_json(&answer.head.headers) && said.is_some_and(|said| is_degraded(said.as_bytes())) {
        return Ok(Good { message: message(", says that it is degraded"), says: Says::Degraded });
    }
    Ok(Good { message: message(""), says: Says::Well })
}

/// Returns the body as JSON, in which `field` has its value.
fn expect_json(field: &JsonField, body: &[u8]) -> Result<Value, String> {
    let json: Value = serde_json::from_slice(body).map_err(|_| "the body is not JSON".to_owned())?;
    let found = match json.pointer(&field.pointer) {
        None => return Err(format!("the JSON body has no {}", field.pointer)),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if found == field.equals {
        Ok(json)
    } else {
        let shown: String = found.chars().take(SHOWN).collect();
        Err(format!("{} is {shown:?}, expected {:?}", field.pointer, field.equals))
    }
}

fn is_expected(expect: &[(u16, u16)], status: u16) -> bool {
    expect.iter().any(|&(from, to)| (from..=to).contains(&status))
}

fn ranges(expect: &[(u16, u16)]) -> String {
    let mut text = String::new();
    for (place, (from, to)) in expect.iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        // Writing to a `String` cannot fail.
        let _ = if from == to { write!(text, "{comma}{from}") } else { write!(text, "{comma}{from}-{to}") };
    }
    text
}

fn is_degraded(word: &[u8]) -> bool {
    word.trim_ascii().eq_ignore_ascii_case(DEGRADED.as_bytes())
}

/// Tells whether the media type is `application/json` or ends with `+json` (RFC 6839 section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media == "application/json" || media.ends_with("+json")
}
