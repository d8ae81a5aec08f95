//! A hash that gives the same number in every process, on every machine, in every release.
//!
//! For placing keys and endpoints on a ring, where two replicas of the proxy must agree. Not for hash maps: the seed is public,
//! so whoever chooses the keys can make them collide.

use rapidhash::v3::rapidhash_v3;

/// Hashes `bytes` (rapidhash V3 with its default seed).
pub fn stable(bytes: &[u8]) -> u64 {
    rapidhash_v3(bytes)
}

/// Returns the `n`th number of the sequence that `seed` begins (SplitMix64: Steele, Lea, Flood 2014, section 5).
pub const fn nth(seed: u64, n: u64) -> u64 {
    // The golden ratio in 64 bits, then the finalizer named "variant 13" by Stafford.
    let mut z = seed.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
