//! Keeps the process within its limits: the less important a request is, the earlier it is refused.
//!
//! [`admits`] is the law, [`Pressure`] what it is applied to, [`ReplayMemory`] the one limit that refuses no request: without room, a body is
//! sent once. What is deliberately not here: reading the process's memory, which the control side does once a second.

mod law;
mod pressure;
mod replay_memory;

pub use law::{admits, resident_memory};
pub use pressure::{Permit, Pressure};
pub use replay_memory::{Hold, ReplayMemory};
