//! The clock of the streams: an event on each of them every 10 ms.
//!
//! A tenth of the streams is served each millisecond: real streams do not all speak at the same moment, and a burst over all
//! of them would make the client late, which must not look like a proxy that holds events back.

use std::time::{Duration, Instant, SystemTime};

const PHASES: usize = 10;
const STEP: Duration = Duration::from_millis(1);

/// Which connections are streams, and when they get their next event.
pub struct Ticker {
    phases: [Vec<usize>; PHASES],
    count: usize,
    added: usize,
    next: usize,
    due: Instant,
}

impl Ticker {
    /// Without any stream.
    pub fn new() -> Self {
        Self { phases: Default::default(), count: 0, added: 0, next: 0, due: Instant::now() }
    }

    /// How long to wait for other things; for ever without streams.
    pub fn wait(&self) -> Option<Duration> {
        (self.count > 0).then(|| self.due.saturating_duration_since(Instant::now()))
    }

    /// Takes a connection on.
    pub fn add(&mut self, index: usize) {
        if self.count == 0 {
            self.due = Instant::now() + STEP;
        }
        self.phases[self.added % PHASES].push(index);
        self.added += 1;
        self.count += 1;
    }

    /// Forgets a connection, if it was a stream.
    pub fn remove(&mut self, index: usize) {
        for phase in &mut self.phases {
            phase.retain(|other| *other != index);
        }
        self.count = self.phases.iter().map(Vec::len).sum();
    }

    /// Gives the streams whose time has come to `send`, with an event that says when; those for which it returns `false` are forgotten.
    pub fn tick(&mut self, mut send: impl FnMut(usize, &[u8]) -> bool) {
        while self.count > 0 && self.due <= Instant::now() {
            let phase = &mut self.phases[self.next];
            let before = phase.len();
            phase.retain(|index| send(*index, &event(SystemTime::now())));
            self.count -= before - phase.len();
            self.next = (self.next + 1) % PHASES;
            self.due += STEP;
        }
    }
}

/// One server-sent event as one chunk: the nanoseconds of the wall clock, the only clock that the client shares.
fn event(now: SystemTime) -> Vec<u8> {
    let nanos = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    format!("1c\r\ndata: {nanos:020}\n\n\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_is_as_long_as_it_says() {
        assert_eq!(event(SystemTime::now()).len(), 4 + 0x1c + 2);
    }

    #[test]
    fn each_stream_gets_one_event_in_ten_steps() {
        let mut ticker = Ticker::new();
        (0..25).for_each(|index| ticker.add(index));
        ticker.due = Instant::now() - STEP * 9;
        let mut seen = [0; 25];
        ticker.tick(|index, _| {
            seen[index] += 1;
            true
        });
        // Ten steps were due; a slow machine may have added some.
        assert!(seen.iter().all(|count| *count >= 1));
        assert!(seen.iter().max() <= seen.iter().min().map(|least| least + 1).as_ref());
    }

    #[test]
    fn stream_that_does_not_read_is_forgotten() {
        let mut ticker = Ticker::new();
        ticker.add(7);
        ticker.due = Instant::now() - STEP * 10;
        ticker.tick(|_, _| false);
        assert_eq!(ticker.wait(), None);
        ticker.add(8);
        ticker.remove(8);
        assert_eq!(ticker.wait(), None);
    }
}
