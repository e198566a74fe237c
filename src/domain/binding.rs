//! Who owns a key, and whether it is banned.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{Hint, KeyId, Network, Timestamp, words::words};

words!(State);

/// How a binding was made, which determines what may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// By first use; ends unless the upstream confirms the key before the binding expires.
    Provisional,
    /// By first use.
    Learned,
    /// By an operator: use never adds a network, and the binding is never archived. Without networks it is *reserved*.
    Pinned,
}

/// A key and the networks that own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key's id.
    pub id: KeyId,
    /// Helps an operator to recognise the key.
    pub hint: Option<Hint>,
    /// How the binding was made.
    pub state: State,
    /// The owning networks; empty means *reserved*.
    pub networks: Vec<Network>,
    /// When the key was first used or pinned.
    pub created_at: Timestamp,
    /// Until when further networks may join by use. `None` means *sealed*: a network can never join again, whatever a
    /// replica's clock says.
    pub open_until: Option<Timestamp>,
    /// When a provisional binding expires.
    pub expires_at: Option<Timestamp>,
}

impl Binding {
    /// Whether the binding exists at `now`. The expiry time is exclusive.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.view().is_live(now)
    }

    /// Whether further networks can no longer join by use. Only then may a cache keep a mismatch.
    pub fn is_sealed(&self) -> bool {
        self.view().is_sealed()
    }
}

/// A ban on a key. Independent of the binding: claim, unbind and archive do not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The key's id.
    pub id: KeyId,
    /// Helps an operator to recognise the key.
    pub hint: Option<Hint>,
    /// When the ban ends; `None` means never.
    pub until: Option<Timestamp>,
    /// The operator's reason.
    pub reason: Option<String>,
    /// Who banned the key, such as `uid:0`.
    pub actor: String,
    /// When the ban was made.
    pub created_at: Timestamp,
}

impl Ban {
    /// Whether the ban applies at `now`. Its end is exclusive.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A network that used a key in observe mode. It owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The network.
    pub network: Network,
    /// When it first used the key.
    pub first_at: Timestamp,
}

/// Everything that a store knows about one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The binding, if the key was used or pinned.
    pub binding: Option<Binding>,
    /// The ban, in force or expired.
    pub ban: Option<Ban>,
    /// The networks seen in observe mode, oldest first: the first would own the key.
    pub candidates: Vec<Candidate>,
}

impl KeyFacts {
    /// Whether the store knows nothing about the key.
    pub fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// The network that promoting makes the owner. `None` if there are several candidates: any of them could be the
    /// rightful owner.
    pub fn only_candidate(&self) -> Option<Network> {
        match self.candidates[..] {
            [Candidate { network, .. }] => Some(network),
            _ => None,
        }
    }

    /// The binding, unless it has expired at `now`.
    pub fn binding_at(&self, now: Timestamp) -> Option<&Binding> {
        self.binding.as_ref().filter(|binding| binding.is_live(now))
    }
}
