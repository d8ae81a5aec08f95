//! Small machines that know nothing of HTTP.

pub mod clock;
pub mod ewma;
pub mod gcra;
pub mod hash;
pub mod sharded;
pub mod window;
