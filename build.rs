//! Compiles the admin API in `proto/`. Envoy's types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    // These may contain a key: the admin module implements their `Debug` and redacts them.
    let redacted = ["KeyReference", "ExplainRequest", "Metadata", "ImportKeysRequest"]
        .map(|name| format!(".sentinel.admin.v1.{name}"));
    // The command line prints these as JSON. Does not include requests, because some contain a key.
    let printed = "Key Binding Ban Life Candidate RefusedNetwork AuditRecord Pepper PepperRows PromoteEnd \
                 ExplainedAddress ExplainedCarrier ListKeysResponse GetKeyResponse ChangeResponse ImportKeysResponse \
                 ListAuditResponse GetStatusResponse ListPeppersResponse RotationResponse";
    let mut builder = tonic_prost_build::configure();
    for name in printed.split_whitespace() {
        builder = builder.type_attribute(format!(".sentinel.admin.v1.{name}"), "#[derive(serde::Serialize)]");
    }
    // Boxed, because otherwise every message of the stream would be as large as this variant.
    let large = ".sentinel.admin.v1.PromoteResponse.event.let_through";
    builder.skip_debug(redacted).boxed(large).compile_fds(files)?;
    Ok(())
}
