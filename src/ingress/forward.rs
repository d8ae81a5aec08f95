//! The edits that a proxy owes a request on its way in and a response on its way out (RFC 9110 section 7.6).
//!
//! Headers are edited in place, and their order of edits matters: what the client's `Connection` names goes first, so that it cannot
//! remove what is added here.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{COOKIE, EXPECT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};

use super::connection::Client;
use super::view::{RouteView, View};
use crate::kit::hash;
use crate::message::mint::Fresh;
use crate::message::present::Present;
use crate::message::{Refusal, hop, host, normalise, trace};
use crate::model::{HashKey, Reason, Redirect};
use crate::pool::Download;
use crate::route;

/// Brings the path of a request into normal form, its target into origin form, and what that says of the host into `Host`.
pub(super) fn straighten<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::new(Reason::ConnectRefused, "this proxy opens no tunnels to other hosts"));
    }
    // RFC 9112 section 3.2.2 and RFC 9113 section 8.3.1: the authority of the target replaces `Host`.
    if let Some(authority) = request.uri().authority() {
        let value = HeaderValue::try_from(authority.as_str())
            .map_err(|_| Refusal::new(Reason::InvalidHost, "the authority is not a valid field value"))?;
        request.headers_mut().insert(HOST, value);
    }
    let clean = match normalise::path(request.method(), request.uri().path())? {
        Cow::Borrowed(_) if request.uri().authority().is_none() => None,
        path => Some(with_query(&path, request.uri().query())?),
    };
    if let Some(clean) = clean {
        *request.uri_mut() = Uri::from(clean);
    }
    Ok(())
}

/// The last host of a connection, as it was sent and as it was read: nearly every request has the same.
#[derive(Debug)]
pub(super) struct KnownHost {
    text: Box<[u8]>,
    name: Rc<str>,
}

/// Finds whom a request is for, in lower case and without port; empty when HTTP/1.0 names none.
pub(super) fn host<B>(known: &RefCell<Option<KnownHost>>, request: &Request<B>) -> Result<Rc<str>, Refusal> {
    let value = match single_host(request.headers())? {
        Some(value) => value.as_bytes(),
        None if request.version() <= Version::HTTP_10 => return Ok("".into()),
        None => return Err(Refusal::new(Reason::InvalidHost, "the request names no host")),
    };
    if let Some(known) = &*known.borrow()
        && *known.text == *value
    {
        return Ok(known.name.clone());
    }
    let name: Rc<str> = host::parse(value)?.name.into();
    *known.borrow_mut() = Some(KnownHost { text: value.into(), name: name.clone() });
    Ok(name)
}

fn single_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut values = headers.get_all(HOST).iter();
    let first = values.next();
    match values.next() {
        Some(_) => Err(Refusal::new(Reason::InvalidHost, "Host is repeated")),
        None => Ok(first),
    }
}

fn with_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(text).map_err(|_| Refusal::new(Reason::InvalidTarget, "the path is not valid in normal form"))
}

/// Returns the hashed key of a request, taken from where `source` says.
pub(super) fn hash_key<B>(source: &HashKey, client: &Client, view: &View, request: &Request<B>) -> Option<u64> {
    let headers = request.headers();
    match source {
        HashKey::Header(name) => headers.get(name).map(|value| hash::stable(value.as_bytes())),
        HashKey::Cookie(name) => route::cookie(headers, name).map(|value| hash::stable(value.as_bytes())),
        HashKey::Query(name) => route::query_value(request.uri().query()?, name).map(|value| hash::stable(value.as_bytes())),
        HashKey::Path => Some(hash::stable(request.uri().path().as_bytes())),
        HashKey::ClientAddress => {
            client.forwarded.address(headers, &view.forwarding.trusted).map(|address| hash::stable(address.to_string().as_bytes()))
        }
    }
}

/// Returns the capabilities that the request itself requires.
pub(super) fn required(headers: &HeaderMap, present: Present) -> Result<Vec<Box<str>>, Refusal> {
    if !present.has(Present::REQUIRE) {
        return Ok(Vec::new());
    }
    route::required(headers)
        .map(|names| names.into_iter().map(Into::into).collect())
        .map_err(|_| Refusal::new(Reason::MalformedRequest, "x-tidegate-require names too many or too long capabilities"))
}

/// Edits a request for its endpoint.
pub(super) fn edit_request<B>(
    client: &Client,
    view: &View,
    route: &RouteView,
    prefix_len: usize,
    (present, fresh): (Present, &Fresh<'_>),
    request: &mut Request<B>,
) {
    let version = request.version();
    if let Some(rewritten) = request.uri().path_and_query().and_then(|old| route.rewriter.path(old, prefix_len)) {
        *request.uri_mut() = Uri::from(rewritten);
    }
    let headers = request.headers_mut();
    hop::strip(headers, present);
    if version == Version::HTTP_2 && present.has(Present::COOKIE) {
        join_cookies(headers);
    }
    // Answered here: hyper says 100 when the endpoint takes the first byte of the body.
    if present.has(Present::EXPECT) {
        headers.remove(EXPECT);
    }
    client.forwarded.apply(headers, present);
    view.via.append(headers, version);
    trace::ensure(headers, present, fresh);
    route.rewriter.request(headers);
    *request.version_mut() = Version::HTTP_11;
}

/// HTTP/2 may split cookies over several fields; HTTP/1 has one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Edits a response for its client.
pub(super) fn edit_response(view: &View, route: &RouteView, present: Present, response: &mut Response<Box<Download>>) {
    let version = response.version();
    let headers = response.headers_mut();
    hop::strip(headers, present);
    view.via.append(headers, version);
    route.rewriter.response(headers);
    // hyper lowers it for a client that speaks less.
    *response.version_mut() = Version::HTTP_11;
}

/// Builds a redirect's answer; `None` when the parts make no valid location.
pub(super) fn redirect(
    redirect: &Redirect,
    scheme: &str,
    headers: &HeaderMap,
    uri: &Uri,
    prefix_len: usize,
) -> Option<Response<Bytes>> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let location = route::location(redirect, scheme, host, uri, prefix_len)?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = redirect.status;
    response.headers_mut().insert(http::header::LOCATION, location);
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_cookies_become_one_field() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        join_cookies(&mut headers);
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
    }
}
