//! `demo`.

mod agents;
