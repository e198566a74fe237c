//! What is wrong with a set-up, and how to put it right.
//!
//! Facts in, findings out; the command line gathers the facts: of this machine ([`Host`]), of a running server
//! ([`Diagnosis`]) and of Envoy's files ([`EnvoyFile`]). What is harmless is no finding: a doctor who always complains
//! is not asked again. Pure: no I/O, no clock.

mod code;
mod fit;
mod host;
mod server;
mod yaml;

use std::time::Duration;

pub use code::Code;
pub use fit::EnvoyFile;
pub use host::{Entry, Group, Host, Place, Secret, Socket};
pub use server::{Denials, Diagnosis};
pub use yaml::Fault;

use strum::{Display, EnumString, VariantArray, VariantNames};

use crate::{client_ip::Resolver, credential::Credentials, domain::words, net::caller::Callers};

words!(Severity);

/// The settings that Envoy and this machine have to fit.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `client_ip.*`.
    pub client_ip: Resolver,
    /// `credentials.*`.
    pub credentials: Credentials,
    /// How callers are known.
    pub callers: Callers,
    /// `check_deadline`.
    pub check_deadline: Duration,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// Keys are open to others, or owners are refused.
    Error,
    /// It works, but worse than it could, or only by luck; or it may be harmless, which only a person can say.
    Warning,
}

/// Something to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, in words with numbers. No secret.
    pub seen: String,
    /// The setting or the command that puts it right.
    pub fix: String,
}

/// What was looked at and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    checked: Vec<Code>,
    findings: Vec<Finding>,
}

impl Report {
    /// What was looked at, each once, in the order of [`Code::ALL`].
    pub fn checked(&self) -> impl Iterator<Item = Code> {
        Code::ALL.into_iter().filter(|code| self.checked.contains(code))
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn looked_at(&mut self, code: Code) {
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
