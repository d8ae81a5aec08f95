//! Just enough of RFC 9112 to find where a request ends, whatever way the bytes were cut.
//!
//! It trusts its clients: they are the proxies of the benchmark. What it does not understand closes the connection.

use crate::{Replies, Reply};

/// No proxy of the benchmark sends a longer head.
pub const MAX_HEAD: usize = 16 * 1024;

/// What the head of a request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, with its empty line.
    pub length: usize,
    /// How the body is framed.
    pub body: Body,
    /// Which reply it gets.
    pub target: Target,
    /// Whether the body of the reply is left out.
    pub head_only: bool,
    /// Whether the connection ends after the reply.
    pub close: bool,
    /// Whether this is no request but the start of HTTP/2's preface (RFC 9113 section 3.4).
    pub preface: bool,
}

/// What remains of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// This many bytes.
    Bytes(u64),
    /// Chunks: at the start of a size line.
    ChunkSize,
    /// Chunks: this many bytes of data and line end to skip.
    ChunkData(u64),
    /// Chunks: in the trailer, until an empty line.
    Trailer,
}

/// The paths that the endpoint knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `/1k`.
    Small,
    /// `/64k`.
    Medium,
    /// `/1m`.
    Large,
    /// `/stream`.
    Stream,
    /// Anything else.
    Missing,
}

impl Target {
    /// Returns the prebuilt reply.
    pub fn reply(self, replies: &Replies) -> &Reply {
        match self {
            Self::Small => &replies.small,
            Self::Medium => &replies.medium,
            Self::Large => &replies.large,
            Self::Stream => &replies.stream,
            Self::Missing => &replies.missing,
        }
    }
}

/// A request that the endpoint does not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads a head from the start of `bytes`; `None` when it is not complete yet.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut lines = Lines(bytes);
    let Some(first) = lines.next() else { return incomplete(bytes) };
    let mut words = first.split(|byte| *byte == b' ');
    let (Some(method), Some(path), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err(Malformed);
    };
    let mut head = Head {
        length: 0,
        body: Body::Bytes(0),
        target: match path {
            b"/1k" => Target::Small,
            b"/64k" => Target::Medium,
            b"/1m" => Target::Large,
            b"/stream" => Target::Stream,
            _ => Target::Missing,
        },
        head_only: method == b"HEAD",
        close: version == b"HTTP/1.0",
        preface: method == b"PRI",
    };
    loop {
        let Some(line) = lines.next() else { return incomplete(bytes) };
        if line.is_empty() {
            head.length = bytes.len() - lines.0.len();
            return Ok(Some(head));
        }
        field(line, &mut head)?;
    }
}

/// Skips what `bytes` holds of a body; returns how many bytes were skipped, and whether the body has ended.
pub fn skip(body: &mut Body, bytes: &[u8]) -> Result<(usize, bool), Malformed> {
    let mut used = 0;
    loop {
        let rest = &bytes[used..];
        match *body {
            Body::Bytes(left) => {
                let taken = left.min(rest.len() as u64);
                *body = Body::Bytes(left - taken);
                return Ok((used + taken as usize, left == taken));
            }
            Body::ChunkData(left) => {
                let taken = left.min(rest.len() as u64);
                used += taken as usize;
                if taken < left {
                    *body = Body::ChunkData(left - taken);
                    return Ok((used, false));
                }
                *body = Body::ChunkSize;
            }
            Body::ChunkSize => {
                let mut lines = Lines(rest);
                let Some(line) = lines.next() else { return Ok((used, false)) };
                used += rest.len() - lines.0.len();
                *body = match chunk_size(line)? {
                    0 => Body::Trailer,
                    size => Body::ChunkData(size + 2),
                };
            }
            Body::Trailer => {
                let mut lines = Lines(rest);
                let Some(line) = lines.next() else { return Ok((used, false)) };
                used += rest.len() - lines.0.len();
                if line.is_empty() {
                    return Ok((used, true));
                }
            }
        }
    }
}

fn incomplete(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    if bytes.len() > MAX_HEAD { Err(Malformed) } else { Ok(None) }
}

fn field(line: &[u8], head: &mut Head) -> Result<(), Malformed> {
    // Most fields are told apart by the length of their name alone.
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Malformed)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    match colon {
        10 if name.eq_ignore_ascii_case(b"connection") => head.close |= value.eq_ignore_ascii_case(b"close"),
        14 if name.eq_ignore_ascii_case(b"content-length") => head.body = Body::Bytes(number(value, 10)?),
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => head.body = Body::ChunkSize,
        _ => {}
    }
    Ok(())
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    number(line[..end].trim_ascii(), 16)
}

fn number(digits: &[u8], radix: u32) -> Result<u64, Malformed> {
    let text = std::str::from_utf8(digits).map_err(|_| Malformed)?;
    // A third of the range leaves room for sums.
    u64::from_str_radix(text, radix).ok().filter(|number| *number < u64::MAX / 3).ok_or(Malformed)
}

/// Complete lines; what is left has none.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_ends_at_the_empty_line() {
        let bytes = b"POST /64k HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhello";
        let head = head(bytes).unwrap().unwrap();
        assert_eq!(head.length, bytes.len() - 5);
        assert_eq!(head.body, Body::Bytes(5));
        assert_eq!(head.target, Target::Medium);
        assert!(!head.close && !head.head_only && !head.preface);
    }

    #[test]
    fn head_is_not_complete_at_any_earlier_cut() {
        let bytes = b"GET /1k HTTP/1.1\r\nhost: a\r\n\r\n";
        for cut in 0..bytes.len() {
            assert_eq!(head(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn chunked_body_is_skipped_however_it_is_cut() {
        let bytes = b"5;x=y\r\nhello\r\nA\r\n0123456789\r\n0\r\nt: 1\r\n\r\n";
        for cut in 0..bytes.len() {
            let mut body = Body::ChunkSize;
            let (used, done) = skip(&mut body, &bytes[..cut]).unwrap();
            assert!(!done, "cut at {cut}");
            let (more, done) = skip(&mut body, &bytes[used..]).unwrap();
            assert!(done, "cut at {cut}");
            assert_eq!(used + more, bytes.len());
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(head(b"GET\r\n\r\n"), Err(Malformed));
        assert_eq!(head(b"GET /1k HTTP/1.1\r\nno colon\r\n\r\n"), Err(Malformed));
        assert_eq!(skip(&mut Body::ChunkSize, b"zz\r\n"), Err(Malformed));
    }
}
