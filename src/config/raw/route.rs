//! `routes`.

use http::{HeaderName, HeaderValue, Method};
use schemars::{JsonSchema, Schema};
use serde::Deserialize;

use super::hosts::{HostWord, RedirectHost};
use super::names::{Capability, FinalStatus, PathText, RedirectStatus, RegexText, TargetText};
use super::policies::{Failover, Mirror, RateLimit};
use super::quantities::{Count, Period, Rank, Span};
use super::retry::{Hedge, Retry};
use super::words::Scheme;
use crate::config::shape::{At, Entries, FromText, List, ListOr, Mistake, OneOrMore, OrNone, Text, TextOr, Textual};
use crate::config::tree::NodeId;
use crate::model::Id;

/// Header fields to set, in the order of the file.
pub(in crate::config) type Fields = Entries<Text<HeaderName>, Text<HeaderValue>>;

/// A match on a request, and the policies for it. Exactly one of `pool`, `split`, `redirect` and `respond` says what happens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// The name, unique among routes.
    pub(in crate::config) name: Text<Id>,
    /// Which requests it takes; all that is given must hold. Default: every request.
    #[serde(rename = "match", default)]
    pub(in crate::config) matcher: Match,
    /// The pool that requests go to.
    pub(in crate::config) pool: Option<Text<Id>>,
    /// Several pools, chosen by weight.
    pub(in crate::config) split: Option<At<List<Split>>>,
    /// Sends the client elsewhere.
    pub(in crate::config) redirect: Option<At<Redirect>>,
    /// Answers without any pool.
    pub(in crate::config) respond: Option<At<Respond>>,
    /// Capabilities that an endpoint must offer; those of the request's `x-tidegate-require` are added.
    pub(in crate::config) require: Option<At<List<Text<Capability>>>>,
    /// What is changed on the way to the endpoint and back.
    #[serde(default)]
    pub(in crate::config) rewrite: Rewrite,
    /// How long each phase may take.
    pub(in crate::config) timeouts: Option<At<RouteTimeouts>>,
    /// How often a client that accepts server-sent events hears that its request still waits, 1s to 5m, or `off`. Default: `off`.
    pub(in crate::config) heartbeat: Option<At<OrNone<Text<Span<1_000, 300_000>>>>>,
    /// When a request is tried again, or `off`. Default: on, with the defaults of its keys.
    pub(in crate::config) retry: Option<At<OrNone<Retry>>>,
    /// When a second attempt is sent beside one that is slow, or `off`. Default: `off`.
    pub(in crate::config) hedge: Option<At<OrNone<Hedge>>>,
    /// The name of the bulkhead whose slots its requests need. Default: none.
    pub(in crate::config) bulkhead: Option<Text<Id>>,
    /// How important its requests are, -100 to 100; higher goes first and is shed last. Default: 0.
    pub(in crate::config) priority: Option<Text<Rank>>,
    /// How many requests are let through in a time: one limit or a list, of which all must agree. Default: no limit.
    pub(in crate::config) rate_limit: Option<At<OneOrMore<At<RateLimit>>>>,
    /// Pools that take over when the first one loses capacity; a plain list is its `pools`. Default: none.
    pub(in crate::config) failover: Option<At<ListOr<Failover>>>,
    /// A pool that gets copies of requests. Default: none.
    pub(in crate::config) mirror: Option<At<Mirror>>,
}

/// Which requests a route takes; all that is given must hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Match {
    /// Names of listeners. Default: any.
    #[serde(default)]
    pub(in crate::config) listeners: List<Text<Id>>,
    /// Hosts without port: `example.com`, `*.example.com` (every host below it) or `*` (any). Default: any.
    #[serde(default)]
    pub(in crate::config) hosts: List<Text<HostWord>>,
    /// The path; a plain text is a prefix. Default: any.
    pub(in crate::config) path: Option<At<TextOr<PathMatch>>>,
    /// Methods, in capitals. Default: any.
    #[serde(default)]
    pub(in crate::config) methods: List<Text<Method>>,
    /// Header fields by name; each must be there and match.
    #[serde(default)]
    pub(in crate::config) headers: Entries<Text<HeaderName>, TextOr<ValueMatch>>,
    /// Query parameters by name, percent-decoded; each must be there and match.
    #[serde(default)]
    pub(in crate::config) query: Entries<Text<String>, TextOr<ValueMatch>>,
}

