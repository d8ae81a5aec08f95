//! From arguments to a subcommand to an exit status.

use std::process::ExitCode;

use clap::Parser;

use super::args::{Arguments, Command, Kubernetes};
use super::{agent, check, demo, explain, kubernetes, output, run, schema, simulate, status};

/// Carries out the command line of this process, and returns its exit status: 0, 1 for a failure at run time, 64 for bad usage or
/// a bad config.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return output::refused(&error),
    };
    match perform(&arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failed(&error),
    }
}

fn perform(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => check::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::Schema => schema::run(),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Kubernetes(Kubernetes::Manifests(arguments)) => kubernetes::run(arguments),
        Command::Simulate(arguments) => simulate::run(arguments),
        Command::Version => output::show(format_args!("tidegate {}", env!("CARGO_PKG_VERSION"))),
        Command::Agent(arguments) => agent::run(arguments),
    }
}
