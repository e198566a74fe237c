//! The form in which the cache holds the facts of a key.

use crate::domain::{
    Ban, Binding, BindingView, Candidate, FactsView, KeyDigest, KeyFacts, KeyId, Network, State, Timestamp,
};

/// The facts of one key. They are held without hints, which no decision reads.
#[derive(Debug)]
pub(super) enum Held {
    /// What the first use of a key makes, and nothing else: a learned and sealed binding to one network, with the id
    /// that the digest gives. Nearly all keys of most deployments, so nothing of it is on the heap.
    Typical { network: Network, created_at: Short },
    /// Any other binding, without a ban or candidates.
    Bound(Box<Binding>),
    /// Everything else.
    Other(Box<KeyFacts>),
}

impl Held {
    pub(super) fn new(digest: &KeyDigest, facts: KeyFacts) -> Self {
        match facts {
            KeyFacts { binding: Some(binding), ban: None, candidates } if candidates.is_empty() => {
                Self::typical(digest, &binding).unwrap_or_else(|| Self::Bound(Box::new(trimmed(binding))))
            }
            KeyFacts { binding, ban, mut candidates } => {
                candidates.shrink_to_fit();
                let (binding, ban) = (binding.map(trimmed), ban.map(|ban| Ban { hint: None, ..ban }));
                Self::Other(Box::new(KeyFacts { binding, ban, candidates }))
            }
        }
    }

    fn typical(digest: &KeyDigest, binding: &Binding) -> Option<Self> {
        match binding {
            Binding {
                id,
                hint: _,
                state: State::Learned,
                networks,
                created_at,
                open_until: None,
                expires_at: None,
            } if *id == digest.new_id() => {
                let [network] = networks[..] else { return None };
                Some(Self::Typical { network, created_at: Short::exactly(created_at.as_millis())? })
            }
            _ => None,
        }
    }

    /// What decisions read, without an allocation.
    pub(super) fn view(&self, digest: &KeyDigest) -> FactsView<'_> {
        match self {
            Self::Typical { network, created_at: _ } => {
                let networks = std::slice::from_ref(network);
                let binding = BindingView { id: digest.new_id(), networks, open_until: None, expires_at: None };
                FactsView { binding: Some(binding), ..FactsView::default() }
            }
            Self::Bound(binding) => FactsView { binding: Some(binding.view()), ..FactsView::default() },
            Self::Other(facts) => facts.view(),
        }
    }

    /// The facts as a store returns them, but without hints.
    pub(super) fn facts(&self, digest: &KeyDigest) -> KeyFacts {
        match self {
            Self::Typical { network, created_at } => {
                let created_at = Timestamp::from_millis(created_at.get());
                let binding = learned(digest.new_id(), *network, created_at);
                KeyFacts { binding: Some(binding), ..KeyFacts::default() }
            }
            Self::Bound(binding) => KeyFacts { binding: Some(Binding::clone(binding)), ..KeyFacts::default() },
            Self::Other(facts) => KeyFacts::clone(facts),
        }
    }

    /// When the binding was made, in milliseconds.
    pub(super) fn created_at(&self) -> Option<i64> {
        match self {
            Self::Typical { network: _, created_at } => Some(created_at.get()),
            Self::Bound(binding) => Some(binding.created_at.as_millis()),
            Self::Other(facts) => facts.binding.as_ref().map(|binding| binding.created_at.as_millis()),
        }
    }

    /// The bytes that it has on the heap.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Typical { .. } => 0,
            Self::Bound(binding) => block::<Binding>(1) + networks(binding),
            Self::Other(facts) => {
                let KeyFacts { binding, ban, candidates } = &**facts;
                let ban = ban.as_ref().map_or(0, |ban| {
                    block::<u8>(ban.actor.capacity()) + block::<u8>(ban.reason.as_ref().map_or(0, String::capacity))
                });
                let binding = binding.as_ref().map_or(0, networks);
                block::<KeyFacts>(1) + binding + ban + block::<Candidate>(candidates.capacity())
            }
        }
    }
}

fn learned(id: KeyId, network: Network, created_at: Timestamp) -> Binding {
    Binding {
        id,
        hint: None,
        state: State::Learned,
        networks: vec![network],
        created_at,
        open_until: None,
        expires_at: None,
    }
}

/// Without what is not read, and with no spare room for networks.
fn trimmed(mut binding: Binding) -> Binding {
    binding.hint = None;
    binding.networks.shrink_to_fit();
    binding
}

fn networks(binding: &Binding) -> usize {
    block::<Network>(binding.networks.capacity())
}

/// The bytes that malloc of glibc takes for `count` values: one word more, in steps of 16, at least 32.
pub(super) const fn block<T>(count: usize) -> usize {
    match count * size_of::<T>() {
        0 => 0,
        bytes if bytes <= 24 => 32,
        bytes => (bytes + size_of::<usize>()).next_multiple_of(16),
    }
}

