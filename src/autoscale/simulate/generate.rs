//! Traces that nobody has recorded: Poisson arrivals whose rate follows a shape. Pure.

use std::f64::consts::TAU;
use std::time::Duration;

use fastrand::Rng;

use super::trace::{MOST_REQUESTS, Request, Service, Trace, exponential, micros, micros_of};

const MINUTE: f64 = 60.0;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// How the rate goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The base rate, four times that in the middle third, the base rate again.
    Step,
    /// From the base rate to five times that in two thirds of the time, and back in the last third.
    Ramp,
    /// Every 20 minutes from half the base rate to four times that, and back at once.
    Sawtooth,
    /// A wave each day, 0.2 times the base rate at four and 1.8 times at sixteen o'clock; half of it at weekends.
    Diurnal,
    /// The base rate; after a third of the time ten times that within ten seconds, which goes back over a sixth of the time.
    FlashCrowd,
    /// Ten minutes four times the base rate, ten minutes nothing.
    OnOff,
}

/// How much comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// The base rate, requests a second.
    pub rate: f64,
    /// How long.
    pub duration: Duration,
    /// How long a request runs.
    pub service: Service,
}

impl Shape {
    /// Returns the rate at `at` seconds of `duration`, over the base rate.
    fn factor(self, at: f64, duration: f64) -> f64 {
        let part = at / duration;
        match self {
            Self::Step if (1.0 / 3.0..2.0 / 3.0).contains(&part) => 4.0,
            Self::Step => 1.0,
            Self::Ramp if part < 2.0 / 3.0 => 1.0 + 6.0 * part,
            Self::Ramp => 5.0 - 12.0 * (part - 2.0 / 3.0),
            Self::Sawtooth => 0.5 + 3.5 * (at % (20.0 * MINUTE)) / (20.0 * MINUTE),
            Self::Diurnal => wave(at),
            Self::FlashCrowd => crowd(at - duration / 3.0, duration),
            Self::OnOff if at % (20.0 * MINUTE) < 10.0 * MINUTE => 4.0,
            Self::OnOff => 0.0,
        }
    }

    /// Returns what [`Self::factor`] never exceeds.
    const fn peak(self) -> f64 {
        match self {
            Self::Step | Self::Sawtooth | Self::OnOff => 4.0,
            Self::Ramp => 5.0,
            Self::Diurnal => 1.8,
            Self::FlashCrowd => 10.0,
        }
    }
}

/// The trace begins on a Monday at midnight, or is taken to.
fn wave(at: f64) -> f64 {
    let day = 1.0 - 0.8 * (TAU * (at - 4.0 * HOUR) / DAY).cos();
    if at % (7.0 * DAY) < 5.0 * DAY { day } else { day / 2.0 }
}

fn crowd(since: f64, duration: f64) -> f64 {
    if since < 0.0 {
        return 1.0;
    }
    // A third of the decay's whole length is its time constant, after which 5% are left.
    let fall = duration / 6.0 / 3.0;
    if since < 10.0 { 1.0 + 0.9 * since } else { 1.0 + 9.0 * (-(since - 10.0) / fall).exp() }
}

/// Makes a trace; the same arguments yield the same. Ends early when it would be too long for the memory.
///
/// Arrivals of the highest rate are thinned: Lewis and Shedler, "Simulation of nonhomogeneous Poisson processes by thinning", 1979.
pub fn generate(shape: Shape, load: &Load, start_unix_ms: i64, seed: u64) -> Trace {
    let mut random = Rng::with_seed(seed);
    let duration = load.duration.as_secs_f64();
    let peak = shape.peak() * load.rate;
    let mut requests = Vec::new();
    let mut at = 0.0;
    while peak > 0.0 && requests.len() < MOST_REQUESTS {
        at += exponential(&mut random) / peak;
        if at >= duration {
            break;
        }
        if random.f64() * shape.peak() < shape.factor(at, duration) {
            requests.push(Request { at_us: micros_of(at), service_us: load.service.draw(&mut random) });
        }
    }
    Trace::new(requests, micros(load.duration), start_unix_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::super::trace::Law;
    use super::*;

    const SHAPES: [Shape; 6] = [Shape::Step, Shape::Ramp, Shape::Sawtooth, Shape::Diurnal, Shape::FlashCrowd, Shape::OnOff];

    fn load(rate: f64, hours: u64) -> Load {
        let service = Service { mean: Duration::from_secs(1), law: Law::Exponential };
        Load { rate, duration: Duration::from_secs(3600 * hours), service }
    }

    #[test]
    fn as_many_come_as_the_shape_says() {
        for (shape, hours, mean) in [
            (Shape::Step, 1, 2.0),
            (Shape::Ramp, 1, 3.0),
            (Shape::Sawtooth, 1, 2.25),
            (Shape::Diurnal, 168, 6.0 / 7.0),
            (Shape::OnOff, 1, 2.0),
        ] {
            let load = load(3.0, hours);
            let expected = mean * 3.0 * load.duration.as_secs_f64();
            let came = generate(shape, &load, 0, 1).requests.len() as f64;
            assert!((came - expected).abs() < 4.0 * expected.sqrt(), "{shape:?}: {came} instead of {expected}");
        }
    }

    #[test]
    fn the_crowd_comes_at_a_third_of_the_time() {
        let factors = [0.0, 1199.0, 1210.0, 1410.0, 2400.0, 3599.0].map(|at| Shape::FlashCrowd.factor(at, 3600.0));
        assert_eq!(factors[..3], [1.0, 1.0, 10.0]);
        assert!((factors[3] - 4.31).abs() < 0.01 && factors[4] < 1.03, "{factors:?}");
    }

    #[test]
    fn the_same_seed_is_the_same_trace_and_another_seed_another() {
        for shape in SHAPES {
            let trace = generate(shape, &load(1.0, 1), 5, 1);
            assert_eq!(trace, generate(shape, &load(1.0, 1), 5, 1));
            assert_ne!(trace.requests, generate(shape, &load(1.0, 1), 5, 2).requests);
        }
    }

    #[test]
    fn nothing_comes_at_rate_zero() {
        assert_eq!(generate(Shape::Step, &load(0.0, 1), 0, 1).requests, []);
    }

    proptest! {
        #[test]
        fn no_rate_is_above_the_peak_or_below_zero(part in 0.0..1.0_f64, duration in 1.0..1e7_f64) {
            for shape in SHAPES {
                let factor = shape.factor(part * duration, duration);
                prop_assert!((0.0..=shape.peak()).contains(&factor), "{:?}: {}", shape, factor);
            }
        }
    }
}
