//! What came of a load. Pure.

use std::fmt;
use std::time::Duration;

use super::super::settings::MAX_REPLICAS;
use super::client::Outcome;
use super::reaction::Reaction;
use super::view::seconds;
use crate::telemetry::metrics::Snapshot;

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) sent: u64,
    /// Those among them that asked for a stream.
    pub(super) streams: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) cut: u64,
    /// What went wrong first.
    pub(super) trouble: Option<String>,
    first_bytes: Snapshot,
}

/// What came of a load.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) tally: Tally,
    pub(super) most_replicas: u32,
    /// `None` when nobody waited for long enough.
    pub(super) reaction: Option<Reaction>,
}

impl Tally {
    /// Counts what became of a request; `None` when its task died.
    pub(super) fn add(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Answered { first_byte }) => {
                self.answered += 1;
                self.first_bytes.record(first_byte.as_secs_f64());
            }
            Some(Outcome::Failed(why)) => {
                self.failed += 1;
                self.trouble.get_or_insert(why);
            }
            Some(Outcome::Cut(why)) => {
                self.cut += 1;
                self.trouble.get_or_insert(why);
            }
            None => self.failed += 1,
        }
    }

    /// Returns how many had neither ended well nor badly when the demo was over.
    fn unfinished(&self) -> u64 {
        self.sent.saturating_sub(self.answered + self.failed + self.cut)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { sent, streams, failed, cut, trouble, first_bytes, .. } = &self.tally;
        let of = |quantile| seconds(first_bytes.quantile(quantile));
        writeln!(f, "\nWhat came of it, as the clients saw it")?;
        writeln!(f, "  requests           {sent}, {streams} of them streams")?;
        writeln!(f, "  failed             {failed}")?;
        writeln!(f, "  cut                {cut}")?;
        if let Some(trouble) = trouble {
            writeln!(f, "  the first of them  {}", trouble.replace(char::is_control, "?"))?;
        }
        if self.tally.unfinished() > 0 {
            writeln!(f, "  unfinished         {}, given up at the end", self.tally.unfinished())?;
        }
        writeln!(f, "  first byte         p50 {}, p95 {}", of(0.5), of(0.95))?;
        writeln!(f, "\nWhat the autoscaler did")?;
        writeln!(f, "  most replicas      {} of {MAX_REPLICAS}", self.most_replicas)?;
        match self.reaction {
            // They are upper bounds: the queue is looked at again and again, and the wait began after the last look that saw none.
            Some(Reaction { decided, ready }) => {
                writeln!(f, "  first scale-up     within {} of the first waiting request", millis(decided))?;
                writeln!(f, "  its replica        ready within {} of that request", millis(ready))
            }
            None => writeln!(f, "  first scale-up     none: nobody had to wait"),
        }
    }
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcomes: Vec<Option<Outcome>>, reaction: Option<Reaction>) -> String {
        let mut tally = Tally { sent: 5, streams: 2, ..Tally::default() };
        outcomes.into_iter().for_each(|outcome| tally.add(outcome));
        Summary { tally, most_replicas: 4, reaction }.to_string()
    }

    fn answered(millis: u64) -> Option<Outcome> {
        Some(Outcome::Answered { first_byte: Duration::from_millis(millis) })
    }

    #[test]
    fn a_good_end_says_so_in_numbers() {
        let reaction = Reaction { decided: Duration::from_micros(21_900), ready: Duration::from_millis(87) };
        let text = summary((0..5).map(|_| answered(150)).collect(), Some(reaction));
        let expected = "
What came of it, as the clients saw it
  requests           5, 2 of them streams
  failed             0
  cut                0
  first byte         p50 150 ms, p95 150 ms

What the autoscaler did
  most replicas      4 of 6
  first scale-up     within 21 ms of the first waiting request
  its replica        ready within 87 ms of that request
";
        // A quantile is that of its bucket.
        let bucket = text.lines().find(|line| line.contains("p50")).unwrap();
        assert_eq!(text, expected.replace("  first byte         p50 150 ms, p95 150 ms", bucket));
    }

    #[test]
    fn a_bad_end_names_what_went_wrong_first() {
        let outcomes = vec![answered(1), Some(Outcome::Cut("reset\n".to_owned())), Some(Outcome::Failed("503".to_owned())), None];
        let text = summary(outcomes, None);
        for line in [
            "  failed             2\n",
            "  cut                1\n",
            "  the first of them  reset?\n",
            "  unfinished         1, given up at the end\n",
            "  first scale-up     none: nobody had to wait\n",
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}
