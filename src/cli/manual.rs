//! What `--help` says below the options of a command: what it changes, how to take it back, examples.

pub(super) const SET_USAGE: &str = "\
sentinel bindings set [OPTIONS] <REF> <CIDR>...
       sentinel bindings set [OPTIONS] <REF> --reserve
       sentinel bindings set [OPTIONS] --key-file <PATH> <CIDR>...";

pub(super) const SET: &str = "\
Examples:
  sentinel bindings set 0a1b2c3d 203.0.113.7 2001:db8:1::/48   these networks, and no others
  sentinel bindings set 0a1b2c3d 0.0.0.0/0 ::/0                the key may roam
  sentinel bindings set 0a1b2c3d --reserve                     nobody, until you say who
  pass show ci-key | sentinel bindings set --key-file - 10.2.0.0/16

Changes: the key is pinned. Its networks are replaced by these; use never adds to them, and the
key is never archived. What observe mode saw of it is forgotten. A ban and the note stay.
--reserve asks first, on a terminal, because it locks the owner out; scripts say --yes.
To take it back: sentinel undo RECORD, with the number that it prints.";

pub(super) const CLAIM: &str = "\
Examples:
  sentinel bindings claim --key-file new.txt 203.0.113.0/24
  pass show ci-key | sentinel bindings claim --key-file - 10.2.0.0/16 2001:db8:1::/48

Changes: a key without a binding gets these networks, pinned, so that nobody can be the first to
use it from elsewhere. Refused (exit code 1) if the key has a binding: somebody was first;
`sentinel bindings set` replaces that. The key is read from the file, hashed by the server and
forgotten.
To take it back: sentinel undo RECORD, with the number that it prints.";

pub(super) const NOTE_USAGE: &str = "\
sentinel bindings note [OPTIONS] <REF> <TEXT>
       sentinel bindings note [OPTIONS] <REF> --remove
       sentinel bindings note [OPTIONS] --key-file <PATH> <TEXT>";

pub(super) const NOTE: &str = "\
Examples:
  sentinel bindings note 0a1b2c3d \"CI of team blue; ask in #blue\"
  sentinel bindings note 0a1b2c3d --remove

Changes: the note beside the binding, at most 200 characters in one line; an earlier one is
replaced. No decision reads it, and clients never see it. A key without a binding has no place
for one.
To take it back: sentinel undo RECORD, with the number that it prints.";

pub(super) const PROMOTE: &str = "\
Examples:
  sentinel bindings promote --dry-run                  which keys would bind, and which would break
  sentinel bindings promote                            asks, then does it
  sentinel bindings promote --yes --output csv > promoted.csv

Changes: every key that observe mode has seen and that has no binding. A key that one network
used belongs to it from then on. A key that several used is reserved, because nobody can say
whose it is: it is refused everywhere once the mode is enforce, until `sentinel bindings set`
names its networks. A key that gets its binding meanwhile keeps that and is skipped. May be
stopped at any time and run again: it goes on with the keys that are left. Asks first, on a
terminal; scripts say --yes.
To take it back: sentinel undo RECORD for each key; the networks that were seen are not brought
back.";

pub(super) const UNDO: &str = "\
Examples:
  sentinel audit list            shows the command that reverses each change
  sentinel undo 17
  sentinel undo 17 --yes         in a script

Changes: the key's binding, ban or note becomes what it was before that record. Refused (exit
code 1) if the key has been changed since; undo the later changes first. First uses and denials
cannot be undone. Asks first, on a terminal, with what the record did; scripts say --yes.
To take it back: the undoing has a record of its own, which can be undone.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  sentinel completions bash > /etc/bash_completion.d/sentinel
  sentinel completions zsh > ~/.zfunc/_sentinel
  sentinel completions fish > ~/.config/fish/completions/sentinel.fish

Changes: nothing; asks no server.";

pub(super) const MAN: &str = "\
Examples:
  sentinel man | man -l -
  sentinel man bindings set | man -l -
  sentinel man > /usr/local/share/man/man1/sentinel.1

Changes: nothing; asks no server.";
