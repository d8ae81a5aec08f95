//! One connection, one request after the other: what a proxy adds when nothing waits.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::reply;

/// The first requests open the proxy's connections to all its endpoints.
const WARM_UP: usize = 100;

/// Asks for `time` and returns the latency.
pub fn run(address: SocketAddr, time: Duration) -> io::Result<String> {
    let mut stream = reply::connect(address)?;
    let mut buffer = vec![0; 16 * 1024];
    let mut once = || {
        let began = Instant::now();
        reply::ask(&mut stream, "/1k").and_then(|()| reply::read(&mut stream, &mut buffer))?;
        io::Result::Ok(began.elapsed().as_nanos() as u64)
    };
    for _ in 0..WARM_UP {
        once()?;
    }
    let mut taken = Vec::new();
    let began = Instant::now();
    while began.elapsed() < time {
        taken.push(once()?);
    }
    taken.sort_unstable();
    Ok(format!("requests {} p50_ns {} p99_ns {}", taken.len(), percentile(&taken, 50), percentile(&taken, 99)))
}

/// The nearest rank in sorted figures; 0 when there is none.
pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentile_is_the_nearest_rank() {
        let figures: Vec<u64> = (1..=200).collect();
        assert_eq!((percentile(&figures, 50), percentile(&figures, 99)), (100, 198));
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[], 99), 0);
    }
}
