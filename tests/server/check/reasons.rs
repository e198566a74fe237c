//! One test on the wire for each reason.

use super::*;

/// Brings a fresh server to give this answer, whatever the header encoding. A reason without an arm does not compile.
async fn provoke(reason: Reason, encoding: Encoding) -> (Sentinel, Answer) {
    let sentinel = home_for(reason).start().await;
    let check = || sentinel.check().encoding(encoding);
    let answer = match reason {
        Reason::FirstUse => check().key(KEY).from(OWNER).send().await,
        Reason::Bound => {
            claim(&sentinel).await;
            check().key(KEY).from(OWNER).send().await
        }
        Reason::IpMismatch => {
            claim(&sentinel).await;
            check().key(KEY).from(STRANGER).send().await
        }
        Reason::NetworkAdded => {
            claim(&sentinel).await;
            check().key(KEY).from(STRANGER).send().await
        }
        Reason::ModeOff => check().key(KEY).from(OWNER).send().await,
        Reason::ClaimLimited => {
            check().key(OTHER_KEY).from(OWNER).send().await;
            check().key(KEY).from(OWNER).send().await
        }
        Reason::NoKey => check().header("cookie", "session=1").from(OWNER).send().await,
        Reason::ConflictingKeys => check().key(KEY).header("x-api-key", OTHER_KEY).from(OWNER).send().await,
        Reason::MalformedRequest => check().key(KEY).from(OWNER).extension("sentinel.x", "1").send().await,
        Reason::MalformedKey => check().header("authorization", "Basic dXNlcjpwYXNz").from(OWNER).send().await,
        Reason::KeyBanned => {
            claim(&sentinel).await;
            sentinel.admin().await.ban(KEY).await.unwrap();
            check().key(KEY).from(OWNER).send().await
        }
        Reason::UnclaimableNetwork => check().key(KEY).from("169.254.10.20").send().await,
        // Everything else is wrong with it too.
        Reason::CallerRejected => check().key(KEY).without_peer().extension("sentinel.x", "1").send().await,
        Reason::ClientIpUnknown => check().key(KEY).on_pipe("/run/client.sock").send().await,
        Reason::NotClaimed => {
            claim(&sentinel).await;
            sentinel.admin().await.unbind(KEY, None).await.unwrap();
            check().key(KEY).from(OWNER).send().await
        }
        Reason::DeadlineExceeded => {
            let _lock = sentinel.lock_store().await;
            is_too_late(&sentinel, encoding, "60S").await
        }
        Reason::StoreUnavailable | Reason::FailsafeOpen => {
            let _lock = sentinel.lock_store().await;
            check().key(KEY).from(OWNER).send().await
        }
    };
    (sentinel, answer)
}

fn home_for(reason: Reason) -> Home {
    match reason {
        Reason::FailsafeOpen => sentinel().set("store.failsafe", "\"open\""),
        Reason::DeadlineExceeded => sentinel().set("check_deadline", "\"5ms\""),
        Reason::CallerRejected => sentinel().with_caller_token(),
        Reason::NetworkAdded => two_networks(),
        Reason::ModeOff => sentinel().set("mode", "\"off\""),
        Reason::ClaimLimited => sentinel().set("claims.per_network", "\"1/d\""),
        _ => sentinel(),
    }
}

fn two_networks() -> Home {
    sentinel().set("binding.max_networks", "2").set("binding.learn_window", "\"10m\"")
}

async fn answers_with(word: &str) {
    let reason = Reason::from_word(word).unwrap();
    for encoding in Encoding::BOTH {
        let (sentinel, answer) = provoke(reason, encoding).await;
        assert_eq!(answer.reason(), word, "{encoding:?}");
        assert_eq!(answer.is_allow(), denial_status(reason).is_none(), "{encoding:?}");
        let has_key = !matches!(
            reason,
            Reason::NoKey
                | Reason::ModeOff
                | Reason::ConflictingKeys
                | Reason::MalformedKey
                | Reason::MalformedRequest
                | Reason::ClientIpUnknown
                | Reason::CallerRejected
        );
        assert_eq!(answer.key_id().is_some(), has_key, "a key id is given where a key was found; {encoding:?}");
        assert!(answer.key_id().is_none_or(is_key_id), "{answer:?}");
        if !answer.is_allow() {
            let seen = answer.body()["client_ip"].as_str().map(str::to_owned);
            assert_eq!(
                seen.is_some(),
                !matches!(reason, Reason::ClientIpUnknown | Reason::MalformedRequest | Reason::CallerRejected),
                "{seen:?}"
            );
            assert!(reason != Reason::IpMismatch || seen.as_deref() == Some(STRANGER), "{seen:?}");
        }
        assert!(!answer.bytes().windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key comes back");
        let decision = answer.decision().to_owned();
        counted(&sentinel, &decision, word).await;
        sentinel.stop().await;
    }
}

fn is_key_id(text: &str) -> bool {
    text.strip_prefix("k_").is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The same word is the metric's label.
async fn counted(sentinel: &Sentinel, decision: &str, reason: &str) {
    eventually("the decision is counted under its reason", async || {
        let (_, page) = sentinel.get("/metrics").await;
        let labels = [format!("decision=\"{decision}\""), format!("reason=\"{reason}\"")];
        let of_reason =
            |line: &&str| line.starts_with("sentinel_checks_total{") && labels.iter().all(|it| line.contains(it));
        let line = page.lines().find(of_reason)?;
        (line.rsplit(' ').next()?.parse::<f64>().ok()? >= 1.0).then_some(())
    })
    .await;
}

macro_rules! one_test_per_reason {
    ($($reason:ident)*) => {
        $(#[tokio::test]
        async fn $reason() {
            answers_with(stringify!($reason)).await;
        })*
        const TESTED: &[&str] = &[$(stringify!($reason)),*];
    };
}

one_test_per_reason! {
    bound first_use network_added failsafe_open mode_off no_key conflicting_keys malformed_request malformed_key
    ip_mismatch key_banned unclaimable_network client_ip_unknown not_claimed claim_limited store_unavailable
    deadline_exceeded caller_rejected
}

#[test]
fn every_reason_has_a_test() {
    assert_eq!(TESTED, Reason::ALL.map(Reason::as_str));
    for reason in Reason::ALL {
        assert!(may_allow(reason) || denial_status(reason).is_some(), "{reason}");
    }
}
