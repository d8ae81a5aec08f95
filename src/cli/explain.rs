//! `explain`: where a request would go and why, from the config file alone.
//!
//! Nothing is sent, no socket is opened, no endpoint is asked. The functions that decide are those of the request path, so that the
//! explanation cannot say something else than the proxy does; only their order is written down a second time, in this file.

mod forward;
mod policies;
mod report;
mod request;
mod sent;
#[cfg(test)]
mod tests;

use std::path::Path;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, Uri};

use super::{args, output, source};
use crate::config;
use crate::message::{Refusal, host, normalise};
use crate::model::{Action, Listener, Reason, Redirect, Route, Snapshot, Split};
use crate::route::{self, Matched, Miss, Query, Rewriter, Table};
use forward::Situation;
use report::{Answer, Report, Seen};
use request::Asked;

/// Explains a request.
///
/// # Errors
/// When the file cannot be used, or what was asked for is no request. That the proxy would refuse it is an explanation.
pub(super) fn run(arguments: &args::Explain) -> anyhow::Result<()> {
    let path = source::path(&arguments.source)?;
    output::show_as(arguments.format, &explain(arguments, &path)?)
}

fn explain(arguments: &args::Explain, path: &Path) -> anyhow::Result<Report> {
    let snapshot = config::load(path)?.snapshot;
    report(arguments, &snapshot)
}

fn report(arguments: &args::Explain, snapshot: &Snapshot) -> anyhow::Result<Report> {
    let asked = Asked::read(arguments)?;
    let (listener, chosen_by) = asked.listener(&snapshot.listeners, arguments.listener.as_deref())?;
    let target = Target::of(&asked);
    let request = Seen {
        method: asked.method.to_string(),
        scheme: scheme(listener),
        host: asked.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()).unwrap_or_default(),
        path: asked.path.clone(),
        normalised_path: target.as_ref().ok().map(|target| target.path.path().to_owned()),
        query: asked.query.clone(),
        listener: listener.name.to_string(),
        bind: listener.bind.to_string(),
        chosen_by,
    };
    let mut policies = policies::of_listener(listener);
    let target = match target {
        Ok(target) => target,
        Err(refusal) => {
            return Ok(Report { request, route: None, routing: None, answer: problem(refusal.reason, refusal.detail), policies });
        }
    };
    let table = Table::build(&snapshot.routes, &listener.name)?;
    let query = Query {
        host: &target.host,
        path: target.path.path(),
        method: &asked.method,
        headers: &asked.headers,
        query: target.path.query(),
    };
    let routing = Some(table.explain(&query));
    let way = Way { snapshot, listener, asked: &asked, target: &target };
    let found = table.find(&query).map(|matched| (matched, snapshot.routes.get(matched.route)));
    let (route, answer) = match found {
        Ok((matched, Some(route))) => {
            policies.extend(policies::of_route(route, snapshot));
            (Some(route.name.to_string()), way.answer(route, matched))
        }
        Ok((_, None)) | Err(Miss::NoRoute) => (None, problem(Reason::NoRoute, "no route takes this host, path, headers and query")),
        Err(Miss::Method(allowed)) => (None, method_not_allowed(&allowed)),
    };
    Ok(Report { request, route, routing, answer, policies })
}

/// Whom a request is for, as `ingress` finds it.
struct Target {
    /// In lower case, without port.
    host: String,
    /// In normal form, with the query.
    path: PathAndQuery,
}

impl Target {
    fn of(asked: &Asked) -> Result<Self, Refusal> {
        if asked.method == Method::CONNECT {
            return Err(Refusal::new(Reason::ConnectRefused, "this proxy opens no tunnels to other hosts"));
        }
        let mut hosts = asked.headers.get_all(HOST).iter();
        let (Some(value), None) = (hosts.next(), hosts.next()) else {
            return Err(Refusal::new(Reason::InvalidHost, "Host is repeated"));
        };
        let host = host::parse(value.as_bytes())?.name.into_owned();
        let path = normalise::path(&asked.method, &asked.path)?;
        let text = match &asked.query {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        let path = text.parse().map_err(|_| Refusal::new(Reason::InvalidTarget, "the path is not valid in normal form"))?;
        Ok(Self { host, path })
    }
}

/// A request that a route takes.
struct Way<'a> {
    snapshot: &'a Snapshot,
    listener: &'a Listener,
    asked: &'a Asked,
    target: &'a Target,
}

impl Way<'_> {
    fn answer(&self, route: &Route, matched: Matched) -> Answer {
        match &route.action {
            Action::Respond(fixed) => Answer::Respond { status: fixed.status.as_u16(), body_bytes: fixed.body.len() },
            Action::Redirect(redirect) => self.redirect(redirect, matched),
            Action::Forward(splits) => self.forward(route, splits, matched),
        }
    }

    fn redirect(&self, redirect: &Redirect, matched: Matched) -> Answer {
        let host = self.asked.headers.get(HOST).and_then(|host| host.to_str().ok());
        let uri = Uri::from(self.target.path.clone());
        match route::location(redirect, scheme(self.listener), host, &uri, matched.prefix_len) {
            Some(location) => {
                let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
                Answer::Redirect { status: redirect.status.as_u16(), location }
            }
            None => problem(Reason::InvalidTarget, "the redirect does not make a valid location"),
        }
    }

    fn forward(&self, route: &Route, splits: &[Split], matched: Matched) -> Answer {
        let wanted = match route::required(&self.asked.headers) {
            Ok(wanted) => wanted,
            Err(error) => return problem(Reason::MalformedRequest, &error.to_string()),
        };
        let rewriter = Rewriter::new(&route.rewrite);
        let rewritten = rewriter.path(&self.target.path, matched.prefix_len);
        let situation = Situation {
            rewriter: &rewriter,
            require: route.require.iter().cloned().chain(wanted.into_iter().map(str::to_owned)).collect(),
            method: self.asked.method.as_str(),
            target: rewritten.as_ref().unwrap_or(&self.target.path).as_str(),
            headers: &self.asked.headers,
            timeouts: &route.timeouts,
            is_tls: self.listener.tls.is_some(),
            forwarding: &self.snapshot.forwarding,
        };
        Answer::Forward(forward::forward(splits, &self.snapshot.pools, &situation))
    }
}

const fn scheme(listener: &Listener) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

fn problem(reason: Reason, detail: &str) -> Answer {
    Answer::Problem { status: reason.status().as_u16(), reason, detail: detail.to_owned() }
}

fn method_not_allowed(allowed: &[Method]) -> Answer {
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    problem(Reason::MethodNotAllowed, &format!("a route takes this request with another method only: {}", names.join(", ")))
}
