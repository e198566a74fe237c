//! This machine: who can read secrets, and who can connect to the sockets.

use std::path::PathBuf;

use super::{Code, Report};

/// The facts about this machine. Links were followed; no file was opened.
#[derive(Clone, Debug)]
pub struct Host {
    /// The effective uid of this process.
    pub uid: u32,
    /// The effective group and the supplementary groups of this process.
    pub groups: Vec<u32>,
    /// `data_dir`.
    pub data_dir: InspectedPath,
    /// The files with secrets, and the database if it is a file.
    pub secrets: Vec<Secret>,
    /// `listen.grpc`, if it is a unix socket.
    pub grpc: Option<Socket>,
    /// `listen.admin`.
    pub admin: Socket,
}

/// A path of the configuration and its metadata.
#[derive(Clone, Debug)]
pub struct InspectedPath {
    /// The setting that names the path, or a description.
    pub name: &'static str,
    /// The path.
    pub path: PathBuf,
    /// `Ok(None)` if nothing exists there, which is normal before the first start. An error is the system's text.
    pub metadata: Result<Option<Metadata>, String>,
}

/// The metadata of a path.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits, 0o7777 at most.
    pub mode: u32,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Whether it is a socket.
    pub is_socket: bool,
}

/// A file that only the server may read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// The code of a finding.
    pub code: Code,
    /// Whether a setting names it. Otherwise the server made it in its data directory.
    pub is_configured: bool,
    /// The file.
    pub file: InspectedPath,
    /// The directory of the file.
    pub directory: InspectedPath,
}

/// A unix socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// The code of a finding.
    pub code: Code,
    /// The socket.
    pub socket: InspectedPath,
    /// The directory of the socket.
    pub directory: InspectedPath,
    /// Its configured mode.
    pub mode: u32,
    /// Its configured group.
    pub group: Option<Group>,
}

/// `listen.grpc_group`.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its gid; `None` if the group does not exist.
    pub gid: Option<u32>,
}

impl Host {
    /// Adds the findings about this machine to `report`.
    pub fn check(&self, report: &mut Report) {
        self.check_data_dir(report);
        // The server must own its data directory, so the owner is the server's user.
        let server = self.data_dir.metadata.as_ref().ok().and_then(Option::as_ref).map_or(self.uid, |it| it.uid);
        // The groups of another user are not known.
        let groups: &[u32] = if server == self.uid { &self.groups } else { &[] };
        for secret in &self.secrets {
            // The data directory has a finding of its own.
            secret.check(server, groups, secret.directory.path != self.data_dir.path, report);
        }
        self.grpc.iter().chain([&self.admin]).for_each(|socket| socket.check(report));
    }

    fn check_data_dir(&self, report: &mut Report) {
        let code = Code::DataDirPermissions;
        let Some((label, found)) = self.data_dir.existing(code, report) else { return };
        let path = self.data_dir.path.display();
        if !found.is_directory {
            let fix = format!("move {path} away, or set data_dir to a directory");
            return report.error(code, format!("{label} is not a directory; `serve` does not start"), fix);
        }
        if found.mode & 0o077 != 0 {
            let seen = format!("{label} has mode {:04o}; it holds pepper, database and admin socket", found.mode);
            let start = if found.mode & 0o002 == 0 { "" } else { ", and `serve` does not start" };
            report.error(code, format!("{seen}{start}"), format!("chmod 0700 {path}"));
        }
        // Root may check the files of a server that runs as another user.
        if self.uid != 0 && found.uid != self.uid {
            let seen = format!("{label} belongs to uid {}, but doctor runs as uid {}", found.uid, self.uid);
            let fix = format!(
                "run `sentinel serve` and `sentinel doctor` as uid {}, or chown -R {} {path}",
                found.uid, self.uid
            );
            report.error(code, seen, fix);
        }
    }
}

