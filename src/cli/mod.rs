//! The command line: arguments, subcommands, exit status.
//!
//! Each subcommand has a file; [`main`] chooses among them. What the proxy does is not here: `run` and `demo` hand over to `app`.

mod agent;
mod args;
mod check;
mod command;
mod demo;
mod explain;
mod fetch;
mod kubernetes;
mod output;
mod run;
mod schema;
mod simulate;
mod source;
mod status;
mod table;

pub use command::main;
