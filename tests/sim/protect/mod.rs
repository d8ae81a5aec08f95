//! The machines that protect a pool, all of them together under virtual time, with seeded faults.
//!
//! Real: pickers, endpoints, queue, bulkhead, breakers, retries with their budget, hedges with theirs, ejection, the verdict of health checks, the
//! sets of endpoints that a reload makes. Simulated: clients, replicas, and the async shells between the machines (`pool`, the guard and the
//! monitor of `health`, `registry`), which need sockets: [`request`] and [`control`] do what they do, in the same order. After every event
//! [`laws`] are held against what the machines say and what [`books`] have written down independently of them; `docs/invariants.md`
//! tells each of them.

mod books;
mod client;
mod control;
mod lab;
mod laws;
mod link;
mod place;
mod proxy;
mod replica;
mod request;
mod run;
mod scenario;
mod seen;
mod tests;
mod weather;
