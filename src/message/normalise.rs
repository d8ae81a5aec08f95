//! Brings a path into normal form before it is matched, so that `/a/../admin` and `/%61dmin` meet the route of `/admin`, and the endpoint
//! receives what was matched.
//!
//! Escapes that hide structure stay as they are: `%2F` is no slash and `%5C` no backslash, here as at the endpoint. Parameters
//! (`..;x`) have no meaning here.

use std::borrow::Cow;

use http::Method;

use super::Refusal;
use crate::model::Reason;

/// Normalises the path of a request target, without its query.
///
/// - Escapes of unreserved characters are decoded, the others get upper-case digits (RFC 3986 section 6.2.2).
/// - Double slashes become one.
/// - Dot segments are removed (RFC 3986 section 5.2.4), escaped ones too.
///
/// Borrows when the path is in normal form already, at the cost of one scan. Doing it twice changes nothing.
///
/// # Errors
/// `invalid_target` when the path does not begin with `/` (but for `OPTIONS *`), climbs above the root, has a malformed escape, `%00`, a
/// backslash, white space, a control character or a byte above 127.
pub fn path<'a>(method: &Method, raw: &'a str) -> Result<Cow<'a, str>, Refusal> {
    if raw == "*" && method == Method::OPTIONS {
        return Ok(Cow::Borrowed(raw));
    }
    if !raw.starts_with('/') {
        return Err(invalid("the path does not begin with a slash"));
    }
    if is_normal(raw.as_bytes())? { Ok(Cow::Borrowed(raw)) } else { rebuild(raw).map(Cow::Owned) }
}

const fn invalid(detail: &'static str) -> Refusal {
    Refusal::new(Reason::InvalidTarget, detail)
}

/// Checks every byte, and tells whether the path is in normal form.
fn is_normal(path: &[u8]) -> Result<bool, Refusal> {
    let mut normal = true;
    let mut before = 0;
    let mut at = 0;
    while let Some(&byte) = path.get(at) {
        match byte {
            b'/' => normal &= before != b'/',
            b'.' => normal &= before != b'/' || !is_dot_segment(&path[at..]),
            b'%' => {
                let decoded = escape(&path[at..])?;
                // An escaped dot may make a dot segment, but it is unreserved, so that the path is rebuilt anyway.
                let upper = !path[at + 1..at + 3].iter().any(u8::is_ascii_lowercase);
                normal &= upper && !is_unreserved(decoded);
                at += 2;
            }
            b'\\' => return Err(invalid("the path has a backslash")),
            b'!'..=b'~' => {}
            _ => return Err(invalid("the path has white space, a control character or a byte above 127")),
        }
        before = byte;
        at += 1;
    }
    Ok(normal)
}

/// Tells whether `rest`, which begins a segment with a dot, begins with `.` or `..` as the whole segment.
fn is_dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// Decodes the escape that `rest` begins with.
fn escape(rest: &[u8]) -> Result<u8, Refusal> {
    let digit = |at: usize| rest.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    match (digit(1), digit(2)) {
        (Some(0), Some(0)) => Err(invalid("the path has %00")),
        // Two digits fit a byte.
        (Some(high), Some(low)) => Ok((high << 4 | low) as u8),
        _ => Err(invalid("the path has a percent sign without two hexadecimal digits behind it")),
    }
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn rebuild(raw: &str) -> Result<String, Refusal> {
    let mut out = String::with_capacity(raw.len());
    out.push('/');
    let mut segments = raw.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        // Here `out` ends with a slash.
        let start = out.len();
        decode_into(&mut out, segment)?;
        match &out[start..] {
            "" => {}
            "." => out.truncate(start),
            ".." => {
                out.truncate(start);
                climb(&mut out)?;
            }
            _ if segments.peek().is_some() => out.push('/'),
            _ => {}
        }
    }
    Ok(out)
}

fn climb(out: &mut String) -> Result<(), Refusal> {
    out.pop();
    let parent = out.rfind('/').ok_or(invalid("the path climbs above the root"))?;
    out.truncate(parent + 1);
    Ok(())
}

fn decode_into(out: &mut String, segment: &str) -> Result<(), Refusal> {
    let mut rest = segment;
    while let Some(percent) = memchr::memchr(b'%', rest.as_bytes()) {
        let (plain, escaped) = rest.split_at(percent);
        out.push_str(plain);
        let decoded = escape(escaped.as_bytes())?;
        let (escaped, behind) = escaped.split_at(3);
        if is_unreserved(decoded) {
            out.push(char::from(decoded));
        } else {
            out.extend(escaped.chars().map(|digit| digit.to_ascii_uppercase()));
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests;
