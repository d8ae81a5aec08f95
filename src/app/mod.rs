//! The composition root: builds everything, reloads it, stops it. The only folder that knows everyone.

mod administration;
mod control;
mod figures;
mod lifecycle;
mod logs;
mod pool_view;
mod proxy;
mod route_view;
mod scaling_figures;
mod scaling_past;
mod scaling_view;
mod source;
mod storage;

pub use lifecycle::run;
pub use proxy::{Addresses, Proxy, Started};
pub use source::{OnReady, Options, Source, Surroundings};
