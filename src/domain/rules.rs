//! The enumerated settings that decisions use, and the rules about who may own a key.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{ClientIp, Network, Shape, words::words};

words!(Failsafe);
words!(Missing);
words!(FirstUse);

/// What to do while the store is unavailable: `store.failsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Failsafe {
    /// Deny what cannot be decided.
    Closed,
    /// Allow it, without binding the key, as `failsafe_open`.
    Open,
}

/// What to do with a request without a key: `credentials.missing`, `sentinel.missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Missing {
    /// Deny it.
    Deny,
    /// Allow it, for routes that also serve anonymous requests.
    Allow,
}

/// What the first use of a key does: `binding.first_use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum FirstUse {
    /// The client's network becomes the owner.
    Claim,
    /// The request is denied: only an operator gives a key its networks.
    Deny,
}

/// Which networks may own a key by using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRules {
    /// `binding.first_use`.
    pub first_use: FirstUse,
    /// `binding.prefix_*`, `binding.max_networks`, `binding.learn_window`.
    pub shape: Shape,
    /// `client_ip.unclaimable`.
    pub unclaimable: Vec<Network>,
    /// `client_ip.trusted_proxies` and `client_ip.trusted_hops`, which can never own either.
    pub proxies: Vec<Network>,
}

impl Default for BindingRules {
    fn default() -> Self {
        Self { first_use: FirstUse::Claim, shape: Shape::default(), unclaimable: Vec::new(), proxies: Vec::new() }
    }
}

impl BindingRules {
    /// Whether `ip` may own a key.
    pub fn may_own(&self, ip: ClientIp) -> bool {
        !ip.can_never_own() && !self.never_own().any(|network| network.contains(ip))
    }

    /// The network that a claim from `ip` makes an owner: that of [`Shape::network`], or the address alone if that
    /// network contains addresses that can never own. Otherwise a client behind a proxy in the same network would share
    /// the keys.
    pub fn network(&self, ip: ClientIp) -> Network {
        let shaped = self.shape.network(ip);
        let includes_others =
            shaped.includes_never_owners() || self.never_own().any(|network| network.overlaps(shaped));
        if includes_others { Network::exactly(ip) } else { shaped }
    }

    fn never_own(&self) -> impl Iterator<Item = &Network> {
        self.unclaimable.iter().chain(&self.proxies)
    }
}
