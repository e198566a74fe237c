//! The settings that can change at run time.

use std::time::Duration;

use super::{
    answers, binding,
    source::Source,
    values::{duration, word},
};
use crate::{
    domain::{BindingRules, Failsafe, Missing, Mode, Network},
    policy::PolicySet,
    settings::Settings,
};

const STALE_GRACE: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(7 * 86_400);

/// `unclaimable` holds the networks of the proxies and of `client_ip.unclaimable`; `None` after a fault.
pub(super) fn take(source: &mut Source, unclaimable: Option<(Vec<Network>, Vec<Network>)>) -> Option<Settings> {
    let mode = source.take("mode", word(&Mode::ALL.map(|mode| (mode.as_str(), mode))));
    let check_deadline = source.take("check_deadline", duration(Duration::from_millis(1)..=Duration::from_secs(10)));
    let failsafe = source.take("store.failsafe", word(&Failsafe::ALL.map(|word| (word.as_str(), word))));
    let stale_grace = source.take("store.stale_grace", duration(STALE_GRACE));
    let missing = source.take("credentials.missing", word(&Missing::ALL.map(|word| (word.as_str(), word))));
    let binding = binding::take(source);
    let claims = binding::claims(source);
    let archive_after =
        source.take("binding.archive_after", duration(Duration::ZERO..=Duration::from_hours(24 * 3650)));
    let help = answers::take(source);
    let ((first_use, shape), (proxies, unclaimable)) = (binding?, unclaimable?);
    Some(Settings {
        mode: mode?,
        missing: missing?,
        failsafe: failsafe?,
        stale_grace: stale_grace?,
        binding: BindingRules { first_use, shape, unclaimable, proxies },
        claims: claims?,
        policy: PolicySet,
        help: help?,
        check_deadline: check_deadline?,
        archive_after: archive_after?,
    })
}
