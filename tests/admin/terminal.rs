//! What a person at a terminal sees, and is asked.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Command, Stdio},
};

use key_ip_sentinel::{
    domain::{Fingerprint, Pepper},
    store::Action,
};
use nix::pty::{Winsize, openpty};

use crate::{
    ATTACKER, KEY, OWNER, Sentinel, ago, append, ask, audit, bind, change, client_of,
    common::{PEPPER, sentinel},
    crafted, decide, denied, fingerprint, hours, id_of, observe, says, seeded,
};

const ID: &str = "k_0a1b2c3d000000000000000000000001";

fn listed() -> Fingerprint {
    crafted(0x0a1b_2c3d_0000_0000_0000_0000_0000_0001)
}

/// Of the environment.
type Variable = (&'static str, &'static str);

/// A command whose three streams are one terminal of this width, with this typed into it: its exit code and all that
/// was on the screen.
fn at_terminal(
    sentinel: &Sentinel,
    args: &[&str],
    typed: &str,
    width: u16,
    environment: &[(&str, &str)],
) -> (i32, String) {
    let size = Winsize { ws_row: 50, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(&size, None).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().envs(environment.iter().copied());
    command.args(["--admin", &format!("unix:{}", sentinel.home().admin_socket().display())]).args(args);
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
    // Closes this end, or reading the screen would never end.
    drop((command, pty.slave));
    let mut screen = File::from(pty.master);
    // Then the end of the input, so that an unexpected further question does not wait indefinitely.
    screen.write_all(format!("{typed}\u{4}").as_bytes()).unwrap();
    let (mut shown, mut some) = (Vec::new(), [0; 4096]);
    // A terminal whose last program has gone answers with an error.
    while let Ok(count @ 1..) = screen.read(&mut some) {
        shown.extend_from_slice(&some[..count]);
    }
    let code = child.wait().unwrap().code().unwrap();
    (code, String::from_utf8(shown).unwrap().replace("\r\n", "\n"))
}

fn plain(sentinel: &Sentinel, args: &[&str], typed: &str) -> (i32, String) {
    at_terminal(sentinel, args, typed, 200, &[("NO_COLOR", "1")])
}

#[tokio::test]
async fn unbind_asks_a_person_and_does_nothing_without_a_yes() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await).await;
    let id = id_of(KEY);
    for (args, then) in [
        (&["unbind", &id[..12]][..], "Every client will be denied until you name its network."),
        (&["unbind", &id, "--open"], "The next network that uses it will own it, even an attacker's."),
        (&["bindings", "set", &id, "--reserve"], "Every client will be denied until you name its network."),
    ] {
        for no in ["n\n", "\n", "yep\n", "\u{4}"] {
            let (code, shown) = plain(&sentinel, args, no);
            let question = format!("{id} (sk-l…cdef): learned, 203.0.113.7/32.\n{then}\nContinue? [y/N] ");
            assert!(code == 1 && shown.contains(&question), "{args:?} {no:?}: {shown}");
            assert!(shown.contains("error: not confirmed; nothing was changed"), "{shown}");
        }
    }
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "bound");
    assert_eq!(audit(&mut client_of(&sentinel).await, "unbind").await, []);

    let (code, shown) = plain(&sentinel, &["unbind", &id], "y\n");
    assert!(code == 0 && shown.contains(&format!("{id} is reserved: every client is denied.\n")), "{shown}");
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "not_claimed");
}

#[tokio::test]
async fn yes_or_an_explicit_outcome_skips_the_question() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await).await;
    let id = id_of(KEY);
    for args in [
        &["unbind", &id, "--to", ATTACKER][..],
        &["bindings", "set", &id, OWNER],
        &["bindings", "note", &id, "a note"],
        &["ban", &id],
        &["unban", &id],
        &["unbind", &id, "--yes"],
        &["undo", "7", "--yes"],
        &["unbind", &id, "--open", "-y"],
    ] {
        let (code, shown) = plain(&sentinel, args, "");
        assert!(code == 0 && !shown.contains("Continue?"), "{args:?}: {shown}");
    }
}

