//! How many requests of a route are let through in a time, shared by all workers.
//!
//! The law of one bucket is [`crate::kit::gcra`]. Here are the buckets of many keys, and several limits that must agree. What the client is
//! told of it is `message::rate_limit`'s; which request gets which key is decided where requests are.

mod buckets;
mod key;
mod limits;
mod report;

pub use key::{address_key, value_key};
pub use limits::{RateLimiter, RateLimits, Standing};
pub use report::Report;
