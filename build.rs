//! Compiles `proto/` (our admin API). Envoy's own types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    // These may hold a key: the admin module writes their Debug by hand, and redacts.
    let redacted = ["KeyReference", "ExplainRequest", "Metadata"].map(|name| format!(".sentinel.admin.v1.{name}"));
    tonic_prost_build::configure().skip_debug(redacted).compile_fds(files)?;
    Ok(())
}