/// A path: exactly one of `exact`, `prefix` and `regex`. A plain text is a prefix.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct PathMatch {
    /// This path only.
    pub(in crate::config) exact: Option<Text<PathText>>,
    /// This path and everything below it: `/a` takes `/a` and `/a/b`, not `/ab`.
    pub(in crate::config) prefix: Option<Text<PathText>>,
    /// Every path that the whole expression matches.
    pub(in crate::config) regex: Option<Text<RegexText>>,
}

/// A value: a plain text must be equal; otherwise exactly one of the keys.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ValueMatch {
    /// The value is this text.
    pub(in crate::config) exact: Option<Text<String>>,
    /// The whole expression matches the value.
    pub(in crate::config) regex: Option<Text<RegexText>>,
    /// `true`: any value will do.
    pub(in crate::config) present: Option<At<bool>>,
}

/// A pool's share of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Split {
    /// The pool.
    pub(in crate::config) pool: Text<Id>,
    /// Its share relative to the others, 0 to 10,000. Default: 1.
    pub(in crate::config) weight: Option<Text<Count<0, 10_000>>>,
}

/// Where a client is sent instead; what is not given stays as it was. At least one key besides `status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Redirect {
    /// 301, 302, 303, 307 or 308. Default: 307, which keeps the method and is not cached.
    pub(in crate::config) status: Option<Text<RedirectStatus>>,
    /// `http` or `https`.
    pub(in crate::config) scheme: Option<Text<Scheme>>,
    /// The host, with a port when it is not the usual one.
    pub(in crate::config) host: Option<Text<RedirectHost>>,
    /// Replaces path and query; not with `prefix`.
    pub(in crate::config) path: Option<Text<TargetText>>,
    /// Replaces the matched prefix and keeps the rest; not with `path` or a regular expression.
    pub(in crate::config) prefix: Option<Text<PathText>>,
}

/// An answer without any pool.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Respond {
    /// 200 to 599. Default: 200.
    pub(in crate::config) status: Option<Text<FinalStatus>>,
    /// Header fields.
    #[serde(default)]
    pub(in crate::config) headers: Fields,
    /// The body. Default: empty.
    pub(in crate::config) body: Option<Text<String>>,
}

/// What is changed on the way to the endpoint and back.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Rewrite {
    /// Replaces the matched prefix or exact path; not with a regular expression.
    pub(in crate::config) prefix: Option<Text<PathText>>,
    /// Set on the request, replacing what was there. The host is set by the pool's `upstream.host`.
    #[serde(default)]
    pub(in crate::config) set_headers: Fields,
    /// Removed from the request.
    #[serde(default)]
    pub(in crate::config) remove_headers: List<Text<HeaderName>>,
    /// Set on the response, replacing what was there.
    #[serde(default)]
    pub(in crate::config) set_response_headers: Fields,
    /// Removed from the response.
    #[serde(default)]
    pub(in crate::config) remove_response_headers: List<Text<HeaderName>>,
}

/// How long each phase of a request may take; `none` is for ever.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RouteTimeouts {
    /// From the head of the request to the last byte of the response. Default: `none`.
    pub(in crate::config) total: Option<OrNone<Text<Period>>>,
    /// Waiting for a slot of an endpoint; not `none`. Default: the `queue.timeout` of the pool.
    pub(in crate::config) queue: Option<Text<Period>>,
    /// From the pick of an endpoint to the last byte of its response. Default: `none`.
    pub(in crate::config) attempt: Option<OrNone<Text<Period>>>,
    /// From the request sent to the head of the response. Default: `120s`.
    pub(in crate::config) first_byte: Option<OrNone<Text<Period>>>,
    /// Between two parts of a body, in either direction. Default: `5m`.
    pub(in crate::config) idle: Option<OrNone<Text<Period>>>,
}

impl FromText for PathMatch {
    const EXPECTED: &'static str = "a path prefix, or a mapping with one of the keys exact, prefix, regex";

    fn from_text(text: &str, id: NodeId) -> Result<Self, Mistake> {
        let prefix = Some(Text { id, value: PathText::read(text)? });
        Ok(Self { exact: None, prefix, regex: None })
    }

    fn text_schema() -> Schema {
        PathText::schema()
    }
}

impl FromText for ValueMatch {
    const EXPECTED: &'static str = "a text, or a mapping with one of the keys exact, regex, present";

    fn from_text(text: &str, id: NodeId) -> Result<Self, Mistake> {
        Ok(Self { exact: Some(Text { id, value: text.to_owned() }), regex: None, present: None })
    }

    fn text_schema() -> Schema {
        schemars::json_schema!({ "type": ["string", "number", "boolean"] })
    }
}
