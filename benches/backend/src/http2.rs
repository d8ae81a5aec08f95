//! Just enough of RFC 9113 to answer every request of a proxy with 1 KiB, whatever it asks for.
//!
//! Header blocks are not read: the reply depends on nothing, so there is no HPACK here. A request's body is skipped without new credit
//! for its sender, so no more than 64 KiB may ever be sent on one connection.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};

use crate::request::Malformed;

const BODY: usize = 1 << 10;
const FRAME_HEAD: usize = 9;
/// What is left of the preface behind the part that looks like a head: `SM` and an empty line.
const REST_OF_PREFACE: usize = 6;
/// The initial window of a connection (RFC 9113 section 6.9.2).
const WINDOW: i64 = 65_535;
const MAX_FRAME: usize = 1 << 14;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// One HTTP/2 connection, behind the first line of its preface.
pub struct Http2 {
    preface: usize,
    /// A request whose header block goes on, and whether nothing follows that.
    unfinished: Option<(u32, bool)>,
    window: i64,
    /// Requests that wait for the window.
    waiting: VecDeque<u32>,
    out: Vec<u8>,
    written: usize,
}

impl Default for Http2 {
    fn default() -> Self {
        let mut out = Vec::with_capacity(64 * 1024);
        // The defaults are good: settings without an entry.
        frame(&mut out, SETTINGS, 0, 0, &[]);
        Self { preface: REST_OF_PREFACE, unfinished: None, window: WINDOW, waiting: VecDeque::new(), out, written: 0 }
    }
}

impl Http2 {
    /// Understands all complete frames; returns how many bytes they were.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = self.preface.min(bytes.len());
        self.preface -= used;
        while let Some((head, rest)) = bytes[used..].split_first_chunk::<FRAME_HEAD>() {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if length > MAX_FRAME {
                return Err(Malformed);
            }
            let Some(payload) = rest.get(..length) else { break };
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
            self.frame(head[3], head[4], stream, payload)?;
            used += FRAME_HEAD + length;
        }
        Ok(used)
    }

    /// Writes what waits; `false` when the kernel takes no more.
    pub fn write(&mut self, stream: &mut impl Write) -> std::io::Result<bool> {
        while self.written < self.out.len() {
            match stream.write(&self.out[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(true)
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<(), Malformed> {
        match kind {
            HEADERS if flags & END_HEADERS == 0 => self.unfinished = Some((stream, flags & END_STREAM != 0)),
            HEADERS | DATA if flags & END_STREAM != 0 => self.waiting.push_back(stream),
            CONTINUATION if flags & END_HEADERS != 0 => {
                if let Some((stream, true)) = self.unfinished.take() {
                    self.waiting.push_back(stream);
                }
            }
            SETTINGS if flags & ACK == 0 => {
                windows_are_large(payload)?;
                frame(&mut self.out, SETTINGS, ACK, 0, &[]);
            }
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            WINDOW_UPDATE if stream == 0 => {
                let more = payload.try_into().map(u32::from_be_bytes).map_err(|_| Malformed)?;
                self.window += i64::from(more & 0x7fff_ffff);
            }
            _ => {}
        }
        while self.window >= BODY as i64 {
            let Some(stream) = self.waiting.pop_front() else { break };
            self.window -= BODY as i64;
            reply(&mut self.out, stream);
        }
        Ok(())
    }
}

/// A stream's window is used once, so it has to hold a body from the start: this endpoint keeps no account for each stream.
fn windows_are_large(settings: &[u8]) -> Result<(), Malformed> {
    let small = settings.chunks_exact(6).any(|entry| {
        let value = u32::from_be_bytes([entry[2], entry[3], entry[4], entry[5]]);
        u16::from_be_bytes([entry[0], entry[1]]) == INITIAL_WINDOW_SIZE && value < BODY as u32
    });
    if small { Err(Malformed) } else { Ok(()) }
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn reply(out: &mut Vec<u8>, stream: u32) {
    // RFC 7541 appendix A: 8 is `:status: 200`; 28, 31 and 54 are the names, as literals without indexing (section 6.2.2).
    const FIELDS: &[u8] = b"\x88\x0f\x0d\x041024\x0f\x10\x18application/octet-stream\x0f\x27\x0dbench-backend";
    frame(out, HEADERS, END_HEADERS, stream, FIELDS);
    frame(out, DATA, END_STREAM, stream, &[b'x'; BODY]);
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = &[0, 0, 1, HEADERS, END_HEADERS | END_STREAM, 0, 0, 0, 1, 0x82];

    fn opened() -> Http2 {
        let mut connection = Http2::default();
        assert_eq!(connection.take(b"SM\r\n\r\n"), Ok(6));
        connection.out.clear();
        connection
    }

    #[test]
    fn request_is_answered_however_it_is_cut() {
        for cut in 0..REQUEST.len() {
            let mut connection = opened();
            assert_eq!(connection.take(&REQUEST[..cut]), Ok(0));
            assert_eq!(connection.take(REQUEST), Ok(REQUEST.len()));
            assert_eq!(connection.out[3..5], [HEADERS, END_HEADERS]);
            let (_, data) = connection.out.split_at(connection.out.len() - BODY - FRAME_HEAD);
            assert_eq!(data[..FRAME_HEAD], [0, 4, 0, DATA, END_STREAM, 0, 0, 0, 1]);
        }
    }

    #[test]
    fn header_block_in_two_frames_is_one_request() {
        let mut connection = opened();
        connection.take(&[0, 0, 1, HEADERS, END_STREAM, 0, 0, 0, 3, 0x82]).unwrap();
        assert!(connection.out.is_empty());
        connection.take(&[0, 0, 1, CONTINUATION, END_HEADERS, 0, 0, 0, 3, 0x84]).unwrap();
        assert!(!connection.out.is_empty());
    }

    #[test]
    fn replies_wait_for_the_window() {
        let mut connection = opened();
        for _ in 0..100 {
            connection.take(REQUEST).unwrap();
        }
        assert_eq!(connection.waiting.len(), 100 - WINDOW as usize / BODY);
        connection.take(&[0, 0, 4, WINDOW_UPDATE, 0, 0, 0, 0, 0, 0, 1, 0, 0]).unwrap();
        assert!(connection.waiting.is_empty());
    }

    #[test]
    fn settings_and_pings_are_acknowledged() {
        let mut connection = opened();
        connection.take(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).unwrap();
        connection.take(&[0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(connection.out, [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0, 0, 0, 8, PING, ACK, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn window_too_small_for_a_body_is_refused() {
        assert_eq!(opened().take(&[0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 4, 0, 0, 3, 0xff]), Err(Malformed));
    }
}
