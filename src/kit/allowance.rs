//! Bytes that many may use together, up to a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A limit on what all holds together may be.
#[derive(Debug)]
pub struct Allowance {
    limit: AtomicU64,
    used: AtomicU64,
}

/// A part of an allowance; given back on drop.
#[derive(Debug)]
pub struct Hold {
    from: Arc<Allowance>,
    bytes: u64,
}

impl Allowance {
    /// At most `limit` bytes at once.
    pub const fn new(limit: u64) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0) }
    }

    /// Changes the limit; what is held above it stays until it is given back.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Returns how many bytes are held.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Begins a hold of nothing.
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold { from: self.clone(), bytes: 0 }
    }
}

impl Hold {
    /// Takes `bytes` more, all or none, and tells whether they were there.
    pub fn grow(&mut self, bytes: u64) -> bool {
        let limit = self.from.limit.load(Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|&used| used <= limit);
        let grown = self.from.used.fetch_update(Relaxed, Relaxed, fits).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.from.used.fetch_sub(std::mem::take(&mut self.bytes), Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_share_one_limit_and_give_back_what_they_took() {
        let allowance = Arc::new(Allowance::new(10));
        let (mut first, mut second) = (allowance.hold(), allowance.hold());
        assert!(first.grow(6) && second.grow(4));
        assert!(!second.grow(1));
        assert!(!second.grow(u64::MAX));
        drop(first);
        assert!(second.grow(6));
        assert_eq!(allowance.used(), 10);
        second.clear();
        assert_eq!(allowance.used(), 0);
        allowance.set_limit(3);
        assert!(!second.grow(4) && second.grow(3));
    }
}
