//! What replicas run on: Kubernetes, a container engine, this machine. Clients only: whether and when to scale is `autoscale`'s.
//!
//! [`Scaler`] is what every platform can do. Platforms on this machine also say where their replicas are, for `discovery`; on Kubernetes the
//! EndpointSlices do.

mod docker;
pub mod kubernetes;
mod platforms;
pub mod process;
mod scaler;

pub use docker::Containers;
pub use platforms::{Local, Platforms};
pub use scaler::{Observed, Pending, Phase, Replica, ScaleError, Scaler, Usage};
