//! The messages, server and client generated from `proto/sentinel/admin/v1/admin.proto`, which documents them.
#![allow(missing_docs)]

use std::fmt;

tonic::include_proto!("sentinel.admin.v1");

/// Redacts the whole message: an operator may put a key into a wrong field, or import a file of raw keys.
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
