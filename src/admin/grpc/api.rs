//! The messages, server and client made from `proto/sentinel/admin/v1/admin.proto`, which is their manual.
#![allow(missing_docs)]

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
