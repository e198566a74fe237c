use std::time::Duration;

use super::*;
use crate::domain::{
    Ban, Binding, BindingRules, ClientIp, Failsafe, FirstUse, KeyDigest, KeyFacts, Network, State, Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const DIGEST: KeyDigest = KeyDigest::from_bytes([7; 32]);

/// A request and what is known about its key; each test changes what makes its rule apply.
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
    unsettled: Duration,
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
        unsettled: Duration::ZERO,
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
            unsettled: self.unsettled,
            is_fresh: self.is_fresh,
        };
        judge(&context, evidence(Known { facts: self.facts.view(), policy: self.by_key }))
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

/// The documented order, from the first rule to the last. The address policy has no reasons in this version; reasons
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
fn the_first_rule_that_applies_gives_the_reason() {
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
fn the_address_policy_denies_with_and_without_a_key() {
    let denied = Case { address: policy::Verdict::Deny(Reason::IpMismatch), ..case() };
    for (key, missing) in
        [(Ok(Some(DIGEST)), Missing::Deny), (Ok(None), Missing::Allow), (Err(Reason::MalformedKey), Missing::Deny)]
    {
        assert_eq!(Case { key, missing, ..denied.clone() }.reason(), Reason::IpMismatch);
    }
}

#[test]
fn missing_decides_a_request_without_a_key() {
    let without = Case { key: Ok(None), ..case() };
    let Step::Decided(denied) = without.stored() else { panic!() };
    let Step::Decided(allowed) = (Case { missing: Missing::Allow, ..without }).stored() else { panic!() };
    assert_eq!((denied.allowed, denied.reason), (false, Reason::NoKey));
    assert_eq!((allowed.allowed, allowed.reason), (true, Reason::NoKey));
}

#[test]
fn a_cache_does_not_decide_what_a_claim_could_change() {
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
fn the_rules_for_claims_apply_only_to_claims() {
    let mut case = case();
    case.rules = BindingRules { unclaimable: vec![network("203.0.113.0/24")], ..BindingRules::default() };
    assert_eq!(case.reason(), Reason::UnclaimableNetwork);
    case.rules = BindingRules { first_use: FirstUse::Deny, ..BindingRules::default() };
    assert_eq!(case.reason(), Reason::NotClaimed);
    let open = Binding { open_until: Some(NOW.after(Duration::from_secs(60))), ..binding(&["198.51.100.9/32"]) };
    case.facts.binding = Some(open);
    assert_eq!(case.reason(), Reason::IpMismatch, "a key with an owner is denied as a mismatch");
    let exhausted = Exhausted { retry_after: Duration::from_secs(2) };
    let limited = |case: &Case| case.judge(|known| Evidence::Limited(known, exhausted)).or_denial();
    assert_eq!(limited(&case).reason, Reason::IpMismatch);
    case.facts.binding = None;
    let limited = limited(&case);
    assert_eq!((limited.reason, limited.retry_after), (Reason::ClaimLimited, Some(Duration::from_secs(2))));
}

#[test]
fn the_open_failsafe_allows_only_keys_without_a_known_owner() {
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
fn an_owner_is_allowed_only_if_the_store_was_polled_recently() {
    let facts = KeyFacts { binding: Some(binding(&["203.0.113.7/32"])), ..KeyFacts::default() };
    let owner = Case { facts, ..case() };
    assert_eq!(owner.reason(), Reason::Bound);
    let cut_off = Case { is_fresh: false, ..owner };
    assert_eq!(cut_off.reason(), Reason::StoreUnavailable);
    assert_eq!(Case { failsafe: Failsafe::Open, ..cut_off }.reason(), Reason::FailsafeOpen);
}

#[test]
fn a_step_without_a_verdict_is_a_denial() {
    assert!(!Step::LookUp.or_denial().allowed);
    assert!(!Step::MayClaim(network("203.0.113.7/32")).or_denial().allowed);
}

#[test]
fn a_ban_does_not_end_by_a_clock_that_may_be_ahead() {
    let minute = Duration::from_secs(60);
    let ban = Ban { until: Some(NOW.before(minute)), ..ban() };
    let facts = KeyFacts { ban: Some(ban), binding: Some(binding(&["203.0.113.7/32"])), ..KeyFacts::default() };
    let ended = Case { facts, ..case() };
    assert_eq!(ended.reason(), Reason::Bound);
    assert_eq!(Case { unsettled: minute, ..ended.clone() }.reason(), Reason::Bound);
    assert_eq!(Case { unsettled: 2 * minute, ..ended.clone() }.reason(), Reason::KeyBanned);
    assert_eq!(Case { unsettled: Duration::MAX, ..ended }.reason(), Reason::KeyBanned);
}
