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
    /// By the first byte of a name: the lengths that a wanted name can have, as a set of bits; longer names count as 63
    /// bytes. Most other headers fail this test.
    lengths: Box<[u64; 256]>,
    names: Vec<String>,
    /// How further names begin.
    starts: Vec<&'static str>,
}

const LONGEST: usize = 63;

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
        let mut filter = Self { lengths: Box::new([0; 256]), names, starts };
        for byte in 0..=u8::MAX {
            filter.lengths[usize::from(byte)] = filter.lengths_of(byte);
        }
        filter
    }

    fn lengths_of(&self, first: u8) -> u64 {
        let begins = |name: &str| name.bytes().next().map(plain) == Some(plain(first));
        let names = self.names.iter().filter(|name| begins(name)).map(|name| 1 << name.len().min(LONGEST));
        let starts = self.starts.iter().filter(|start| begins(start)).map(|start| u64::MAX << start.len().min(LONGEST));
        names.chain(starts).fold(0, |set, lengths| set | lengths)
    }

    /// Whether the header `name` is read.
    pub(super) fn has(&self, name: &str) -> bool {
        let Some(first) = name.as_bytes().first() else { return false };
        let lengths = self.lengths[usize::from(*first)];
        lengths >> name.len().min(LONGEST) & 1 == 1 && self.has_exactly(name)
    }

    fn has_exactly(&self, name: &str) -> bool {
        let begins = |start: &&str| name.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start));
        self.names.iter().any(|wanted| same_name(name, wanted)) || self.starts.iter().any(begins)
    }
}
