//! Permissions and owners, on files that a real server made.

use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path};

use key_ip_sentinel::doctor::Code;

use crate::{
    chmod,
    common::{Home, PEPPER, Sentinel, sentinel},
    doctor, report,
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
async fn each_wrong_mode_is_found_with_its_fix_and_left_unchanged() {
    let sentinel = home().start().await;
    let healthy = report(sentinel.home(), &[]);
    assert_eq!(healthy.assert_nothing().code, 0);
    for (code, path) in paths(&sentinel) {
        assert!(healthy.checked.contains(code.as_str()), "{healthy:?}");
        let right = mode(&path);
        for others in [0o004, 0o002, 0o040, 0o020] {
            if code == Code::CallerTokenPermissions && others == 0o040 {
                // The file's group is the server's, as when Kubernetes mounts a Secret.
                chmod(&path, 0o640);
                report(sentinel.home(), &[]).assert_nothing();
                chmod(&path, right);
                continue;
            }
            let wrong = right ^ others;
            chmod(&path, wrong);
            let found = report(sentinel.home(), &[]);
            assert_eq!(mode(&path), wrong, "doctor changes nothing");
            chmod(&path, right);
            assert_eq!(found.code, 1);
            // Group access to a file may be intended; a socket and the data directory have one valid mode.
            let is_file =
                [Code::PepperPermissions, Code::CallerTokenPermissions, Code::DatabasePermissions].contains(&code);
            let severity = match others {
                0o040 | 0o020 if is_file => "warning",
                // A missing group bit denies access and exposes nothing.
                0o040 | 0o020 if code == Code::GrpcSocketPermissions => "warning",
                _ => "error",
            };
            found.assert_only(code, severity, 1).says(&format!("{wrong:04o}"));
            found.says(&format!("chmod {right:04o} {}", path.display()));
        }
        assert_eq!(report(sentinel.home(), &[]).findings, []);
    }
}

#[tokio::test]
async fn a_world_writable_directory_is_found() {
    let sentinel = home().start().await;
    // It holds both sockets and the token.
    chmod(sentinel.home().path(), 0o777);
    let found = report(sentinel.home(), &[]);
    let codes: BTreeSet<_> = found.findings.iter().map(|(code, severity)| (code.as_str(), severity.as_str())).collect();
    let expected = [Code::CallerTokenPermissions, Code::GrpcSocketPermissions, Code::AdminSocketPermissions];
    assert_eq!(codes, expected.map(|code| (code.as_str(), "error")).into(), "{}", found.texts);
    found.says(&format!("chmod o-w {}", sentinel.home().path().display()));
    // A sticky directory protects existing files, but another user can create the socket first.
    chmod(sentinel.home().path(), 0o1777);
    let found = report(sentinel.home(), &[]);
    assert_eq!(found.findings.len(), 2, "{}", found.texts);
    assert!(!found.texts.contains("caller_token_file"), "{}", found.texts);
}

#[tokio::test]
async fn a_configured_pepper_file_is_checked_by_either_name() {
    let home = sentinel().unset("pepper.secrets");
    let file = home.path().join("secret");
    fs::write(&file, PEPPER).unwrap();
    chmod(&file, 0o604);
    let home = home.set("pepper.secrets_file", &format!("[{file:?}]"));
    report(&home, &[]).assert_only(Code::PepperPermissions, "error", 1).says("pepper.secrets_file");
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

#[test]
fn a_file_with_the_password_of_redis_is_not_reported_as_the_pepper() {
    let home = sentinel().set("store.url", "\"postgres://u@127.0.0.1:1/d\"");
    let file = home.path().join("redis-url");
    fs::write(&file, "redis://:s3cret@127.0.0.1:1\n").unwrap();
    chmod(&file, 0o604);
    let home = home.set("redis.url_file", &format!("{file:?}"));
    let found = report(&home, &[]);
    let expected = format!("redis.url_file {} has mode 0604", file.display());
    found.assert_only(Code::DatabasePermissions, "error", 1).says(&expected);
}

#[tokio::test]
async fn without_a_server_the_local_findings_are_printed_and_the_exit_code_is_3() {
    let home = home().start().await.stop().await;
    let quiet = doctor(&home, &[]);
    assert_eq!(quiet.code, 3);
    assert!(quiet.out.ends_with("no findings. The server did not answer.\n"), "{quiet:?}");
    assert!(quiet.err.starts_with("error: no server at unix:") && quiet.err.lines().count() == 1, "{quiet:?}");
    // The next start would close it; until then it is open.
    chmod(&home.data_dir(), 0o755);
    let found = doctor(&home, &[]);
    assert_eq!(found.code, 3);
    let fix = format!("  fix: chmod 0700 {}\n", home.data_dir().display());
    assert!(found.out.starts_with("data_dir_permissions (error)\n") && found.out.contains(&fix), "{found:?}");
    assert!(found.out.ends_with("1 finding. The server did not answer.\n"), "{found:?}");
    let found = report(&home, &[]);
    found.assert_only(Code::DataDirPermissions, "error", 1);
    assert!(!found.checked.contains("many_keys_on_one_network"), "{found:?}");
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_not_a_check() {
    let home = sentinel().unset("pepper.secrets");
    let found = report(&home, &[]);
    assert_eq!((found.code, found.findings.len()), (3, 0), "{found:?}");
    assert_eq!(found.checked, BTreeSet::from(["admin_socket_permissions".to_owned()]), "only its directory exists");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing was created");
}
