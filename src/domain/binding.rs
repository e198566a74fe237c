//! Who owns a key, and whether it is banned.

use super::{ClientIp, Hint, KeyId, Network, Timestamp};

/// How a binding came about, and so what may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// By first use.
    Learned,
    /// By an operator: never extended by use, never archived. Without networks it is *reserved*.
    Pinned,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 2] = [Self::Learned, Self::Pinned];

    /// The word stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Learned => "learned",
            Self::Pinned => "pinned",
        }
    }

    /// The state with this word, if there is one.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
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

/// All that a store knows of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The owner, if the key was ever used or pinned.
    pub binding: Option<Binding>,
    /// The ban, in force or expired.
    pub ban: Option<Ban>,
}

impl KeyFacts {
    /// Whether the store knows nothing of the key.
    pub fn is_empty(&self) -> bool {
        self.binding.is_none() && self.ban.is_none()
    }
}
