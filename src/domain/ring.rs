//! The peppers of a process: one writes, all are looked up.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ApiKey, Fingerprint, KeyDigest, KeyDigests, KeyHasher, Pepper, PepperId};

/// One to three peppers, in the order in which they are listed, no two of one name.
#[derive(Clone, Debug)]
pub struct Peppers(Vec<Pepper>);

/// A list is no [`Peppers`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// Nothing to key digests with.
    #[error("no pepper is listed")]
    Empty,
    /// A rotation needs two.
    #[error("{0} peppers are listed; at most {max} are taken", max = Peppers::MAX)]
    TooMany(usize),
    /// Either is enough.
    #[error("pepper {0} is listed twice")]
    Twice(PepperId),
}

impl Peppers {
    /// The most peppers of a process: each costs a look-up of every key that is not known by the active one.
    pub const MAX: usize = 3;

    /// Checks the list.
    pub fn new(list: Vec<Pepper>) -> Result<Self, RingFault> {
        let twice = |(place, pepper): (usize, &Pepper)| {
            list[..place].iter().any(|earlier| earlier.id() == pepper.id()).then(|| pepper.id())
        };
        if let Some(id) = list.iter().enumerate().find_map(twice) {
            return Err(RingFault::Twice(id));
        }
        match list.len() {
            0 => Err(RingFault::Empty),
            1..=Self::MAX => Ok(Self(list)),
            count => Err(RingFault::TooMany(count)),
        }
    }

    /// One more at the end; one that is there already changes nothing.
    pub fn with(self, pepper: Pepper) -> Result<Self, RingFault> {
        match self.find(&pepper.id()) {
            Some(_) => Ok(self),
            None => Self::new([self.0, vec![pepper]].concat()),
        }
    }

    /// The pepper with this name.
    pub fn find(&self, id: &PepperId) -> Option<&Pepper> {
        self.0.iter().find(|pepper| pepper.id() == *id)
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Pepper> {
        self.0.iter()
    }

    /// The names of all, for people.
    pub fn names(&self) -> String {
        self.0.iter().map(|pepper| pepper.id().to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl From<Pepper> for Peppers {
    fn from(pepper: Pepper) -> Self {
        Self(vec![pepper])
    }
}

/// The hashers of one realm under every listed pepper, and which of them is the store's active one.
///
/// That is what the process last heard of the store. Being late costs a claim a second try, never an owner: all peppers
/// are looked up, and the store writes nothing under one that is not active.
#[derive(Debug)]
pub struct KeyRing {
    peppers: Peppers,
    hashers: Vec<KeyHasher>,
    active: AtomicUsize,
}

impl KeyRing {
    /// The first pepper is active until [`KeyRing::activate`] says otherwise. `realm` and `hints` are those of
    /// [`KeyHasher::new`].
    pub fn new(peppers: Peppers, realm: &str, hints: bool) -> Self {
        let hashers = peppers.iter().map(|pepper| KeyHasher::new(pepper.clone(), realm, hints)).collect();
        Self { peppers, hashers, active: AtomicUsize::new(0) }
    }

    /// Writes with this pepper from now on; `false` if it is not listed.
    pub fn activate(&self, id: &PepperId) -> bool {
        let place = self.peppers.iter().position(|pepper| pepper.id() == *id);
        if let Some(place) = place {
            self.active.store(place, Ordering::Relaxed);
        }
        place.is_some()
    }

    /// All listed peppers.
    pub fn peppers(&self) -> &Peppers {
        &self.peppers
    }

    /// The realm of its keys.
    pub fn realm(&self) -> &str {
        self.hasher().realm()
    }

    /// The active pepper's name.
    pub fn active(&self) -> PepperId {
        self.hasher().pepper().id()
    }

    /// The digest of `key` under the active pepper.
    pub fn digest(&self, key: &ApiKey) -> KeyDigest {
        self.hasher().digest(key)
    }

    /// The digests of `key` under the other peppers, made as they are asked for.
    pub fn others(&self, key: &ApiKey) -> impl Iterator<Item = KeyDigest> {
        others(&self.hashers, self.place(), key)
    }

    /// The digests of `key` under all peppers.
    pub fn digests(&self, key: &ApiKey) -> KeyDigests {
        let place = self.place();
        KeyDigests::new(self.hashers[place].digest(key), others(&self.hashers, place, key))
    }

    /// Everything that a new row keeps of `key`, and where an older row of it may be.
    pub fn fingerprint(&self, key: &ApiKey) -> Fingerprint {
        let place = self.place();
        let others = others(&self.hashers, place, key).collect();
        Fingerprint { others, ..self.hashers[place].fingerprint(key) }
    }

    fn place(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    fn hasher(&self) -> &KeyHasher {
        &self.hashers[self.place()]
    }
}

fn others(hashers: &[KeyHasher], active: usize, key: &ApiKey) -> impl Iterator<Item = KeyDigest> {
    hashers.iter().enumerate().filter(move |(place, _)| *place != active).map(|(_, hasher)| hasher.digest(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(byte: u8) -> Pepper {
        Pepper::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn one_to_three_different_peppers_make_a_list() {
        let list =
            |bytes: &[u8]| Peppers::new(bytes.iter().map(|byte| pepper(*byte)).collect()).map(|list| list.0.len());
        assert_eq!(list(&[]), Err(RingFault::Empty));
        assert_eq!((list(&[1]), list(&[1, 2, 3])), (Ok(1), Ok(3)));
        assert_eq!(list(&[1, 2, 3, 4]), Err(RingFault::TooMany(4)));
        assert_eq!(list(&[1, 2, 1]), Err(RingFault::Twice(pepper(1).id())));
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
