//! `x-request-id`: one name for a request in every log on its way.
//!
//! An id that the client sent is kept, whoever the client is: it is only a word to find things by, and is never relied on to be unique.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The field that carries the id.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids would blow up every log line.
const MAX_LEN: usize = 128;

/// Returns the id of a request: the client's when there is exactly one, of 1 to 128 visible ASCII characters, otherwise `random` as 32
/// hexadecimal digits, which is then set on the request.
pub fn ensure(headers: &mut HeaderMap, random: u128) -> HeaderValue {
    if let Some(value) = kept(headers) {
        return value.clone();
    }
    let value = generate(random);
    headers.insert(X_REQUEST_ID, value.clone());
    value
}

/// Writes `random` as an id of 32 hexadecimal digits.
pub fn generate(random: u128) -> HeaderValue {
    let mut digits = [0; 32];
    write_hex(&mut digits, &random.to_be_bytes());
    HeaderValue::from_bytes(&digits).expect("hexadecimal digits are a field value")
}

/// Writes `bytes` as lower-case hexadecimal digits, as many as fit.
pub(super) fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
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

    fn with(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (X_REQUEST_ID, HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect()
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["a", "7f3c-1", &"x".repeat(128)] {
            let mut headers = with(&[id]);
            assert_eq!(ensure(&mut headers, 1), id);
            assert_eq!(headers[X_REQUEST_ID], id);
        }
    }

    #[test]
    fn a_missing_or_invalid_id_is_replaced_by_a_new_one() {
        let new = "0000000000000000000000000000abcd";
        for ids in [&[][..], &[""], &["a b"], &["a\tb"], &["é"], &["a", "b"], &["x".repeat(129).as_str()]] {
            let mut headers = with(ids);
            assert_eq!(ensure(&mut headers, 0xabcd), new, "{ids:?}");
            assert_eq!(headers.get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), [new]);
        }
        assert_eq!(generate(u128::MAX), "f".repeat(32));
    }
}
