use std::io::{Read, Write};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::spawn_local;

use crate::model::{Reason, Upstream};
use crate::upstream::Exchange;

use super::lab::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn serve_echo(listener: tokio::net::TcpListener) {
    spawn_local(async move {
        loop {
            let stream = accept(&listener).await;
            spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)));
        }
    });
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener);
        let pool = http1(address);
        let first = ask(&pool, "/a?b").await.unwrap();
        assert!(!first.reused);
        assert_eq!(finish(first).await, "HTTP/1.1 /a?b host=agents.test");
        assert_eq!((pool.stats().idle, pool.stats().open), (1, 1));
        for _ in 0..10 {
            let next = ask(&pool, "/").await.unwrap();
            assert!(next.reused);
            finish(next).await;
        }
        let stats = pool.stats();
        assert_eq!((stats.idle, stats.open, stats.opened_total, stats.reused_total), (1, 1, 1, 10));
    });
}

#[test]
fn requests_at_the_same_time_have_their_own_connections() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener);
        let pool = http1(address);
        let (first, second) = (ask(&pool, "/1").await.unwrap(), ask(&pool, "/2").await.unwrap());
        assert_eq!((pool.stats().idle, pool.stats().open), (0, 2));
        finish(first).await;
        finish(second).await;
        assert_eq!(pool.stats().idle, 2);
    });
}

#[test]
fn a_connection_closed_by_the_endpoint_is_dropped_unused() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (first, mut stream) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, OK).await;
            stream
        });
        finish(first.unwrap()).await;
        stream.shutdown().await.unwrap();
        until(|| pool.stats().open == 0).await;
        assert_eq!(pool.stats().idle, 0);
        let (second, ()) = tokio::join!(ask(&pool, "/"), async { answer(&mut accept(&listener).await, OK).await });
        assert!(!second.unwrap().reused);
        assert_eq!(pool.stats().reused_total, 0);
    });
}

#[test]
fn a_request_given_to_a_stale_connection_is_sent_over_a_new_one() {
    // The endpoint is a thread, so that this one can wait for it without letting its own tasks see what happens.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closing, closed) = std::sync::mpsc::channel();
    let (close, may_close) = std::sync::mpsc::channel();
    let endpoint = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 1024];
            let len = stream.read(&mut bytes).unwrap();
            seen.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
            stream.write_all(OK.as_bytes()).unwrap();
            may_close.recv().unwrap();
            drop(stream);
            closing.send(()).unwrap();
        }
        seen
    });
    worker(async {
        let pool = http1(address);
        fetch(&pool, "/1").await;
        close.send(()).unwrap();
        closed.recv_timeout(PATIENCE).unwrap();
        // The worker hears of the close now, but the connection's task runs only after the request was given to it.
        tokio::task::yield_now().await;
        let second = soon(pool.exchange(post("/2", full("body")), None)).await.unwrap();
        assert!(!second.reused);
        assert_eq!(pool.stats().reused_total, 1, "the stale connection was tried");
        finish(second).await;
        close.send(()).unwrap();
    });
    let seen = endpoint.join().unwrap();
    assert!(seen[1].starts_with("POST /2") && seen[1].ends_with("body"), "{}", seen[1]);
}

#[test]
fn a_response_dropped_half_read_closes_the_connection_at_once() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (exchange, mut stream) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
            stream
        });
        let start = Instant::now();
        drop(exchange.unwrap());
        closed(&mut stream).await;
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        assert_eq!((pool.stats().idle, pool.stats().open), (0, 0));
    });
}

#[test]
fn a_wait_given_up_closes_the_connection_at_once() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let waiting = spawn_local({
            let pool = pool.clone();
            async move { pool.exchange(get("/"), None).await.map(drop) }
        });
        let mut stream = accept(&listener).await;
        read_head(&mut stream).await;
        let start = Instant::now();
        waiting.abort();
        closed(&mut stream).await;
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    });
}

#[test]
fn a_connection_stuck_in_writing_is_closed_as_well() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (sender, body) = channel();
        // More than the sockets buffer, and nobody reads.
        for _ in 0..64 {
            sender.send(Ok(http_body::Frame::data(vec![0; 1 << 18].into()))).unwrap();
        }
        let failure = soon(pool.exchange(post("/", body), Some(Duration::from_millis(50)))).await.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::FirstByteTimeout, true));
        until(|| pool.stats().open == 0).await;
        closed(&mut accept(&listener).await).await;
    });
}

