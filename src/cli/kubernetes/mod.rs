//! `kubernetes`: what a cluster needs to run Tidegate, to be read, changed and applied by people and their tools.
//!
//! The documents stand in `documents/`, with names in `{{ }}`; `facts` reads from the config what they must agree with. What is deliberately not
//! here: speaking to a cluster.

mod facts;
mod manifests;
mod template;

pub(in crate::cli) use manifests::run;
