//! What is known of one endpoint, and the set of endpoints that make a pool.
//!
//! [`Endpoint`] is what the config or discovery says of it, and never changes; [`State`] is what was learned, lives in atomics, and is shared
//! by every worker and handed on over reloads. [`EndpointSet`] is one immutable membership of a pool. Whoever changes an endpoint's
//! standing sets the bit of its own [`Cause`]; nobody here decides anything.

mod availability;
mod capability;
mod guard;
mod openings;
mod ring;
mod set;
mod state;
mod vitals;

pub use availability::{Availability, Cause};
pub use capability::{MAX_CAPABILITIES, Mask};
pub use guard::{Attempt, is_failure_status};
pub use openings::{Openings, bits};
pub use ring::Ring;
pub use set::{EndpointSet, Stamp};
pub use state::{Endpoint, PoolState, Serial, State};
pub use vitals::{FAILED_LATENCY, LoadReport, MAX_PARK, ReportedLoad, Totals, Vitals};
