use std::time::Duration;

use super::*;
use crate::{
    credential::{PROFILES, Profile},
    domain::{KeyDigest, Missing},
    engine::{Request, decided},
};

fn context<'a>(profile: &'a Profile, mode: Mode, ip: Option<&str>, id: u128) -> CheckContext<'a> {
    let ip = ip.map(|ip| ip.parse().unwrap());
    let request = Request { ip, key: Ok(None), missing: Missing::Deny, mode, decision_id: DecisionId(id) };
    CheckContext { request, profile, lookalikes: Vec::new(), kept: Vec::new(), placeholder: false }
}

/// The answer that is encoded for this decision alone.
fn encoded(decision: &Decision, context: &CheckContext<'_>, help: &Help) -> Vec<u8> {
    let (key_id, ip) = match decision {
        Decision::Allow(permit) => (permit.key_id(), None),
        Decision::Deny(denial) => (denial.key_id, context.request.ip),
    };
    let (decision_id, ip) = (format!("{:032x}", context.request.decision_id.0), ip.map(|ip| ip.ip().to_string()));
    let key_id = key_id.map(|id| id.to_string());
    let texts = Texts { decision_id: &decision_id, key_id: key_id.as_deref(), client_ip: ip.as_deref() };
    framed(&response(decision, context, help, &texts))
}

/// Texts as an operator may write them, that look like what templates are filled with.
fn helps() -> [Help; 3] {
    let zeros = "0".repeat(32);
    let help = |text: &str| Help { text: Some(text.to_owned()), ..Help::default() };
    [Help::default(), help(&format!("k_{zeros} {zeros} 0.0.0.0")), help(&"1".repeat(64))]
}

#[test]
fn a_filled_template_is_what_would_be_encoded() {
    let (answers, mut cases) = (Answers::default(), 0);
    let addresses =
        [None, Some("1.2.3.4"), Some("203.0.113.77"), Some("::1"), Some("2001:db8:1111:2222:3333:4444:5555:6666")];
    for (profile, help) in PROFILES.iter().flat_map(|profile| helps().map(|help| (profile, help))) {
        for (reason, mode) in Reason::ALL.into_iter().flat_map(|reason| Mode::ALL.map(|mode| (reason, mode))) {
            for (key, ip, allowed) in
                [(None, 0, true), (Some(1), 1, false), (Some(1), 2, true), (None, 3, false), (Some(2), 4, false)]
            {
                let key_id = key.map(|byte| KeyDigest::from_bytes([byte; 32]).new_id());
                let decision = decided(reason, allowed, key_id, mode);
                // Twice: the first answer of a case makes its template.
                for id in [0x1234_5678_9abc_def0_u128, u128::MAX, 0] {
                    let context = context(profile, mode, addresses[ip], id);
                    let answer = answers.answer(&decision, &context, &help);
                    assert_eq!(answer, encoded(&decision, &context, &help), "{reason:?} {mode:?} {}", profile.name);
                    cases += 1;
                }
            }
        }
    }
    assert!(cases > 5_000, "{cases}");
    assert!(!answers.0.load().templates.is_empty());
}

/// An answer that depends on more than its case is encoded each time.
#[test]
fn what_is_rare_has_no_template() {
    let (answers, profile) = (Answers::default(), &PROFILES[0]);
    let bound = decided(Reason::Bound, true, None, Mode::Enforce);
    for name in ["x_api_key", "x.api.key"] {
        let context = CheckContext { lookalikes: vec![name.to_owned()], ..context(profile, Mode::Enforce, None, 1) };
        assert_eq!(answers.answer(&bound, &context, &Help::default()), encoded(&bound, &context, &Help::default()));
    }
    for seconds in [5, 60] {
        let retry_after = Some(Duration::from_secs(seconds));
        let limited = Decision::Deny(Denial { reason: Reason::ClaimLimited, key_id: None, retry_after });
        let context = context(profile, Mode::Enforce, None, 1);
        assert_eq!(answers.answer(&limited, &context, &Help::default()), encoded(&limited, &context, &Help::default()));
    }
    assert!(answers.0.load().templates.is_empty());
}

#[test]
fn an_encoding_that_changes_more_than_its_texts_has_no_template() {
    let texts = Texts { decision_id: "12345678", key_id: None, client_ip: None };
    assert!(Template::of(|texts| texts.decision_id.as_bytes().to_vec(), &texts).is_some());
    // A checksum of the text.
    let with_sum = |texts: &Texts<'_>| {
        let sum = texts.decision_id.bytes().fold(0u8, u8::wrapping_add);
        [texts.decision_id.as_bytes(), &[sum]].concat()
    };
    assert_eq!(Template::of(with_sum, &texts), None);
    let without_zeros = |texts: &Texts<'_>| texts.decision_id.trim_start_matches('0').as_bytes().to_vec();
    assert_eq!(Template::of(without_zeros, &texts), None);
}
