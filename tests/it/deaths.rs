//! Endpoints that die, in every phase of a request, over every protocol, in order and by reset: what had no answer is tried again, and what was
//! cut never looks complete.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::http2::Http2;
use crate::lab::{request, soon};
use crate::stage::{Logged, get};
use crate::tls::Authority;
use crate::wire::{End, Plan, Wire};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    Plain,
    Tls,
    Http2,
}

/// When it dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Accept,
    Handshake,
    Request,
    HalfAHead,
    HalfALength,
    HalfOfChunks,
    /// In a body that the end of the connection ends.
    TillTheEnd,
    BetweenEvents,
}

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A whole answer, with the second attempt; with one attempt only, 502 and one of these reasons.
    Again(&'static [&'static str]),
    /// Half an answer, which ends with this reason.
    Cut,
    /// The answer, as the end of the connection is what ends it.
    Whole,
}

const EVENT: &str = "data: hello\n\n";

impl Phase {
    /// What is sent before the death, in HTTP/1.1.
    fn http1(self) -> &'static str {
        match self {
            Self::Accept | Self::Handshake | Self::Request => "",
            Self::HalfAHead => "HTTP/1.1 200 OK\r\ncontent-le",
            Self::HalfALength => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
            Self::HalfOfChunks => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            Self::TillTheEnd => "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
            Self::BetweenEvents => {
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nd\r\ndata: hello\n\n\r\n"
            }
        }
    }

    /// The same as frames of HTTP/2. The fields are literals (RFC 7541 section 6.2.2) with names 28 and 31 of the static table.
    fn http2(self) -> Vec<u8> {
        const OK: &[u8] = b"\x88";
        let (fields, data) = match self {
            Self::Accept | Self::Handshake | Self::Request => return Vec::new(),
            // A frame of 100 bytes of which one comes.
            Self::HalfAHead => return [&[0, 0, 100, HEADERS, END_HEADERS, 0, 0, 0, 1], OK].concat(),
            Self::HalfALength => ([OK, b"\x0f\x0d\x0210"].concat(), "hello"),
            Self::HalfOfChunks | Self::TillTheEnd => (OK.to_vec(), "hello"),
            Self::BetweenEvents => ([OK, b"\x0f\x10\x11text/event-stream"].concat(), EVENT),
        };
        [frame(HEADERS, END_HEADERS, &fields), frame(DATA, 0, data.as_bytes())].concat()
    }
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113 section 4.1), of stream 1 or of the connection.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short one");
    let stream = u8::from(kind != SETTINGS);
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// An endpoint whose first connection dies, and whose others answer.
struct Mortal {
    address: std::net::SocketAddr,
    /// Lets the first die, where an answer has begun.
    end: Arc<Notify>,
    deaths: mpsc::UnboundedReceiver<()>,
    task: JoinHandle<()>,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mortal {
    async fn start(speech: Speech, phase: Phase, resets: bool, tls: &Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (end, acceptor) = (Arc::new(Notify::new()), TlsAcceptor::from(tls.clone()));
        let (ending, (died, deaths)) = (end.clone(), mpsc::unbounded_channel());
        let task = tokio::spawn(async move {
            let mut first = true;
            while let Ok((mut stream, _)) = listener.accept().await {
                let (dies, ending, died, acceptor) = (std::mem::take(&mut first), ending.clone(), died.clone(), acceptor.clone());
                tokio::spawn(async move {
                    if dies && resets {
                        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger can be set");
                    }
                    let last = dies.then_some((phase, ending));
                    match (dies, phase) {
                        (true, Phase::Accept) => drop(stream),
                        (true, Phase::Handshake) => {
                            let _hello = stream.read(&mut [0; 1024]).await;
                            drop(stream);
                        }
                        _ if speech == Speech::Tls => {
                            let stream = acceptor.accept(stream).await.expect("the proxy should trust it");
                            serve(stream, speech, last).await;
                        }
                        _ => serve(stream, speech, last).await,
                    }
                    if dies {
                        // The test may be over.
                        let _ = died.send(());
                    }
                });
            }
        });
        Self { address, end, deaths, task }
    }
}

/// Serves one request: dies as it is told, or answers and lives on.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, speech: Speech, death: Option<(Phase, Arc<Notify>)>) {
    let http2 = speech == Speech::Http2;
    if http2 {
        stream.write_all(&[frame(SETTINGS, 0, b""), frame(SETTINGS, 1, b"")].concat()).await.expect("the proxy should read");
        stream.read_exact(&mut [0; 24]).await.expect("the preface");
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.expect("a frame");
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.expect("a whole frame");
            if head[3] == HEADERS {
                break;
            }
        }
    } else {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("a request"));
        }
    }
    let answer = match (&death, http2) {
        (Some((phase, _)), false) => phase.http1().into(),
        (Some((phase, _)), true) => phase.http2(),
        (None, false) => b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood".to_vec(),
        (None, true) => [frame(HEADERS, END_HEADERS, b"\x88"), frame(DATA, END_STREAM, b"good")].concat(),
    };
    stream.write_all(&answer).await.expect("the proxy should read");
    stream.flush().await.expect("the proxy should read");
    match death {
        None => std::future::pending().await,
        Some((Phase::Request | Phase::HalfAHead, _)) => {}
        Some((_, end)) => end.notified().await,
    }
}

