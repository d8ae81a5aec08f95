//! What a route is: a match on a request, and the policies for it.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::{Serialize, Serializer};

use super::duration::written;
use super::{Id, Policies};

/// A match on a request, and the policies for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// The name, unique among routes.
    pub name: Id,
    /// Which requests it takes.
    #[serde(rename = "match")]
    pub matcher: Match,
    /// What happens to them.
    pub action: Action,
    /// Capabilities that an endpoint must offer.
    pub require: BTreeSet<String>,
    /// What is changed on the way.
    pub rewrite: Rewrite,
    /// How long each phase may take.
    pub timeouts: RouteTimeouts,
    /// How often a client that accepts server-sent events hears that its request still waits; `None`: it hears nothing before the answer.
    #[serde(serialize_with = "written")]
    pub heartbeat: Option<Duration>,
    /// What is done for requests beside sending them.
    #[serde(flatten)]
    pub policies: Policies,
}

/// Which requests a route takes: all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Match {
    /// Listeners; empty is any.
    pub listeners: Vec<Id>,
    /// Hosts; empty is any.
    pub hosts: Vec<HostPattern>,
    /// The path.
    pub path: PathPattern,
    /// Methods; empty is any.
    #[serde(serialize_with = "texts")]
    pub methods: Vec<Method>,
    /// Header fields.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    pub query: Vec<QueryMatch>,
}

/// A host, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host below this one: `*.example.com` is kept as `example.com`.
    Below(String),
}

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PathPattern {
    /// Every path.
    #[default]
    Any,
    /// This path.
    Exact(String),
    /// This path and everything below it, on segment borders; without a final `/`, but for `/` itself.
    Prefix(String),
    /// Every path that the whole expression matches.
    Regex(String),
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMatch {
    /// It is there.
    Present,
    /// It is this.
    Exact(String),
    /// The whole expression matches it.
    Regex(String),
}

/// A header field that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderMatch {
    /// The field's name.
    #[serde(serialize_with = "text")]
    pub name: HeaderName,
    /// Its value; one of several lines is enough.
    pub value: ValueMatch,
}

/// A query parameter that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryMatch {
    /// The parameter's name, percent-decoded.
    pub name: String,
    /// Its value, percent-decoded; one of several is enough.
    pub value: ValueMatch,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It goes to a pool, chosen by weight; never empty.
    Forward(Vec<Split>),
    /// It is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(FixedResponse),
}

/// A pool's share of a route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Split {
    /// The pool.
    pub pool: Id,
    /// Its share, relative to the others.
    pub weight: u32,
}

/// Where a request is sent instead; parts that are `None` stay as they were.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    #[serde(serialize_with = "status")]
    pub status: StatusCode,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// The host, with port when it is not the scheme's own.
    pub host: Option<String>,
    /// The whole path, with query if any; replaces path and query.
    pub path: Option<String>,
    /// Replaces the matched prefix.
    pub prefix: Option<String>,
}

/// An answer made here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FixedResponse {
    /// The status.
    #[serde(serialize_with = "status")]
    pub status: StatusCode,
    /// Header fields.
    #[serde(serialize_with = "fields")]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: String,
}

/// What is changed on the way to the endpoint and back.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rewrite {
    /// Replaces the matched prefix (or exact path); not possible with a regular expression.
    pub prefix: Option<String>,
    /// Set on the request, replacing what was there.
    #[serde(serialize_with = "fields")]
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
    /// Removed from the request.
    #[serde(serialize_with = "texts")]
    pub remove_headers: Vec<HeaderName>,
    /// Set on the response, replacing what was there.
    #[serde(serialize_with = "fields")]
    pub set_response_headers: Vec<(HeaderName, HeaderValue)>,
    /// Removed from the response.
    #[serde(serialize_with = "texts")]
    pub remove_response_headers: Vec<HeaderName>,
}

/// How long each phase of a request may take; `None` is for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteTimeouts {
    /// From the request's head to the last byte of the response.
    #[serde(serialize_with = "written")]
    pub total: Option<Duration>,
    /// Waiting for a slot of an endpoint; the pool's own when `None`.
    #[serde(serialize_with = "written")]
    pub queue: Option<Duration>,
    /// From the pick of an endpoint to the last byte of its response.
    #[serde(serialize_with = "written")]
    pub attempt: Option<Duration>,
    /// From the request sent to the response's head.
    #[serde(serialize_with = "written")]
    pub first_byte: Option<Duration>,
    /// Between two parts of a body, in either direction.
    #[serde(serialize_with = "written")]
    pub idle: Option<Duration>,
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        Self {
            total: None,
            queue: None,
            attempt: None,
            first_byte: Some(Duration::from_secs(120)),
            idle: Some(Duration::from_secs(300)),
        }
    }
}

fn text<S: Serializer>(name: &HeaderName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.as_str())
}

fn texts<S: Serializer, T: AsRef<str>>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(AsRef::as_ref))
}

fn status<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

fn fields<S: Serializer>(items: &[(HeaderName, HeaderValue)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(items.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))))
}
