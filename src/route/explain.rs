//! Why a request goes where it goes: every route of the listener with what decided for or against it.
//!
//! States the rules of the table a second time, route by route and without any index, so that a person can follow them and a
//! property test can hold the two against each other. Slow: for `tidegate explain`, never for a request.

use std::cmp::Reverse;
use std::fmt;

use http::Method;
use serde::Serialize;

use super::predicate::ValueTest;
use super::table::{Query, Rule, absolute};
use crate::model::{HostPattern, Id, Match, PathPattern};

/// So many candidates are shown to a person; the rest is counted.
const SHOWN: usize = 20;

/// Why a request goes where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The route that takes it.
    pub chosen: Option<Id>,
    /// Methods with which a route would take it, when none does and only the method is at fault.
    pub allow: Vec<String>,
    /// Every route of the listener: the chosen one, those that it wins over (best first), then those that do not take the request,
    /// those that came closest first.
    pub candidates: Vec<Candidate>,
}

/// A route that was considered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its index in the list that the table was built from.
    pub route: usize,
    /// Its name.
    pub name: Id,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes the request.
    Chosen,
    /// It would take the request, but the chosen one is ahead by this.
    LessSpecific(Criterion),
    /// It does not take the request; the first condition that failed.
    Failed(Condition),
}

/// What makes a route more specific than another, in the order in which it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Exact host, longest wildcard, any host.
    Host,
    /// Exact path, longest prefix, regular expression, any path.
    Path,
    /// Methods given or not.
    Method,
    /// The number of header fields.
    Headers,
    /// The number of query parameters.
    Query,
    /// Place in the file.
    Order,
}

/// A condition of a route, with what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The host is one of these.
    Host(Vec<String>),
    /// The path is this.
    Path(String),
    /// The method is one of these.
    Method(Vec<String>),
    /// A header field is there.
    Header {
        /// Its name.
        name: String,
        /// What its value must be.
        wanted: String,
    },
    /// A query parameter is there.
    Query {
        /// Its name.
        name: String,
        /// What its value must be.
        wanted: String,
    },
}

/// How well a route fits: a greater rank is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    host: (u8, usize),
    path: (u8, usize),
    method: bool,
    headers: usize,
    query: usize,
    order: Reverse<usize>,
}

/// Weighs every rule.
pub(super) fn explain(rules: &[Rule], query: &Query<'_>, allow: &[Method]) -> Explanation {
    let mut fitting = Vec::new();
    let mut failed = Vec::new();
    for rule in rules {
        match weigh(rule, query) {
            Ok(rank) => fitting.push((rank, rule)),
            Err(condition) => failed.push((rule, condition)),
        }
    }
    fitting.sort_by_key(|(rank, _)| Reverse(*rank));
    failed.sort_by_key(|(rule, condition)| (Reverse(condition.place()), rule.index));
    let best = fitting.first().map(|(rank, rule)| (*rank, &rule.route.name));
    let fitting = fitting.iter().map(|(rank, rule)| {
        let criterion = best.and_then(|(best, _)| best.ahead_by(rank));
        candidate(rule, criterion.map_or(Verdict::Chosen, Verdict::LessSpecific))
    });
    let failed = failed.into_iter().map(|(rule, condition)| candidate(rule, Verdict::Failed(condition)));
    Explanation {
        chosen: best.map(|(_, name)| name.clone()),
        allow: allow.iter().map(ToString::to_string).collect(),
        candidates: fitting.chain(failed).collect(),
    }
}

fn candidate(rule: &Rule, verdict: Verdict) -> Candidate {
    Candidate { route: rule.index, name: rule.route.name.clone(), verdict }
}

/// Returns the rank of a rule that takes the request, or the first condition that fails.
fn weigh(rule: &Rule, query: &Query<'_>) -> Result<Rank, Condition> {
    let matcher = &rule.route.matcher;
    let host = rank_host(matcher, query.host).ok_or_else(|| Condition::Host(matcher.hosts.iter().map(show_host).collect()))?;
    let path = rank_path(rule, query.path).ok_or_else(|| Condition::Path(show_path(&matcher.path)))?;
    if !rule.predicate.takes_method(query.method) {
        return Err(Condition::Method(matcher.methods.iter().map(ToString::to_string).collect()));
    }
    if let Some(test) = rule.predicate.headers.iter().find(|test| !test.holds(query)) {
        return Err(Condition::Header { name: test.name.to_string(), wanted: show_value(&test.value) });
    }
    if let Some(test) = rule.predicate.query.iter().find(|test| !test.holds(query)) {
        return Err(Condition::Query { name: test.name.to_string(), wanted: show_value(&test.value) });
    }
    let (headers, parameters) = (matcher.headers.len(), matcher.query.len());
    Ok(Rank { host, path, method: !matcher.methods.is_empty(), headers, query: parameters, order: Reverse(rule.index) })
}

