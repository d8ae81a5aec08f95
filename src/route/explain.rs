//! Says of every route why it takes a request or does not, for `tidegate explain`.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::predicate::Unmet;
use super::table::{Entry, Miss, Query, Table};
use crate::model::{HostPattern, Id, Match};

/// What every route has to say about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The route that takes it.
    pub taken: Option<Id>,
    /// The methods that would be taken, when only the method is wrong.
    pub allowed: Vec<String>,
    /// First those whose host and path take the request, in the order in which they are tried; then the others of this listener, by
    /// specificity; then those of other listeners.
    pub candidates: Vec<Candidate>,
}

/// One route, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Its place among the routes that the table was built from.
    pub route: usize,
    /// Its name.
    pub name: Id,
    /// What it says.
    pub verdict: Verdict,
}

/// What a route says about a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes the request.
    Taken,
    /// It would, but a more specific one is before it.
    LessSpecific,
    /// It does not, for this reason; the first in the order of [`Condition`].
    Unmet(Condition),
}

/// A condition of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The listener.
    Listener,
    /// The host.
    Host,
    /// The path.
    Path,
    /// The method.
    Method,
    /// The header field of this name.
    Header(String),
    /// The query parameter of this name.
    Query(String),
}

pub(super) fn explain(table: &Table, query: &Query<'_>) -> Explanation {
    let mut candidates = Vec::new();
    let mut seen = HashSet::new();
    let mut taken = None;
    for entry in table.candidates(query).filter(|entry| seen.insert(entry.route)) {
        let verdict = match entry.predicate.check(query) {
            Err(unmet) => Verdict::Unmet(condition(&entry.model.matcher, unmet)),
            Ok(()) if taken.is_some() => Verdict::LessSpecific,
            Ok(()) => {
                taken = Some(entry.model.name.clone());
                Verdict::Taken
            }
        };
        candidates.push(candidate(entry, verdict));
    }
    for entry in table.entries().iter().filter(|entry| !seen.contains(&entry.route)) {
        let unmet = if takes_host(&entry.model.matcher, query.host) { Condition::Path } else { Condition::Host };
        candidates.push(candidate(entry, Verdict::Unmet(unmet)));
    }
    let elsewhere = table.elsewhere().iter();
    let unmet = Verdict::Unmet(Condition::Listener);
    candidates.extend(elsewhere.map(|(route, name)| Candidate { route: *route, name: name.clone(), verdict: unmet.clone() }));
    let allowed = match table.find(query) {
        Err(Miss::Method(allowed)) => allowed.iter().map(ToString::to_string).collect(),
        Ok(_) | Err(Miss::NoRoute) => Vec::new(),
    };
    Explanation { taken, allowed, candidates }
}

fn candidate(entry: &Entry, verdict: Verdict) -> Candidate {
    Candidate { route: entry.route, name: entry.model.name.clone(), verdict }
}

fn condition(matcher: &Match, unmet: Unmet) -> Condition {
    match unmet {
        Unmet::Method => Condition::Method,
        Unmet::Header(index) => {
            Condition::Header(matcher.headers.get(index).map(|field| field.name.to_string()).unwrap_or_default())
        }
        Unmet::Query(index) => {
            Condition::Query(matcher.query.get(index).map(|parameter| parameter.name.clone()).unwrap_or_default())
        }
    }
}

fn takes_host(matcher: &Match, host: &str) -> bool {
    let takes = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name == host,
        HostPattern::Below(domain) => host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.')),
    };
    matcher.hosts.is_empty() || matcher.hosts.iter().any(takes)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.taken {
            Some(name) => write!(f, "route \"{name}\" takes the request")?,
            None if self.allowed.is_empty() => f.write_str("no route takes the request")?,
            None => write!(f, "no route takes the request with this method; allowed: {}", self.allowed.join(", "))?,
        }
        for candidate in &self.candidates {
            write!(f, "\n  {}: {}", candidate.name, candidate.verdict)?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("takes it"),
            Self::LessSpecific => f.write_str("would take it, but is less specific"),
            Self::Unmet(condition) => write!(f, "{condition} does not match"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("the listener"),
            Self::Host => f.write_str("the host"),
            Self::Path => f.write_str("the path"),
            Self::Method => f.write_str("the method"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, Method};

    use super::*;
    use crate::model::{Action, HeaderMatch, PathPattern, QueryMatch, Rewrite, Route, RouteTimeouts, ValueMatch};

    fn route(name: &str, matcher: Match) -> Arc<Route> {
        Arc::new(Route {
            name: name.parse().unwrap(),
            matcher,
            action: Action::Forward(Vec::new()),
            require: Default::default(),
            rewrite: Rewrite::default(),
            timeouts: RouteTimeouts::default(),
            heartbeat: None,
            policies: Default::default(),
        })
    }

    fn explained(method: &Method) -> Explanation {
        let hosts = |host: &str| vec![HostPattern::Below(host.to_owned())];
        let prefix = |text: &str| PathPattern::Prefix(text.to_owned());
        let tier = HeaderMatch { name: "x-tier".parse().unwrap(), value: ValueMatch::Present };
        let debug = QueryMatch { name: "debug".to_owned(), value: ValueMatch::Present };
        let methods = vec![Method::POST];
        let routes = [
            route("other-listener", Match { listeners: vec!["private".parse().unwrap()], ..Match::default() }),
            route("other-host", Match { hosts: hosts("b.example"), ..Match::default() }),
            route("other-path", Match { hosts: hosts("example"), path: prefix("/b"), ..Match::default() }),
            route("all", Match { methods: methods.clone(), ..Match::default() }),
            route("root", Match { path: prefix("/"), methods, ..Match::default() }),
            route("gold", Match { path: prefix("/a"), headers: vec![tier], ..Match::default() }),
            route("debug", Match { path: prefix("/a"), query: vec![debug], ..Match::default() }),
        ];
        let table = Table::build(&routes, &"public".parse().unwrap()).unwrap();
        table.explain(&Query { host: "a.example", path: "/a", method, headers: &HeaderMap::new(), query: None })
    }

    #[test]
    fn every_route_says_what_kept_it_from_taking_the_request() {
        let lines = [
            "route \"root\" takes the request",
            "  gold: header x-tier does not match",
            "  debug: query parameter debug does not match",
            "  root: takes it",
            "  all: would take it, but is less specific",
            "  other-host: the host does not match",
            "  other-path: the path does not match",
            "  other-listener: the listener does not match",
        ];
        assert_eq!(explained(&Method::POST).to_string(), lines.join("\n"));
    }

    #[test]
    fn a_wrong_method_is_said_with_those_that_are_allowed() {
        let explanation = explained(&Method::GET);
        assert_eq!(explanation.allowed, ["POST"]);
        assert!(explanation.to_string().starts_with("no route takes the request with this method; allowed: POST\n"));
    }

    #[test]
    fn an_explanation_is_data() {
        let json = serde_json::to_value(explained(&Method::POST)).unwrap();
        assert_eq!(json["taken"], "root");
        assert_eq!(
            json["candidates"][0],
            serde_json::json!({ "route": 5, "name": "gold", "verdict": { "unmet": { "header": "x-tier" } } })
        );
        assert_eq!(json["candidates"][2]["verdict"], "taken");
    }
}
