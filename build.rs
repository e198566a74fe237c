//! Compiles `proto/` (our admin API). Envoy's own types come from the `envoy-types` crate.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["sentinel/admin/v1/admin.proto"], ["proto"])?;
    // These may hold a key: the admin module writes their Debug by hand, and redacts.
    let redacted = ["KeyReference", "ExplainRequest", "Metadata", "ImportKeysRequest"]
        .map(|name| format!(".sentinel.admin.v1.{name}"));
    // Scripts are shown these, as JSON. No request is among them: some hold a key.
    let shown = "Key Binding Ban Life Candidate RefusedNetwork AuditRecord Pepper PepperRows PromoteEnd \
                 ExplainedAddress ExplainedCarrier ListKeysResponse GetKeyResponse ChangeResponse ImportKeysResponse \
                 ListAuditResponse GetStatusResponse ListPeppersResponse RotationResponse";
    let mut builder = tonic_prost_build::configure();
    for name in shown.split_whitespace() {
        builder = builder.type_attribute(format!(".sentinel.admin.v1.{name}"), "#[derive(serde::Serialize)]");
    }
    // Every message of the stream would be as large as this one.
    let large = ".sentinel.admin.v1.PromoteResponse.event.let_through";
    builder.skip_debug(redacted).boxed(large).compile_fds(files)?;
    Ok(())
}
