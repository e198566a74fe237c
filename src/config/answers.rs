//! `answers.help`: what every denial tells a locked-out owner.

use http::Uri;

use super::source::Source;
use crate::{domain::text, settings::Help};

/// The longest text, in characters, and the longest URL. With them every body stays below the 8 KiB at which the shipped
/// Envoy files cut.
const MAX: usize = 500;

pub(super) fn take(source: &mut Source) -> Option<Help> {
    let text = source.take_if_written("answers.help.text", help_text);
    let url = source.take_if_written("answers.help.url", help_url);
    Some(Help { text: text?, url: url? })
}

fn help_text(written: &str) -> Result<String, String> {
    let length = written.chars().count();
    if length > MAX {
        return Err(format!("the text has {length} characters; at most {MAX} are possible"));
    }
    if written.chars().any(text::is_control) {
        return Err("the text has a control character, such as a line end or a turn of the writing's direction; it is shown in one line".into());
    }
    if written.trim().is_empty() {
        return Err("the text is blank".into());
    }
    Ok(written.to_owned())
}

/// A client shows it as a link, so it is one that means the same everywhere: absolute, and nothing to be escaped.
fn help_url(text: &str) -> Result<String, String> {
    let fault = || format!("{text:?} is not an absolute http:// or https:// URL");
    if text.len() > MAX {
        return Err(format!("the URL has {} characters; at most {MAX} are possible", text.len()));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)) {
        return Err(format!("{text:?} has characters that a URL must percent-encode"));
    }
    let uri: Uri = text.parse().map_err(|_| fault())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(fault());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the URL has a user's name or password in it; everyone who is refused would read them".into());
    }
    Ok(text.to_owned())
}