fn rank_host(matcher: &Match, host: &str) -> Option<(u8, usize)> {
    let host = absolute(host);
    if matcher.hosts.is_empty() {
        return Some((0, 0));
    }
    let ranks = matcher.hosts.iter().filter_map(|pattern| match pattern {
        HostPattern::Exact(exact) => (absolute(exact).to_ascii_lowercase() == host).then_some((2, 0)),
        HostPattern::Below(parent) => {
            let parent = absolute(parent).to_ascii_lowercase();
            let labels = host.strip_suffix(&parent)?.strip_suffix('.')?;
            (!labels.is_empty()).then_some((1, parent.len()))
        }
    });
    ranks.max()
}

fn rank_path(rule: &Rule, path: &str) -> Option<(u8, usize)> {
    match &rule.route.matcher.path {
        PathPattern::Exact(exact) => (exact == path).then_some((3, 0)),
        PathPattern::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            let rest = path.strip_prefix(prefix)?;
            let on_border = rest.starts_with('/') || (rest.is_empty() && !prefix.is_empty());
            on_border.then_some((2, prefix.len()))
        }
        PathPattern::Regex(_) => rule.predicate.path.as_ref().is_some_and(|regex| regex.is_match(path)).then_some((1, 0)),
        PathPattern::Any => Some((0, 0)),
    }
}

impl Rank {
    /// Returns the first criterion by which `self` is ahead of `other`; nothing when they are the same.
    fn ahead_by(&self, other: &Self) -> Option<Criterion> {
        let criteria = [
            (self.host != other.host, Criterion::Host),
            (self.path != other.path, Criterion::Path),
            (self.method != other.method, Criterion::Method),
            (self.headers != other.headers, Criterion::Headers),
            (self.query != other.query, Criterion::Query),
            (self.order != other.order, Criterion::Order),
        ];
        criteria.into_iter().find_map(|(differs, criterion)| differs.then_some(criterion))
    }
}

impl Condition {
    /// Returns its place in the order in which conditions are looked at.
    const fn place(&self) -> u8 {
        match self {
            Self::Host(_) => 0,
            Self::Path(_) => 1,
            Self::Method(_) => 2,
            Self::Header { .. } => 3,
            Self::Query { .. } => 4,
        }
    }
}

fn show_host(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(host) => host.clone(),
        HostPattern::Below(parent) => format!("*.{parent}"),
    }
}

fn show_path(pattern: &PathPattern) -> String {
    match pattern {
        PathPattern::Any => "any path".to_owned(),
        PathPattern::Exact(path) => path.clone(),
        PathPattern::Prefix(prefix) => format!("{prefix} or below"),
        PathPattern::Regex(regex) => format!("a match of {regex}"),
    }
}

fn show_value(value: &ValueTest) -> String {
    match value {
        ValueTest::Present => "there".to_owned(),
        ValueTest::Exact(text) => format!("{:?}", String::from_utf8_lossy(text)),
        // Shown as the file has it, without the anchors that were put around it.
        ValueTest::Regex { pattern, .. } => format!("a match of {pattern}"),
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "a more specific host",
            Self::Path => "a more specific path",
            Self::Method => "methods",
            Self::Headers => "more header fields",
            Self::Query => "more query parameters",
            Self::Order => "an earlier place in the file",
        })
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(hosts) => write!(f, "the host is not {}", hosts.join(" or ")),
            Self::Path(path) => write!(f, "the path is not {path}"),
            Self::Method(methods) => write!(f, "the method is not {}", methods.join(" or ")),
            Self::Header { name, wanted } => write!(f, "the header {name} is not {wanted}"),
            Self::Query { name, wanted } => write!(f, "the query parameter {name} is not {wanted}"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chosen {
            Some(name) => writeln!(f, "route {name} takes the request")?,
            None if self.allow.is_empty() => writeln!(f, "no route takes the request")?,
            None => writeln!(f, "no route takes the request with this method; allowed: {}", self.allow.join(", "))?,
        }
        for Candidate { name, verdict, .. } in self.candidates.iter().take(SHOWN) {
            match verdict {
                Verdict::Chosen => writeln!(f, "  {name}: takes it")?,
                Verdict::LessSpecific(criterion) => writeln!(f, "  {name}: would take it, but the first has {criterion}")?,
                Verdict::Failed(condition) => writeln!(f, "  {name}: {condition}")?,
            }
        }
        match self.candidates.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(f, "  and {more} more"),
        }
    }
}
