//! Replicas as containers of a Docker or Podman engine.
//!
//! `roster` decides, purely, what a pool's containers need; `engine` speaks to the engine; `supervisor` carries the one to the other, in one task
//! for each pool. What is deliberately not here: how many replicas there should be, and whose requests they run.

mod connect;
mod containers;
mod engine;
mod measure;
mod member;
mod probe;
mod roster;
mod spec;
mod supervisor;

pub use containers::Containers;
