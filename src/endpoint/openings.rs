//! Which endpoints of a set have a free slot: one bit for each place, and counts of them, so that nobody need ask every endpoint of a
//! nearly full pool.
//!
//! An endpoint's count of what is in flight stays the truth, and a slot is taken there and nowhere else. The bits follow it, and this holds at
//! every moment: *where a slot is free and the bit says it is not, whoever freed the slot is still about to set the bit, and looks at the queue
//! after that.* So a request that announces that it waits, and then finds no bit, is found by the one that sets it (`resilience/queue`).
//!
//! Why it holds. Every change of a count that reaches or leaves the slots of a set is followed by [`Watchers::follow`], which reads the count
//! and writes the bits under one mutex. A bit is cleared only by one who, inside, has read that every slot is taken. Who frees one later
//! comes inside later, and sets it; one who had come inside before has freed before, and would have been read. Counts, the least of
//! the limits and the bits are sequentially consistent: a set that comes, and a count that changes meanwhile, see each other or the mutex.
//!
//! The other way round a bit may be set where no slot is free: for an instant, and for ever where there is no limit. Availability, weight and
//! capabilities are deliberately not here: what takes no requests may have a bit.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places in one word.
const WORD: usize = u64::BITS as usize;

/// Words in one block, which is passed over as a whole when nothing in it is free.
const BLOCK: usize = 16;

/// The places of one set whose endpoints may have a free slot.
#[derive(Debug)]
pub struct Openings {
    words: Box<[AtomicU64]>,
    /// For each block at least as many as it has bits.
    blocks: Box<[AtomicU32]>,
    /// At least as many as there are bits.
    count: AtomicUsize,
}

/// The sets that an endpoint is in with a limit: one, or two while a reload goes round.
#[derive(Debug)]
pub(super) struct Watchers {
    /// The least of their limits: below it, no bit can change.
    least: AtomicU32,
    list: Mutex<Vec<Watcher>>,
}

#[derive(Debug)]
struct Watcher {
    openings: Arc<Openings>,
    place: usize,
    slots: u32,
    is_open: bool,
}

/// Returns the numbers of the bits of `word`, rising.
pub fn bits(word: u64) -> impl Iterator<Item = usize> + Clone {
    let rest = |word: &u64| Some(word & word.wrapping_sub(1)).filter(|&word| word != 0);
    std::iter::successors(Some(word).filter(|&word| word != 0), rest).map(|word| word.trailing_zeros() as usize)
}

impl Openings {
    /// Every one of `len` places has one.
    pub(super) fn new(len: usize) -> Self {
        let word = |n: usize| match len - n * WORD {
            rest if rest < WORD => (1 << rest) - 1,
            _ => u64::MAX,
        };
        let block = |n: usize| (len - n * BLOCK * WORD).min(BLOCK * WORD);
        Self {
            words: (0..len.div_ceil(WORD)).map(|n| AtomicU64::new(word(n))).collect(),
            blocks: (0..len.div_ceil(BLOCK * WORD)).map(|n| AtomicU32::new(block(n) as u32)).collect(),
            count: AtomicUsize::new(len),
        }
    }

    /// Tells whether there is none; one load.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns how many there are, or a few more; one load.
    pub fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    /// Returns the words of `numbers` that are not 0, with their numbers, rising: the bits of the places from 64 times the number on.
    pub fn words(&self, numbers: Range<usize>) -> impl Iterator<Item = (usize, u64)> + Clone + use<'_> {
        let end = numbers.end.min(self.words.len());
        let within = move |block: usize| numbers.start.max(block * BLOCK)..end.min((block + 1) * BLOCK);
        let is_open = |block: &usize| self.blocks.get(*block).is_some_and(|bits| bits.load(SeqCst) != 0);
        let word = |n: usize| Some((n, self.words.get(n)?.load(SeqCst))).filter(|&(_, word)| word != 0);
        (numbers.start / BLOCK..end.div_ceil(BLOCK)).filter(is_open).flat_map(within).filter_map(word)
    }

    fn set(&self, place: usize, is_open: bool) {
        let n = place / WORD;
        let (Some(word), Some(block)) = (self.words.get(n), self.blocks.get(n / BLOCK)) else { return };
        let bit = 1 << (place % WORD);
        // The counts are never below the bits: a count of 0 is believed.
        if is_open {
            self.count.fetch_add(1, SeqCst);
            block.fetch_add(1, SeqCst);
            word.fetch_or(bit, SeqCst);
        } else {
            word.fetch_and(!bit, SeqCst);
            block.fetch_sub(1, SeqCst);
            self.count.fetch_sub(1, SeqCst);
        }
    }
}

impl Default for Watchers {
    fn default() -> Self {
        Self { least: AtomicU32::new(u32::MAX), list: Mutex::default() }
    }
}

impl Watchers {
    /// Lets the bit of `place` follow whether fewer than `slots` are `taken`; the bit is set until now.
    pub(super) fn add(&self, openings: Arc<Openings>, place: usize, slots: u32, taken: impl Fn() -> u32) {
        let mut list = self.lock();
        list.push(Watcher { openings, place, slots, is_open: true });
        // Before the count is read: whoever changes it and does not see this limit is seen below.
        self.least.store(least(&list), SeqCst);
        update(&mut list, taken());
    }

    /// Forgets a set.
    pub(super) fn remove(&self, openings: &Arc<Openings>) {
        let mut list = self.lock();
        list.retain(|watcher| !Arc::ptr_eq(&watcher.openings, openings));
        self.least.store(least(&list), SeqCst);
    }

    /// Follows a change of the count; `most` is the larger of the two, before and after. One load unless it reaches the limit.
    pub(super) fn follow(&self, most: u32, taken: impl Fn() -> u32) {
        if most >= self.least.load(SeqCst) {
            let mut list = self.lock();
            update(&mut list, taken());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Watcher>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn least(list: &[Watcher]) -> u32 {
    list.iter().map(|watcher| watcher.slots).min().unwrap_or(u32::MAX)
}

fn update(list: &mut [Watcher], taken: u32) {
    for watcher in list {
        let is_open = taken < watcher.slots;
        if is_open != watcher.is_open {
            watcher.is_open = is_open;
            watcher.openings.set(watcher.place, is_open);
        }
    }
}

#[cfg(test)]
mod tests;
