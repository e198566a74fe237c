//! The admin API: what operators may see and change, for whoever can open the admin socket.
//!
//! A change goes through one door, [`Operations`]: it is authenticated, turned into a value that cannot be invalid,
//! carried out by the store in one transaction, and answered once this process decides by it. [`grpc`] is the thin
//! edge: `request` reads the wire (and names the field that is wrong), `response` writes it. `explain` judges a request
//! head as a Check would be judged, short of the claim; `promote` walks through what observe mode has seen; `diagnosis`
//! gathers what `sentinel doctor` judges; `export` and `import` move keys, by the lines of `key_file`.

mod diagnosis;
mod explain;
mod export;
mod fields;
mod follow;
pub mod grpc;
mod head;
mod import;
mod key_file;
mod operations;
mod pepper;
mod promote;
mod request;
mod response;

pub use operations::Operations;

/// The messages, server and client made from `proto/sentinel/admin/v1/admin.proto`, which is their manual.
#[allow(missing_docs)]
pub mod api {
    use std::fmt;

    tonic::include_proto!("sentinel.admin.v1");

    /// Redacted whole: a key may stand in either field, in the wrong one by an operator's mistake.
    impl fmt::Debug for KeyReference {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("KeyReference(…)")
        }
    }

    impl fmt::Debug for ExplainRequest {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("ExplainRequest(…)")
        }
    }

    impl fmt::Debug for Metadata {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Metadata(…)")
        }
    }

    /// A file of keys may be taken for the other kind.
    impl fmt::Debug for ImportKeysRequest {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("ImportKeysRequest(…)")
        }
    }

    impl fmt::Debug for key_reference::Reference {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Reference(…)")
        }
    }
}
