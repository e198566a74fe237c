//! Field errors of the server, with the option that the operator typed in place of the field of the request.

/// A field of a request, the option or argument that sets it, and advice to add to the error.
const FIELDS: [(&str, &str, &str); 32] = [
    ("key.key_id", "REF", ""),
    ("key.api_key", "--key-file", "see --profile"),
    ("key.profile", "--profile", ""),
    ("to", "--to", ""),
    ("open", "--open", ""),
    ("lasting_ms", "--for", ""),
    ("until_ms", "--until", ""),
    ("until_ago_ms", "--until", ""),
    ("reason", "--reason", ""),
    ("networks", "CIDR", ""),
    ("reserve", "--reserve", ""),
    ("text", "TEXT", ""),
    ("remove", "--remove", ""),
    ("record", "RECORD", ""),
    ("state", "--state", ""),
    ("hint", "--hint", ""),
    ("observed_only", "--observed", ""),
    ("banned_only", "--banned", ""),
    ("network", "--network", ""),
    ("limit", "--limit", ""),
    ("offset", "--offset", ""),
    ("kind", "--kind", ""),
    ("since_ms", "--since", ""),
    ("within_ms", "--since", ""),
    ("decision_id", "--decision", ""),
    ("id", "ID", ""),
    ("head", "standard input", ""),
    ("peer", "--peer", ""),
    ("metadata", "--metadata", ""),
    ("profile", "--profile", ""),
    ("missing", "--missing", ""),
    ("mode", "--mode", ""),
];

/// Replaces the field at the start of `error`. An error about no known field stays as it is, such as one about a line
/// of an imported file.
pub(super) fn by_option(error: &str) -> String {
    let Some((field, cause)) = error.split_once(": ") else { return error.to_owned() };
    match FIELDS.iter().find(|(known, ..)| *known == field) {
        Some((_, option, "")) => format!("{option}: {cause}"),
        Some((_, option, advice)) => format!("{option}: {cause}; {advice}"),
        None => error.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::Cli;

    const KEY: [&str; 3] = ["key.key_id", "key.api_key", "key.profile"];

    /// Every command whose request has fields, and the fields that the service checks.
    const COMMANDS: [(&str, &[&str]); 16] = [
        ("bindings list", &["state", "banned_only", "network", "limit", "offset", "observed_only", "hint"]),
        ("bindings show", &KEY),
        ("bindings set", &["key.key_id", "key.api_key", "key.profile", "networks", "reserve"]),
        ("bindings claim", &["key.api_key", "key.profile", "networks"]),
        ("bindings note", &["key.key_id", "key.api_key", "key.profile", "text", "remove"]),
        ("unbind", &["key.key_id", "key.api_key", "key.profile", "to", "open"]),
        ("ban", &["key.key_id", "key.api_key", "key.profile", "lasting_ms", "until_ms", "reason"]),
        ("unban", &KEY),
        ("undo", &["record"]),
        ("explain", &["head", "peer", "metadata", "profile", "missing", "mode"]),
        (
            "audit list",
            &["key.key_id", "key.api_key", "key.profile", "kind", "since_ms", "within_ms", "decision_id", "limit"],
        ),
        ("audit export", &["key.key_id", "kind", "since_ms", "within_ms", "until_ms", "until_ago_ms", "decision_id"]),
        ("audit tail", &["key.key_id", "kind"]),
        ("pepper activate", &["id"]),
        ("pepper retire", &["id"]),
        // An error about the file names its line.
        ("bindings import", &[]),
    ];

    /// Commands that call no server, or send it an empty request.
    const WITHOUT_FIELDS: [&str; 11] = [
        "serve",
        "check-config",
        "migrate",
        "doctor",
        "pepper new",
        "completions",
        "man",
        "status",
        "bindings promote",
        "bindings export",
        "pepper list",
    ];

    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let mut below = command.get_subcommands().peekable();
        if below.peek().is_none() {
            found.push((path.trim_start().to_owned(), command.clone()));
        }
        below.for_each(|command| leaves(command, &format!("{path} {}", command.get_name()), found));
    }

    /// `--to` and, without the dashes, the names of positional values.
    fn options(command: &clap::Command) -> BTreeSet<String> {
        let names = command.get_arguments().flat_map(|arg| {
            let values = arg.get_value_names().unwrap_or_default().iter().flat_map(|name| name.split('|'));
            let values: Vec<_> = values.map(str::to_owned).collect();
            arg.get_long().map(|long| format!("--{long}")).into_iter().chain(values)
        });
        names.chain((command.get_name() == "explain").then(|| "standard input".to_owned())).collect()
    }

    #[test]
    fn each_field_of_each_command_has_an_option_of_that_command() {
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        let with_fields = COMMANDS.iter().map(|(path, _)| *path);
        let listed: BTreeSet<_> = with_fields.chain(WITHOUT_FIELDS).collect();
        assert_eq!(listed, commands.iter().map(|(path, _)| path.as_str()).collect(), "commands of this test");
        for (path, fields) in COMMANDS {
            let (_, command) = commands.iter().find(|(found, _)| found == path).unwrap();
            for field in fields {
                let shown = by_option(&format!("{field}: cause"));
                let (option, cause) = shown.split_once(": ").unwrap();
                assert!(options(command).contains(option), "sentinel {path}: {field} is shown as {option}");
                assert!(cause.starts_with("cause"), "{shown}");
            }
        }
        let used: BTreeSet<_> = COMMANDS.iter().flat_map(|(_, fields)| fields.iter().copied()).collect();
        let known: BTreeSet<_> = FIELDS.iter().map(|(field, ..)| *field).collect();
        assert_eq!(known, used, "each entry is used");
    }

    #[test]
    fn other_errors_are_unchanged_and_advice_is_added() {
        for text in ["", "no colon", "line 3: binding.networks: is missing", "other: cause"] {
            assert_eq!(by_option(text), text);
        }
        let advised = by_option("key.api_key: not a key of profile generic");
        assert_eq!(advised, "--key-file: not a key of profile generic; see --profile");
    }
}
