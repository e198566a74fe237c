//! Compiles `proto/` (our admin API). Envoy's own types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    // These may hold a key: the admin module writes their Debug by hand, and redacts.
    let redacted = ["KeyReference", "ExplainRequest", "Metadata", "ImportKeysRequest"]
        .map(|name| format!(".sentinel.admin.v1.{name}"));
    // Every message of the stream would be as large as this one.
    let large = ".sentinel.admin.v1.PromoteResponse.event.let_through";
    tonic_prost_build::configure().skip_debug(redacted).boxed(large).compile_fds(files)?;
    Ok(())
}
