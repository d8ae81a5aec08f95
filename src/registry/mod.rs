//! The one snapshot, the one swap.
