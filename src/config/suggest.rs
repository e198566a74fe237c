//! Names the setting that an unknown name probably means.

use super::settings::SETTINGS;

/// Describes the fault of `key`, which is not a setting. `write` makes the name of a setting as it is written in this
/// place.
pub(super) fn unknown(key: &str, write: impl Fn(&str) -> String) -> String {
    const ALL: &str = "docs/configuration.md lists the settings";
    let section =
        SETTINGS.iter().find(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
    if let Some(setting) = section {
        return format!("is a section of settings, such as {}; {ALL}", write(setting.key));
    }
    match nearest(key) {
        // In TOML, a line below `[client_ip]` is a setting of that section.
        Some(known) if key.contains('.') && !known.contains('.') && write(&known) == known => {
            format!("unknown setting; did you mean {known}, which belongs above the first [section]? {ALL}")
        }
        Some(known) => format!("unknown setting; did you mean {}? {ALL}", write(&known)),
        None => format!("unknown setting; {ALL}"),
    }
}

/// Returns the setting with the fewest differences; failing that, the only one with this last name in another section.
pub(super) fn nearest(key: &str) -> Option<String> {
    let known = || SETTINGS.iter().map(|setting| with_name(setting.key, key));
    let close = known().map(|known| (strsim::damerau_levenshtein(key, &known), known)).min();
    let most = (key.len() / 4).clamp(1, 3);
    if let Some((_, known)) = close.filter(|(differences, _)| *differences <= most) {
        return Some(known);
    }
    let last = |key: &str| key.rsplit('.').next().map(str::to_owned);
    let mut moved = known().filter(|known| last(known) == last(key));
    moved.next().filter(|_| moved.next().is_none())
}

/// The setting, with the operator's own name in the place of `NAME`.
fn with_name(setting: &str, key: &str) -> String {
    let (own, known): (Vec<_>, Vec<_>) = (key.split('.').collect(), setting.split('.').collect());
    match known.iter().position(|name| *name == "NAME") {
        Some(place) if own.len() == known.len() => {
            let mut names = known;
            names[place] = own[place];
            names.join(".")
        }
        _ => setting.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{env_name, tests::load_text};
    use super::*;

    #[test]
    fn the_nearest_setting_is_named() {
        for (key, expected) in [
            ("modes", Some("mode")),
            ("binding.prefx_v4", Some("binding.prefix_v4")),
            ("listner.grpc", Some("listen.grpc")),
            ("listen.gprc", Some("listen.grpc")),
            ("listen_grpc", Some("listen.grpc")),
            ("grpc_mode", Some("listen.grpc_mode")),
            ("log_level", Some("log.level")),
            ("server.trusted_proxies", Some("client_ip.trusted_proxies")),
            ("credentials.custom.acme.carrier", Some("credentials.custom.acme.carriers")),
            // Two settings have this last name.
            ("database.url", None),
            ("binding.confirm", None),
            ("unknown", None),
            ("no_such", None),
            ("x", None),
        ] {
            assert_eq!(nearest(key).as_deref(), expected, "{key}");
        }
        assert_eq!(
            unknown("listen_grpc", env_name),
            "unknown setting; did you mean SENTINEL_LISTEN__GRPC? docs/configuration.md lists the settings"
        );
        let misplaced = unknown("client_ip.mode", str::to_owned);
        assert!(misplaced.contains("did you mean mode, which belongs above the first [section]?"), "{misplaced}");
        let section = unknown("listen", str::to_owned);
        assert!(section.starts_with("is a section of settings, such as listen.grpc; "), "{section}");
    }

    #[test]
    fn the_line_of_an_unknown_setting_is_named() {
        let text = "mode = 'enforce'\n\n[listen]\ngrcp = 'unix:/a'\n[credentials.custom.acme]\n\
                    carrier = [\n  'x',\n]\n[[servers]]\nname = 'a'\n";
        let faults = load_text(text, &[]).unwrap_err();
        for expected in [
            "FILE: line 4: listen.grcp: unknown setting; did you mean listen.grpc?",
            "FILE: line 6: credentials.custom.acme.carrier: unknown setting; did you mean credentials.custom.acme.carriers?",
            "FILE: line 9: servers: unknown setting; docs/",
        ] {
            assert!(faults.contains(expected), "{expected}\n{faults}");
        }
        let inline = load_text("listen = { grcp = 'unix:/a' }\n'a.b' = 1", &[]).unwrap_err();
        assert!(inline.contains("FILE: line 1: listen.grcp: unknown"), "{inline}");
        assert!(inline.contains("FILE: a.b: unknown"), "{inline}");
    }
}
