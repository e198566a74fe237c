//! Peppers and the files that hold secrets.

use super::*;
use crate::domain::Pepper;

#[test]
fn peppers_from_all_of_their_places() {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let id = Pepper::new(SECRET.as_bytes()).unwrap().id();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let file = file.display().to_string();
    for (text, env) in [
        (format!("[pepper]\nsecrets = ['{SECRET}']"), vec![]),
        (format!("[pepper]\nsecrets_file = ['{file}']"), vec![]),
        (String::new(), vec![("SENTINEL_PEPPER__SECRETS", SECRET)]),
        (String::new(), vec![("SENTINEL_PEPPER__SECRETS_FILE", &*file)]),
        (String::new(), vec![("SENTINEL_HMAC_SECRET", SECRET)]),
        (String::new(), vec![("SENTINEL_HMAC_SECRET_FILE", &*file)]),
    ] {
        assert_eq!(load_text(&text, &env).unwrap().peppers.unwrap().names(), id.as_str(), "{text} {env:?}");
    }
    let other = "another-0123456789abcdef0123456789abcdef";
    let two = load_text(&format!("[pepper]\nsecrets_file = ['{file}']"), &[("SENTINEL_HMAC_SECRET", other)]).unwrap();
    assert_eq!(two.peppers.unwrap().names(), format!("{id}, {}", Pepper::new(other.as_bytes()).unwrap().id()));
    for (listed, fault) in [
        (vec![SECRET, other, SECRET], format!("pepper {id} is listed twice")),
        (vec![SECRET, other, &*"xy".repeat(16), &*"yz".repeat(16)], "4 peppers are listed".to_owned()),
    ] {
        let faults = load_text(&format!("[pepper]\nsecrets = {listed:?}"), &[]).unwrap_err();
        assert!(faults.contains(&fault) && !faults.contains(SECRET), "{faults}");
    }
    let debug = format!("{:?}", load_text(&format!("[pepper]\nsecrets = ['{SECRET}']"), &[]).unwrap());
    assert!(!debug.contains(SECRET), "{debug}");
}

#[test]
fn a_secret_without_chance_is_no_pepper() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    for secret in ["a".repeat(64), " ".repeat(32), " \t ".repeat(20)] {
        let faults = load_text("", &[("SENTINEL_HMAC_SECRET", &secret)]).unwrap_err();
        assert!(faults.starts_with("SENTINEL_HMAC_SECRET: a pepper must be random"), "{faults}");
    }
    std::fs::write(&file, "a".repeat(64)).unwrap();
    let faults = load_text(&format!("pepper.secrets_file = ['{}']", file.display()), &[]).unwrap_err();
    assert!(faults.contains("pepper.secrets_file: ") && faults.contains("must be random"), "{faults}");
}

#[test]
fn a_path_is_no_pepper_and_neither_are_two_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    let line = "0123456789abcdef0123456789abcdef";
    for path in [
        "/etc/sentinel/pepper-0123456789abcdef",
        "/run/secrets/pepper",
        "./pepper-0123456789abcdef0123456789abcdef",
        "file:pepper-0123456789abcdef0123456789abcdef",
    ] {
        let list = format!("pepper.secrets = ['{path}']");
        let faults = [
            load_text(&list, &[]),
            load_text("", &[("SENTINEL_PEPPER__SECRETS", path)]),
            load_text("", &[("SENTINEL_HMAC_SECRET", path)]),
        ];
        for fault in faults.map(Result::unwrap_err) {
            assert!(fault.contains("looks like a path, not a secret: set pepper.secrets_file"), "{fault}");
            assert!(!fault.contains("0123456789abcdef"), "{fault}");
        }
    }
    for (text, lines) in [(format!("{line}\n{line}\n"), 2), (format!("{line}\r\n\r\n{line}"), 3)] {
        std::fs::write(&file, &text).unwrap();
        let place = file.to_str().unwrap();
        for (setting, value) in [
            ("SENTINEL_PEPPER__SECRETS_FILE", place),
            ("SENTINEL_HMAC_SECRET_FILE", place),
            ("SENTINEL_PEPPER__SECRETS", &text),
            ("SENTINEL_HMAC_SECRET", &text),
        ] {
            let fault = load_text("", &[(setting, value)]).unwrap_err();
            assert!(fault.contains(&format!("has {lines} lines; put one secret in each file")), "{fault}");
            assert!(!fault.contains(line), "{fault}");
        }
    }
    // A secret that happens to begin like a path, and raw bytes that happen to have a line break.
    for secret in [format!("/{line}\n").into_bytes(), [&[0xff, b'\n'], line.as_bytes()].concat()] {
        std::fs::write(&file, secret).unwrap();
        assert!(load_text("", &[("SENTINEL_PEPPER__SECRETS_FILE", file.to_str().unwrap())]).is_ok());
    }
}

#[test]
fn a_fifo_or_a_device_does_not_hang_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for place in [fifo.to_str().unwrap(), "/dev/zero"] {
        for (setting, value) in [
            ("SENTINEL_LISTEN__CALLER_TOKEN_FILE", "listen.caller_token_file"),
            ("SENTINEL_PEPPER__SECRETS_FILE", "pepper.secrets_file"),
            ("SENTINEL_HMAC_SECRET_FILE", "SENTINEL_HMAC_SECRET_FILE"),
        ] {
            let faults = load_text("", &[(setting, place)]).unwrap_err();
            assert!(faults.contains(value) && faults.contains("is not a regular file"), "{faults}");
        }
        let faults = load(Some(Path::new(place)), []).unwrap_err().to_string();
        assert_eq!(faults, format!("{place}: is not a regular file"));
    }
    let large = directory.path().join("large");
    std::fs::write(&large, "a".repeat((64 << 10) + 1)).unwrap();
    let faults = load_text("", &[("SENTINEL_HMAC_SECRET_FILE", large.to_str().unwrap())]).unwrap_err();
    assert!(faults.contains("has more than 65536 bytes"), "{faults}");
}
