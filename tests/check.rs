//! The ext_authz edge on the wire: every reason, and everything that is no request.
mod common;
