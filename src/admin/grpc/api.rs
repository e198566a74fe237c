//! The messages, server and client made from `proto/sentinel/admin/v1/admin.proto`, which is their manual.
#![allow(missing_docs)]

use std::fmt;

tonic::include_proto!("sentinel.admin.v1");

/// Redacted whole: a key may stand in any field, in the wrong one by an operator's mistake, and a file of keys may be
/// taken for the other kind.
macro_rules! redacted {
    ($($message:ty),*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(…)"))
            }
        }
    )*};
}

redacted!(KeyReference, key_reference::Reference, ExplainRequest, Metadata, ImportKeysRequest);
