//! The help below the options of a command: examples, what it changes, and how to reverse it.

pub(super) const SET_USAGE: &str = "\
sentinel bindings set [OPTIONS] <REF> <CIDR>...
       sentinel bindings set [OPTIONS] <REF> --reserve
       sentinel bindings set [OPTIONS] --key-file <PATH> <CIDR>...";

pub(super) const SET: &str = "\
Examples:
  sentinel bindings set 0a1b2c3d 203.0.113.7 2001:db8:1::/48   only these networks
  sentinel bindings set 0a1b2c3d 0.0.0.0/0 ::/0                every network
  sentinel bindings set 0a1b2c3d --reserve                     no network, until you name one
  pass show ci-key | sentinel bindings set --key-file - 10.2.0.0/16

Changes: replaces the key's networks and pins the key: use never adds a network, and the key is
never archived. The networks that observe mode saw are deleted. A ban and the note stay. --reserve
asks first, because it locks the owner out; scripts use --yes.
To reverse it: sentinel undo RECORD, with the printed record number.";

pub(super) const CLAIM: &str = "\
Examples:
  sentinel bindings claim --key-file new.txt 203.0.113.0/24
  pass show ci-key | sentinel bindings claim --key-file - 10.2.0.0/16 2001:db8:1::/48

Changes: a key without a binding gets these networks and is pinned, so that no other network can
claim it first. Rejected (exit code 1) if the key has a binding; `sentinel bindings set` replaces a
binding. The server hashes the key and does not keep it.
To reverse it: sentinel undo RECORD, with the printed record number.";

pub(super) const NOTE_USAGE: &str = "\
sentinel bindings note [OPTIONS] <REF> <TEXT>
       sentinel bindings note [OPTIONS] <REF> --remove
       sentinel bindings note [OPTIONS] --key-file <PATH> <TEXT>";

pub(super) const NOTE: &str = "\
Examples:
  sentinel bindings note 0a1b2c3d \"CI of team blue; ask in #blue\"
  sentinel bindings note 0a1b2c3d --remove

Changes: the note of the binding, one line of at most 200 characters; an earlier note is replaced.
No decision reads it, and clients never see it. A key without a binding cannot have a note.
To reverse it: sentinel undo RECORD, with the printed record number.";

pub(super) const PROMOTE: &str = "\
Examples:
  sentinel bindings promote --dry-run    list the keys that would be bound or reserved, and the
                                         networks that would be denied a key that has an owner
  sentinel bindings promote              ask, then promote
  sentinel bindings promote --yes --output csv > promoted.csv

Changes: every key that observe mode has seen and that has no binding. A key that only one network
used is bound to that network. A key that several networks used is reserved, because its owner is
unknown: once the mode is enforce, it is denied to every client until `sentinel bindings set` names
its networks. A key that gets a binding in the meantime is skipped. The command can be interrupted
and repeated; it continues with the remaining keys. It asks first; scripts use --yes.
To reverse it: sentinel undo RECORD for each key. The observed networks are not restored.";

pub(super) const UNDO: &str = "\
Examples:
  sentinel audit list            show the command that reverses each change
  sentinel undo 17
  sentinel undo 17 --yes         in a script

Changes: restores the key's binding, ban or note as it was before that record. Rejected (exit code
1) if the key has been changed since; undo the later changes first. First uses and denials cannot be
undone. It shows the record's change and asks first; scripts use --yes.
To reverse it: undo the record that the undo prints.";

pub(super) const COMPLETIONS: &str = "\
Examples:
  sentinel completions bash > /etc/bash_completion.d/sentinel
  sentinel completions zsh > ~/.zfunc/_sentinel
  sentinel completions fish > ~/.config/fish/completions/sentinel.fish

Changes: nothing. Needs no server.";

pub(super) const MAN: &str = "\
Examples:
  sentinel man | man -l -
  sentinel man bindings set | man -l -
  sentinel man > /usr/local/share/man/man1/sentinel.1

Changes: nothing. Needs no server.";

pub(super) const DOCTOR: &str = "\
Examples:
  sentinel doctor --config /etc/sentinel.toml
  sentinel doctor --config /etc/sentinel.toml --envoy /etc/envoy/envoy.yaml
  sentinel doctor --output json | jq -r '.findings[].code'

Changes: nothing. Reads the configuration as `serve` would, inspects the files and sockets that it
names, calls the running server, and compares Envoy's files with the configuration. Run it on the
server's machine, as the server's user. Exit code 0: no findings; 1: findings; 2: a file is not
valid; 3: the server did not answer, and only the other findings are printed.";

