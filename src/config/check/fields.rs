//! Which header fields a file may change: not those that frame a message or belong to one connection.

use std::collections::HashSet;

use http::{HeaderName, header};

use super::Report;
use crate::config::raw::Fields;
use crate::config::shape::{List, Text};

/// On which message the fields are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
    /// The request of a health check.
    Probe,
}

/// Checks fields to set and fields to remove.
pub(super) fn changes(set: &Fields, remove: &List<Text<HeaderName>>, side: Side, report: &mut Report<'_>) {
    let mut seen = HashSet::new();
    for (name, _) in &set.0 {
        name_may_change(name, side, report);
        if !seen.insert(&name.value) {
            report.error(name.id, format!("`{}` is there already: names of fields have no case", name.value));
        }
    }
    for name in &remove.0 {
        name_may_change(name, side, report);
        if seen.contains(&name.value) {
            report.error(name.id, format!("`{}` is both set and removed", name.value));
        }
    }
}

fn name_may_change(name: &Text<HeaderName>, side: Side, report: &mut Report<'_>) {
    if name.value == header::HOST && side == Side::Request {
        let suggestion = Some("write `upstream: { host: .. }` in the pool".to_owned());
        report.error_with(name.id, "`host` is not changed by a route".to_owned(), suggestion);
    } else if name.value == header::HOST && side == Side::Probe {
        let suggestion = Some("write `host: ..` beside `headers`".to_owned());
        report.error_with(name.id, "`host` is not one of the `headers` of a check".to_owned(), suggestion);
    } else if is_framing(&name.value) {
        report.error(name.id, format!("`{}` frames the message and cannot be changed", name.value));
    } else if is_hop_by_hop(&name.value) {
        report.error(name.id, format!("`{}` belongs to one connection, is never forwarded and cannot be changed", name.value));
    }
}

/// RFC 9112 section 6: what decides where a message ends.
fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING
}

/// RFC 9110 section 7.6.1, with the older names that it lists.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [header::CONNECTION, header::TE, header::TRAILER, header::UPGRADE].contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
