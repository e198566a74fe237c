//! Permissions and owners, on files that a real server made.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use key_ip_sentinel::doctor::Code;

use crate::{
    chmod,
    common::{Home, PEPPER, Sentinel, sentinel},
    doctor, told,
};

/// A server with everything that has permissions.
fn home() -> Home {
    let home = sentinel().unset("pepper.secrets").on_unix_socket().with_caller_token();
    chmod(&home.path().join("caller-token"), 0o600);
    home
}

fn paths(sentinel: &Sentinel) -> [(Code, std::path::PathBuf); 6] {
    let home = sentinel.home();
    [
        (Code::DataDirPermissions, home.data_dir()),
        (Code::PepperPermissions, home.data_dir().join("pepper")),
        (Code::CallerTokenPermissions, home.path().join("caller-token")),
        (Code::DatabasePermissions, home.database()),
        (Code::GrpcSocketPermissions, home.path().join("grpc.sock")),
        (Code::AdminSocketPermissions, home.admin_socket()),
    ]
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[tokio::test]
async fn each_mode_is_found_told_with_its_fix_and_left_as_it_is() {
    let sentinel = home().start().await;
    let healthy = told(sentinel.home(), &[]);
    assert_eq!(healthy.assert_nothing().code, 0);
    for (code, path) in paths(&sentinel) {
        assert!(healthy.checked.contains(code.as_str()), "{healthy:?}");
        let right = mode(&path);
        for others in [0o004, 0o002, 0o040, 0o020] {
            if code == Code::CallerTokenPermissions && others == 0o040 {
                // The file's group is the server's own here: so Kubernetes mounts a Secret.
                chmod(&path, 0o640);
                told(sentinel.home(), &[]).assert_nothing();
                chmod(&path, right);
                continue;
            }
            let wrong = right ^ others;
            chmod(&path, wrong);
            let found = told(sentinel.home(), &[]);
            assert_eq!(mode(&path), wrong, "a doctor who cures unasked");
            chmod(&path, right);
            assert_eq!(found.code, 1);
            // A group may have been let in on purpose; a socket and the data folder have one right mode only.
            let is_file =
                [Code::PepperPermissions, Code::CallerTokenPermissions, Code::DatabasePermissions].contains(&code);
            let severity = match others {
                0o040 | 0o020 if is_file => "warning",
                // The socket is for its group: what is missing lets nobody in.
                0o040 | 0o020 if code == Code::GrpcSocketPermissions => "warning",
                _ => "error",
            };
            found.assert_only(code, severity, 1).says(&format!("{wrong:04o}"));
            found.says(&format!("chmod {right:04o} {}", path.display()));
        }
        assert_eq!(told(sentinel.home(), &[]).findings, []);
    }
}

#[tokio::test]
async fn a_folder_in_which_everybody_can_write_is_found() {
    let sentinel = home().start().await;
    // It holds both sockets and the token.
    chmod(sentinel.home().path(), 0o777);
    let found = told(sentinel.home(), &[]);
    let codes: BTreeSet<_> = found.findings.iter().map(|(code, severity)| (code.as_str(), severity.as_str())).collect();
    let expected = [Code::CallerTokenPermissions, Code::GrpcSocketPermissions, Code::AdminSocketPermissions];
    assert_eq!(codes, expected.map(|code| (code.as_str(), "error")).into(), "{}", found.texts);
    found.says(&format!("chmod o-w {}", sentinel.home().path().display()));
    // In a sticky folder nobody replaces another's file; a socket's place can be taken before it is made.
    chmod(sentinel.home().path(), 0o1777);
    let found = told(sentinel.home(), &[]);
    assert_eq!(found.findings.len(), 2, "{}", found.texts);
    assert!(!found.texts.contains("caller_token_file"), "{}", found.texts);
}

#[tokio::test]
async fn a_configured_pepper_file_is_looked_at_by_either_name() {
    let home = sentinel().unset("pepper.secrets");
    let file = home.path().join("secret");
    fs::write(&file, PEPPER).unwrap();
    chmod(&file, 0o604);
    let home = home.set("pepper.secrets_file", &format!("[{file:?}]"));
    told(&home, &[]).assert_only(Code::PepperPermissions, "error", 1).says("pepper.secrets_file");
    let config = home.unset("pepper.secrets_file");
    let config = config.config();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_sentinel"))
        .env_clear()
        .env("SENTINEL_HMAC_SECRET_FILE", &file)
        .args(["doctor", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains(&format!("SENTINEL_HMAC_SECRET_FILE {} has mode 0604", file.display())), "{out}");
}

#[tokio::test]
async fn without_a_server_what_is_here_is_told_and_the_exit_code_is_3() {
    let home = home().start().await.stop().await;
    let quiet = doctor(&home, &[]);
    assert_eq!(quiet.code, 3);
    assert!(quiet.out.ends_with("nothing found. The server has not answered.\n"), "{quiet:?}");
    assert!(quiet.err.starts_with("error: no server at unix:") && quiet.err.lines().count() == 1, "{quiet:?}");
    // A start that fails on this has said so in its log; here is the way out.
    chmod(&home.data_dir(), 0o755);
    let mut refused = home.spawn();
    assert_eq!(refused.wait().await.code(), Some(1));
    let found = doctor(&home, &[]);
    assert_eq!(found.code, 3);
    let fix = format!("  fix: chmod 0700 {}\n", home.data_dir().display());
    assert!(found.out.starts_with("data_dir_permissions (error)\n") && found.out.contains(&fix), "{found:?}");
    assert!(found.out.ends_with("1 finding. The server has not answered.\n"), "{found:?}");
    let found = told(&home, &[]);
    found.assert_only(Code::DataDirPermissions, "error", 1);
    assert!(!found.checked.contains("many_keys_on_one_network"), "{found:?}");
}

#[tokio::test]
async fn what_is_not_there_is_not_said_to_be_right() {
    let home = sentinel().unset("pepper.secrets");
    let found = told(&home, &[]);
    assert_eq!((found.code, found.findings.len()), (3, 0), "{found:?}");
    assert_eq!(found.checked, BTreeSet::from(["admin_socket_permissions".to_owned()]), "only its folder is there");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing was made beside the test's configuration");
}
