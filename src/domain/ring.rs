//! The listed peppers: new rows are written with the active one, keys are looked up with all.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ApiKey, Fingerprint, KeyDigest, KeyDigests, KeyHasher, Pepper, PepperId};

/// One to three different peppers, in the order of the configuration.
#[derive(Clone, Debug)]
pub struct Peppers(Vec<Pepper>);

/// Why a list of peppers is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperListError {
    /// The list is empty.
    #[error("no pepper is listed")]
    Empty,
    /// The list is longer than [`Peppers::MAX`].
    #[error("{0} peppers are listed; at most {max} are allowed", max = Peppers::MAX)]
    TooMany(usize),
    /// A pepper is listed twice.
    #[error("pepper {0} is listed twice")]
    Twice(PepperId),
}

impl Peppers {
    /// The most peppers of a process. Each one costs a look-up for every key that is not found under the active one. A
    /// rotation needs two.
    pub const MAX: usize = 3;

    /// Checks the list.
    pub fn new(list: Vec<Pepper>) -> Result<Self, PepperListError> {
        let repeated = |(index, pepper): (usize, &Pepper)| {
            list[..index].iter().any(|earlier| earlier.id() == pepper.id()).then(|| pepper.id())
        };
        if let Some(id) = list.iter().enumerate().find_map(repeated) {
            return Err(PepperListError::Twice(id));
        }
        match list.len() {
            0 => Err(PepperListError::Empty),
            1..=Self::MAX => Ok(Self(list)),
            count => Err(PepperListError::TooMany(count)),
        }
    }

    /// Appends a pepper, unless it is listed already.
    pub fn with(self, pepper: Pepper) -> Result<Self, PepperListError> {
        match self.find(&pepper.id()) {
            Some(_) => Ok(self),
            None => Self::new([self.0, vec![pepper]].concat()),
        }
    }

    /// The pepper with this id.
    pub fn find(&self, id: &PepperId) -> Option<&Pepper> {
        self.0.iter().find(|pepper| pepper.id() == *id)
    }

    /// All peppers, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Pepper> {
        self.0.iter()
    }

    /// The ids of all peppers, for messages.
    pub fn names(&self) -> String {
        self.0.iter().map(|pepper| pepper.id().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl From<Pepper> for Peppers {
    fn from(pepper: Pepper) -> Self {
        Self(vec![pepper])
    }
}

/// The hashers of one realm under every listed pepper, and which pepper is active.
///
/// The active pepper is the one that the store last reported, which may be out of date. That costs a claim a second
/// attempt, never an owner: keys are looked up with all peppers, and the store rejects a write under another pepper.
#[derive(Debug)]
pub struct KeyRing {
    peppers: Peppers,
    hashers: Vec<KeyHasher>,
    active: AtomicUsize,
}

impl KeyRing {
    /// The first pepper is active until [`KeyRing::activate`] is called. For `realm` and `hints` see
    /// [`KeyHasher::new`].
    pub fn new(peppers: Peppers, realm: &str, hints: bool) -> Self {
        let hashers = peppers.iter().map(|pepper| KeyHasher::new(pepper.clone(), realm, hints)).collect();
        Self { peppers, hashers, active: AtomicUsize::new(0) }
    }

    /// Makes this pepper the active one; returns `false` if it is not listed.
    pub fn activate(&self, id: &PepperId) -> bool {
        let index = self.peppers.iter().position(|pepper| pepper.id() == *id);
        if let Some(index) = index {
            self.active.store(index, Ordering::Relaxed);
        }
        index.is_some()
    }

    /// All listed peppers.
    pub fn peppers(&self) -> &Peppers {
        &self.peppers
    }

    /// The realm of the keys.
    pub fn realm(&self) -> &str {
        self.hasher().realm()
    }

    /// The active pepper's id.
    pub fn active(&self) -> PepperId {
        self.hasher().pepper().id()
    }

    /// The digest of `key` under the active pepper.
    pub fn digest(&self, key: &ApiKey) -> KeyDigest {
        self.hasher().digest(key)
    }

    /// The digests of `key` under the other peppers, computed lazily.
    pub fn other_digests(&self, key: &ApiKey) -> impl Iterator<Item = KeyDigest> {
        other_digests(&self.hashers, self.active_index(), key)
    }

    /// The digests of `key` under all peppers.
    pub fn digests(&self, key: &ApiKey) -> KeyDigests {
        let active = self.active_index();
        KeyDigests::new(self.hashers[active].digest(key), other_digests(&self.hashers, active, key))
    }

    /// Everything that a new row stores about `key`, and the digests under which an older row may be.
    pub fn fingerprint(&self, key: &ApiKey) -> Fingerprint {
        let active = self.active_index();
        let others = other_digests(&self.hashers, active, key).collect();
        Fingerprint { others, ..self.hashers[active].fingerprint(key) }
    }

    fn active_index(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    fn hasher(&self) -> &KeyHasher {
        &self.hashers[self.active_index()]
    }
}

fn other_digests(hashers: &[KeyHasher], active: usize, key: &ApiKey) -> impl Iterator<Item = KeyDigest> {
    hashers.iter().enumerate().filter(move |(index, _)| *index != active).map(|(_, hasher)| hasher.digest(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(byte: u8) -> Pepper {
        Pepper::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_list_has_one_to_three_different_peppers() {
        let list =
            |bytes: &[u8]| Peppers::new(bytes.iter().map(|byte| pepper(*byte)).collect()).map(|list| list.0.len());
        assert_eq!(list(&[]), Err(PepperListError::Empty));
        assert_eq!((list(&[1]), list(&[1, 2, 3])), (Ok(1), Ok(3)));
        assert_eq!(list(&[1, 2, 3, 4]), Err(PepperListError::TooMany(4)));
        assert_eq!(list(&[1, 2, 1]), Err(PepperListError::Twice(pepper(1).id())));
        let two = Peppers::from(pepper(1)).with(pepper(2)).unwrap();
        assert_eq!(two.with(pepper(1)).unwrap().0.len(), 2);
    }

    #[test]
    fn the_active_pepper_writes_and_all_are_looked_up() {
        let ring = KeyRing::new(Peppers::new(vec![pepper(1), pepper(2), pepper(3)]).unwrap(), "default", true);
        let key = ApiKey::new("sk-test-key".to_owned());
        let under = |byte| KeyHasher::new(pepper(byte), "default", true).digest(&key);
        assert_eq!(ring.digests(&key).iter().collect::<Vec<_>>(), [under(1), under(2), under(3)]);
        assert!(ring.activate(&pepper(2).id()) && !ring.activate(&pepper(9).id()));
        let fingerprint = ring.fingerprint(&key);
        assert_eq!((ring.digest(&key), ring.active()), (under(2), pepper(2).id()));
        assert_eq!((fingerprint.digest, &fingerprint.pepper), (under(2), &pepper(2).id()));
        assert_eq!(fingerprint.others, [under(1), under(3)]);
        assert_eq!(fingerprint.digests(), ring.digests(&key));
    }
}
