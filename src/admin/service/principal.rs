//! The principal of an operation, and what it may do.

use std::fmt;

use super::Error;

/// The authenticated operator. Each transport makes it; its text is the actor in the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Principal {
    /// The peer of the admin socket, by its effective uid. The socket's file mode is the permission.
    Peer { uid: u32 },
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Peer { uid } = self;
        write!(f, "uid:{uid}")
    }
}

/// The operations that are authorised separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Read keys, the audit, the status, or what the process would decide.
    Read,
    /// Change a key.
    Change,
    /// Read the digests of all keys.
    Export,
    /// Add keys of another store.
    Import,
    /// Activate or retire a pepper.
    Rotate,
}

impl Principal {
    /// Every operation of the service calls this first.
    pub(super) fn authorise(&self, operation: Operation) -> Result<(), Error> {
        let may = match (self, operation) {
            (Self::Peer { .. }, _) => true,
        };
        if may { Ok(()) } else { Err(Error::Forbidden(self.to_string())) }
    }
}
