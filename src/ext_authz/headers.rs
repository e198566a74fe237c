//! Which of a request's headers are read. Most are not, and are skipped where they lie.

use crate::{
    client_ip::Resolver,
    credential::{Credentials, plain, same_name},
};

/// Request headers that every allow removes: the one that only Sentinel may set, which this version does not, and those
/// from which some upstreams take another path and query than the judged ones (modules of IIS; Symfony and Zend until
/// CVE-2018-14773).
pub(super) const REMOVED: [&str; 3] = ["x-sentinel-key-id", "x-original-url", "x-rewrite-url"];

/// The names of the headers that any configured profile or the address reads, and those that an upstream may take for
/// one of them.
#[derive(Debug)]
pub(super) struct HeaderFilter {
    /// The [`mark`]s of the names, as a set of bits. Nearly all other headers fail this test.
    marks: [u64; MARKS / 64],
    names: Vec<String>,
    /// How further names begin.
    starts: Vec<&'static str>,
}

const MARKS: usize = 1024;

/// A number that two names have in common if an upstream may take one for the other.
#[inline]
fn mark(name: &[u8]) -> usize {
    let [first, .., last] = name else { return name.len() };
    let [first, middle, last] = [*first, name[name.len() / 2], *last].map(|byte| usize::from(plain(byte)));
    (name.len() + first * 5 + middle * 29 + last * 113) % MARKS
}

impl HeaderFilter {
    pub(super) fn new(credentials: &Credentials, client_ip: &Resolver) -> Self {
        let profiles = || credentials.profiles();
        let mut names: Vec<String> = profiles().flat_map(|profile| profile.header_names()).map(str::to_owned).collect();
        names.extend([":path"].into_iter().chain(REMOVED).chain(client_ip.header()).map(str::to_owned));
        names.sort();
        names.dedup();
        let mut starts: Vec<&str> =
            profiles().flat_map(|profile| profile.removed_starts).map(|(start, _)| *start).collect();
        starts.dedup();
        let mut marks = [0; MARKS / 64];
        for mark in names.iter().map(|name| mark(name.as_bytes())) {
            marks[mark / 64] |= 1 << (mark % 64);
        }
        Self { marks, names, starts }
    }

    /// Reads every header.
    #[cfg(test)]
    pub(super) fn of_all() -> Self {
        Self { marks: [0; MARKS / 64], names: Vec::new(), starts: vec![""] }
    }

    /// Whether the header `name` is read.
    #[inline]
    pub(super) fn has(&self, name: &[u8]) -> bool {
        let mark = mark(name);
        self.marks[mark / 64] >> (mark % 64) & 1 == 1 && self.has_name(name) || self.has_start(name)
    }

    fn has_name(&self, name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| self.names.iter().any(|wanted| same_name(name, wanted)))
    }

    fn has_start(&self, name: &[u8]) -> bool {
        let begins = |start: &&str| name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start.as_bytes()));
        self.starts.iter().any(begins)
    }
}
