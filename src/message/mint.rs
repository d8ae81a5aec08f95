//! Ids for a request that brings none: one random number, written once, is its request id and its trace id.
//!
//! Texts are cut from pieces of memory for many requests: a request costs no allocation for its ids. Draws no random numbers itself.

use std::cell::{OnceCell, RefCell};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderValue;

/// How many bytes one piece of memory has. It is let go when the last id of it is: not so large that a request that lasts for hours keeps much.
const PIECE: usize = 4096;

/// `00-` trace id `-` parent id `-00`: a trace that is not sampled (W3C Trace Context section 3.2.2).
const FORM: [u8; 55] = *b"00-________________________________-________________-00";
const TRACE: std::ops::Range<usize> = 3..35;
const PARENT: std::ops::Range<usize> = 36..52;

/// Makes ids.
#[derive(Debug, Default)]
pub struct Mint {
    piece: RefCell<BytesMut>,
}

/// The ids that a request gets when it has none; not written before they are asked for.
#[derive(Debug)]
pub struct Fresh<'a> {
    mint: &'a Mint,
    trace: u128,
    parent: u64,
    text: OnceCell<Bytes>,
}

impl Mint {
    /// Ids of a request out of random numbers; 0, which is no valid id, becomes 1.
    pub fn fresh(&self, trace: u128, parent: u64) -> Fresh<'_> {
        Fresh { mint: self, trace: trace.max(1), parent: parent.max(1), text: OnceCell::new() }
    }

    fn write(&self, trace: u128, parent: u64) -> Bytes {
        let mut text = FORM;
        write_hex(&mut text[TRACE], &trace.to_be_bytes());
        write_hex(&mut text[PARENT], &parent.to_be_bytes());
        let mut piece = self.piece.borrow_mut();
        if piece.capacity() < text.len() {
            *piece = BytesMut::with_capacity(PIECE);
        }
        piece.put_slice(&text);
        piece.split().freeze()
    }
}

impl Fresh<'_> {
    /// Returns the request id: 32 hexadecimal digits.
    pub fn request_id(&self) -> HeaderValue {
        value(self.text().slice(TRACE))
    }

    /// Returns a `traceparent` that begins a trace, not sampled.
    pub fn traceparent(&self) -> HeaderValue {
        value(self.text().clone())
    }

    fn text(&self) -> &Bytes {
        self.text.get_or_init(|| self.mint.write(self.trace, self.parent))
    }
}

fn value(text: Bytes) -> HeaderValue {
    let mut value = HeaderValue::from_maybe_shared(text).expect("hexadecimal digits and hyphens are a field value");
    single(&mut value);
    value
}

/// Marks a value that comes only once, so that HTTP/2 does not put it into its table of known fields (RFC 7541 section 6.2.3): each would drive out
/// another one, for nothing.
pub fn single(value: &mut HeaderValue) {
    value.set_sensitive(true);
}

/// Writes `bytes` as lower-case hexadecimal digits, as many as fit.
fn write_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_id_and_trace_id_are_the_same_number() {
        let mint = Mint::default();
        let fresh = mint.fresh(0x00ab, 0xcd);
        assert_eq!(fresh.request_id(), "000000000000000000000000000000ab");
        assert_eq!(fresh.traceparent(), "00-000000000000000000000000000000ab-00000000000000cd-00");
        let most = mint.fresh(u128::MAX, u64::MAX);
        assert_eq!(most.traceparent(), format!("00-{}-{}-00", "f".repeat(32), "f".repeat(16)).as_str());
    }

    #[test]
    fn zero_which_is_no_id_becomes_one() {
        assert_eq!(Mint::default().fresh(0, 0).traceparent(), "00-00000000000000000000000000000001-0000000000000001-00");
    }

    #[test]
    fn ids_stay_as_they_are_when_more_are_made() {
        let mint = Mint::default();
        let made: Vec<_> = (1..=500).map(|number| (number, mint.fresh(number, 1).request_id())).collect();
        for (number, id) in made {
            assert_eq!(id, format!("{number:032x}").as_str());
        }
    }
}
