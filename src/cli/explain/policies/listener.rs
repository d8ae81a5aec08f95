//! What a listener applies.

use super::shown::{duration, none, number, size};
use super::{Policy, Section, Source};
use crate::model::{Limits, Listener, ListenerTimeouts};

/// Lists what a listener applies to a request.
pub(in crate::cli::explain) fn of_listener(listener: &Listener) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut section = Section { source: Source::Listener, policies: &mut policies };
    let (limits, default) = (&listener.limits, Limits::default());
    section.add("limits.headers", &limits.headers, &default.headers, number);
    section.add("limits.header_bytes", &limits.header_bytes, &default.header_bytes, |bytes| size(u64::from(*bytes)));
    section.add("limits.request_line", &limits.request_line, &default.request_line, |bytes| size(u64::from(*bytes)));
    section.add("limits.request_body", &limits.request_body, &default.request_body, |bytes| bytes.map_or_else(none, size));
    let (timeouts, default) = (&listener.timeouts, ListenerTimeouts::default());
    section.add("timeouts.header", &timeouts.header, &default.header, duration);
    section.add("timeouts.write", &timeouts.write, &default.write, duration);
    policies
}
