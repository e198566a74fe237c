//! The `sentinel` binary: the server and its command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    key_ip_sentinel::cli::run(std::env::args_os())
}
