//! The settings that may change while the process serves, in one snapshot.
//!
//! A check loads the snapshot once and uses it to the end, and a reload replaces the whole snapshot, so that a check
//! cannot combine the old mode with the new rules. Separate cells for each setting would allow that.

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, Guard};
use serde::Serialize;

use crate::{
    domain::{BindingRules, Failsafe, Missing, Mode, Network},
    policy::PolicySet,
};

/// A snapshot of the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `mode`, for a route without `sentinel.mode`.
    pub mode: Mode,
    /// `credentials.missing`, for a route without `sentinel.missing`.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// `store.stale_grace`. A reload does not change it: health, the archive and the shared cache keep the first value.
    pub stale_grace: Duration,
    /// `binding.*` and `client_ip.unclaimable`. A reload does not change the proxies: `client_ip` keeps the first
    /// ones.
    pub binding: BindingRules,
    /// `claims.*`.
    pub claims: ClaimLimits,
    /// The address policy.
    pub policy: PolicySet,
    /// `answers.help`.
    pub help: Help,
    /// `check_deadline`.
    pub check_deadline: Duration,
    /// `binding.archive_after`; zero means never.
    pub archive_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            missing: Missing::Deny,
            failsafe: Failsafe::Closed,
            stale_grace: Duration::from_secs(600),
            binding: BindingRules::default(),
            claims: ClaimLimits {
                per_network: Some(Rate { claims: 30, per: Duration::from_secs(60) }),
                ..ClaimLimits::default()
            },
            policy: PolicySet,
            help: Help::default(),
            check_deadline: Duration::from_millis(150),
            archive_after: Duration::from_hours(24 * 90),
        }
    }
}

/// At most `claims` claims in `per`, in a burst or spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of claims; at least 1.
    pub claims: u32,
    /// The period.
    pub per: Duration,
}

/// `claims.*`; `None` means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// `claims.per_network`: for each IPv4 address and each IPv6 /64; wider IPv6 networks have multiples of it.
    pub per_network: Option<Rate>,
    /// `claims.global`: for all networks together.
    pub global: Option<Rate>,
    /// `claims.exempt`: networks without a limit.
    pub exempt: Vec<Network>,
}

/// `answers.help`: how a client that is denied regains access. Part of every denial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Help {
    /// `answers.help.text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// `answers.help.url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Help {
    /// `None` if neither member is set.
    pub fn as_option(&self) -> Option<&Self> {
        (self.text.is_some() || self.url.is_some()).then_some(self)
    }
}

/// The settings in force.
#[derive(Debug, Default)]
pub struct LiveSettings(ArcSwap<Settings>);

impl LiveSettings {
    /// Starts with `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(ArcSwap::from_pointee(settings))
    }

    /// The current snapshot.
    pub fn load(&self) -> Guard<Arc<Settings>> {
        self.0.load()
    }

    /// Replaces everything that a reload may change, atomically.
    pub fn replace(&self, new: Settings) {
        let running = self.0.load();
        let binding = BindingRules { proxies: running.binding.proxies.clone(), ..new.binding };
        self.0.store(Arc::new(Settings { stale_grace: running.stale_grace, binding, ..new }));
    }
}
