//! `x-request-id`: one name for a request in every log on its way.
//!
//! An id that the client sent is kept, whoever the client is: it is only a word to find things by, and is never relied on to be unique.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::mint::{Fresh, single};
use super::present::Present;

/// The field that carries the id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids would blow up every log line.
const MAX_LEN: usize = 128;

/// Returns the id of a request: the client's when there is exactly one, of 1 to 128 visible ASCII characters, otherwise a fresh one, which is
/// then set on the request.
pub fn ensure(headers: &mut HeaderMap, present: Present, fresh: &Fresh<'_>) -> HeaderValue {
    if present.has(Present::X_REQUEST_ID)
        && let Some(mut value) = kept(headers).cloned()
    {
        single(&mut value);
        return value;
    }
    let value = fresh.request_id();
    headers.insert(X_REQUEST_ID, value.clone());
    value
}

fn kept(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(X_REQUEST_ID).iter();
    let value = lines.next()?;
    let valid = (1..=MAX_LEN).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic);
    (valid && lines.next().is_none()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::mint::Mint;

    fn with(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    fn ensured(headers: &mut HeaderMap) -> HeaderValue {
        let present = Present::of(headers);
        ensure(headers, present, &Mint::default().fresh(0xabcd, 1))
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["a", "7f3c-1", &"x".repeat(128)] {
            let mut headers = with(&[id]);
            assert_eq!(ensured(&mut headers), id);
            assert_eq!(headers[X_REQUEST_ID], id);
        }
    }

    #[test]
    fn a_missing_or_invalid_id_is_replaced_by_a_new_one() {
        let new = "0000000000000000000000000000abcd";
        for ids in [&[][..], &[""], &["a b"], &["a\tb"], &["é"], &["a", "b"], &["x".repeat(129).as_str()]] {
            let mut headers = with(ids);
            assert_eq!(ensured(&mut headers), new, "{ids:?}");
            assert_eq!(headers.get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), [new]);
        }
    }
}
