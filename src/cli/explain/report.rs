//! The explanation as data, and as text for people.

use std::fmt::{self, Write};

use serde::Serialize;

use super::policies::{Policy, percent};
use super::request::Choice;
use super::sent::{self, Sent};
use crate::cli::table::{Side, Table};
use crate::model::Reason;
use crate::route::Explanation;

/// Why a request would go where it would go.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) request: Seen,
    /// The route that takes it.
    pub(super) route: Option<String>,
    /// Why that one and not the others; `None` when the request is refused before.
    pub(super) routing: Option<Explanation>,
    pub(super) answer: Answer,
    /// What applies on the way, in that order.
    pub(super) policies: Vec<Policy>,
}

/// The request as the proxy reads it.
#[derive(Debug, Serialize)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) scheme: &'static str,
    pub(super) host: String,
    /// As the client sends it.
    pub(super) path: String,
    /// As routes see it; `None` when it is refused.
    pub(super) normalised_path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) listener: String,
    pub(super) bind: String,
    pub(super) chosen_by: Choice,
}

/// What the request gets.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// An answer of one of these pools.
    Forward(Forward),
    /// A redirect.
    Redirect { status: u16, location: String },
    /// The fixed response of the route.
    Respond { status: u16, body_bytes: usize },
    /// A problem document.
    Problem { status: u16, reason: Reason, detail: String },
}

/// Where the request may go.
#[derive(Debug, Serialize)]
pub(super) struct Forward {
    /// The capabilities that an endpoint must offer.
    pub(super) require: Vec<String>,
    pub(super) pools: Vec<Share>,
}

/// A pool, and its share of the route.
#[derive(Debug, Serialize)]
pub(super) struct Share {
    pub(super) pool: String,
    /// From 0 to 1.
    pub(super) share: f64,
    pub(super) strategy: String,
    /// Where further endpoints come from, which the file does not name.
    pub(super) discovery: Option<String>,
    pub(super) endpoints: Vec<Candidate>,
    /// What applies to an attempt, in that order: the pool's say, and the route's.
    pub(super) policies: Vec<Policy>,
    pub(super) sent: Sent,
}

/// An endpoint, and why it may not be picked.
#[derive(Debug, Serialize)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) weight: f64,
    pub(super) zone: Option<String>,
    pub(super) capabilities: Vec<String>,
    /// Whether it may be picked, as far as the file tells.
    pub(super) eligible: bool,
    /// Why not.
    pub(super) reason: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)?;
        if let Some(routing) = &self.routing {
            write!(f, "\n{routing}\n\n")?;
        }
        self.answer.fmt(f)?;
        f.write_str("\nthe request meets\n")?;
        write_policies(f, &self.policies)?;
        match &self.answer {
            Answer::Forward(forward) => forward.pools.iter().try_for_each(|share| share.fmt(f)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
        writeln!(f, "request   {} {}://{}{}{query}", self.method, self.scheme, self.host, self.path)?;
        if let Some(path) = self.normalised_path.as_ref().filter(|path| **path != self.path) {
            writeln!(f, "path      {path}, normalised")?;
        }
        let why = match self.chosen_by {
            Choice::Named => "as named",
            Choice::Port => "by scheme and port",
            Choice::Scheme => "by scheme, as none has the port",
            Choice::First => "the first of the file",
        };
        writeln!(f, "listener  {} at {}, {why}", self.listener, self.bind)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(Forward { require, pools }) => {
                let pools: Vec<_> = pools.iter().map(|share| format!("{} ({})", share.pool, percent(share.share))).collect();
                writeln!(f, "pool      {}", pools.join(", "))?;
                let require = if require.is_empty() { "nothing".to_owned() } else { require.join(", ") };
                writeln!(f, "requires  {require}")
            }
            Self::Redirect { status, location } => writeln!(f, "answer    {status}, redirect to {location}"),
            Self::Respond { status, body_bytes } => writeln!(f, "answer    {status}, fixed response of {body_bytes} bytes"),
            Self::Problem { status, reason, detail } => writeln!(f, "answer    {status} {}: {detail}", reason.as_str()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\npool {}, strategy {}", self.pool, self.strategy)?;
        let mut table = Table::new([
            ("ENDPOINT", Side::Left),
            ("ADDRESS", Side::Left),
            ("WEIGHT", Side::Right),
            ("ZONE", Side::Left),
            ("CAPABILITIES", Side::Left),
            ("MAY BE PICKED", Side::Left),
        ]);
        for endpoint in &self.endpoints {
            table.push([
                endpoint.id.clone(),
                endpoint.address.clone(),
                endpoint.weight.to_string(),
                endpoint.zone.clone().unwrap_or_default(),
                endpoint.capabilities.join(" "),
                endpoint.reason.as_ref().map_or_else(|| "yes".to_owned(), |reason| format!("no, {reason}")),
            ]);
        }
        write_indented(f, &table)?;
        if let Some(discovery) = &self.discovery {
            writeln!(f, "  and the endpoints discovered by {discovery}")?;
        }
        if self.discovery.is_none() && !self.endpoints.iter().any(|endpoint| endpoint.eligible) {
            f.write_str("  No endpoint may be picked: the answer would be 503.\n")?;
        }
        f.write_str("\nan attempt meets\n")?;
        write_policies(f, &self.policies)?;
        writeln!(f, "\nsent to the endpoint, for a client at {}", sent::CLIENT)?;
        write_indented(f, &self.sent)
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.method, self.target, self.version)?;
        self.headers.iter().try_for_each(|(name, value)| writeln!(f, "{name}: {value}"))
    }
}

fn write_policies(f: &mut fmt::Formatter<'_>, policies: &[Policy]) -> fmt::Result {
    let mut table = Table::new([("KEY", Side::Left), ("VALUE", Side::Left), ("FROM", Side::Left)]);
    for policy in policies {
        table.push([policy.name.to_string(), policy.value.clone(), policy.source.as_str().to_owned()]);
    }
    write_indented(f, &table)
}

fn write_indented(f: &mut fmt::Formatter<'_>, text: &impl fmt::Display) -> fmt::Result {
    let mut whole = String::new();
    write!(whole, "{text}")?;
    whole.lines().try_for_each(|line| writeln!(f, "  {line}"))
}
