//! What protects a pool and the process: breakers, budgets, queues, limits, tiers, faults.
//!
//! Each mechanism is a pure machine that takes `now` and randomness as arguments, with at most a thin shared shell beside it (a short
//! mutex or atomics). Deliberately not here: sockets, timers and tasks (`pool`, `health`), and where the layers stand (`pool/stack.rs`).

pub mod breaker;
pub mod bulkhead;
pub mod failover;
pub mod fault;
pub mod hedge;
pub mod outlier;
pub mod queue;
pub mod rate_limit;
pub mod retry;
pub mod shadow;
pub mod shed;
