//! Errors of the command line.
//!
//! clap's errors repeat the argument that it does not understand. Here that may be an API key, which would then be in a
//! terminal, a CI log or a support ticket. These errors are made of the definitions of the commands only, and repeat
//! nothing that was typed.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::failure::Failure;

const NOT_REPEATED: &str = "(not repeated here: it may be a key)";

/// Prints help or the version, or returns the error.
pub(super) fn report(error: &clap::Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(error.print()?),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::Usage(format!("a command is missing\n\n{}", error.render())))
        }
        _ => Err(Failure::Usage(explain(error))),
    }
}

fn explain(error: &clap::Error) -> String {
    // For these kinds clap gives the argument as it is defined, not as it was typed.
    let argument = || context(error, ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    let text = match error.kind() {
        ErrorKind::UnknownArgument => {
            format!("unexpected argument {NOT_REPEATED}{}", suggestion(error, ContextKind::SuggestedArg))
        }
        ErrorKind::InvalidSubcommand => {
            let known = synonym(error).unwrap_or_else(|| suggestion(error, ContextKind::SuggestedSubcommand));
            format!("unknown command {NOT_REPEATED}{known}")
        }
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => format!("{}: {why}", argument()),
            None => format!("{}: not a valid value {NOT_REPEATED}", argument()),
        },
        ErrorKind::InvalidValue => match context(error, ContextKind::ValidValue) {
            Some(words) => format!("{}: must be one of {words}", argument()),
            None => format!("{}: needs a value", argument()),
        },
        ErrorKind::MissingRequiredArgument => format!("missing {}", argument()),
        ErrorKind::ArgumentConflict => conflict(&argument(), context(error, ContextKind::PriorArg)),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8".to_owned(),
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        _ => format!("{}: not valid here", argument()),
    };
    format!("{text}; --help shows how")
}

fn conflict(argument: &str, prior: Option<String>) -> String {
    match prior {
        Some(prior) if prior != argument => format!("{argument} and {prior} cannot be used together"),
        _ => format!("{argument} is given more than once"),
    }
}

/// Command names that other programs use, and the command here.
const SYNONYMS: [(&str, &str); 4] = [
    ("move", "to give a key to another network, use sentinel unbind REF --to CIDR"),
    ("mode", "the mode is a setting, SENTINEL_MODE"),
    ("promote", "use sentinel bindings promote"),
    ("rotate", "to rotate the pepper, use sentinel pepper activate"),
];

fn synonym(error: &clap::Error) -> Option<String> {
    let typed = context(error, ContextKind::InvalidSubcommand)?;
    let (_, known) = SYNONYMS.into_iter().find(|(word, _)| *word == typed)?;
    Some(format!("; {known}"))
}

fn suggestion(error: &clap::Error, kind: ContextKind) -> String {
    context(error, kind).map(|known| format!("; did you mean {known}?")).unwrap_or_default()
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) if !texts.is_empty() => Some(texts.join(", ")),
        _ => None,
    }
}
