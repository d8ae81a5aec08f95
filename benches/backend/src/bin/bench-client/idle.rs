//! Keepalive connections that have had one request each and then do nothing.
//!
//! They are opened one after the other: a proxy then needs hardly any connection to its endpoints, and what it holds is what the clients cost.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::reply;

/// Opens the connections, says "ready", waits for the end of the input and counts those that the proxy has kept.
pub fn run(address: SocketAddr, count: usize) -> io::Result<String> {
    let mut buffer = vec![0; 16 * 1024];
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        held.push(open(address, &mut buffer).map_err(|error| io::Error::other(format!("connection {number}: {error}")))?);
    }
    println!("ready");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    let kept = held.iter().filter(|stream| is_open(stream)).count();
    Ok(format!("open {kept}"))
}

fn open(address: SocketAddr, buffer: &mut [u8]) -> io::Result<TcpStream> {
    let mut stream = reply::connect(address)?;
    reply::ask(&mut stream, "/1k")?;
    reply::read(&mut stream, buffer)?;
    Ok(stream)
}

fn is_open(stream: &TcpStream) -> bool {
    let nothing = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn connection_that_the_other_side_ended_is_not_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert!(is_open(&client));
        drop(server);
        client.set_nonblocking(false).unwrap();
        client.peek(&mut [0]).unwrap();
        assert!(!is_open(&client));
    }
}
