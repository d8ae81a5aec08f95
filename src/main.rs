//! The binary: installs the allocator and the one crypto provider, and calls the command line, nothing else.

use std::process::ExitCode;

/// A request takes a dozen pieces of memory, two of them larger than glibc keeps at hand for a thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before anything can ask for TLS, so that no dependency's default brings a second provider. It fails only when one is
    // installed already, and then that one serves.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    tidegate::cli::main()
}
