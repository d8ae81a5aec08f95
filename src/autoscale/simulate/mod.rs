//! Seeing it before it happens: a trace of requests over one pool under virtual time, sized by the real decision and by others.
//!
//! What decides is what decides in the proxy: `signal::Gauge` and [`super::decide()`] with the terms of the config. The world around it is a model
//! (`world`): replicas with slots that take time to start, one line of waiting requests, drain. What is deliberately not here: endpoints that fail
//! or slow down under load, retries, and the way of a request through the proxy; a simulation compares ways of sizing, it does not predict a latency.

mod agenda;
mod compare;
mod demand;
mod figures;
mod fleet;
mod foresight;
mod generate;
mod hpa;
mod knative;
mod oracle;
mod read;
mod settings;
mod sizer;
mod tidegate;
mod trace;
mod windows;
mod world;

#[cfg(test)]
mod tests;

pub use compare::{Contender, Report, compare};
pub use figures::Figures;
pub use generate::{Load, Shape, generate};
pub use read::{Manner, TraceError, read};
pub use settings::{Conditions, Settings};
pub use trace::{Law, Request, Service, Trace};
pub use world::Sample;
