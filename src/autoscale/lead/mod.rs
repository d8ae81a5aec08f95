//! Which of several gateways acts: the one that holds the Lease.
//!
//! Deliberately not here: what a leader does, and how gateways find each other.

mod election;
mod leadership;

pub use leadership::{Deadline, Leadership, Standing as LeaseStanding};
