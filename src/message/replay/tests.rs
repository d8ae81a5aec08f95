use std::cell::Cell;
use std::convert::Infallible;

use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::model::Reason;

/// Memory for a test.
#[derive(Debug)]
struct Memory {
    limit: u64,
    used: Cell<u64>,
}

#[derive(Debug)]
struct Share(Rc<Memory>, u64);

impl Memory {
    fn new(limit: u64) -> Rc<Self> {
        Rc::new(Self { limit, used: Cell::new(0) })
    }

    fn used(&self) -> u64 {
        self.used.get()
    }
}

impl Room for Share {
    fn take(&mut self, bytes: u64) -> bool {
        let fits = self.0.used.get() + bytes <= self.0.limit;
        if fits {
            self.1 += bytes;
            self.0.used.set(self.0.used.get() + bytes);
        }
        fits
    }

    fn give_back(&mut self) {
        self.0.used.set(self.0.used.get() - std::mem::take(&mut self.1));
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A client that has sent `head`, its connection, and the body that a server made of it.
async fn client(head: &str) -> (DuplexStream, Incoming) {
    let (mut client, server) = duplex(64 * 1024);
    let (sender, mut receiver) = mpsc::unbounded_channel();
    tokio::task::spawn_local(hyper::server::conn::http1::Builder::new().serve_connection(
        TokioIo::new(server),
        service_fn(move |request: Request<Incoming>| {
            sender.send(request.into_body()).unwrap();
            std::future::pending::<Result<Response<Empty<Bytes>>, Infallible>>()
        }),
    ));
    client.write_all(format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
    (client, receiver.recv().await.unwrap())
}

fn kept(body: Incoming, limit: u64, memory: &Rc<Memory>) -> (Replay, Upload) {
    let mut upload = Upload::new(body, None);
    let replay = upload.keep(limit, || Box::new(Share(memory.clone(), 0))).unwrap();
    (replay, upload)
}

async fn next(upload: &mut Upload) -> Bytes {
    upload.frame().await.unwrap().unwrap().into_data().unwrap()
}

async fn rest(upload: Upload) -> Result<Bytes, Cut> {
    upload.collect().await.map(|collected| collected.to_bytes())
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn a_second_reading_repeats_the_first_and_goes_on_where_it_stopped() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 10").await;
        let (replay, mut first) = kept(body, 100, &memory);
        client.write_all(b"12345").await.unwrap();
        assert_eq!(next(&mut first).await, "12345");
        assert_eq!(replay.kept(), Kept::SoFar);
        drop(first);
        let second = replay.again();
        assert_eq!(second.size_hint().exact(), Some(10));
        client.write_all(b"67890").await.unwrap();
        assert_eq!(rest(second).await.unwrap(), "1234567890");
        assert_eq!(replay.kept(), Kept::Whole);
        assert_eq!(rest(replay.again()).await.unwrap(), "1234567890");
        assert_eq!(memory.used(), 10 + 2 * PIECE);
        drop(replay);
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn a_body_above_the_limit_passes_once_and_is_forgotten() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("transfer-encoding: chunked").await;
        let (replay, mut upload) = kept(body, 4, &memory);
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        assert_eq!(next(&mut upload).await, "abc");
        client.write_all(b"3\r\ndef\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "def");
        assert_eq!((replay.kept(), memory.used()), (Kept::TooLarge, 0));
    });
}

#[test]
fn a_body_that_says_it_is_too_large_is_not_kept_at_all() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 5").await;
        let (replay, upload) = kept(body, 4, &memory);
        assert_eq!(replay.kept(), Kept::TooLarge);
        client.write_all(b"12345").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "12345");
    });
}

#[test]
fn without_memory_a_body_passes_once() {
    run(async {
        let memory = Memory::new(4);
        let (mut client, body) = client("content-length: 5").await;
        let (replay, upload) = kept(body, 100, &memory);
        client.write_all(b"12345").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "12345");
        assert_eq!((replay.kept(), memory.used()), (Kept::NoMemory, 0));
    });
}

#[test]
fn a_broken_body_is_broken_for_every_reading() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 10").await;
        let (replay, mut first) = kept(body, 100, &memory);
        client.write_all(b"123").await.unwrap();
        assert_eq!(next(&mut first).await, "123");
        drop(client);
        assert_eq!(rest(first).await.unwrap_err(), Cut(Reason::RequestBodyBroken));
        assert_ne!(replay.kept(), Kept::Whole);
        assert_eq!(rest(replay.again()).await.unwrap_err(), Cut(Reason::RequestBodyBroken));
    });
}

#[test]
fn a_second_keeper_raises_the_limit_and_outlives_the_first() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 5").await;
        let (first, mut upload) = kept(body, 4, &memory);
        assert_eq!(first.kept(), Kept::TooLarge);
        let second = upload.keep(5, || unreachable!("the body is kept already")).unwrap();
        client.write_all(b"12345").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "12345");
        drop(first);
        assert_eq!((second.kept(), memory.used()), (Kept::Whole, 5 + PIECE));
        assert_eq!(rest(second.again()).await.unwrap(), "12345");
    });
}

#[test]
fn a_released_body_gives_its_memory_back_and_goes_on() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 10").await;
        let (replay, mut upload) = kept(body, 100, &memory);
        client.write_all(b"12345").await.unwrap();
        assert_eq!(next(&mut upload).await, "12345");
        drop(replay);
        assert_eq!(memory.used(), 0);
        client.write_all(b"67890").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "67890");
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn a_body_is_kept_up_to_the_largest_limit_and_until_nobody_may_send_it_again() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("content-length: 10").await;
        let (small, mut upload) = kept(body, 4, &memory);
        let large = upload.keep(10, || unreachable!("it is kept already")).unwrap();
        let same = upload.keep(10, || unreachable!("it is kept already")).unwrap();
        assert_eq!((small.kept(), large.kept()), (Kept::TooLarge, Kept::SoFar));
        client.write_all(b"1234567890").await.unwrap();
        assert_eq!(rest(upload).await.unwrap(), "1234567890");
        drop(small);
        drop(large);
        assert_eq!((same.kept(), memory.used()), (Kept::Whole, 10 + PIECE));
        let second = same.again();
        drop(same);
        assert_eq!(memory.used(), 10 + PIECE, "it is being read");
        assert_eq!(rest(second).await.unwrap(), "1234567890");
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn a_reading_that_was_given_up_takes_nothing_from_the_next_one() {
    run(async {
        let memory = Memory::new(1000);
        let (mut client, body) = client("transfer-encoding: chunked").await;
        let (replay, mut first) = kept(body, 100, &memory);
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        assert_eq!(next(&mut first).await, "abc");
        let second = replay.again();
        client.write_all(b"3\r\ndef\r\n0\r\n\r\n").await.unwrap();
        // The first one is still polled, by a connection that is closing.
        assert_eq!(first.frame().await.unwrap().unwrap_err(), Cut(Reason::RequestBodyBroken));
        assert_eq!(rest(second).await.unwrap(), "abcdef");
    });
}
