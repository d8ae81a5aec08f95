//! The clients of the standing benchmark that no tool brings: many idle connections, many streams, one connection alone.
//!
//! ```text
//! bench-client idle PORT COUNT             one request each; "ready", waits for the end of its input, says how many are open
//! bench-client streams PORT COUNT SECONDS  reads COUNT event streams; "ready" once all have begun, then what SECONDS brought; holds them open
//! bench-client single PORT SECONDS         one request after the other; the latency
//! ```
//!
//! Each says what it has found as one line of `name value` pairs, and the first two end with their input at the latest. A reply that is not 200 ends it. It trusts the proxies to speak
//! HTTP/1.1 and knows no more of it than that needs.

mod idle;
mod reply;
mod single;
mod streams;

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(said) => {
            println!("{said}");
            if arguments[0] == "streams" {
                // Who reads the proxy's CPU time now shall not find the end of all streams in it.
                let _ = io::stdin().read_to_end(&mut Vec::new());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> io::Result<String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["idle", port, count] => idle::run(address(port)?, number(count)? as usize),
        ["streams", port, count, seconds] => streams::run(address(port)?, number(count)? as usize, self::seconds(seconds)?),
        ["single", port, seconds] => single::run(address(port)?, self::seconds(seconds)?),
        _ => Err(io::Error::other("idle PORT COUNT, streams PORT COUNT SECONDS or single PORT SECONDS")),
    }
}

fn address(port: &str) -> io::Result<SocketAddr> {
    let port = port.parse().map_err(|_| io::Error::other(format!("{port}: no port")))?;
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn number(text: &str) -> io::Result<u32> {
    text.parse().map_err(|_| io::Error::other(format!("{text}: no number")))
}

fn seconds(text: &str) -> io::Result<Duration> {
    let seconds = text.parse().map_err(|_| io::Error::other(format!("{text}: no seconds")))?;
    Duration::try_from_secs_f64(seconds).map_err(io::Error::other)
}
