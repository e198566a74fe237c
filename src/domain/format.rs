//! The serialized form of values in every stored and exchanged format: the text that they print and parse.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{KeyDigest, KeyId, Network, Reason, State, addr::NetworkError, event::EventKind};

/// Each type with the error for a text that does not parse. The error never repeats the text: it could be a raw key
/// that an operator put into the wrong field.
macro_rules! as_text {
    ($($value:ty: $wrong:expr;)*) => {$(
        impl Serialize for $value {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(|error| D::Error::custom($wrong(error)))
            }
        }
    )*};
}

as_text! {
    KeyId: |_| "must be k_ and 32 lower-case hex digits";
    KeyDigest: |_| "must be 64 lower-case hex digits";
    Network: |error| match error {
        NetworkError::Unparsable(_) => "not an IP address or CIDR".to_owned(),
        NetworkError::HostBits { .. } | NetworkError::MappedIpv4(_) => error.to_string(),
    };
    State: |_| "must be provisional, learned or pinned";
    EventKind: |_| "is not the kind of an audit record";
    Reason: |_| "is not the reason of a decision";
}
