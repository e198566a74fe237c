//! What decisions read of a key's facts.

use super::{Ban, Binding, Candidate, ClientIp, KeyFacts, KeyId, Network, Timestamp};

/// What decisions read of [`KeyFacts`]. A view, so that a cache can hold the facts in a form of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FactsView<'a> {
    /// The binding, if the key was used or pinned.
    pub binding: Option<BindingView<'a>>,
    /// The ban, in force or expired.
    pub ban: Option<&'a Ban>,
    /// The networks seen in observe mode, oldest first.
    pub candidates: &'a [Candidate],
}

/// What decisions read of a [`Binding`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingView<'a> {
    /// The key's id.
    pub id: KeyId,
    /// The owning networks; empty means *reserved*.
    pub networks: &'a [Network],
    /// Until when further networks may join by use; `None` means *sealed*.
    pub open_until: Option<Timestamp>,
    /// When a provisional binding expires.
    pub expires_at: Option<Timestamp>,
}

/// What a binding means for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The address is in an owning network.
    Owner,
    /// Other networks own the key.
    OtherNetwork,
    /// The key is reserved until an operator gives it a network.
    Reserved,
}

impl<'a> FactsView<'a> {
    /// Whether nothing is known about the key.
    pub fn is_empty(&self) -> bool {
        self.binding.is_none() && self.ban.is_none() && self.candidates.is_empty()
    }

    /// The binding, unless it has expired at `now`.
    pub fn binding_at(&self, now: Timestamp) -> Option<BindingView<'a>> {
        self.binding.filter(|binding| binding.is_live(now))
    }
}

impl BindingView<'_> {
    /// Whether the binding exists at `now`. The expiry time is exclusive.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether further networks can no longer join by use. Only then may a cache keep a mismatch.
    pub fn is_sealed(&self) -> bool {
        self.open_until.is_none()
    }

    /// The standing of `ip`.
    pub fn standing(&self, ip: ClientIp) -> Standing {
        if self.networks.is_empty() {
            Standing::Reserved
        } else if Network::any_contains(self.networks, ip) {
            Standing::Owner
        } else {
            Standing::OtherNetwork
        }
    }
}

impl KeyFacts {
    /// What decisions read.
    pub fn view(&self) -> FactsView<'_> {
        let binding = self.binding.as_ref().map(Binding::view);
        FactsView { binding, ban: self.ban.as_ref(), candidates: &self.candidates }
    }
}

impl Binding {
    /// What decisions read.
    pub fn view(&self) -> BindingView<'_> {
        let Self { id, hint: _, state: _, networks, created_at: _, open_until, expires_at } = self;
        BindingView { id: *id, networks, open_until: *open_until, expires_at: *expires_at }
    }
}
