//! Who owns a key, and whether it is banned.

use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{ClientIp, Hint, KeyId, Network, Timestamp, words::words};

words!(State);

/// How a binding came about, and so what may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// By first use, until the upstream confirms the key or the binding expires.
    Provisional,
    /// By first use.
    Learned,
    /// By an operator: never extended by use, never archived. Without networks it is *reserved*.
    Pinned,
}

/// A key and the networks that own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The key's printed name.
    pub id: KeyId,
    /// For the operator's eye.
    pub hint: Option<Hint>,
    /// How it came about.
    pub state: State,
    /// The owners; none means *reserved*.
    pub networks: Vec<Network>,
    /// When the key was first used, or pinned.
    pub created_at: Timestamp,
    /// Until when further networks may join. `None` is *sealed*, and stays so: nobody joins any more, whatever his
    /// clock says.
    pub open_until: Option<Timestamp>,
    /// When a provisional binding ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// What a binding says of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The address is in an owning network.
    Owner,
    /// The key belongs to other networks.
    Stranger,
    /// The key is reserved for whomever an operator names.
    Reserved,
}

impl Binding {
    /// Whether the binding is there at all at `now`; an expiry is exclusive.
    pub fn lives(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }

    /// Whether no network can join by use. Only then is a mismatch worth remembering.
    pub fn is_sealed(&self) -> bool {
        self.open_until.is_none()
    }

    /// Judges `ip`.
    pub fn standing(&self, ip: ClientIp) -> Standing {
        if self.networks.is_empty() {
            Standing::Reserved
        } else if self.networks.iter().any(|network| network.contains(ip)) {
            Standing::Owner
        } else {
            Standing::Stranger
        }
    }
}

/// A ban on a key. It lives apart from the binding: claim, unbind and archive do not touch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The key's printed name.
    pub id: KeyId,
    /// For the operator's eye.
    pub hint: Option<Hint>,
    /// When it ends by itself; `None` is never.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Who: `uid:0`, later a user's name.
    pub actor: String,
    /// Since when.
    pub created_at: Timestamp,
}

impl Ban {
    /// Whether the ban binds at `now`; its end is exclusive.
    pub fn in_force(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A network that used a key in observe mode. It owns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The network.
    pub network: Network,
    /// When it was first seen with the key.
    pub first_at: Timestamp,
}

/// All that a store knows of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The owner, if the key was ever used or pinned.
    pub binding: Option<Binding>,
    /// The ban, in force or expired.
    pub ban: Option<Ban>,
    /// The networks seen in observe mode, in the order in which they came: the first would own the key.
    pub candidates: Vec<Candidate>,
}

impl KeyFacts {
    /// Whether the store knows nothing of the key.
    pub fn is_empty(&self) -> bool {
        self.binding.is_none() && self.ban.is_none() && self.candidates.is_empty()
    }

    /// The one network that promoting would make the owner: of several, nobody can say which.
    pub fn only_candidate(&self) -> Option<Network> {
        match self.candidates[..] {
            [Candidate { network, .. }] => Some(network),
            _ => None,
        }
    }

    /// The binding that counts at `now`: an expired one is as good as none.
    pub fn binding_at(&self, now: Timestamp) -> Option<&Binding> {
        self.binding.as_ref().filter(|binding| binding.lives(now))
    }
}
