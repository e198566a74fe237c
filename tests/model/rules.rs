//! The rules once more, as simply as they can be written: one thread, no store, no cache.

use std::collections::BTreeSet;

use key_ip_sentinel::domain::Mode;

use crate::{KEYS, Step};

/// Who owns a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pinned: bool,
    pub(crate) networks: BTreeSet<usize>,
    made: i64,
    open_until: Option<i64>,
    expires: Option<i64>,
}

/// What a change did, to take it back.
#[derive(Clone, Debug)]
struct Undo {
    key: usize,
    part: Part,
    lives: usize,
}

#[derive(Clone, Debug)]
enum Part {
    Owner { before: Option<Owner>, after: Option<Owner> },
    Ban { before: Option<Ban>, after: Option<Ban> },
}

/// When it was said, and when it ends.
type Ban = (i64, Option<i64>);

#[derive(Clone, Debug, Default)]
struct Key {
    owner: Option<Owner>,
    ban: Option<Ban>,
    /// Network and when it came.
    candidates: Vec<(usize, i64)>,
    /// The last use or refusal.
    touched: i64,
    archived: bool,
    /// How often every row of it was gone: under another pepper it then comes back by another name.
    lives: usize,
}

/// Everything there is to know. Seconds from the start.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    now: i64,
    networks: usize,
    window: i64,
    keys: Vec<Key>,
    undo: Vec<Undo>,
    rotations: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { now: 0, networks: 1, window: 0, keys: vec![Key::default(); KEYS], undo: Vec::new(), rotations: 0 }
    }
}

