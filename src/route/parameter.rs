//! Values inside a request's `Cookie` fields and query.
//!
//! Read only when a route or a pool asks for one: nothing is parsed ahead, and nothing allocates unless a value is escaped.

use std::borrow::Cow;

use http::HeaderMap;
use http::header::COOKIE;

/// Returns the value of the first cookie with this name; `None` when there is none or its value is not UTF-8.
///
/// Quotes are part of the value (RFC 6265 section 5.2 keeps them as well).
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        (key == name.as_bytes()).then_some(value)
    });
    std::str::from_utf8(values.next()?).ok()
}

/// Returns the value of the first query parameter with this name, both decoded; empty for a parameter without `=`.
///
/// Decoded as forms are (WHATWG URL, section 5.1): `+` is a space, `%41` is `A`, a malformed escape stands for itself and bytes that are
/// not UTF-8 become U+FFFD.
pub fn query_value<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    values(query, name).next().map(decode)
}

/// Returns the raw values of all parameters with this name.
pub(super) fn values<'a>(query: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter(|pair| !pair.is_empty()).filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        is(key, name).then_some(value)
    })
}

/// Tells whether `raw` decodes to `text`; allocates nothing.
pub(super) fn is(raw: &str, text: &str) -> bool {
    bytes(raw).eq(text.bytes())
}

/// Decodes a name or value.
pub(super) fn decode(raw: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'%', b'+', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    let decoded: Vec<u8> = bytes(raw).collect();
    Cow::Owned(String::from_utf8(decoded).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn bytes(raw: &str) -> impl Iterator<Item = u8> {
    // A plus that was escaped is decoded after this, and stays one.
    raw.split_inclusive('+').flat_map(|part| {
        let (text, space) = match part.strip_suffix('+') {
            Some(text) => (text, Some(b' ')),
            None => (part, None),
        };
        percent_encoding::percent_decode_str(text).chain(space)
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn cookies(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (COOKIE, HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_in_any_line() {
        let headers = cookies(&[b"xsid=no; theme=dark", b"a ; sid = 42; sid=43"]);
        assert_eq!(cookie(&headers, "sid"), Some("42"));
        assert_eq!(cookie(&headers, "theme"), Some("dark"));
        assert_eq!(cookie(&headers, "si"), None);
        assert_eq!(cookie(&headers, "a"), None);
        assert_eq!(cookie(&HeaderMap::new(), "sid"), None);
    }

    #[test]
    fn a_cookie_value_may_hold_an_equals_sign_and_foreign_bytes_elsewhere_do_not_hide_it() {
        let headers = cookies(&[b"bad=\xff; sid=a=b"]);
        assert_eq!(cookie(&headers, "sid"), Some("a=b"));
        assert_eq!(cookie(&headers, "bad"), None);
    }

    #[test]
    fn a_query_parameter_is_decoded_in_name_and_value() {
        assert_eq!(query_value("a=1&b=2", "b").as_deref(), Some("2"));
        assert_eq!(query_value("%61b=x%20y+z%2B", "ab").as_deref(), Some("x y z+"));
        assert_eq!(query_value("a=1&a=2", "a").as_deref(), Some("1"));
        assert_eq!(query_value("debug", "debug").as_deref(), Some(""));
        assert_eq!(query_value("a=b=c", "a").as_deref(), Some("b=c"));
        assert_eq!(query_value("ab=1", "a"), None);
        assert_eq!(query_value("&&", ""), None);
    }

    #[test]
    fn malformed_escapes_and_foreign_bytes_are_no_error() {
        assert_eq!(query_value("a=%zz%4", "a").as_deref(), Some("%zz%4"));
        assert_eq!(query_value("a=%ff", "a").as_deref(), Some("\u{FFFD}"));
        assert!(!is("%ff", "\u{FFFD}"));
        assert_eq!(decode("++"), "  ");
    }

    #[test]
    fn a_plain_value_is_borrowed() {
        assert!(matches!(query_value("a=plain", "a"), Some(Cow::Borrowed("plain"))));
    }
}