#[tokio::test]
async fn scripts_do_what_they_always_did_and_say_yes_to_what_is_new() {
    let sentinel = seeded(async |store| {
        bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await;
        observe(store, crafted(7), OWNER, ago(hours(1))).await;
    })
    .await;
    let id = id_of(KEY);
    let said = "error: this command asks for confirmation, and standard input or standard error is not a terminal; use --yes\n";
    for args in [&["bindings", "promote"][..], &["undo", "1"], &["bindings", "set", &id, "--reserve"]] {
        let seen = ask(&sentinel, args);
        assert_eq!((seen.code, seen.out.as_str(), seen.err.as_str()), (2, "", said), "{args:?}");
    }
    let mut api = client_of(&sentinel).await;
    assert_eq!(audit(&mut api, "").await.len(), 1, "the first use alone");
    for args in [&["unbind", &id][..], &["unbind", &id, "--open"], &["ban", "--key-file", "-"], &["unban", &id]] {
        assert_eq!(ask(&sentinel, args).code, 0, "{args:?}");
    }
    assert_eq!(ask(&sentinel, &["bindings", "promote", "--dry-run"]).code, 0, "a dry run changes nothing");
}

#[tokio::test]
async fn forgetting_the_keys_of_a_pepper_asks_for_confirmation() {
    let secrets = [PEPPER, "another-pepper-for-tests-0123456789-abcd"];
    let sentinel = sentinel().set("pepper.secrets", &format!("{secrets:?}")).start().await;
    decide(&sentinel, KEY, OWNER).await;
    let [old, new] = secrets.map(|secret| Pepper::new(secret.as_bytes()).unwrap().id().to_string());
    says(&sentinel, &["pepper", "activate", &new]);
    let forget = ["pepper", "retire", &old, "--forget"];
    let (code, shown) = plain(&sentinel, &forget, "n\n");
    assert!(code == 1 && shown.contains(&format!("under pepper {old} will lose its owner")), "{shown}");
    // What was typed is echoed before the question or after it.
    assert!(
        shown.contains("Continue? [y/N] ") && shown.contains("error: not confirmed; nothing was changed"),
        "{shown}"
    );
    assert_eq!(decide(&sentinel, KEY, ATTACKER).await, "ip_mismatch");
    let (code, shown) = plain(&sentinel, &forget, "y\n");
    assert!(code == 0 && shown.contains(&format!("Pepper {old} is retired")), "{shown}");
}

#[tokio::test]
async fn undo_and_promote_say_what_they_are_about_to_do() {
    let sentinel = seeded(async |store| {
        bind(store, fingerprint(KEY), OWNER, ago(hours(2))).await;
        change(store, &fingerprint(KEY), Action::Reserve, ago(hours(1))).await;
        for (key, networks) in [(7, &[OWNER][..]), (8, &[OWNER]), (9, &[OWNER, ATTACKER])] {
            for network in networks {
                observe(store, crafted(key), network, ago(hours(1))).await;
            }
        }
    })
    .await;
    let id = id_of(KEY);
    let (code, shown) = plain(&sentinel, &["undo", "2"], "n\n");
    let question = format!(
        "Record 2: unbind of {id} by uid:0, 1h ago: networks 203.0.113.7/32 -> reserved\nThis change will be reversed.\nContinue? [y/N] "
    );
    assert!(code == 1 && shown.contains(&question), "{shown}");
    let (code, shown) = plain(&sentinel, &["undo", "2"], "yes\n");
    assert!(code == 0 && shown.contains("reserved -> 203.0.113.7/32"), "{shown}");
    let (code, shown) = plain(&sentinel, &["undo", "99"], "");
    assert!(code == 1 && shown.contains("there is no record 99"), "{shown}");

    let (code, shown) = plain(&sentinel, &["bindings", "promote"], "\n");
    assert!(
        code == 1
            && shown.contains(
                "Promote 3 keys:\n  2 keys that only one network used: that network will own the key\n  1 key that several networks"
            ),
        "{shown}"
    );
    assert_eq!(audit(&mut client_of(&sentinel).await, "promote").await, []);
    let (code, shown) = plain(&sentinel, &["bindings", "promote"], "y\n");
    assert!(
        code == 0 && shown.contains("promoted 3 of 3") && shown.contains("2 bound, 1 reserved, 0 skipped."),
        "{shown}"
    );
    let (code, shown) = plain(&sentinel, &["bindings", "promote"], "");
    assert!(code == 0 && shown.contains("There are no observed keys to promote."), "{shown}");
}

