//! The binary: calls the command line and nothing else.

fn main() {}
