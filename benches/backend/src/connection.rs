//! One connection of a proxy: what has been read and not understood yet, what waits to be written.
//!
//! Replies leave in the order of the requests, so pipelining is safe. While replies wait the connection does not read: a
//! client that does not take its replies cannot make the queue grow beyond what one read held.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::Replies;
use crate::http2::Http2;
use crate::request::{self, Body, Malformed, Target};

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It waits for the next event.
    Waiting,
    /// Its stream begins: from now on it is given events.
    Streaming,
    /// It has ended, in peace or not.
    Closed,
}

/// One connection of a proxy.
pub struct Connection {
    stream: TcpStream,
    /// Bytes of a head or chunk line that was cut.
    held: Vec<u8>,
    /// The body being skipped, and the reply that follows it.
    body: Option<(Body, Waiting, bool)>,
    replies: VecDeque<Waiting>,
    closing: bool,
    http2: Option<Box<Http2>>,
    stream_begins: bool,
}

#[derive(Clone, Copy)]
struct Waiting {
    target: Target,
    head_only: bool,
    written: usize,
}

impl Connection {
    /// Takes over an accepted stream.
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new(), body: None, replies: VecDeque::new(), closing: false, http2: None, stream_begins: false }
    }

    /// Reads, understands and replies until the kernel has no more to give or to take.
    ///
    /// `read_closed` says that the end of the stream is known to be there: only then is a short read followed by another.
    pub fn advance(&mut self, replies: &Replies, scratch: &mut [u8], read_closed: bool) -> Progress {
        let progress = self.exchange(replies, scratch, read_closed).unwrap_or(Progress::Closed);
        match std::mem::take(&mut self.stream_begins) && progress == Progress::Waiting {
            true => Progress::Streaming,
            false => progress,
        }
    }

    /// Sends an event; `false` when the kernel does not take it whole: who reads so slowly has lost its stream.
    pub fn send(&mut self, event: &[u8]) -> bool {
        self.stream.write(event).is_ok_and(|count| count == event.len())
    }

    fn exchange(&mut self, replies: &Replies, scratch: &mut [u8], read_closed: bool) -> Result<Progress, Malformed> {
        loop {
            if !self.write(replies)? {
                return Ok(Progress::Waiting);
            }
            if self.closing {
                return Ok(Progress::Closed);
            }
            let count = match self.stream.read(scratch) {
                Ok(0) => return Ok(Progress::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Malformed),
            };
            self.take(&scratch[..count])?;
            // A short read emptied the socket (epoll(7)): the second read that would say so is saved.
            if count < scratch.len() && !read_closed {
                let written = self.write(replies)?;
                return Ok(if written && self.closing { Progress::Closed } else { Progress::Waiting });
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        if self.held.is_empty() {
            let used = self.understand(bytes)?;
            self.held.extend_from_slice(&bytes[used..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let used = self.understand(&held)?;
        held.drain(..used);
        self.held = held;
        Ok(())
    }

    fn understand(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        while used < bytes.len() && !self.closing {
            if let Some(http2) = &mut self.http2 {
                return Ok(used + http2.take(&bytes[used..])?);
            }
            if let Some((mut body, waiting, close)) = self.body.take() {
                let (skipped, ended) = request::skip(&mut body, &bytes[used..])?;
                used += skipped;
                if !ended {
                    self.body = Some((body, waiting, close));
                    return Ok(used);
                }
                self.answer(waiting, close);
                continue;
            }
            let Some(head) = request::head(&bytes[used..])? else { return Ok(used) };
            used += head.length;
            if head.preface {
                self.http2 = Some(Box::default());
                continue;
            }
            let waiting = Waiting { target: head.target, head_only: head.head_only, written: 0 };
            match head.body {
                Body::Bytes(0) => self.answer(waiting, head.close),
                body => self.body = Some((body, waiting, head.close)),
            }
        }
        Ok(used)
    }

    fn answer(&mut self, waiting: Waiting, close: bool) {
        self.replies.push_back(waiting);
        self.closing |= close;
    }

    /// Writes what waits; `false` when the kernel takes no more.
    fn write(&mut self, replies: &Replies) -> Result<bool, Malformed> {
        if let Some(http2) = &mut self.http2 {
            return http2.write(&mut self.stream).map_err(|_| Malformed);
        }
        while let Some(waiting) = self.replies.front_mut() {
            let reply = waiting.target.reply(replies);
            let end = if waiting.head_only { reply.head } else { reply.bytes.len() };
            match self.stream.write(&reply.bytes[waiting.written..end]) {
                Ok(count) => waiting.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Err(Malformed),
            }
            if waiting.written == end {
                self.stream_begins |= waiting.target == Target::Stream;
                self.replies.pop_front();
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as Blocking};

    use super::*;
    use crate::Reply;

    fn replies() -> Replies {
        Replies {
            small: Reply::new("200 OK", 3),
            medium: Reply::new("200 OK", 5),
            large: Reply::new("200 OK", 8 << 20),
            stream: Reply::stream(),
            missing: Reply::new("404 Not Found", 0),
        }
    }

    fn pair() -> (Blocking, Connection) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Blocking::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (client, Connection::new(TcpStream::from_std(server)))
    }

    #[test]
    fn pipelined_requests_are_answered_in_order_after_their_bodies() {
        let (mut client, mut connection) = pair();
        let (replies, mut scratch) = (replies(), vec![0; 4096]);
        let requests = b"POST /64k HTTP/1.1\r\ncontent-length: 4\r\n\r\nbodyHEAD /1k HTTP/1.1\r\n\r\nGET /1k HTTP/1.1\r\nconnection: close\r\n\r\n";
        let cut = requests.len() - 60;
        client.write_all(&requests[..cut]).unwrap();
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Waiting);
        client.write_all(&requests[cut..]).unwrap();
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Closed);
        drop(connection);
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        let mut expected = replies.medium.bytes.clone();
        expected.extend_from_slice(&replies.small.bytes[..replies.small.head]);
        expected.extend_from_slice(&replies.small.bytes);
        assert_eq!(received, expected);
    }

    #[test]
    fn large_reply_goes_on_when_the_client_has_read() {
        let (mut client, mut connection) = pair();
        let (replies, mut scratch) = (replies(), vec![0; 4096]);
        client.write_all(b"GET /1m HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Waiting);
        let (mut received, mut part) = (0, vec![0; 1 << 20]);
        while received < replies.large.bytes.len() {
            received += client.read(&mut part).unwrap();
            connection.advance(&replies, &mut scratch, false);
        }
        assert_eq!(received, replies.large.bytes.len());
    }

    #[test]
    fn stream_begins_once_and_takes_events_until_the_client_leaves() {
        let (mut client, mut connection) = pair();
        let (replies, mut scratch) = (replies(), vec![0; 4096]);
        client.write_all(b"GET /stream HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Streaming);
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Waiting);
        assert!(connection.send(b"2\r\nhi\r\n"));
        let mut received = vec![0; replies.stream.bytes.len() + 7];
        client.read_exact(&mut received).unwrap();
        assert!(received.ends_with(b"\r\n\r\n2\r\nhi\r\n"));
        drop(client);
        assert_eq!(connection.advance(&replies, &mut scratch, true), Progress::Closed);
    }

    #[test]
    fn preface_turns_to_http2() {
        let (mut client, mut connection) = pair();
        let (replies, mut scratch) = (replies(), vec![0; 4096]);
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x82").unwrap();
        assert_eq!(connection.advance(&replies, &mut scratch, false), Progress::Waiting);
        let mut settings = [0; 9];
        client.read_exact(&mut settings).unwrap();
        assert_eq!(settings[3], 4);
    }

    #[test]
    fn end_of_the_client_is_seen_behind_its_last_request() {
        let (mut client, mut connection) = pair();
        client.write_all(b"GET /1k HTTP/1.1\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(connection.advance(&replies(), &mut vec![0; 4096], true), Progress::Closed);
    }
}
