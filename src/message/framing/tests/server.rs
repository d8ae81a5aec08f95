//! The server behind reads what passed as the guard does: as many requests, none of them refused.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, prop_assert_eq, proptest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::accepted::STREAMS;
use super::cuts::mutate;
use super::*;

/// Returns how many requests the server saw to their end, and everything that it answered.
fn serve(stream: &[u8]) -> (u64, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers can be built");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let seen = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&seen);
        let service = service_fn(move |request: Request<Incoming>| {
            let counter = Arc::clone(&counter);
            async move {
                if request.into_body().collect().await.is_ok() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let serving = tokio::spawn(http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service));
        client.write_all(stream).await.expect("the pipe is larger than the stream");
        client.shutdown().await.expect("the server has not gone");
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.expect("the pipe breaks only in order");
        let _ = serving.await;
        (seen.load(Ordering::Relaxed), String::from_utf8_lossy(&answers).into_owned())
    })
}

#[test]
fn the_server_sees_the_requests_that_passed() {
    for (stream, heads) in STREAMS {
        let (seen, answers) = serve(stream.as_bytes());
        assert_eq!(seen, *heads, "{stream:?} {answers}");
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count() as u64, *heads, "{stream:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_passes_whole_is_refused_by_no_server(
        which in 0..STREAMS.len(),
        edits in prop::collection::vec(any::<(usize, u8, u8)>(), 0..3),
    ) {
        let bytes = mutate(STREAMS[which].0, &edits);
        let mut guard = Guard::new(LIMITS);
        let scanned = guard.scan(&bytes);
        let complete = scanned.verdict == Verdict::AllPassed && !guard.in_request() && !guard.tunnel_asked();
        if complete {
            let (seen, answers) = serve(&bytes);
            prop_assert!(!answers.contains("HTTP/1.1 4") && !answers.contains("HTTP/1.1 5"), "{answers}");
            // HTTP/1.0 ends the connection behind its first request.
            if !bytes.windows(8).any(|part| part == b"HTTP/1.0") {
                prop_assert_eq!(seen, guard.heads_passed());
            }
        }
    }
}
