//! Replicas as child processes of Tidegate: the platform that needs nothing installed.
//!
//! A [`Fleet`] runs the processes of one pool: each in a process group of its own, on a port of its own, started again when it dies. Three rules hold
//! whatever happens. **No orphan**: a process is written down before it is started (`store`), so that the next Tidegate finds it again when this one
//! is killed, and takes it back or ends it (`found`). **Nobody else's process is touched**: a process group is signalled only while its leader is not reaped
//! yet, or has just been seen to be the one that was written down. **Everything ends**: dropping a fleet kills what it runs; [`Fleet::leave`] is the
//! one way around that.
//!
//! It does not choose how many replicas there are, and does not tell anybody but by `replicas`, `observe` and `changed`.

mod backoff;
mod fleet;
mod found;
mod life;
mod output;
mod plan;
mod port;
mod proc;
mod running;
mod shared;
mod store;
mod template;
#[cfg(test)]
mod tests;
mod usage;

pub use fleet::Fleet;
