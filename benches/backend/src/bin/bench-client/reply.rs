//! Requests and whole replies over a blocking connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No proxy on loopback takes longer; one that does has failed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Connects, without Nagle's delay.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Asks for a path.
pub fn ask(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
}

/// Reads one reply to its end.
pub fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
    let mut held = 0;
    loop {
        let count = stream.read(&mut buffer[held..])?;
        if count == 0 {
            return Err(io::Error::other("the connection or the buffer ended within a reply"));
        }
        held += count;
        if length(&buffer[..held])?.is_some_and(|length| held >= length) {
            return Ok(());
        }
    }
}

/// Returns the length of head and body once the head is complete.
pub fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..head]).map_err(io::Error::other)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(io::Error::other(format!("the answer is: {status}")));
    }
    let body = lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = body.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    body.map(|body| Some(head + 4 + body)).ok_or_else(|| io::Error::other("the answer has no content-length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_that_of_head_and_body() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(length(head).unwrap(), Some(head.len() + 7));
        assert_eq!(length(&head[..head.len() - 1]).unwrap(), None);
    }

    #[test]
    fn other_answers_are_refused() {
        assert!(length(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
