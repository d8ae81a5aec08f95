//! What a request's head costs: the framing guard over its bytes, and the edits of its fields.
//!
//! `cargo bench --bench headers`. Setting up the input of each turn is not timed.

use std::hint::black_box;

use divan::Bencher;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tidegate::message::forwarded::{Client, Peer, Scheme};
use tidegate::message::framing::{Guard, Limits, Verdict};
use tidegate::message::mint::Mint;
use tidegate::message::present::Present;
use tidegate::message::via::Via;
use tidegate::message::{hop, host, normalise, request_id, trace};
use tidegate::model::Forwarding;

const LIMITS: Limits = Limits { headers: 100, header_bytes: 32 * 1024, request_line: 8 * 1024 };

/// What a browser or an agent's HTTP library sends.
const HEAD: &str = "POST /coder/v1/messages?stream=true HTTP/1.1\r\n\
    Host: agents.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/event-stream, application/json;q=0.9, */*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 2\r\n\
    Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
    X-Session-Id: 0198c9a2-7f31-7c53-b2a5-90b1d2f4c7aa\r\n\
    Connection: keep-alive\r\n\r\n{}";

fn main() {
    divan::main();
}

fn fields() -> HeaderMap {
    let lines = HEAD.lines().skip(1).take_while(|line| !line.is_empty());
    let pair = |line: &str| {
        let (name, value) = line.split_once(": ").expect("a field has a colon");
        (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
    };
    // Room for what is added, as the server's map has.
    let mut headers = HeaderMap::with_capacity(20);
    headers.extend(lines.map(pair));
    headers
}

fn client(trusted: &str) -> Client {
    let forwarding = Forwarding { trusted: vec![trusted.parse().expect("a range")], ..Forwarding::default() };
    let client = Client::new(Peer::Ip([192, 0, 2, 1].into()), Scheme::Https, &forwarding);
    client.apply(&mut fields(), Present::default());
    client
}

#[divan::bench]
fn guard_scan(bencher: Bencher) {
    let mut guard = Guard::new(LIMITS);
    assert_eq!(guard.scan(HEAD.as_bytes()).verdict, Verdict::AllPassed);
    bencher.counter(divan::counter::BytesCount::of_str(HEAD)).bench_local(|| guard.scan(black_box(HEAD.as_bytes())));
}

#[divan::bench]
fn guard_scan_in_two_pieces(bencher: Bencher) {
    let mut guard = Guard::new(LIMITS);
    bencher.bench_local(|| {
        guard.scan(black_box(&HEAD.as_bytes()[..200]));
        guard.scan(black_box(HEAD.as_bytes()))
    });
}

#[divan::bench]
fn guard_scan_body_of_16_kib(bencher: Bencher) {
    let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 16 * 1024], b"\r\n".to_vec()].concat();
    let mut guard = Guard::new(LIMITS);
    guard.scan(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    bencher.bench_local(|| guard.scan(black_box(&chunk)));
}

#[divan::bench]
fn parse_host() -> bool {
    host::parse(black_box(b"agents.example.com")).is_ok()
}

#[divan::bench]
fn normalise_clean_path() -> bool {
    normalise::path(&Method::GET, black_box("/coder/v1/messages")).is_ok()
}

#[divan::bench]
fn normalise_dirty_path() -> bool {
    normalise::path(&Method::GET, black_box("/coder//%76%31/../v1/./messages")).is_ok()
}

#[divan::bench]
fn strip_hop_by_hop(bencher: Bencher) {
    bencher.with_inputs(fields).bench_local_refs(|headers| hop::strip(headers, Present::of(headers)));
}

#[divan::bench]
fn strip_hop_by_hop_without_any(bencher: Bencher) {
    let mut headers = fields();
    headers.remove("connection");
    bencher.bench_local(|| {
        let present = Present::of(black_box(&headers));
        hop::strip(&mut headers, present);
    });
}

#[divan::bench]
fn forwarded_of_unknown_client(bencher: Bencher) {
    let client = client("10.0.0.0/8");
    bencher.with_inputs(fields).bench_local_refs(|headers| client.apply(headers, Present::of(headers)));
}

#[divan::bench]
fn forwarded_of_trusted_client(bencher: Bencher) {
    let client = client("192.0.2.0/24");
    let with_list = || {
        let mut headers = fields();
        headers.insert("x-forwarded-for", HeaderValue::from_static("198.51.100.7"));
        headers
    };
    bencher.with_inputs(with_list).bench_local_refs(|headers| client.apply(headers, Present::of(headers)));
}

/// Everything that a request's fields go through on their way to the endpoint.
#[divan::bench]
fn whole_edit(bencher: Bencher) {
    let (client, via, mint) = (client("10.0.0.0/8"), Via::new("tidegate", 1), Mint::default());
    bencher.with_inputs(fields).bench_local_refs(|headers| {
        let present = Present::of(headers);
        let fresh = mint.fresh(black_box(0x1234), black_box(0x5678));
        let id = request_id::ensure(headers, present, &fresh);
        let looped = via.is_loop(headers, present);
        hop::strip(headers, present);
        client.apply(headers, present);
        via.append(headers, Version::HTTP_11);
        trace::ensure(headers, present, &fresh);
        (looped, id)
    });
}
