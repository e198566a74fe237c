//! Everything that may change while the process serves, in one snapshot.
//!
//! One cell, so that a check can never pair the old mode with the new rules: it loads the snapshot once and goes by it to
//! the end, and a reload replaces it in one store.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Serialize;

use crate::{
    domain::{BindingRules, Failsafe, Missing, Mode, Network},
    policy::PolicySet,
};

/// The settings of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `mode`, for a route that has none of its own.
    pub mode: Mode,
    /// `credentials.missing`, for a route that has none of its own.
    pub missing: Missing,
    /// `store.failsafe`.
    pub failsafe: Failsafe,
    /// `store.stale_grace`. A reload leaves it: health, the archive and the shared cache go by the first value.
    pub stale_grace: Duration,
    /// `binding.*` and `client_ip.unclaimable`. A reload leaves the trusted proxies: the client's address is still found
    /// by the first ones.
    pub binding: BindingRules,
    /// `claims.*`.
    pub claims: ClaimLimits,
    /// Rules about addresses.
    pub policy: PolicySet,
    /// `answers.help`.
    pub help: Help,
    /// `check_deadline`.
    pub check_deadline: Duration,
    /// `binding.archive_after`; zero is never.
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

/// At most this many claims in this time, all at once or one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub claims: u32,
    /// In which time.
    pub per: Duration,
}

/// `claims.*`; `None` is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimLimits {
    /// `claims.per_network`: for each IPv4 address and each IPv6 /64.
    pub per_network: Option<Rate>,
    /// `claims.global`: for all of them together.
    pub global: Option<Rate>,
    /// `claims.exempt`: networks without a limit.
    pub exempt: Vec<Network>,
}

/// How a locked-out owner regains access: `answers.help`. Part of every denial.
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
    /// `None` where neither is set.
    pub fn as_option(&self) -> Option<&Self> {
        (self.text.is_some() || self.url.is_some()).then_some(self)
    }
}

/// The settings in force.
#[derive(Debug, Default)]
pub struct LiveSettings(ArcSwap<Settings>);

impl LiveSettings {
    /// Settings that hold until they are replaced.
    pub fn new(settings: Settings) -> Self {
        Self(ArcSwap::from_pointee(settings))
    }

    /// The settings of this moment.
    pub fn load(&self) -> Arc<Settings> {
        self.0.load_full()
    }

    /// Replaces what a reload may change, all at once.
    pub fn replace(&self, new: Settings) {
        let running = self.0.load();
        let binding = BindingRules { trusted_proxies: running.binding.trusted_proxies.clone(), ..new.binding };
        self.0.store(Arc::new(Settings { stale_grace: running.stale_grace, binding, ..new }));
    }
}
