//! It does not matter how the network cuts a stream.

use proptest::prelude::{any, prop, prop_assert_eq, proptest};

use super::accepted::STREAMS;
use super::*;

/// Bytes that make trouble.
pub(super) const TROUBLE: &[u8] = b"\r\n\t :;,\0\x7f\xff0159aAfF/*?#.";

/// Replaces, removes and inserts bytes.
pub(super) fn mutate(stream: &str, edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut bytes = stream.as_bytes().to_vec();
    for &(at, how, with) in edits {
        let at = at % bytes.len().max(1);
        let byte = TROUBLE[usize::from(with) % TROUBLE.len()];
        match how % 3 {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.insert(at, byte),
        }
    }
    bytes
}

fn cut(bytes: &[u8], mut sizes: Vec<usize>) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    sizes.push(usize::MAX);
    for size in sizes {
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

#[test]
fn byte_by_byte_is_as_good_as_whole() {
    for (stream, _) in STREAMS {
        assert_eq!(feed(LIMITS, stream.as_bytes().chunks(1)), whole(stream.as_bytes()), "{stream:?}");
    }
}

proptest! {
    #[test]
    fn cuts_change_neither_verdict_nor_what_passed(
        which in 0..STREAMS.len(),
        edits in prop::collection::vec(any::<(usize, u8, u8)>(), 0..4),
        sizes in prop::collection::vec(0_usize..40, 0..12),
        small in any::<bool>(),
    ) {
        let bytes = mutate(STREAMS[which].0, &edits);
        let limits = if small { Limits { headers: 2, header_bytes: 60, request_line: 30 } } else { LIMITS };
        let uncut = feed(limits, [bytes.as_slice()]);
        prop_assert_eq!(&feed(limits, cut(&bytes, sizes)), &uncut);
        prop_assert_eq!(&feed(limits, bytes.chunks(1)), &uncut);
    }
}
