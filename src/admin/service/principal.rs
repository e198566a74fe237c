//! Who asks, and what it may do.

use std::fmt;

use super::Error;

/// Who asks. Each edge makes it from what it has authenticated; its text is the actor in the audit.
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

/// What is asked for, as far as it makes a difference who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// To see keys, the audit, the state of the process, or what it would decide.
    Read,
    /// To change a key.
    Change,
    /// To take the digests of all keys away.
    Export,
    /// To bring keys of another store in.
    Import,
    /// To change the pepper.
    Rotate,
}

impl Principal {
    /// Every operation of the service begins with this.
    pub(super) fn authorise(&self, operation: Operation) -> Result<(), Error> {
        let may = match (self, operation) {
            (Self::Peer { .. }, _) => true,
        };
        if may { Ok(()) } else { Err(Error::Forbidden(self.to_string())) }
    }
}
