//! Chunked bodies (RFC 9112 section 7.1), up to the trailer section: every size line is checked byte by byte, data is skipped over.

use super::super::Refusal;
use crate::model::Reason;

/// 16 hexadecimal digits fill 64 bits.
const MAX_DIGITS: u8 = 16;
/// Bytes of chunk extensions in one body. Nobody uses them but attackers; the server behind gives up at 16 KiB.
const MAX_EXTENSIONS: u16 = 8 * 1024;

/// A chunked body that is being read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Chunks {
    state: State,
    /// The size of the chunk, then what is left of it.
    left: u64,
    digits: u8,
    extensions: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    SizeFeed,
    Data,
    DataReturn,
    DataFeed,
}

/// How far it came.
pub(super) struct Step {
    /// How many bytes of the slice are good.
    pub(super) used: usize,
    pub(super) end: End,
}

/// Why it stopped there.
pub(super) enum End {
    /// The slice is used up.
    More,
    /// The line of the last chunk is over; trailers follow.
    Trailers,
    /// The next byte is wrong.
    Bad(Refusal),
}

impl Chunks {
    /// Goes on with `bytes`.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Step {
        let mut used = 0;
        while let Some(&byte) = bytes.get(used) {
            if self.state == State::Data {
                used += self.skip(bytes.len() - used);
                continue;
            }
            if let Err(detail) = self.take(byte) {
                return Step { used, end: End::Bad(Refusal::new(Reason::RequestBodyBroken, detail)) };
            }
            used += 1;
            if byte == b'\n' && self.state == State::Data && self.left == 0 {
                return Step { used, end: End::Trailers };
            }
        }
        Step { used, end: End::More }
    }

    /// Skips data; returns how much.
    fn skip(&mut self, available: usize) -> usize {
        // At most `available`, so it fits.
        let skipped = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= skipped as u64;
        if self.left == 0 {
            self.state = State::DataReturn;
        }
        skipped
    }

    fn take(&mut self, byte: u8) -> Result<(), &'static str> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeFeed,
            (State::Size, b';') if self.digits > 0 => State::Extension,
            (State::Size, byte) => return self.take_digit(byte),
            (State::Extension, b'\r') => State::SizeFeed,
            (State::Extension, b'\t' | b' '..=b'~') if self.extensions < MAX_EXTENSIONS => {
                self.extensions += 1;
                State::Extension
            }
            (State::Extension, b'\t' | b' '..=b'~') => return Err("the chunk extensions are too long"),
            (State::Extension, _) => return Err("a chunk extension has a control character or a byte above 127"),
            (State::SizeFeed | State::Data, b'\n') => State::Data,
            (State::SizeFeed | State::Data, _) => return Err("a chunk size line does not end with CRLF"),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => {
                self.digits = 0;
                State::Size
            }
            (State::DataReturn | State::DataFeed, _) => return Err("a chunk does not end with CRLF where its size says"),
        };
        Ok(())
    }

    fn take_digit(&mut self, byte: u8) -> Result<(), &'static str> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\n' => return Err("a chunk size line does not end with CRLF"),
            _ => return Err("a chunk size is not a hexadecimal number"),
        };
        if self.digits == MAX_DIGITS {
            return Err("a chunk size has more than 16 digits");
        }
        self.digits += 1;
        // The chunk before left 0 behind.
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }
}
