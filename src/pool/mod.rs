//! A pool as one worker sees it: its members, the picker, and the layers that a route puts around it.
//!
//! Everything here belongs to one worker and is shared by `Rc`; what workers share are the atomics behind
//! [`Endpoint`](crate::endpoint::Endpoint). Deliberately not here: where endpoints come from (`discovery`, `registry`).

mod bulkhead;
mod call;
mod deadline;
mod dispatch;
mod download;
mod fault;
mod hedge;
mod local;
mod member;
mod mirror;
mod place;
mod retry;
mod route_state;
mod seat;
mod slow;
mod spare;
mod spread;
mod stack;
mod tiers;

#[cfg(test)]
mod testing;

pub use call::{Call, Denied, Reply, Tries};
pub use dispatch::Dispatch;
pub use download::Download;
pub use local::{Local, Shared, available_share};
pub use member::Member;
pub use route_state::RouteState;
pub use spread::Spread;
pub use stack::{Stack, build};
pub use tiers::Tiers;
