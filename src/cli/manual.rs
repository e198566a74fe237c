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
  sentinel bindings promote --dry-run                  which would bind, which would break, and
                                                       who uses keys that have an owner already
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

pub(super) const DOCTOR: &str = "\
Examples:
  sentinel doctor --config /etc/sentinel.toml
  sentinel doctor --config /etc/sentinel.toml --envoy /etc/envoy/envoy.yaml
  sentinel doctor --output json | jq -r '.findings[].code'

Changes: nothing. Reads the configuration as `serve` would, looks at the files and sockets that it
names, asks the running server, and holds Envoy's files against client_ip.source. Run it on the
server's machine, as the server's user. Exit code 0: nothing was found; 1: something was; 2: a file
is not valid; 3: the server did not answer, and what was found without it is printed.";

/// What is typed for a rotation, step by step.
macro_rules! rotation {
    () => {
        "  1. (umask 077; sentinel pepper new > /etc/sentinel/new-pepper)   prints its id: pepper 5938e33a
  2. on every server add the setting, and restart it:
       SENTINEL_PEPPER__SECRETS_FILE=/etc/sentinel/new-pepper
     or in the file: pepper.secrets_file = [\"/etc/sentinel/new-pepper\"]
     Where that names a file already, name both, with a comma between, in any order. The pepper
     that a first start made, DATA_DIR/pepper, stays listed by itself.
  3. sentinel pepper activate 5938e33a
  4. sentinel pepper list               until no binding, ban or observed key is under the old one
  5. sentinel pepper retire 4e5f6a7b    the old one's id
  6. remove the old one on every server, and restart it: its entry in pepper.secrets or
     pepper.secrets_file, or SENTINEL_HMAC_SECRET or SENTINEL_HMAC_SECRET_FILE, or the file
     DATA_DIR/pepper. The new one's setting stays."
    };
}

pub(super) const PEPPER: &str = concat!("From one pepper to the next:\n", rotation!());

pub(super) const PEPPER_NEW: &str = "\
Examples:
  (umask 077; sentinel pepper new > pepper)
  SENTINEL_PEPPER__SECRETS_FILE=pepper sentinel serve

Changes: nothing. The secret goes to standard output, its id, by which other commands name it, to
standard error. Whoever replaces the pepper of a store in use makes every key new: list the new
one beside the old one and rotate, as `sentinel pepper activate --help` shows.";

pub(super) const PEPPER_LIST: &str = "\
Examples:
  sentinel pepper list
  sentinel pepper list --output json | jq '.peppers[] | select(.state != \"retired\")'

Changes: nothing. A pepper is named by the first 8 hex digits of its check value, which tell nothing
of the secret.";

pub(super) const PEPPER_ACTIVATE: &str = concat!(
    "\
Examples:
  sentinel pepper activate 5938e33a

From one pepper to the next:\n",
    rotation!(),
    "

Changes: with which pepper new rows are written. Nobody loses a key: each is still found under the
old one, and moves, with its id, when it is next used. A server that does not list the new pepper
stops at step 3.
To take it back: sentinel pepper activate with the old pepper's id, as long as its secret is listed."
);

pub(super) const PEPPER_RETIRE: &str = "\
Examples:
  sentinel pepper retire 4e5f6a7b
  sentinel pepper retire 4e5f6a7b --forget --yes

Changes: the pepper is marked as retired, and archived keys under it are deleted. Refused (exit
code 1) while bindings, bans or observed keys are under it. --forget deletes those: every key that
has not been used since the activation is a new one, whoever uses it next owns it, and its ban is
gone; the audit names each. --forget asks first, on a terminal; scripts say --yes.
To take it back: sentinel pepper activate makes a retired pepper active again, as long as its secret
is listed. What was forgotten is not brought back.";

pub(super) const EXPORT: &str = "\
Examples:
  sentinel bindings export keys.jsonl
  sentinel bindings export | gzip > keys.jsonl.gz
  sentinel bindings export | ssh other sentinel bindings import -

JSON Lines, a key a line, archived and observed ones too. Holds no key and no pepper; digests that
only the pepper's owner can make. What changes while it runs may or may not be in it: to move, stop
the traffic or set binding.first_use = \"deny\" first. The audit is not in it (sentinel audit export).

Changes: nothing in the server.";

pub(super) const IMPORT: &str = "\
Examples:
  sentinel bindings import keys.jsonl
  zcat keys.jsonl.gz | sentinel bindings import -

Changes: keys that the store does not know are added as they were, with owner, ban, times, note,
candidates and archive. A key that it knows, by its id or its digest, is left alone, and told if it
differs. Every 500 keys are one transaction and one audit record; after a fault the same file can be
imported again, and the rest is taken in. The server must list the peppers that the file's first
line names; none of it is imported otherwise.
To take it back: there is no undo of a whole import; each key has sentinel unbind and unban.";

pub(super) const AUDIT_EXPORT: &str = "\
Examples:
  sentinel audit export > audit.csv
  sentinel audit export --since 2026-11-01 --until 2026-12-01 --kind denied > november.csv
  sentinel audit export --since 7d --format jsonl | jq -r '[.network // \"-\", .count] | @tsv' |
    awk '{n[$1]+=$2} END {for (k in n) print n[k], k}' | sort -rn       who is refused most

Changes: nothing. COUNT says how many denials one record is: add it up, do not count the records. The order is that in which the server stored them; what it stores meanwhile is not
in it. Columns and names are those of `sentinel audit list`. In CSV, a text that a spreadsheet would
take for a formula has an apostrophe before it.";

pub(super) const AUDIT_TAIL: &str = "\
Examples:
  sentinel audit tail --kind denied
  sentinel audit tail --key 0a1b2c3d --output json

Changes: nothing. With --output json a JSON document a line, with --output csv the lines of
`sentinel audit export`.";
