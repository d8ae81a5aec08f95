//! Whom a limit that is nearly used up still lets in. Pure.

use crate::model::Priority;

/// From this priority on a request may use all of a limit, and from its negative down all but the reserve.
const SPAN: f64 = 10.0;

/// Tells whether a limit of which `used` is used (0 nothing, 1 all) lets in a request of this priority.
///
/// A request of priority 10 and above may use all of it, one of -10 and below all but `reserve`, and between them the share is
/// linear: `1 - reserve * (10 - priority) / 20`. So that important requests find room, the others are refused before the limit is reached.
pub fn admits(priority: Priority, used: f64, reserve: f64) -> bool {
    // What is no number lets nobody in.
    used < ceiling(priority, reserve)
}

/// Returns the share of a limit that requests of this priority may use.
pub fn ceiling(priority: Priority, reserve: f64) -> f64 {
    let unimportant = (SPAN - f64::from(priority).clamp(-SPAN, SPAN)) / (2.0 * SPAN);
    1.0 - reserve.clamp(0.0, 1.0) * unimportant
}

/// Returns the resident memory in bytes from the text of `/proc/self/status`, `None` when it is not told (proc(5), `VmRSS`).
pub fn resident_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;

    #[test]
    fn the_share_is_linear_in_the_priority() {
        // With a reserve of 0.2: what is used, and the least priority that is still let in.
        for (used, least) in [(0.0, -100), (0.79, -100), (0.80, -9), (0.85, -4), (0.90, 1), (0.95, 6), (0.985, 9), (0.995, 10)] {
            assert!(admits(least, used, 0.2), "{least} at {used}");
            assert!(least == -100 || !admits(least - 1, used, 0.2), "{} at {used}", least - 1);
        }
        assert!(!admits(100, 1.0, 0.2) && admits(100, 0.999, 0.2));
    }

    #[test]
    fn without_a_reserve_all_are_equal_and_with_a_whole_one_the_least_are_never_let_in() {
        for priority in [-100, -10, 0, 10, 100] {
            assert!(admits(priority, 0.999, 0.0) && !admits(priority, 1.0, 0.0));
        }
        assert!(!admits(-10, 0.0, 1.0) && admits(10, 0.999, 1.0));
    }

    #[test]
    fn resident_memory_is_read_from_the_status_file() {
        let status = "Name:\ttidegate\nVmHWM:\t  99999 kB\nVmRSS:\t   12345 kB\nThreads:\t4\n";
        assert_eq!(resident_memory(status), Some(12_345 * 1024));
        for broken in
            ["", "VmRSS:", "VmRSS: x kB", "VmRSS: 1 MB", "VmRSS: 99999999999999999999 kB", "VmRSS: 18446744073709551615 kB"]
        {
            assert_eq!(resident_memory(broken), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn more_important_requests_are_never_refused_where_others_are_let_in(
            low in any::<i8>(), high in any::<i8>(), used in 0.0_f64..2.0, less in 0.0_f64..2.0, reserve in 0.0_f64..=1.0,
        ) {
            let (low, high) = (low.min(high), low.max(high));
            prop_assert!(!admits(low, used, reserve) || admits(high, used, reserve));
            // Nor is anybody refused who would be let in with more used.
            prop_assert!(!admits(low, used, reserve) || admits(low, used.min(less), reserve));
            prop_assert!(used < 1.0 || !admits(high, used, reserve));
            prop_assert!(used >= 1.0 - reserve || admits(low, used, reserve));
        }
    }
}
