//! The binary: installs the one crypto provider and calls the command line, nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything can ask for TLS, so that no dependency's default brings a second provider. It fails only when one is
    // installed already, and then that one serves.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidegate::cli::main()
}
