//! Small machines that know nothing of HTTP.

pub mod clock;