fn words(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

fn alike(one: Option<&Owner>, other: Option<&Owner>) -> bool {
    let essence = |owner: &Owner| (owner.pinned, owner.expires.is_some(), owner.networks.clone(), owner.made);
    one.map(essence) == other.map(essence)
}

impl Rules {
    /// The owners, whether they are pinned, whether others may join, and whether there is a ban.
    pub(crate) fn stored(&self, key: usize) -> (Option<(bool, BTreeSet<usize>, bool)>, bool) {
        let Key { owner, ban, .. } = &self.keys[key];
        let owner = owner.as_ref().map(|it| (it.pinned, it.networks.clone(), it.open_until.is_some()));
        (owner, ban.is_some())
    }

    /// `said` is looked at only where the rules leave a choice.
    pub(crate) fn take(&mut self, step: &Step, said: &[String]) -> Vec<String> {
        match step {
            Step::Ask { key, from, mode } => {
                self.now += 2;
                words(self.ask(*key, *from, *mode))
            }
            Step::Race { .. } => unreachable!("has its own method"),
            Step::Reserve(key) => self.pin(*key, &[], false),
            Step::HandOver(key, to) => self.pin(*key, &[*to], false),
            Step::Set(key, networks) => self.pin(*key, networks, true),
            Step::PreClaim(key, _) if self.live(*key).is_some() => words("refused"),
            Step::PreClaim(key, networks) => self.pin(*key, networks, true),
            Step::Open(key) if self.keys[*key].owner.is_none() => words("refused"),
            Step::Open(key) => self.own(*key, None),
            Step::Promote(key) => self.promote(*key),
            Step::Ban(key, lasting) => {
                let until = (*lasting > 0).then_some(self.now + lasting);
                self.ban(*key, Some((self.now, until)))
            }
            Step::Unban(key) if self.keys[*key].ban.is_none() => words("refused"),
            Step::Unban(key) => self.ban(*key, None),
            Step::Undo(back) => self.take_back(*back, said),
            Step::Provisional(key, lasting) => {
                let until = self.now + lasting;
                if let Some(owner) = self.keys[*key].owner.as_mut().filter(|owner| !owner.pinned) {
                    owner.expires = Some(until);
                }
                Vec::new()
            }
            Step::Wait(seconds) => {
                self.now += seconds;
                Vec::new()
            }
            Step::Archive(after) => self.archive(self.now - after),
            Step::Reconfigure(networks, window) => {
                (self.networks, self.window) = (usize::from(*networks), *window);
                Vec::new()
            }
            Step::Rotate => {
                self.rotations += 1;
                Vec::new()
            }
            Step::Rekey(_) | Step::Restart => Vec::new(),
        }
    }

    fn live(&self, key: usize) -> Option<&Owner> {
        self.keys[key].owner.as_ref().filter(|owner| owner.expires.is_none_or(|end| self.now < end))
    }

    fn banned(&self, key: usize) -> bool {
        self.keys[key].ban.is_some_and(|(_, until)| until.is_none_or(|until| self.now < until))
    }

    fn ask(&mut self, key: usize, from: usize, mode: Mode) -> &'static str {
        if mode == Mode::Off {
            return "mode_off";
        }
        let had_owner = self.keys[key].owner.is_some();
        let said = self.judge(key, from, mode);
        if had_owner {
            self.keys[key].touched = self.now;
        }
        said
    }

    fn judge(&mut self, key: usize, from: usize, mode: Mode) -> &'static str {
        if self.banned(key) {
            return "key_banned";
        }
        let (now, slots) = (self.now, self.networks);
        let Some(owner) = self.live(key).cloned() else { return self.unowned(key, from, mode) };
        if owner.networks.contains(&from) {
            return "bound";
        }
        if owner.networks.is_empty() {
            return "not_claimed";
        }
        let Some(end) = owner.open_until else { return "ip_mismatch" };
        let room = owner.networks.len() < slots && now < end;
        if mode == Mode::Observe {
            return if room { "network_added" } else { "ip_mismatch" };
        }
        let owner = self.keys[key].owner.as_mut().unwrap();
        if room {
            owner.networks.insert(from);
        }
        if !room || owner.networks.len() >= slots {
            owner.open_until = None;
        }
        if room { "network_added" } else { "ip_mismatch" }
    }

    fn unowned(&mut self, key: usize, from: usize, mode: Mode) -> &'static str {
        let (now, slots, window) = (self.now, self.networks, self.window);
        let it = &mut self.keys[key];
        if mode == Mode::Enforce {
            it.candidates.clear();
            it.touched = now;
            it.owner = Some(Owner {
                pinned: false,
                networks: BTreeSet::from([from]),
                made: now,
                open_until: (slots > 1 && window > 0).then_some(now + window),
                expires: None,
            });
            return "first_use";
        }
        let known = it.candidates.iter().position(|(network, _)| *network == from);
        let place = known.unwrap_or_else(|| {
            it.candidates.push((from, now));
            it.candidates.len() - 1
        });
        let joined = place > 0 && place < slots && it.candidates[place].1 < it.candidates[0].1 + window;
        match (known, place, joined) {
            (Some(_), 0, _) | (Some(_), _, true) => "bound",
            (None, 0, _) => "first_use",
            (None, _, true) => "network_added",
            _ => "ip_mismatch",
        }
    }

    /// Who wins a slot is chance; everything else is not.
    pub(crate) fn race(&mut self, key: usize, from: &[usize], said: &[String]) -> Vec<String> {
        self.now += 2;
        // Those who won, in any order, then everybody else: as if they had come so.
        let won = |nth: &usize| matches!(said[*nth].as_str(), "first_use" | "network_added");
        let first = |nth: &usize| said[*nth] == "first_use";
        let order =
            (0..from.len()).filter(|nth| first(nth)).chain((0..from.len()).filter(|nth| won(nth) && !first(nth)));
        let order: Vec<_> = order.chain((0..from.len()).filter(|nth| !won(nth))).collect();
        let mut wanted = vec![String::new(); from.len()];
        for nth in order {
            wanted[nth] = self.ask(key, from[nth], Mode::Enforce).to_owned();
        }
        wanted
    }

    fn own(&mut self, key: usize, after: Option<Owner>) -> Vec<String> {
        let it = &mut self.keys[key];
        if after.is_some() {
            it.candidates.clear();
        }
        if it.owner.is_none() {
            // A new row; an older one keeps what it was used for.
            it.touched = 0;
        }
        let before = std::mem::replace(&mut it.owner, after.clone());
        self.remember(key, Part::Owner { before, after });
        words("done")
    }

    fn pin(&mut self, key: usize, networks: &[usize], may_be_new: bool) -> Vec<String> {
        let known = self.keys[key].owner.clone();
        if known.is_none() && !may_be_new {
            return words("refused");
        }
        let made = known.map_or(self.now, |owner| owner.made);
        let networks = networks.iter().copied().collect();
        self.own(key, Some(Owner { pinned: true, networks, made, open_until: None, expires: None }))
    }

    fn promote(&mut self, key: usize) -> Vec<String> {
        let candidates: Vec<_> = self.keys[key].candidates.iter().map(|(network, _)| *network).collect();
        if candidates.is_empty() || self.live(key).is_some() {
            return words("refused");
        }
        let one = candidates.len() == 1;
        let networks = if one { candidates.into_iter().collect() } else { BTreeSet::new() };
        self.own(key, Some(Owner { pinned: !one, networks, made: self.now, open_until: None, expires: None }))
    }

    fn ban(&mut self, key: usize, after: Option<Ban>) -> Vec<String> {
        let before = std::mem::replace(&mut self.keys[key].ban, after);
        self.remember(key, Part::Ban { before, after });
        words("done")
    }

    fn remember(&mut self, key: usize, part: Part) {
        // Of the life that this change begins or ends.
        let lives = self.keys[key].lives;
        self.undo.push(Undo { key, part, lives });
        if self.is_rowless(key) {
            self.keys[key].lives += 1;
        }
    }

    fn is_rowless(&self, key: usize) -> bool {
        let Key { owner, ban, candidates, archived, .. } = &self.keys[key];
        owner.is_none() && ban.is_none() && candidates.is_empty() && !archived
    }

    fn take_back(&mut self, back: usize, said: &[String]) -> Vec<String> {
        let Some(undo) = self.undo.len().checked_sub(back + 1).map(|nth| self.undo[nth].clone()) else {
            return words("nothing");
        };
        let Undo { key, part, lives } = undo;
        let another = lives < self.keys[key].lives || self.is_rowless(key);
        if another && self.rotations > 0 && said == words("refused") {
            // The record's name of the key may not be the key's any more.
            return words("refused");
        }
        match part {
            Part::Owner { before, after } if alike(self.keys[key].owner.as_ref(), after.as_ref()) => {
                let done = self.own(key, before);
                self.keys[key].touched = self.now;
                done
            }
            Part::Ban { before, after } if self.keys[key].ban == after => self.ban(key, before),
            _ => words("refused"),
        }
    }

    fn archive(&mut self, unused_since: i64) -> Vec<String> {
        let last = |it: &Key| it.owner.as_ref().map_or(0, |owner| owner.made.max(it.touched));
        let learned = |it: &Key| it.owner.as_ref().is_some_and(|owner| !owner.pinned && owner.expires.is_none());
        let old = |it: &Key| learned(it) && last(it) < unused_since;
        let mut archived: Vec<_> = (0..KEYS).filter(|key| old(&self.keys[*key])).collect();
        // The longest unused first.
        archived.sort_by_key(|key| last(&self.keys[*key]));
        for key in archived.clone() {
            let before = self.keys[key].owner.take();
            self.keys[key].archived = true;
            self.remember(key, Part::Owner { before, after: None });
        }
        archived.sort();
        archived.into_iter().map(|key| format!("archived {key}")).collect()
    }
}
