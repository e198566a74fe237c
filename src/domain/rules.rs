//! The closed words of the settings that decisions go by, and who may own a key.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{ClientIp, Network, Shape, words::words};

words!(Failsafe);
words!(Missing);
words!(FirstUse);

/// What to do while the store is lost: `store.failsafe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Failsafe {
    /// Deny what cannot be decided.
    Closed,
    /// Allow it, unbound, as `failsafe_open`.
    Open,
}

/// What to do with a request without a key: `credentials.missing`, `sentinel.missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum Missing {
    /// Deny it.
    Deny,
    /// Allow it: the route has anonymous parts.
    Allow,
}

/// What the first use of a key does: `binding.first_use`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum FirstUse {
    /// It makes the owner.
    Claim,
    /// Nothing: only an operator gives keys their networks.
    Deny,
}

/// Who may own a key by using it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingRules {
    /// `binding.first_use`.
    pub first_use: FirstUse,
    /// `binding.prefix_*`, `binding.max_networks`, `binding.learn_window`.
    pub shape: Shape,
    /// `client_ip.unclaimable`.
    pub unclaimable: Vec<Network>,
    /// `client_ip.trusted_proxies`, which never own either.
    pub trusted_proxies: Vec<Network>,
}

impl Default for BindingRules {
    fn default() -> Self {
        Self {
            first_use: FirstUse::Claim,
            shape: Shape::default(),
            unclaimable: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl BindingRules {
    /// Whether `ip` may become an owner.
    pub fn may_own(&self, ip: ClientIp) -> bool {
        !ip.is_never_an_owner() && !self.never_own().any(|network| network.contains(ip))
    }

    /// The network that a claim from `ip` asks for: what the shape says, unless that takes in addresses that may never
    /// own. Then the address alone: a client behind a proxy beside it must not share its keys.
    pub fn network(&self, ip: ClientIp) -> Network {
        let shaped = self.shape.network(ip);
        let shares = shaped.has_never_owners() || self.never_own().any(|network| network.overlaps(shaped));
        if shares { Network::exactly(ip) } else { shaped }
    }

    fn never_own(&self) -> impl Iterator<Item = &Network> {
        self.unclaimable.iter().chain(&self.trusted_proxies)
    }
}
