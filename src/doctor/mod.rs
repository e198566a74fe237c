//! Checks an installation; each finding has a fix.
//!
//! The command line gathers the facts about this machine ([`Host`]), a running server ([`Diagnosis`]) and Envoy's files
//! ([`EnvoyFile`]). A harmless fact is not a finding: a command that always complains is not used. Pure: no I/O, no
//! clock.

mod code;
mod egress;
mod fit;
mod host;
mod server;
mod yaml;

use std::time::Duration;

pub use code::Code;
pub use fit::EnvoyFile;
pub use host::{Group, Host, InspectedPath, Metadata, Secret, Socket};
pub use server::{Denials, Diagnosis};
pub use yaml::Fault;

use strum::{Display, EnumString, VariantArray, VariantNames};

use crate::{client_ip::Resolver, credential::Credentials, domain::words, net::caller::Callers};

words!(Severity);

/// The settings that Envoy's files and the running server are compared with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `client_ip.*`.
    pub client_ip: Resolver,
    /// `credentials.*`.
    pub credentials: Credentials,
    /// How callers are authenticated.
    pub callers: Callers,
    /// `check_deadline`.
    pub check_deadline: Duration,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// Other clients can use a key, or owners are denied.
    Error,
    /// It works with a disadvantage, or by chance; or it may be harmless, which the operator must decide.
    Warning,
}

/// A fault of the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What was found. Holds no secret.
    pub seen: String,
    /// The setting or the command that fixes it.
    pub fix: String,
}

/// The checks that were made, and their findings.
#[derive(Clone, Debug, Default)]
pub struct Report {
    checked: Vec<Code>,
    findings: Vec<Finding>,
}

impl Report {
    /// The checks that were made, each once, in the order of [`Code::ALL`].
    pub fn checked(&self) -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().filter(|code| self.checked.contains(code))
    }

    /// The findings.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn mark_checked(&mut self, code: Code) {
        self.checked.push(code);
    }

    fn error(&mut self, code: Code, seen: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Error, seen.into(), fix.into());
    }

    fn warning(&mut self, code: Code, seen: impl Into<String>, fix: impl Into<String>) {
        self.add(code, Severity::Warning, seen.into(), fix.into());
    }

    fn add(&mut self, code: Code, severity: Severity, seen: String, fix: String) {
        self.findings.push(Finding { code, severity, seen, fix });
    }
}
