//! Kubernetes: an API server that behaves as a real one does, on its good and on its bad days, and what speaks to it.

mod discovery;
mod fake;
mod lead;
mod leases;
mod sizing;
mod sockets;
mod workload;