impl Secret {
    fn check(&self, server: u32, groups: &[u32], with_directory: bool, report: &mut Report) {
        let Self { code, is_configured, file, directory } = self;
        let Some((label, found)) = file.existing(*code, report) else { return };
        let mut fix = format!("chmod 0600 {}", file.path.display());
        if *is_configured {
            fix.push_str("; in Kubernetes set `defaultMode: 0440` for the volume's secret, and `fsGroup` in the pod's securityContext");
        }
        // Kubernetes mounts a Secret with owner root and the pod's `fsGroup`: only the group lets the server read it.
        let is_for_server = *is_configured && [0o440, 0o640].contains(&found.mode) && groups.contains(&found.gid);
        let seen = format!("{label} has mode {:04o}", found.mode);
        if found.mode & 0o007 != 0 {
            report.error(*code, format!("{seen}: every user of this machine can access it"), fix);
        } else if found.mode & 0o070 != 0 && !is_for_server {
            report.warning(*code, format!("{seen}: group {} can access it", found.gid), fix);
        }
        if ![server, 0].contains(&found.uid) {
            let seen = format!("{label} belongs to uid {}, which can read and replace it", found.uid);
            report.error(*code, seen, format!("chown {server} {}", file.path.display()));
        }
        // In a sticky directory only the owner of a file can replace it.
        if let Ok(Some(Metadata { mode, .. })) = directory.metadata
            && with_directory
            && mode & 0o1002 == 0o002
        {
            let directory = directory.path.display();
            let seen = format!("{label} is in {directory}, which has mode {mode:04o}: every user can replace the file");
            report.error(*code, seen, format!("chmod o-w {directory}, or move the file"));
        }
    }
}

impl Socket {
    fn check(&self, report: &mut Report) {
        let Self { code, socket, directory, mode, group } = self;
        let parent = directory.metadata.as_ref().ok().and_then(Option::as_ref);
        if parent.is_some() {
            report.mark_checked(*code);
        }
        if let Some(found) = parent.filter(|found| found.mode & 0o002 != 0) {
            let (name, directory) = (socket.name, directory.path.display());
            let seen = format!(
                "the directory of {name}, {directory}, has mode {:04o}: every user can create a socket there",
                found.mode
            );
            report.error(*code, seen, format!("chmod o-w {directory}, or move {name} to a separate directory"));
        }
        if let Some(Group { name, gid: None }) = group {
            let fix = "create the group, or set listen.grpc_group to Envoy's group";
            report.error(*code, format!("listen.grpc_group: group {name:?} does not exist"), fix);
        }
        let Some((label, found)) = socket.existing(*code, report) else { return };
        let path = socket.path.display();
        if !found.is_socket {
            return report.error(*code, format!("{label} is not a socket"), format!("move {path} away"));
        }
        if found.mode & 0o777 != *mode {
            let seen = format!("{label} has mode {:04o}, not {mode:04o}", found.mode);
            let fix = format!("restart `sentinel serve`, which sets the mode, or chmod {mode:04o} {path}");
            match found.mode & 0o777 & !mode {
                0 => report.warning(*code, format!("{seen}: its users may be unable to connect"), fix),
                _ => report.error(*code, format!("{seen}: other users can connect"), fix),
            }
        }
        if let Some(Group { name, gid: Some(gid) }) = group
            && *gid != found.gid
        {
            let seen = format!("{label} has group {}, not {name:?} ({gid})", found.gid);
            report.error(*code, seen, format!("restart `sentinel serve`, or chgrp {name} {path}"));
        }
    }
}