/// The steps of a rotation.
macro_rules! rotation {
    () => {
        "  1. (umask 077; sentinel pepper new > /etc/sentinel/new-pepper)   prints its id: pepper 5938e33a
  2. Add the setting on every server, and restart it:
       SENTINEL_PEPPER__SECRETS_FILE=/etc/sentinel/new-pepper
     or in the file: pepper.secrets_file = [\"/etc/sentinel/new-pepper\"]
     If the setting names a file already, list both, separated by a comma, in any order. The
     generated pepper, DATA_DIR/pepper, is always listed.
  3. sentinel pepper activate 5938e33a
  4. sentinel pepper list               until no binding, ban or observed key is under the old one
  5. sentinel pepper retire 4e5f6a7b    the id of the old pepper
  6. Remove the old pepper on every server, and restart it: its entry in pepper.secrets or
     pepper.secrets_file, or SENTINEL_HMAC_SECRET or SENTINEL_HMAC_SECRET_FILE, or the file
     DATA_DIR/pepper. Keep the setting of the new pepper."
    };
}

pub(super) const PEPPER: &str = concat!("To rotate the pepper (see docs/peppers.md):\n", rotation!());

pub(super) const PEPPER_NEW: &str = "\
Examples:
  (umask 077; sentinel pepper new > pepper)
  SENTINEL_PEPPER__SECRETS_FILE=pepper sentinel serve

Changes: nothing; the pepper is not stored. Prints the secret to standard output, and its id, which
other commands take, to standard error. Do not replace the pepper of a store in use: every key would
be unknown. List the new pepper as well and rotate, as `sentinel pepper activate --help` shows.";

pub(super) const PEPPER_LIST: &str = "\
Examples:
  sentinel pepper list
  sentinel pepper list --output json | jq '.peppers[] | select(.state != \"retired\")'

Changes: nothing. The id of a pepper is the first 8 hex digits of its check value, which does not
reveal the secret.";

pub(super) const PEPPER_ACTIVATE: &str = concat!(
    "\
Examples:
  sentinel pepper activate 5938e33a

To rotate the pepper (see docs/peppers.md):\n",
    rotation!(),
    "

Changes: the pepper that new rows are written with. No key is lost: a key is still found under the
old pepper, and moves, with its id, when it is next used. A server that does not list the new pepper
stops at step 3.
To reverse it: sentinel pepper activate with the old id, while its secret is still listed."
);

pub(super) const PEPPER_RETIRE: &str = "\
Examples:
  sentinel pepper retire 4e5f6a7b
  sentinel pepper retire 4e5f6a7b --forget --yes

Changes: marks the pepper as retired and deletes the archived keys under it. Rejected (exit code 1)
while bindings, bans or observed keys are under it. --forget deletes those: a key that has not been
used since the activation loses its owner and its ban, and the next network that uses it owns it;
the audit names each key. --forget asks first; scripts use --yes.
To reverse it: sentinel pepper activate makes a retired pepper active again, while its secret is
listed. Deleted rows are not restored.";

pub(super) const EXPORT: &str = "\
Examples:
  sentinel bindings export keys.jsonl
  sentinel bindings export | gzip > keys.jsonl.gz
  sentinel bindings export | ssh other sentinel bindings import -

JSON Lines, one key per line, archived and observed keys included. The file holds digests made with
the pepper, but no key and no pepper. Changes during the export may be missing: before you move a
store, stop the traffic or set binding.first_use = \"deny\". The audit is not exported (see sentinel
audit export). docs/backup-and-move.md describes the move.

Changes: nothing in the server.";

pub(super) const IMPORT: &str = "\
Examples:
  sentinel bindings import keys.jsonl
  zcat keys.jsonl.gz | sentinel bindings import -

Changes: adds the keys that the store does not have, with owner, ban, times, note, candidates and
archive. A key that the store has, by id or digest, is not changed, and reported if it differs. Each
500 keys are one transaction and one audit record; after a failure, import the same file again to
add the rest. The server must list the peppers that the first line names; otherwise nothing is
imported.
To reverse it: an import cannot be undone as a whole; use sentinel unbind and unban for each key.";

pub(super) const AUDIT_EXPORT: &str = "\
Examples:
  sentinel audit export > audit.csv
  sentinel audit export --since 2026-11-01 --until 2026-12-01 --kind denied > november.csv
  sentinel audit export --since 7d --format jsonl | jq -r '[.network // \"-\", .count] | @tsv' |
    awk '{n[$1]+=$2} END {for (k in n) print n[k], k}' | sort -rn    networks by number of denials

Changes: nothing. One record can stand for several denials: sum COUNT instead of counting records.
Records are in the order in which they were stored; records stored during the export are not
included. Columns and names are those of `sentinel audit list`. In CSV, a text that a spreadsheet
program would read as a formula starts with an apostrophe.";

pub(super) const AUDIT_TAIL: &str = "\
Examples:
  sentinel audit tail --kind denied
  sentinel audit tail --key 0a1b2c3d --output json

Changes: nothing. --output json prints JSON Lines, --output csv the lines of `sentinel audit
export`.";