#[tokio::test]
async fn colours_are_for_terminals_that_want_them() {
    let sentinel = seeded(async |store| {
        bind(store, listed(), OWNER, ago(hours(2))).await;
        append(store, vec![denied(&listed(), 3, ago(hours(1)))]).await;
        change(store, &listed(), Action::Ban { lasting: None, reason: None }, ago(hours(1))).await;
    })
    .await;
    let at = |args: &[&str], environment: &[(&str, &str)]| at_terminal(&sentinel, args, "", 300, environment).1;
    let audit = at(&["audit", "list"], &[]);
    for painted in ["\u{1b}[1mKIND\u{1b}[0m", "\u{1b}[31mdenied\u{1b}[0m", "\u{1b}[32mfirst_use\u{1b}[0m"] {
        assert!(audit.contains(painted), "{audit:?}");
    }
    assert!(at(&["bindings", "list"], &[]).contains("\u{1b}[31mindefinite\u{1b}[0m"));
    let grey: [(&[&str], &[Variable]); 3] = [
        (&["audit", "list"], &[("NO_COLOR", "1")]),
        (&["audit", "list"], &[("TERM", "dumb")]),
        (&["audit", "list", "--color", "never"], &[]),
    ];
    for (args, environment) in grey {
        assert!(!at(args, environment).contains('\u{1b}'), "{args:?} {environment:?}");
    }
    let json = at(&["audit", "list", "--output", "json"], &[]);
    assert!(!json.contains('\u{1b}') && serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    assert!(at(&["audit", "list", "--color", "always"], &[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!says(&sentinel, &["audit", "list"]).contains('\u{1b}'));
    assert!(says(&sentinel, &["audit", "list", "--color", "always"]).contains('\u{1b}'));
    let without = |text: String| {
        ["1", "31", "32", "0"].iter().fold(text, |text, code| text.replace(&format!("\u{1b}[{code}m"), ""))
    };
    let painted = without(says(&sentinel, &["audit", "list", "--color", "always"]));
    assert_eq!(painted, says(&sentinel, &["audit", "list"]), "colours move no column");
}

#[tokio::test]
async fn a_narrow_terminal_gets_every_fact_and_no_broken_line() {
    let sentinel = seeded(async |store| bind(store, listed(), OWNER, ago(hours(2))).await).await;
    let at = |width| at_terminal(&sentinel, &["bindings", "list"], "", width, &[("NO_COLOR", "1")]).1;
    let wide = says(&sentinel, &["bindings", "list"]);
    assert_eq!(at(120), wide);
    assert_eq!(
        at(90),
        "KEY             HINT       STATE    NETWORKS        SINCE   USED  BAN  NOTE\n\
         k_0a1b2c3d0000  sk-l…cdef  learned  203.0.113.7/32  2h ago  -     -    -\n"
    );
    assert_eq!(
        says(&sentinel, &["bindings", "show", "k_0a1b2c3d0000"]).lines().next().unwrap(),
        format!("key       {ID}")
    );
    assert_eq!(
        at(40),
        "KEY       k_0a1b2c3d0000\nHINT      sk-l…cdef\nSTATE     learned\nNETWORKS  203.0.113.7/32\nSINCE     2h ago\n\
         USED      -\nBAN       -\nNOTE      -\n"
    );
    let audit = at_terminal(&sentinel, &["audit", "list"], "", 60, &[("NO_COLOR", "1")]).1;
    assert!(audit.contains("\nWHAT      -\nDECISION  a-decision\n"), "{audit}");
    assert_eq!(at(0), wide, "a terminal that does not know its width gets whole lines");
}
