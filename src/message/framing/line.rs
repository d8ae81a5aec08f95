//! Lines and the characters in them: the byte-level rules that heads and trailers share.

use super::super::Refusal;
use crate::model::Reason;

/// The longest field name; far below what the header map behind can hold, far above what anybody sends.
const MAX_NAME: usize = 256;

/// Whether a byte may be in a token (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// How far a search for the end of a line came.
pub(super) enum Found<'a> {
    /// A line without its CRLF; the next one begins at the offset.
    Line(&'a [u8], usize),
    /// No line feed yet.
    None,
}

/// Returns the line of `bytes` that begins at `start` and has no line feed before `searched`.
pub(super) fn next_line(bytes: &[u8], start: usize, searched: usize) -> Result<Found<'_>, Refusal> {
    let Some(found) = memchr::memchr(b'\n', &bytes[searched..]) else { return Ok(Found::None) };
    let feed = searched + found;
    if feed == start || bytes[feed - 1] != b'\r' {
        return Err(Refusal::new(Reason::AmbiguousFraming, "a line ends with a line feed alone"));
    }
    Ok(Found::Line(&bytes[start..feed - 1], feed + 1))
}

/// Tells whether `bytes` is a token.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| TOKEN[usize::from(*byte)])
}

/// Splits a field line into its name and its value without the white space around it.
pub(super) fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = line.iter().position(|byte| !TOKEN[usize::from(*byte)]).unwrap_or(line.len());
    if line.get(colon) != Some(&b':') || colon == 0 {
        return Err(bad_name(line, colon));
    }
    if colon > MAX_NAME {
        return Err(Refusal::new(Reason::HeaderTooLarge, "a field name is longer than 256 bytes"));
    }
    let value = &line[colon + 1..];
    if has_control(value) {
        return Err(bad_value(value));
    }
    Ok((&line[..colon], trim(value)))
}

/// Takes spaces and tabs from both ends.
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Tells whether there is a control character other than a tab. Without an early way out, so that it runs many bytes at a time.
pub(super) fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(false, |bad, &byte| bad | ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f))
}

#[cold]
fn bad_name(line: &[u8], end: usize) -> Refusal {
    match line.get(end) {
        Some(b' ' | b'\t') if end == 0 => Refusal::new(Reason::AmbiguousFraming, "a field is folded over several lines"),
        Some(b' ' | b'\t') => Refusal::new(Reason::AmbiguousFraming, "white space stands before the colon of a field"),
        Some(b'\r') => Refusal::new(Reason::AmbiguousFraming, "a carriage return stands alone"),
        Some(b':') => Refusal::new(Reason::MalformedRequest, "a field has no name"),
        Some(_) => Refusal::new(Reason::MalformedRequest, "a field name has a character that no name has"),
        None => Refusal::new(Reason::MalformedRequest, "a field has no colon"),
    }
}

#[cold]
fn bad_value(value: &[u8]) -> Refusal {
    if value.contains(&b'\r') {
        Refusal::new(Reason::AmbiguousFraming, "a carriage return stands alone")
    } else {
        Refusal::new(Reason::MalformedRequest, "a field value has a control character")
    }
}