#[test]
fn bad_answers_have_their_reasons() {
    worker(async {
        let large = format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(70_000));
        let table = [
            ("SSH-2.0-OpenSSH_9.6\r\n", Reason::EndpointProtocol),
            ("HTTP/1.1 2000 OK\r\n\r\n", Reason::EndpointProtocol),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Reason::EndpointProtocol),
            (large.as_str(), Reason::EndpointProtocol),
            ("HTTP/1.1 200 OK\r\ncontent-le", Reason::EndpointReset),
            ("", Reason::EndpointReset),
        ];
        for (bytes, reason) in table {
            let (listener, address) = listen().await;
            let pool = http1(address);
            let (outcome, ()) = tokio::join!(ask(&pool, "/"), async {
                let mut stream = accept(&listener).await;
                read_head(&mut stream).await;
                // It may be refused before all of it was read.
                let _ = stream.write_all(bytes.as_bytes()).await;
            });
            let failure = outcome.unwrap_err();
            assert_eq!((failure.reason, failure.sent, failure.reused), (reason, true, false), "{bytes:.40} {failure}");
        }
    });
}

#[test]
fn a_reset_has_its_reason() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (outcome, ()) = tokio::join!(ask(&pool, "/"), async {
            // Closing with unread bytes resets.
            let mut stream = accept(&listener).await;
            soon(stream.read_u8()).await.unwrap();
        });
        let failure = outcome.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::EndpointReset, true));
    });
}

#[test]
fn a_closed_port_is_told_as_unsent() {
    worker(async {
        let (listener, address) = listen().await;
        drop(listener);
        let failure = ask(&http1(address), "/").await.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::ConnectRefusedByEndpoint, false));
    });
}

#[test]
fn a_response_that_does_not_come_in_time_is_given_up() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let failure = soon(pool.exchange(get("/"), Some(Duration::from_millis(20)))).await.unwrap_err();
        assert_eq!((failure.reason, failure.sent), (Reason::FirstByteTimeout, true));
        closed(&mut accept(&listener).await).await;
    });
}

#[test]
fn a_broken_request_body_is_the_clients_doing() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (sender, body) = channel();
        sender.send(Err("the client left".into())).unwrap();
        let (outcome, ()) = tokio::join!(soon(pool.exchange(post("/", body), None)), async {
            closed(&mut accept(&listener).await).await;
        });
        assert_eq!(outcome.unwrap_err().reason, Reason::RequestBodyBroken);
    });
}

/// An endpoint that has answered a request whose body is still to come.
struct Early {
    pool: Pool,
    sender: BodySender,
    exchange: Exchange<TestBody>,
    stream: TcpStream,
}

async fn early() -> Early {
    let (listener, address) = listen().await;
    let pool = http1(address);
    let (sender, body) = channel();
    let (exchange, stream) = tokio::join!(soon(pool.exchange(post("/", body), None)), async {
        let mut stream = accept(&listener).await;
        answer(&mut stream, OK).await;
        stream
    });
    Early { pool, sender, exchange: exchange.unwrap(), stream }
}

#[test]
fn an_early_answer_does_not_give_back_a_connection_that_still_sends() {
    worker(async {
        let Early { pool, sender, exchange, mut stream } = early().await;
        finish(exchange).await;
        assert_eq!(pool.stats().idle, 0);
        // It is closed within the second that it was given, though the client never ends.
        closed(&mut stream).await;
        assert_eq!(pool.stats().idle, 0);
        drop(sender);
    });
}

#[test]
fn the_rest_of_an_upload_passes_while_nobody_reads_the_early_answer() {
    worker(async {
        let Early { pool: _pool, sender, exchange, mut stream } = early().await;
        sender.send(Ok(http_body::Frame::data("late".into()))).unwrap();
        let mut bytes = [0; 9];
        soon(stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"4\r\nlate\r\n");
        drop(sender);
        assert_eq!(finish(exchange).await, "ok");
    });
}

#[test]
fn a_long_upload_that_is_ready_at_once_passes() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (sender, body) = channel();
        // More than hyper sends in one go.
        (0..1000).for_each(|_| sender.send(Ok(http_body::Frame::data("x".into()))).unwrap());
        drop(sender);
        let (exchange, ()) = tokio::join!(soon(pool.exchange(post("/", body), None)), async {
            let mut stream = accept(&listener).await;
            read_head(&mut stream).await;
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"0\r\n\r\n") {
                bytes.push(soon(stream.read_u8()).await.unwrap());
            }
            assert_eq!(bytes, ["1\r\nx\r\n".repeat(1000), "0\r\n\r\n".to_owned()].concat().into_bytes());
            stream.write_all(OK.as_bytes()).await.unwrap();
        });
        assert_eq!(finish(exchange.unwrap()).await, "ok");
    });
}

