//! `pepper.*`.

use super::{
    source::{HMAC_SECRET_FILE, SecretFile, Source},
    values::secret,
};
use crate::domain::{Pepper, PepperListError, Peppers};

/// `Some(None)` without a configured pepper, `None` after a fault.
pub(super) fn take(source: &mut Source) -> Option<Option<Peppers>> {
    let before = source.faults.clone();
    let from_text = |text: &str| Pepper::from_setting(text).map_err(|fault| fault.to_string());
    let from_file = |file: &str| secret(file, Pepper::checked);
    let mut peppers = source.take_list("pepper.secrets", from_text);
    let secret_file = |name, file: &str| SecretFile { name, path: file.into() };
    for (file, pepper) in source.take_list("pepper.secrets_file", |file| Ok((file.to_owned(), from_file(file)?))) {
        source.secret_files.push(secret_file("pepper.secrets_file", &file));
        peppers.push(pepper);
    }
    for (name, value) in std::mem::take(&mut source.hmac_secret) {
        let is_file = name == HMAC_SECRET_FILE;
        if is_file {
            source.secret_files.push(secret_file(name, &value));
        }
        match if is_file { from_file(&value) } else { from_text(&value) } {
            Ok(pepper) => peppers.push(pepper),
            Err(fault) => source.faults.push(format!("{name}: {fault}")),
        }
    }
    let peppers = match Peppers::new(peppers) {
        Ok(peppers) => Some(peppers),
        Err(PepperListError::Empty) => None,
        Err(fault) => {
            source.faults.push(format!("pepper.secrets and pepper.secrets_file (with SENTINEL_HMAC_SECRET): {fault}"));
            None
        }
    };
    (source.faults == before).then_some(peppers)
}
