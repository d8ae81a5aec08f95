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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_algorithms() {
        // Computed by a second implementation of rapidhash V3, one for each of its paths that names take.
        assert_eq!(stable(b""), 232_177_599_295_442_350);
        assert_eq!(stable(b"session-1"), 5_990_124_020_638_713_559);
        assert_eq!(stable(b"a session id that is longer than sixteen bytes"), 8_052_228_820_980_947_841);
        assert_eq!([0, 1, 2].map(|n| nth(0, n)), [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }
}