/// A whole number of six bytes: milliseconds up to the year 6429, or revisions. In eight bytes, the entry of a typical
/// key would need the next larger block of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short([u8; 6]);

impl Short {
    const MAX: i64 = (1 << 47) - 1;

    /// `number`, or the nearest lower one that fits.
    pub(super) fn at_most(number: i64) -> Self {
        let [a, b, c, d, e, f, ..] = number.min(Self::MAX).to_le_bytes();
        Self([a, b, c, d, e, f])
    }

    fn exactly(number: i64) -> Option<Self> {
        Some(Self::at_most(number)).filter(|short| short.get() == number)
    }

    pub(super) fn get(self) -> i64 {
        let [a, b, c, d, e, f] = self.0;
        // The sign fills the two upper bytes.
        i64::from_le_bytes([0, 0, a, b, c, d, e, f]) >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: KeyDigest = KeyDigest::from_bytes([7; 32]);
    const OTHER: KeyDigest = KeyDigest::from_bytes([8; 32]);

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    fn binding() -> Binding {
        learned(DIGEST.new_id(), network("203.0.113.7"), Timestamp::from_millis(1_767_225_600_123))
    }

    fn ban(reason: &str) -> Ban {
        let (id, created_at) = (DIGEST.new_id(), Timestamp::from_millis(5));
        Ban { id, hint: None, until: None, reason: Some(reason.to_owned()), actor: "uid:0".to_owned(), created_at }
    }

    fn of(binding: Binding) -> KeyFacts {
        KeyFacts { binding: Some(binding), ..KeyFacts::default() }
    }

    fn every_form() -> Vec<KeyFacts> {
        let at = Timestamp::from_millis;
        let candidate = Candidate { network: network("10.0.0.0/8"), first_at: at(3) };
        vec![
            KeyFacts::default(),
            of(binding()),
            of(Binding { networks: vec![network("2001:db8::/64")], ..binding() }),
            of(Binding { created_at: at(-1), ..binding() }),
            of(Binding { created_at: at(i64::MAX), ..binding() }),
            of(Binding { created_at: at(i64::MIN), ..binding() }),
            of(Binding { id: OTHER.new_id(), ..binding() }),
            of(Binding { state: State::Pinned, ..binding() }),
            of(Binding { state: State::Provisional, expires_at: Some(at(9)), ..binding() }),
            of(Binding { open_until: Some(at(9)), ..binding() }),
            of(Binding { networks: Vec::new(), ..binding() }),
            of(Binding { networks: vec![network("10.0.0.0/8"), network("::1")], ..binding() }),
            KeyFacts { ban: Some(ban("leaked")), ..of(binding()) },
            KeyFacts { ban: Some(ban("leaked")), ..KeyFacts::default() },
            KeyFacts { candidates: vec![candidate], ..KeyFacts::default() },
        ]
    }

    #[test]
    fn every_fact_is_kept() {
        for facts in every_form() {
            let held = Held::new(&DIGEST, facts.clone());
            assert_eq!(held.facts(&DIGEST), facts);
            assert_eq!(held.view(&DIGEST), facts.view());
        }
    }

    #[test]
    fn hints_are_not_kept() {
        let hint = || Some(crate::domain::Hint::from_stored("sk-a…wxyz".to_owned()));
        let banned = KeyFacts { ban: Some(Ban { hint: hint(), ..ban("leaked") }), ..KeyFacts::default() };
        for facts in every_form().into_iter().chain([banned]) {
            let hinted = facts.binding.clone().map(|binding| Binding { hint: hint(), ..binding });
            let kept = Held::new(&DIGEST, KeyFacts { binding: hinted, ..facts }).facts(&DIGEST);
            assert_eq!(kept.binding.and_then(|binding| binding.hint), None);
            assert_eq!(kept.ban.and_then(|ban| ban.hint), None);
        }
    }

    #[test]
    fn only_a_typical_key_has_nothing_on_the_heap() {
        let heap = |facts| Held::new(&DIGEST, facts).heap();
        assert_eq!(heap(of(binding())), 0);
        let [two, three] = [2, 3].map(|count| heap(of(Binding { networks: vec![network("::1"); count], ..binding() })));
        assert!(0 < two && two < three);
        let [short, long] =
            [10, 1000].map(|length| heap(KeyFacts { ban: Some(ban(&"x".repeat(length))), ..of(binding()) }));
        assert!((short + 976..short + 1008).contains(&long), "{short} {long}");
    }

    #[test]
    fn a_number_that_does_not_fit_becomes_lower() {
        for number in [0, 1, -1, 1_767_225_600_123, Short::MAX, -Short::MAX] {
            assert_eq!(Short::at_most(number).get(), number);
        }
        assert_eq!(Short::at_most(i64::MAX).get(), Short::MAX);
        assert_eq!(Short::exactly(Short::MAX + 1), None);
        assert_eq!(Short::exactly(i64::MIN), None);
    }
}