/// A proxy before it.
async fn before(mortal: &Mortal, speech: Speech, retry: &str, ca: &str) -> Logged {
    let upstream = match speech {
        Speech::Plain => "protocol: http1".to_owned(),
        Speech::Tls => format!("protocol: http1, tls: {{ ca: \"{ca}\", server_name: agents.test }}"),
        Speech::Http2 => "protocol: http2".to_owned(),
    };
    let pool = format!("circuit_breaker: off, upstream: {{ {upstream} }}");
    Logged::start(&Plan::before(mortal.address).route(&format!("retry: {retry}")).pool(&pool).yaml()).await
}

/// Reads half an answer with HTTP/1.1, lets the endpoint die, and tells whether the rest looks like all of it.
async fn looks_whole(logged: &Logged, mortal: &mut Mortal, hello: &str) -> bool {
    let mut client = Wire::connect(logged.lab.address()).await;
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    client.until(hello).await;
    mortal.end.notify_one();
    soon(mortal.deaths.recv()).await;
    if head.contains("content-length: ") {
        assert!(head.contains("content-length: 10\r\n"), "{head}");
        return !client.rest().await.0.is_empty();
    }
    if head.contains("transfer-encoding: chunked") {
        let mut seen = String::new();
        // A whole body leaves the connection open.
        return soon(async {
            loop {
                let byte = client.stream.read_u8().await;
                match byte {
                    Ok(byte) => seen.push(char::from(byte)),
                    Err(_) => return seen.ends_with("0\r\n\r\n"),
                }
                if seen.ends_with("0\r\n\r\n") {
                    return true;
                }
            }
        })
        .await;
    }
    client.rest().await.1 == End::Closed
}

/// The same with HTTP/2.
async fn looks_whole_over_http2(logged: &Logged, mortal: &mut Mortal, hello: &str) -> bool {
    let mut client = Http2::connect(logged.lab.address()).await;
    let mut body = client.send(request("/")).await.unwrap().into_body();
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), hello);
    mortal.end.notify_one();
    soon(mortal.deaths.recv()).await;
    soon(body.collect()).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_protocol_the_phase_and_the_end_a_death_is_mended_or_seen() {
    use Fate::{Again, Cut, Whole};
    let authority = Authority::new();
    let (tls, ca) = (Arc::new(authority.endpoint(&[], None)), authority.ca());
    let mut wrong = Vec::new();
    for speech in [Speech::Plain, Speech::Tls, Speech::Http2] {
        for resets in [false, true] {
            for (phase, fate) in [
                // A reset may come before the proxy has seen that the connection is open.
                (
                    Phase::Accept,
                    Again(if speech == Speech::Tls { &["tls_failure", "connect_failure"] } else { &["reset", "connect_failure"] }),
                ),
                (Phase::Handshake, Again(&["tls_failure"])),
                (Phase::Request, Again(&["reset"])),
                (Phase::HalfAHead, Again(&["reset"])),
                (Phase::HalfALength, Cut),
                (Phase::HalfOfChunks, Cut),
                // TLS tells an end from a cut by its own goodbye, which the dead do not send.
                (Phase::TillTheEnd, if speech == Speech::Plain && !resets { Whole } else { Cut }),
                (Phase::BetweenEvents, Cut),
            ] {
                if phase == Phase::Handshake && speech != Speech::Tls {
                    continue;
                }
                let row = format!("{speech:?} {phase:?} {}", if resets { "RST" } else { "FIN" });
                if let Again(reasons) = fate {
                    for retry in ["{ base_delay: 1ms }", "off"] {
                        let mortal = Mortal::start(speech, phase, resets, &tls).await;
                        let logged = before(&mortal, speech, retry, &ca).await;
                        let answer = get(&logged.lab, "/").await;
                        let told = answer.text.split("\"reason\":\"").nth(1).and_then(|rest| rest.split('"').next());
                        let seen = (answer.status(), told.unwrap_or(&answer.text), answer.field("x-tidegate-attempts"));
                        let good = match seen {
                            (200, "good", "2") => retry != "off",
                            (502, reason, "") => retry == "off" && reasons.contains(&reason),
                            // A connection that is seen closed before anything was sent on it is replaced within the attempt.
                            (200, "good", "") => phase == Phase::Accept && speech != Speech::Tls,
                            _ => false,
                        };
                        if !good {
                            wrong.push(format!("{row}, retry {retry}: {seen:?}"));
                        }
                    }
                    continue;
                }
                let hello = if phase == Phase::BetweenEvents { EVENT } else { "hello" };
                for by_http2 in [false, true] {
                    let mut mortal = Mortal::start(speech, phase, resets, &tls).await;
                    let logged = before(&mortal, speech, "{ base_delay: 1ms }", &ca).await;
                    let whole = match by_http2 {
                        true => looks_whole_over_http2(&logged, &mut mortal, hello).await,
                        false => looks_whole(&logged, &mut mortal, hello).await,
                    };
                    let line = logged.lines().await.remove(0);
                    let seen = (whole, line["status"].as_u64(), line["reason"].as_str(), line["attempts"].as_u64());
                    let reason = if fate == Whole { None } else { Some("endpoint_truncated") };
                    let expected = (fate == Whole, Some(200), reason, Some(1));
                    if seen != expected {
                        wrong.push(format!("{row}, client over HTTP/2 {by_http2}: {seen:?} {expected:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
