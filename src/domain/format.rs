//! Values as they stand in every stored and exchanged format: as the text that they print and are read from.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{KeyDigest, KeyId, Network, Reason, State, addr::NetworkError, event::EventKind};

/// Each with what is wrong with a text that is none. It does not repeat the text, which somebody may have taken from the
/// wrong place, such as a raw key.
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
        NetworkError::HostBits { .. } | NetworkError::Disguised(_) => error.to_string(),
    };
    State: |_| "must be provisional, learned or pinned";
    EventKind: |_| "is no kind of an audit record";
    Reason: |_| "is no reason of a decision";
}
