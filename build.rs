//! Compiles `proto/` (our admin API). Envoy's own types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    // A reference may hold a key: the admin module writes its Debug by hand, and redacts.
    tonic_prost_build::configure().skip_debug([".sentinel.admin.v1.KeyReference"]).compile_fds(files)?;
    Ok(())
}
