//! Gateways that size the same pools: the leader asks its peers what they see, and tells them who is leaving.
//!
//! Peers are found by the name of their own headless Service, and speak over the admin server. What is deliberately not here: who leads.

mod ask;
mod letter;
mod roll;
pub(super) mod rounds;
mod sum;

pub use ask::{PAGE, Peers};
pub use letter::{Instruction, PoolReport, Report};
pub use sum::{Others, Sum};
