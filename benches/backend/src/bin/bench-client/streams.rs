//! Many event streams at once: how many events came, how late, and whether each came alone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::reply;
use crate::single::percentile;

/// Every stream must have begun by then.
const BEGIN: Duration = Duration::from_secs(10);

const MARK: &[u8] = b"data: ";
const DIGITS: usize = 20;

/// One stream, and the bytes that hold no whole event yet.
struct Stream {
    stream: TcpStream,
    held: Vec<u8>,
    began: bool,
    open: bool,
}

/// What came in.
#[derive(Default)]
struct Found {
    /// Of each event, the nanoseconds from its endpoint to this client.
    delays: Vec<u64>,
    /// Events that were read along with an earlier one of their stream.
    merged: usize,
    ended: usize,
}

/// Opens the streams, says "ready" once each has brought an event, and returns what came in `time`.
pub fn run(address: SocketAddr, count: usize, time: Duration) -> io::Result<String> {
    let mut poll = Poll::new()?;
    let mut streams = open(&poll, address, count)?;
    let mut found = Found::default();
    let deadline = Instant::now() + BEGIN;
    while !streams.iter().all(|stream| stream.began) {
        if Instant::now() > deadline || found.ended > 0 {
            let begun = streams.iter().filter(|stream| stream.began).count();
            return Err(io::Error::other(format!("{begun} of {count} streams have begun, {} have ended", found.ended)));
        }
        turn(&mut poll, &mut streams, &mut found, deadline)?;
    }
    println!("ready");
    io::stdout().flush()?;
    found = Found::default();
    let end = Instant::now() + time;
    while Instant::now() < end {
        turn(&mut poll, &mut streams, &mut found, end)?;
    }
    found.delays.sort_unstable();
    let (p50, p99) = (percentile(&found.delays, 50), percentile(&found.delays, 99));
    Ok(format!("chunks {} merged {} ended {} p50_ns {p50} p99_ns {p99}", found.delays.len(), found.merged, found.ended))
}

fn open(poll: &Poll, address: SocketAddr, count: usize) -> io::Result<Vec<Stream>> {
    (0..count)
        .map(|index| {
            let mut plain = reply::connect(address)?;
            reply::ask(&mut plain, "/stream")?;
            plain.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(plain);
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            Ok(Stream { stream, held: Vec::new(), began: false, open: true })
        })
        .collect()
}

fn turn(poll: &mut Poll, streams: &mut [Stream], found: &mut Found, until: Instant) -> io::Result<()> {
    let mut events = Events::with_capacity(1024);
    if let Err(error) = poll.poll(&mut events, Some(until.saturating_duration_since(Instant::now()))) {
        return if error.kind() == ErrorKind::Interrupted { Ok(()) } else { Err(error) };
    }
    for event in &events {
        let stream = &mut streams[event.token().0];
        if stream.open && !read(stream, found)? {
            stream.open = false;
            found.ended += 1;
        }
    }
    Ok(())
}

/// Reads until the socket is empty; `false` when the stream has ended.
fn read(stream: &mut Stream, found: &mut Found) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        match stream.stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                stream.held.extend_from_slice(&buffer[..count]);
                let sent = events(&mut stream.held)?;
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
                stream.began |= !sent.is_empty();
                found.merged += sent.len().saturating_sub(1);
                found.delays.extend(sent.iter().map(|sent| now.saturating_sub(*sent)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(false),
        }
    }
}

/// Takes all whole events out of `held`; returns when they were sent.
fn events(held: &mut Vec<u8>) -> io::Result<Vec<u64>> {
    let (mut sent, mut used) = (Vec::new(), 0);
    while let Some(start) = held[used..].windows(MARK.len()).position(|window| window == MARK) {
        let digits = used + start + MARK.len();
        let Some(text) = held.get(digits..digits + DIGITS) else { break };
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        sent.push(number.ok_or_else(|| io::Error::other("an event was cut or changed"))?);
        used = digits + DIGITS;
    }
    // What is in front of an event, the reply's head and chunk lines, is done with; a mark may be cut anywhere.
    held.drain(..used);
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n1c\r\ndata: 00000000000000000007\n\n\r\n1c\r\ndata: 00000000000000000008\n\n\r\n";

    #[test]
    fn events_are_found_however_they_are_cut() {
        for cut in 0..TWO.len() {
            let mut held = TWO[..cut].to_vec();
            let mut sent = events(&mut held).unwrap();
            held.extend_from_slice(&TWO[cut..]);
            sent.extend(events(&mut held).unwrap());
            assert_eq!(sent, [7, 8], "cut at {cut}");
        }
    }

    #[test]
    fn changed_event_is_refused() {
        assert!(events(&mut b"data: 0000000000\r\n3\r\n00000".to_vec()).is_err());
    }
}
