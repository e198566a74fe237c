//! Compiles `proto/` (our admin API). Envoy's own types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
