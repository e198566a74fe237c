//! A parsed Envoy file.

use crate::doctor::{Fault, yaml};

/// A bootstrap file, xDS resources, a `config_dump` or an Istio EnvoyFilter, as YAML or JSON.
#[derive(Clone, Debug)]
pub struct EnvoyFile {
    pub(super) name: String,
    pub(super) documents: Vec<yaml::Node>,
}

impl EnvoyFile {
    /// Parses `text`. Findings call the file `name`.
    pub fn parse(name: String, text: &str) -> Result<Self, Fault> {
        Ok(Self { name, documents: yaml::parse(text)? })
    }
}
