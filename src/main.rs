//! The program `divert`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    divert::cli::main(std::env::args_os())
}
