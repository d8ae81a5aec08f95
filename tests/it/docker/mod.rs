//! Containers as replicas, at an engine that keeps its word and one that does not.

mod engine;
mod fake;
mod kept;
mod real;
mod scaled;
mod stage;
