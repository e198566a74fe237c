use std::time::Duration;

use super::*;
use crate::domain::{
    Ban, Binding, BindingRules, ClientIp, Failsafe, FirstUse, KeyDigest, KeyFacts, Network, State, Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const DIGEST: KeyDigest = KeyDigest::from_bytes([7; 32]);

/// A request and what is known of its key, before a rule is made to apply.
#[derive(Clone)]
struct Case {
    mode: Mode,
    missing: Missing,
    failsafe: Failsafe,
    rules: BindingRules,
    ip: Option<ClientIp>,
    key: Result<Option<KeyDigest>, Reason>,
    address: policy::Verdict,
    by_key: policy::Verdict,
    time: Option<Timestamp>,
    is_fresh: bool,
    facts: KeyFacts,
}

fn case() -> Case {
    Case {
        mode: Mode::Enforce,
        missing: Missing::Deny,
        failsafe: Failsafe::Closed,
        rules: BindingRules::default(),
        ip: Some(ip("203.0.113.7")),
        key: Ok(Some(DIGEST)),
        address: policy::Verdict::Pass,
        by_key: policy::Verdict::Pass,
        time: Some(NOW),
        is_fresh: true,
        facts: KeyFacts::default(),
    }
}

impl Case {
    fn judge<'k>(&'k self, evidence: impl FnOnce(Known<'k>) -> Evidence<'k>) -> Step {
        let context = Context {
            mode: self.mode,
            missing: self.missing,
            failsafe: self.failsafe,
            binding: &self.rules,
            ip: self.ip,
            key: self.key,
            address: self.address,
            time: self.time,
            is_fresh: self.is_fresh,
        };
        judge(&context, evidence(Known { facts: &self.facts, policy: self.by_key }))
    }

    fn stored(&self) -> Step {
        self.judge(Evidence::Stored)
    }

    fn reason(&self) -> Reason {
        match self.stored() {
            Step::Decided(verdict) => verdict.reason,
            step => panic!("{step:?}"),
        }
    }
}

fn ip(text: &str) -> ClientIp {
    text.parse().unwrap()
}

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn binding(networks: &[&str]) -> Binding {
    Binding {
        id: DIGEST.new_id(),
        hint: None,
        state: State::Learned,
        networks: networks.iter().map(|text| network(text)).collect(),
        created_at: NOW,
        open_until: None,
        expires_at: None,
    }
}

fn ban() -> Ban {
    Ban { id: DIGEST.new_id(), hint: None, until: None, reason: None, actor: "uid:0".into(), created_at: NOW }
}

/// Makes a rule apply.
type Rule = (Reason, fn(&mut Case));

/// `PRODUCT` §5, from the first to the last. The words of the address policy do not exist in this version; other words
/// that no later rule gives stand in for them.
const ORDER: [Rule; 10] = [
    (Reason::CallerRejected, |case| case.key = Err(Reason::CallerRejected)),
    (Reason::ModeOff, |case| case.mode = Mode::Off),
    (Reason::ClientIpUnknown, |case| case.ip = None),
    (Reason::DeadlineExceeded, |case| case.address = policy::Verdict::Deny(Reason::DeadlineExceeded)),
    (Reason::ConflictingKeys, |case| case.key = Err(Reason::ConflictingKeys)),
    (Reason::StoreUnavailable, |case| case.time = None),
    (Reason::ClaimLimited, |case| case.by_key = policy::Verdict::Deny(Reason::ClaimLimited)),
    (Reason::KeyBanned, |case| case.facts.ban = Some(ban())),
    (Reason::IpMismatch, |case| case.facts.binding = Some(binding(&["198.51.100.9/32"]))),
    (Reason::UnclaimableNetwork, |case| case.rules.unclaimable = vec![network("203.0.113.0/24")]),
];

#[test]
fn of_two_rules_that_apply_the_earlier_is_the_reason() {
    for (first, (reason, apply)) in ORDER.iter().enumerate() {
        for (_, apply_later) in &ORDER[first..] {
            let mut case = case();
            apply_later(&mut case);
            apply(&mut case);
            assert_eq!(case.reason(), *reason);
        }
    }
}

#[test]
fn an_address_policy_denies_with_and_without_a_key() {
    let denied = Case { address: policy::Verdict::Deny(Reason::IpMismatch), ..case() };
    for (key, missing) in
        [(Ok(Some(DIGEST)), Missing::Deny), (Ok(None), Missing::Allow), (Err(Reason::MalformedKey), Missing::Deny)]
    {
        assert_eq!(Case { key, missing, ..denied.clone() }.reason(), Reason::IpMismatch);
    }
}

#[test]
fn a_request_without_a_key_goes_by_missing() {
    let without = Case { key: Ok(None), ..case() };
    let Step::Decided(denied) = without.stored() else { panic!() };
    let Step::Decided(allowed) = (Case { missing: Missing::Allow, ..without }).stored() else { panic!() };
    assert_eq!((denied.allowed, denied.reason), (false, Reason::NoKey));
    assert_eq!((allowed.allowed, allowed.reason), (true, Reason::NoKey));
}

#[test]
fn what_a_claim_could_change_is_looked_up_and_not_decided_from_a_cache() {
    let open = Binding { open_until: Some(NOW.after(Duration::from_secs(60))), ..binding(&["198.51.100.9/32"]) };
    for facts in [KeyFacts::default(), KeyFacts { binding: Some(open), ..KeyFacts::default() }] {
        let case = Case { facts, ..case() };
        assert!(matches!(case.judge(Evidence::Cached), Step::LookUp));
        assert!(matches!(case.stored(), Step::MayClaim(claimed) if claimed == network("203.0.113.7/32")));
    }
    let sealed = KeyFacts { binding: Some(binding(&["198.51.100.9/32"])), ..KeyFacts::default() };
    let case = Case { facts: sealed, ..case() };
    assert!(matches!(case.judge(Evidence::Cached), Step::Decided(verdict) if verdict.reason == Reason::IpMismatch));
}

#[test]
fn what_only_a_claim_needs_is_judged_only_where_one_would_be_made() {
    let mut refused = case();
    refused.rules = BindingRules { unclaimable: vec![network("203.0.113.0/24")], ..BindingRules::default() };
    assert_eq!(refused.reason(), Reason::UnclaimableNetwork);
    refused.rules = BindingRules { first_use: FirstUse::Deny, ..BindingRules::default() };
    assert_eq!(refused.reason(), Reason::NotClaimed);
    let open = Binding { open_until: Some(NOW.after(Duration::from_secs(60))), ..binding(&["198.51.100.9/32"]) };
    refused.facts.binding = Some(open);
    assert_eq!(refused.reason(), Reason::IpMismatch, "a key with networks gives no other reason");
    let exhausted = Exhausted { retry_after: Duration::from_secs(2) };
    let limited = |case: &Case| case.judge(|known| Evidence::Limited(known, exhausted)).or_denial();
    assert_eq!(limited(&refused).reason, Reason::IpMismatch);
    refused.facts.binding = None;
    let limited = limited(&refused);
    assert_eq!((limited.reason, limited.retry_after), (Reason::ClaimLimited, Some(Duration::from_secs(2))));
}

#[test]
fn a_lost_store_opens_only_what_nothing_is_known_of() {
    let lost = |case: &Case, loss, known: bool| {
        case.judge(|cached| Evidence::Lost(loss, known.then_some(cached.facts))).or_denial()
    };
    let mut case = Case { failsafe: Failsafe::Open, ..case() };
    assert_eq!(lost(&case, StoreLoss::Unavailable, false).reason, Reason::FailsafeOpen);
    assert_eq!(lost(&case, StoreLoss::Late, false).reason, Reason::DeadlineExceeded);
    assert_eq!(lost(&case, StoreLoss::WrongPepper, false).reason, Reason::StoreUnavailable);
    let open_until = Some(NOW.after(Duration::from_secs(60)));
    case.facts.binding = Some(Binding { open_until, ..binding(&["198.51.100.9/32"]) });
    assert_eq!(lost(&case, StoreLoss::Unavailable, true).reason, Reason::StoreUnavailable);
    case.failsafe = Failsafe::Closed;
    assert_eq!(lost(&case, StoreLoss::Unavailable, false).reason, Reason::StoreUnavailable);
}

#[test]
fn an_owner_is_allowed_only_while_the_store_was_polled_lately() {
    let facts = KeyFacts { binding: Some(binding(&["203.0.113.7/32"])), ..KeyFacts::default() };
    let owner = Case { facts, ..case() };
    assert_eq!(owner.reason(), Reason::Bound);
    let cut_off = Case { is_fresh: false, ..owner };
    assert_eq!(cut_off.reason(), Reason::StoreUnavailable);
    assert_eq!(Case { failsafe: Failsafe::Open, ..cut_off }.reason(), Reason::FailsafeOpen);
}

#[test]
fn evidence_that_ends_a_decision_and_has_no_verdict_is_a_denial() {
    assert!(!Step::LookUp.or_denial().allowed);
    assert!(!Step::MayClaim(network("203.0.113.7/32")).or_denial().allowed);
}