impl InspectedPath {
    /// A label for findings, and the metadata. Marks the check as made only if the path exists.
    fn existing(&self, code: Code, report: &mut Report) -> Option<(String, Metadata)> {
        let label = format!("{} {}", self.name, self.path.display());
        match &self.metadata {
            Ok(metadata) => metadata.map(|metadata| {
                report.mark_checked(code);
                (label, metadata)
            }),
            Err(cause) => {
                let fix = "run `sentinel doctor` on the server's machine, as the user that runs `sentinel serve`";
                report.warning(code, format!("{label} cannot be inspected: {cause}"), fix);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{Finding, Severity};

    const SERVER: u32 = 900;

    fn inspected(uid: u32, mode: u32) -> InspectedPath {
        let metadata = Metadata { uid, gid: 33, mode, is_directory: true, is_socket: true };
        InspectedPath { name: "it", path: PathBuf::from("/x/it"), metadata: Ok(Some(metadata)) }
    }

    fn secret(file: InspectedPath) -> Secret {
        Secret { code: Code::PepperPermissions, is_configured: true, file, directory: inspected(SERVER, 0o755) }
    }

    fn socket(group: Option<Group>) -> Socket {
        let directory = inspected(SERVER, 0o755);
        Socket { code: Code::GrpcSocketPermissions, socket: inspected(SERVER, 0o660), directory, mode: 0o660, group }
    }

    /// The findings if `uid` runs doctor.
    fn findings(uid: u32, secrets: Vec<Secret>, grpc: Option<Socket>) -> Vec<Finding> {
        let admin = Socket { socket: inspected(SERVER, 0o600), mode: 0o600, ..socket(None) };
        let mut report = Report::default();
        Host { uid, groups: vec![33, 34], data_dir: inspected(SERVER, 0o700), secrets, grpc, admin }.check(&mut report);
        report.findings
    }

    #[test]
    fn a_secret_belongs_to_the_server_or_to_root() {
        for (uid, others) in [(SERVER, false), (0, false), (901, true)] {
            let found = findings(0, vec![secret(inspected(uid, 0o600))], None);
            assert_eq!(!found.is_empty(), others, "{found:?}");
            let says = |it: &Finding| {
                it.severity == Severity::Error && it.seen.contains("uid 901") && it.fix.contains("chown 900")
            };
            assert!(found.iter().all(says), "{found:?}");
        }
    }

    #[test]
    fn a_kubernetes_secret_may_be_readable_by_the_servers_group() {
        let of_group = |gid, mode| {
            let mut file = inspected(0, mode);
            file.metadata = Ok(Some(Metadata { uid: 0, gid, mode, is_directory: false, is_socket: false }));
            secret(file)
        };
        for mode in [0o440, 0o640, 0o400, 0o600] {
            assert_eq!(findings(SERVER, vec![of_group(33, mode)], None), [], "{mode:o}");
        }
        for (gid, mode) in [(35, 0o440), (35, 0o640), (33, 0o460), (33, 0o450), (33, 0o444), (33, 0o644)] {
            let found = findings(SERVER, vec![of_group(gid, mode)], None);
            let says = |it: &Finding| it.fix.contains("chmod 0600") && it.fix.contains("`defaultMode: 0440`");
            assert!(found.len() == 1 && found.iter().all(says), "{gid} {mode:o}: {found:?}");
        }
        // Root does not have the server's groups, and a generated file is only for the server's user.
        assert_eq!(findings(0, vec![of_group(33, 0o440)], None).len(), 1);
        let own = Secret { is_configured: false, ..of_group(33, 0o640) };
        assert_eq!(findings(SERVER, vec![own], None).len(), 1);
    }

    #[test]
    fn a_file_in_place_of_the_data_directory_is_a_finding() {
        let file = Metadata { uid: SERVER, gid: 33, mode: 0o644, is_directory: false, is_socket: false };
        let data_dir = InspectedPath { metadata: Ok(Some(file)), ..inspected(SERVER, 0o644) };
        let admin = Socket { socket: inspected(SERVER, 0o600), mode: 0o600, ..socket(None) };
        let mut report = Report::default();
        Host { uid: SERVER, groups: vec![], data_dir, secrets: vec![], grpc: None, admin }.check(&mut report);
        assert!(matches!(&report.findings[..], [it] if it.seen.contains("is not a directory")), "{report:?}");
    }

    #[test]
    fn the_server_owns_the_data_directory() {
        assert_eq!(findings(SERVER, vec![], None), []);
        let found = findings(901, vec![], None);
        assert!(
            matches!(&found[..], [it] if it.code == Code::DataDirPermissions && it.seen.contains("uid 900")),
            "{found:?}"
        );
    }

    #[test]
    fn the_group_of_a_socket_is_the_configured_one() {
        let group = |gid| Some(Group { name: "envoy".to_owned(), gid });
        assert_eq!(findings(0, vec![], Some(socket(group(Some(33))))), []);
        for (gid, expected) in [(Some(34), "chgrp envoy"), (None, "create the group")] {
            let found = findings(0, vec![], Some(socket(group(gid))));
            assert!(
                matches!(&found[..], [it] if it.fix.contains(expected) && it.severity == Severity::Error),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_path_that_cannot_be_inspected_is_a_finding_and_not_a_check() {
        let hidden = InspectedPath { metadata: Err("Permission denied".to_owned()), ..inspected(0, 0) };
        let mut report = Report::default();
        secret(hidden).check(0, &[], true, &mut report);
        assert!(report.findings[0].seen.contains("cannot be inspected") && report.checked.is_empty(), "{report:?}");
    }

    #[test]
    fn a_file_in_place_of_a_socket_is_a_finding() {
        let mut other = socket(None);
        other.socket.metadata =
            Ok(Some(Metadata { uid: 0, gid: 0, mode: 0o660, is_directory: false, is_socket: false }));
        assert!(findings(0, vec![], Some(other))[0].seen.contains("is not a socket"));
    }
}
