//! Tidegate: one binary in front of pools of agents that routes, protects and sizes them with one clock.
//!
//! This file is the floor table and nothing else. Each folder stands on a floor and imports only from lower floors, never
//! sideways, never up; `tests/architecture.rs` reads the table and every file, and fails on a breach. `ARCHITECTURE.md` is the map.

#![forbid(unsafe_code)]

// floor 12: arguments and subcommands
pub mod cli;
// floor 11: composition root, the only folder that knows everyone
pub mod app;
// floor 10: admin server
pub mod admin;
// floor 8: the client's side of a request; the size of pools
pub mod autoscale;
pub mod ingress;
// floor 7: the one snapshot, the one swap
pub mod registry;
// floor 6: a pool on a worker: layers, dispatch
pub mod pool;
// floor 5: health checks, ejection
pub mod health;
// floor 4: one concern each
pub mod balance;
pub mod discovery;
pub mod resilience;
pub mod route;
pub mod upstream;
// floor 3: one concern each, closer to the ground
pub mod config;
pub mod endpoint;
pub mod platform;
// floor 2: metrics, logs
pub mod telemetry;
// floor 1: HTTP messages; small machines
pub mod kit;
pub mod message;
// floor 0: plain checked values
pub mod model;
