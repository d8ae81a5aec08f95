//! A pool on a worker.
