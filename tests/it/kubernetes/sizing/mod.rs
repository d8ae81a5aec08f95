//! Pools of pods that grow and shrink behind real proxies: one, and two of which one leads.
//!
//! The API server is the fake, over a socket. Its pods are served by one server of the test, which needs the whole of 127.0.0.0/8.

#![cfg(target_os = "linux")]

mod alone;
mod gateway;
mod many;
mod stage;
mod town;
mod trouble;