#[test]
fn an_early_answer_gives_back_a_connection_whose_upload_ends_soon() {
    worker(async {
        let Early { pool, sender, exchange, stream: _stream } = early().await;
        finish(exchange).await;
        drop(sender);
        until(|| pool.stats().idle == 1).await;
    });
}

#[test]
fn an_answer_that_closes_is_not_reused() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (exchange, mut stream) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
            stream
        });
        assert_eq!(finish(exchange.unwrap()).await, "ok");
        closed(&mut stream).await;
        assert_eq!((pool.stats().idle, pool.stats().open), (0, 0));
    });
}

#[test]
fn an_unused_connection_is_closed_after_its_time() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener);
        let pool = pool(&address.to_string(), Upstream { idle_timeout: Duration::from_millis(30), ..Upstream::default() });
        let start = Instant::now();
        fetch(&pool, "/").await;
        until(|| pool.stats().open == 0).await;
        assert!(start.elapsed() >= Duration::from_millis(30));
        assert!(!pool.reaping.get(), "the reaper ends when nothing is left");
        // And it starts again.
        fetch(&pool, "/").await;
        until(|| pool.stats().open == 0).await;
    });
}

#[test]
fn no_more_connections_are_kept_than_allowed() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener);
        for max_idle in [0, 1] {
            let pool = pool(&address.to_string(), Upstream { max_idle, ..Upstream::default() });
            let (first, second) = (ask(&pool, "/").await.unwrap(), ask(&pool, "/").await.unwrap());
            finish(first).await;
            finish(second).await;
            until(|| pool.stats().open == max_idle as usize).await;
            assert_eq!(pool.stats().idle, max_idle as usize);
        }
    });
}

#[test]
fn retired_connections_end_with_their_requests() {
    worker(async {
        let (listener, address) = listen().await;
        serve_echo(listener);
        let pool = http1(address);
        let (idle, running) = (ask(&pool, "/").await.unwrap(), ask(&pool, "/run").await.unwrap());
        finish(idle).await;
        pool.retire();
        until(|| pool.stats().open == 1).await;
        assert_eq!(finish(running).await, "HTTP/1.1 /run host=agents.test");
        until(|| pool.stats().open == 0).await;
        // A request that was on its way is still served.
        fetch(&pool, "/late").await;
        until(|| pool.stats().open == 0).await;
    });
}

#[test]
fn dropping_the_connections_closes_them() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (exchange, mut stream) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, OK).await;
            stream
        });
        finish(exchange.unwrap()).await;
        drop(pool);
        closed(&mut stream).await;
    });
}

#[test]
fn requests_go_over_a_unix_socket() {
    worker(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        spawn_local(async move {
            let (stream, _) = listener.accept().await.unwrap();
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo)).await
        });
        let pool = pool(&format!("unix:{}", path.display()), Upstream::default());
        assert_eq!(fetch(&pool, "/").await, "HTTP/1.1 / host=agents.test");
        assert_eq!(fetch(&pool, "/").await, "HTTP/1.1 / host=agents.test");
        assert_eq!(pool.stats().opened_total, 1);
    });
}

#[test]
fn an_upgraded_stream_outlives_its_lease() {
    worker(async {
        let (listener, address) = listen().await;
        let pool = http1(address);
        let (exchange, mut stream) = tokio::join!(ask(&pool, "/"), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello").await;
            stream
        });
        let exchange = exchange.unwrap();
        assert_eq!(exchange.response.status(), 101);
        let upgrade = hyper::upgrade::on(exchange.response);
        drop(exchange.lease);
        let mut upgraded = TokioIo::new(soon(upgrade).await.unwrap());
        let mut bytes = [0; 5];
        soon(upgraded.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"hello");
        upgraded.write_all(b"world").await.unwrap();
        soon(stream.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(&bytes, b"world");
    });
}

#[test]
fn a_body_that_ends_early_is_truncated_and_a_bad_chunk_is_not_http() {
    worker(async {
        let table = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Reason::EndpointTruncated),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", Reason::EndpointTruncated),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n", Reason::EndpointProtocol),
        ];
        for (bytes, reason) in table {
            let (listener, address) = listen().await;
            let pool = http1(address);
            let (exchange, ()) = tokio::join!(ask(&pool, "/"), async { answer(&mut accept(&listener).await, bytes).await });
            let error = soon(exchange.unwrap().response.into_body().collect()).await.unwrap_err();
            assert_eq!(crate::upstream::body_reason(&error), reason, "{error:?}");
        }
    });
}

#[test]
fn the_wait_for_an_answer_is_a_small_future() {
    worker(async {
        let (_listener, address) = listen().await;
        let pool = http1(address);
        let size = size_of_val(&pool.exchange(get("/"), None));
        assert!(size <= 2048, "{size} bytes are moved into each request's task");
    });
}
