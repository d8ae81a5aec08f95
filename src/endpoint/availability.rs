//! Whether an endpoint may get new requests: one word, one bit for each reason why not, each bit with one owner.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering::AcqRel, Ordering::Acquire};

use serde::Serialize;

/// Why an endpoint gets no new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Health checks fail; owned by `health`.
    Down,
    /// Its outcomes are worse than its peers'; owned by outlier ejection.
    Ejected,
    /// Its breaker is open; owned by the breaker.
    Breaker,
    /// The autoscaler lets it run empty before it goes; owned by `autoscale`.
    Draining,
    /// Its platform says that it is on its way out; owned by `registry`, which hears it from `discovery`.
    Leaving,
    /// An operator said so; owned by `admin`.
    Admin,
}

impl Cause {
    /// Every cause.
    pub const ALL: &'static [Self] = &[Self::Down, Self::Ejected, Self::Breaker, Self::Draining, Self::Leaving, Self::Admin];

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// Returns the word for the admin API and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Breaker => "breaker",
            Self::Draining => "draining",
            Self::Leaving => "leaving",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The causes that hold at a moment; available when none does.
#[derive(Debug, Default)]
pub struct Availability(AtomicU8);

impl Availability {
    /// Tells whether no cause holds; one load.
    pub fn is_available(&self) -> bool {
        self.0.load(Acquire) == 0
    }

    /// Begins (`true`) or ends (`false`) a cause and tells whether that changed it.
    pub fn set(&self, cause: Cause, holds: bool) -> bool {
        let before = if holds { self.0.fetch_or(cause.bit(), AcqRel) } else { self.0.fetch_and(!cause.bit(), AcqRel) };
        (before & cause.bit() != 0) != holds
    }

    /// Tells whether `cause` holds.
    pub fn has(&self, cause: Cause) -> bool {
        self.0.load(Acquire) & cause.bit() != 0
    }

    /// Returns the causes that hold.
    pub fn causes(&self) -> impl Iterator<Item = Cause> + use<> {
        let bits = self.0.load(Acquire);
        Cause::ALL.iter().copied().filter(move |cause| bits & cause.bit() != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_available_when_no_cause_holds() {
        let availability = Availability::default();
        assert!(availability.is_available());
        for &cause in Cause::ALL {
            assert!(availability.set(cause, true));
            assert!(!availability.set(cause, true));
            assert!(availability.has(cause));
        }
        assert_eq!(availability.causes().collect::<Vec<_>>(), Cause::ALL);
        for &cause in Cause::ALL {
            assert!(!availability.is_available());
            assert!(availability.set(cause, false));
            assert!(!availability.set(cause, false));
        }
        assert!(availability.is_available());
        assert_eq!(availability.causes().count(), 0);
    }
}
