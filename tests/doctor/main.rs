//! `sentinel doctor`: each finding is provoked, and absent from a correct installation. Runs the real program with a real
//! server and real checks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;
mod control_plane;
mod envoy;
mod host;
mod login_routes;
mod routes;
#[path = "../admin/run.rs"]
mod run;
mod server;

use std::{collections::BTreeSet, fs, path::Path};

use common::Home;
use key_ip_sentinel::doctor::Code;
use run::{Seen, run};
use serde_json::Value;

/// Runs `sentinel doctor` with the configuration of `home`.
fn doctor(home: &Home, args: &[&str]) -> Seen {
    let config = home.config();
    run(&[&["doctor", "--config", config.to_str().unwrap()], args].concat(), b"")
}

/// The JSON report: each finding's code and severity, and the checks that were made.
#[derive(Debug)]
struct Report {
    code: i32,
    findings: Vec<(String, String)>,
    texts: String,
    checked: BTreeSet<String>,
}

fn report(home: &Home, args: &[&str]) -> Report {
    let Seen { code, out, .. } = doctor(home, &[args, &["--output", "json"]].concat());
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap();
    for finding in findings {
        assert!(!text(&finding["seen"]).is_empty() && !text(&finding["fix"]).is_empty(), "{finding}");
        let keys: Vec<_> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["code", "fix", "seen", "severity"]);
    }
    let report = Report {
        code,
        findings: findings.iter().map(|it| (text(&it["code"]), text(&it["severity"]))).collect(),
        texts: findings.iter().map(|it| format!("{}\n{}\n", text(&it["seen"]), text(&it["fix"]))).collect(),
        checked: report["checked"].as_array().unwrap().iter().map(text).collect(),
    };
    let known: BTreeSet<_> = Code::ALL.map(|code| code.as_str().to_owned()).into();
    assert!(report.checked.is_subset(&known), "{report:?}");
    assert!(report.findings.iter().all(|(code, _)| known.contains(code)), "{report:?}");
    report
}

impl Report {
    /// The only findings are `times` of this code and severity.
    fn assert_only(&self, code: Code, severity: &str, times: usize) -> &Self {
        let expected = vec![(code.as_str().to_owned(), severity.to_owned()); times];
        assert_eq!(self.findings, expected, "{}", self.texts);
        assert!(self.checked.contains(code.as_str()), "{self:?}");
        self
    }

    fn assert_nothing(&self) -> &Self {
        assert_eq!(self.findings, [], "{}", self.texts);
        self
    }

    fn says(&self, text: &str) -> &Self {
        assert!(self.texts.contains(text), "{text:?} is not in:\n{}", self.texts);
        self
    }
}

fn chmod(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn help_and_usage() {
    let Seen { code, out, err } = run(&["doctor", "--help"], b"");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--envoy <FILE>") && out.contains("Changes: nothing."), "{out}");
    let Seen { code, out, err } = run(&["doctor", "--config", "/nonexistent/sentinel.toml"], b"");
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("/nonexistent/sentinel.toml"), "{err}");
}
