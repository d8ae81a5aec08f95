//! `traceparent` and `tracestate`: W3C Trace Context, Recommendation of 23 November 2021.
//!
//! Passed on as they are, because Tidegate records no spans of its own and so is no parent of anything. A request without a trace begins one,
//! marked as not sampled, so that the endpoint's logs and ours share an id.

use http::{HeaderMap, HeaderName};

use super::mint::Fresh;
use super::present::Present;

/// The field that carries trace and parent ids.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The field that carries what tracing systems add.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// `00-` trace id `-` parent id `-` flags (section 3.2.2).
const LEN: usize = 55;

/// Keeps a valid `traceparent`; otherwise removes `tracestate`, which has no meaning without it, and begins a trace.
pub fn ensure(headers: &mut HeaderMap, present: Present, fresh: &Fresh<'_>) {
    if present.has(Present::TRACEPARENT) && has_valid(headers) {
        return;
    }
    if present.has(Present::TRACESTATE) {
        headers.remove(TRACESTATE);
    }
    headers.insert(TRACEPARENT, fresh.traceparent());
}

fn has_valid(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    lines.next().is_some_and(|value| is_valid(value.as_bytes())) && lines.next().is_none()
}

/// Returns the trace id of a valid `traceparent`, for logs.
pub fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(TRACEPARENT)?;
    if is_valid(value.as_bytes()) { value.to_str().ok()?.get(3..35) } else { None }
}

/// Section 3.2.2; a version that is not known yet may go on after a hyphen (section 3.2.4).
fn is_valid(value: &[u8]) -> bool {
    let Some((known, rest)) = value.split_at_checked(LEN) else { return false };
    let [version @ .., b'-'] = &known[..3] else { return false };
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let nonzero = |part: &[u8]| hex(part) && part.iter().any(|byte| *byte != b'0');
    let rest_fits = match rest.first() {
        None => true,
        Some(first) => version != b"00" && *first == b'-',
    };
    hex(version)
        && version != b"ff"
        && nonzero(&known[3..35])
        && known[35] == b'-'
        && nonzero(&known[36..52])
        && known[52] == b'-'
        && hex(&known[53..])
        && rest_fits
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::message::mint::Mint;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers: HeaderMap = values.iter().map(|value| (TRACEPARENT, HeaderValue::from_str(value).unwrap())).collect();
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        headers
    }

    fn ensured(headers: &mut HeaderMap, trace: u128, parent: u64) {
        let present = Present::of(headers);
        ensure(headers, present, &Mint::default().fresh(trace, parent));
    }

    #[test]
    fn a_valid_trace_is_passed_on_unchanged() {
        for value in [
            GOOD,
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-ever",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff",
        ] {
            let mut headers = with(&[value]);
            ensured(&mut headers, 7, 8);
            assert_eq!(headers, with(&[value]));
            assert_eq!(trace_id(&headers), Some("0af7651916cd43dd8448eb211c80319c"));
        }
    }

    #[test]
    fn an_invalid_trace_is_begun_anew_without_its_state() {
        for values in [
            &[][..],
            &[""],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"],
            &["00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"],
            &["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
            &["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x"],
            &["01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x"],
            &["00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01"],
            &["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g"],
            &[GOOD, GOOD],
        ] {
            let mut headers = with(values);
            ensured(&mut headers, 0xab, 0);
            assert_eq!(headers[TRACEPARENT], "00-000000000000000000000000000000ab-0000000000000001-00", "{values:?}");
            assert_eq!(headers.len(), 1, "{values:?}");
        }
    }
}
