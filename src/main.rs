//! The `sentinel` program: the server, and the commands that speak to it.

use std::process::ExitCode;

fn main() -> ExitCode {
    key_ip_sentinel::cli::run(std::env::args_os())
}
