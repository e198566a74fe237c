//! `answers.help`: the text and link in every denial, for an owner who is locked out.

use http::Uri;

use super::source::Source;
use crate::{domain::text, settings::Help};

/// The maximum length of the text, in characters, and of the URL, in bytes. They keep every body below 8 KiB, where the
/// shipped Envoy files truncate it.
const MAX: usize = 500;

pub(super) fn take(source: &mut Source) -> Option<Help> {
    let text = source.take_if_written("answers.help.text", help_text);
    let url = source.take_if_written("answers.help.url", help_url);
    Some(Help { text: text?, url: url? })
}

fn help_text(written: &str) -> Result<String, String> {
    let length = written.chars().count();
    if length > MAX {
        return Err(format!("the text has {length} characters; the maximum is {MAX}"));
    }
    if written.chars().any(text::is_control) {
        return Err("the text has a control character, such as a line break or a bidirectional control character; use one line of \
                    plain text".into());
    }
    if written.trim().is_empty() {
        return Err("the text is blank".into());
    }
    Ok(written.to_owned())
}

/// Clients show it as a link, so it must be absolute and need no escaping.
fn help_url(text: &str) -> Result<String, String> {
    let fault = || format!("{text:?} is not an absolute http:// or https:// URL");
    if text.len() > MAX {
        return Err(format!("the URL has {} characters; the maximum is {MAX}", text.len()));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err(format!("{text:?} has characters that must be percent-encoded"));
    }
    let uri: Uri = text.parse().map_err(|_| fault())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(fault());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the URL contains a user name or password, which every denied client would see; remove them".into());
    }
    Ok(text.to_owned())
}
