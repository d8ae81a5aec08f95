//! Tests of the guard: what is refused and why, what passes, that it does not matter how bytes are cut, and that the server behind
//! reads what passed as the guard does.

mod accepted;
mod cuts;
mod refused;
mod server;

use super::{Guard, Limits, Scanned, Verdict};

const LIMITS: Limits = Limits { headers: 20, header_bytes: 2048, request_line: 512 };

/// What came of a stream that arrived in pieces.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: Vec<u8>,
    verdict: Verdict,
    heads: u64,
    tunnel: bool,
}

/// Does what the reader around the guard does: keeps what was not passed, and offers it again with more.
fn feed<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut guard = Guard::new(limits);
    let (mut held, mut passed) = (Vec::new(), Vec::new());
    let mut verdict = Verdict::AllPassed;
    for piece in pieces {
        held.extend_from_slice(piece);
        let Scanned { pass, verdict: now } = guard.scan(&held);
        passed.extend(held.drain(..pass));
        verdict = now;
        if matches!(verdict, Verdict::RefuseHead(_) | Verdict::RefuseBody(_)) {
            break;
        }
        assert_eq!(verdict == Verdict::AllPassed, held.is_empty());
    }
    Outcome { passed, verdict, heads: guard.heads_passed(), tunnel: guard.tunnel_asked() }
}

fn whole(bytes: &[u8]) -> Outcome {
    feed(LIMITS, [bytes])
}
