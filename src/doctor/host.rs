//! This machine: who can read what must stay secret, and who can reach the sockets.

use std::path::PathBuf;

use super::{Code, Report};

/// What was seen of this machine. Links are followed; nothing was opened.
#[derive(Clone, Debug)]
pub struct Host {
    /// Who looks: the effective uid.
    pub uid: u32,
    /// The groups of who looks: the effective one and the supplementary ones.
    pub groups: Vec<u32>,
    /// `data_dir`.
    pub data_dir: Place,
    /// Pepper, caller's token and database, as far as they are files.
    pub secrets: Vec<Secret>,
    /// `listen.grpc`, if it is a unix socket.
    pub grpc: Option<Socket>,
    /// `listen.admin`.
    pub admin: Socket,
}

/// A path of the configuration and what is there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The setting that names it, or what it is.
    pub name: &'static str,
    /// Where.
    pub path: PathBuf,
    /// `Ok(None)` if there is nothing, which is no fault before the first start; or why nobody knows.
    pub found: Result<Option<Entry>, String>,
}

/// What the system says of a path.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits, 0o7777 at most.
    pub mode: u32,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Whether it is a socket.
    pub is_socket: bool,
}

/// A file that only the server may read.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What a finding is called.
    pub code: Code,
    /// Whether the operator made it and named it in a setting, rather than the server in its data folder.
    pub is_given: bool,
    /// The file.
    pub file: Place,
    /// The folder that it is in.
    pub folder: Place,
}

/// A unix socket.
#[derive(Clone, Debug)]
pub struct Socket {
    /// What a finding is called.
    pub code: Code,
    /// The socket itself.
    pub socket: Place,
    /// The folder that it is in.
    pub folder: Place,
    /// The mode it is made with.
    pub mode: u32,
    /// The group it is given, if one is configured.
    pub group: Option<Group>,
}

/// `listen.grpc_group`.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its number; `None` if there is no such group.
    pub gid: Option<u32>,
}

impl Host {
    /// Adds to `report` what is wrong here.
    pub fn examine(&self, report: &mut Report) {
        self.data_dir(report);
        // The data folder must be its server's own, so its owner is whom the other files are for.
        let server = self.data_dir.found.as_ref().ok().and_then(Option::as_ref).map_or(self.uid, |entry| entry.uid);
        // Whose groups another user has is not known here.
        let groups: &[u32] = if server == self.uid { &self.groups } else { &[] };
        for secret in &self.secrets {
            // The data folder has its own finding.
            secret.examine(server, groups, secret.folder.path != self.data_dir.path, report);
        }
        self.grpc.iter().chain([&self.admin]).for_each(|socket| socket.examine(report));
    }

    fn data_dir(&self, report: &mut Report) {
        let code = Code::DataDirPermissions;
        let Some((place, entry)) = self.data_dir.look(code, report) else { return };
        let path = self.data_dir.path.display();
        if !entry.is_folder {
            let fix = format!("move {path} away, or set data_dir to a folder");
            return report.error(code, format!("{place} is no folder, and `serve` does not start on it"), fix);
        }
        if entry.mode & 0o077 != 0 {
            let seen = format!("{place} has mode {:04o}; it holds pepper, database and admin socket", entry.mode);
            report.error(code, format!("{seen}, and `serve` does not start on it"), format!("chmod 0700 {path}"));
        }
        // Root looks at everybody's.
        if self.uid != 0 && entry.uid != self.uid {
            let seen = format!("{place} belongs to uid {}, and this is uid {}", entry.uid, self.uid);
            let fix = format!(
                "run `sentinel serve` and `sentinel doctor` as uid {}, or chown -R {} {path}",
                entry.uid, self.uid
            );
            report.error(code, seen, fix);
        }
    }
}

impl Secret {
    fn examine(&self, server: u32, groups: &[u32], with_folder: bool, report: &mut Report) {
        let Self { code, is_given, file, folder } = self;
        let Some((place, entry)) = file.look(*code, report) else { return };
        let mut fix = format!("chmod 0600 {}", file.path.display());
        if *is_given {
            fix.push_str("; in Kubernetes `defaultMode: 0440` in the volume's secret, and `fsGroup` in the pod's securityContext");
        }
        // Kubernetes mounts a Secret as root's, read-only, for the pod's `fsGroup`: the server could not read it otherwise.
        let is_for_server = *is_given && [0o440, 0o640].contains(&entry.mode) && groups.contains(&entry.gid);
        let seen = format!("{place} has mode {:04o}", entry.mode);
        if entry.mode & 0o007 != 0 {
            report.error(*code, format!("{seen}: every user of this machine can use it"), fix);
        } else if entry.mode & 0o070 != 0 && !is_for_server {
            report.warning(*code, format!("{seen}: the users of group {} can use it", entry.gid), fix);
        }
        if ![server, 0].contains(&entry.uid) {
            let seen = format!("{place} belongs to uid {}, which can read and replace it", entry.uid);
            report.error(*code, seen, format!("chown {server} {}", file.path.display()));
        }
        // In a sticky folder only its owner replaces a file.
        if let Ok(Some(Entry { mode, .. })) = folder.found
            && with_folder
            && mode & 0o1002 == 0o002
        {
            let folder = folder.path.display();
            let seen = format!("{place} is in {folder}, mode {mode:04o}: everybody can put another file there");
            report.error(*code, seen, format!("chmod o-w {folder}, or move the file"));
        }
    }
}

impl Socket {
    fn examine(&self, report: &mut Report) {
        let Self { code, socket, folder, mode, group } = self;
        let around = folder.found.as_ref().ok().and_then(Option::as_ref);
        if around.is_some() {
            report.looked_at(*code);
        }
        if let Some(entry) = around.filter(|entry| entry.mode & 0o002 != 0) {
            let (name, folder) = (socket.name, folder.path.display());
            let seen = format!(
                "the folder of {name}, {folder}, has mode {:04o}: everybody can put a socket there",
                entry.mode
            );
            report.error(*code, seen, format!("chmod o-w {folder}, or put {name} into a folder of its own"));
        }
        if let Some(Group { name, gid: None }) = group {
            let fix = "create it, or set listen.grpc_group to Envoy's group";
            report.error(*code, format!("listen.grpc_group: there is no group {name:?}"), fix);
        }
        let Some((place, entry)) = socket.look(*code, report) else { return };
        let path = socket.path.display();
        if !entry.is_socket {
            return report.error(*code, format!("{place} is no socket"), format!("move {path} away"));
        }
        if entry.mode & 0o777 != *mode {
            let seen = format!("{place} has mode {:04o}, not {mode:04o}", entry.mode);
            let fix = format!("restart `sentinel serve`, which makes it so, or chmod {mode:04o} {path}");
            match entry.mode & 0o777 & !mode {
                0 => report.warning(*code, format!("{seen}: whom it is for may not connect"), fix),
                _ => report.error(*code, format!("{seen}: others can connect too"), fix),
            }
        }
        if let Some(Group { name, gid: Some(gid) }) = group
            && *gid != entry.gid
        {
            let seen = format!("{place} has group {}, not {name:?} ({gid})", entry.gid);
            report.error(*code, seen, format!("restart `sentinel serve`, or chgrp {name} {path}"));
        }
    }
}

impl Place {
    /// How it is called, and what is there; only that counts as looked at.
    fn look(&self, code: Code, report: &mut Report) -> Option<(String, Entry)> {
        let place = format!("{} {}", self.name, self.path.display());
        match &self.found {
            Ok(entry) => entry.map(|entry| {
                report.looked_at(code);
                (place, entry)
            }),
            Err(cause) => {
                let fix = "run `sentinel doctor` on the server's machine, as the user that runs `sentinel serve`";
                report.warning(code, format!("{place} could not be looked at: {cause}"), fix);
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

    fn place(uid: u32, mode: u32) -> Place {
        let entry = Entry { uid, gid: 33, mode, is_folder: true, is_socket: true };
        Place { name: "it", path: PathBuf::from("/x/it"), found: Ok(Some(entry)) }
    }

    fn secret(file: Place) -> Secret {
        Secret { code: Code::PepperPermissions, is_given: true, file, folder: place(SERVER, 0o755) }
    }

    fn socket(group: Option<Group>) -> Socket {
        let folder = place(SERVER, 0o755);
        Socket { code: Code::GrpcSocketPermissions, socket: place(SERVER, 0o660), folder, mode: 0o660, group }
    }

    /// What is found where `uid` looks.
    fn found(uid: u32, secrets: Vec<Secret>, grpc: Option<Socket>) -> Vec<Finding> {
        let admin = Socket { socket: place(SERVER, 0o600), mode: 0o600, ..socket(None) };
        let mut report = Report::default();
        Host { uid, groups: vec![33, 34], data_dir: place(SERVER, 0o700), secrets, grpc, admin }.examine(&mut report);
        report.findings
    }

    #[test]
    fn a_secret_belongs_to_the_server_or_to_root() {
        for (uid, others) in [(SERVER, false), (0, false), (901, true)] {
            let found = found(0, vec![secret(place(uid, 0o600))], None);
            assert_eq!(!found.is_empty(), others, "{found:?}");
            let says = |it: &Finding| {
                it.severity == Severity::Error && it.seen.contains("uid 901") && it.fix.contains("chown 900")
            };
            assert!(found.iter().all(says), "{found:?}");
        }
    }

    #[test]
    fn a_secret_of_kubernetes_is_for_the_servers_own_group() {
        let of_group = |gid, mode| {
            let mut file = place(0, mode);
            file.found = Ok(Some(Entry { uid: 0, gid, mode, is_folder: false, is_socket: false }));
            secret(file)
        };
        for mode in [0o440, 0o640, 0o400, 0o600] {
            assert_eq!(found(SERVER, vec![of_group(33, mode)], None), [], "{mode:o}");
        }
        for (gid, mode) in [(35, 0o440), (35, 0o640), (33, 0o460), (33, 0o450), (33, 0o444), (33, 0o644)] {
            let found = found(SERVER, vec![of_group(gid, mode)], None);
            let says = |it: &Finding| it.fix.contains("chmod 0600") && it.fix.contains("`defaultMode: 0440`");
            assert!(found.len() == 1 && found.iter().all(says), "{gid} {mode:o}: {found:?}");
        }
        // Root has not the server's groups, and what the server makes itself is for nobody else.
        assert_eq!(found(0, vec![of_group(33, 0o440)], None).len(), 1);
        let own = Secret { is_given: false, ..of_group(33, 0o640) };
        assert_eq!(found(SERVER, vec![own], None).len(), 1);
    }

    #[test]
    fn a_file_in_place_of_the_data_folder_is_found() {
        let entry = Entry { uid: SERVER, gid: 33, mode: 0o644, is_folder: false, is_socket: false };
        let data_dir = Place { found: Ok(Some(entry)), ..place(SERVER, 0o644) };
        let admin = Socket { socket: place(SERVER, 0o600), mode: 0o600, ..socket(None) };
        let mut report = Report::default();
        Host { uid: SERVER, groups: vec![], data_dir, secrets: vec![], grpc: None, admin }.examine(&mut report);
        assert!(matches!(&report.findings[..], [it] if it.seen.contains("is no folder")), "{report:?}");
    }

    #[test]
    fn the_data_folder_is_of_who_serves() {
        assert_eq!(found(SERVER, vec![], None), []);
        let found = found(901, vec![], None);
        assert!(
            matches!(&found[..], [it] if it.code == Code::DataDirPermissions && it.seen.contains("uid 900")),
            "{found:?}"
        );
    }

    #[test]
    fn a_sockets_group_is_the_configured_one() {
        let group = |gid| Some(Group { name: "envoy".to_owned(), gid });
        assert_eq!(found(0, vec![], Some(socket(group(Some(33))))), []);
        for (gid, said) in [(Some(34), "chgrp envoy"), (None, "create it")] {
            let found = found(0, vec![], Some(socket(group(gid))));
            assert!(matches!(&found[..], [it] if it.fix.contains(said) && it.severity == Severity::Error), "{found:?}");
        }
    }

    #[test]
    fn what_nobody_may_look_at_is_told_and_not_counted() {
        let hidden = Place { found: Err("Permission denied".to_owned()), ..place(0, 0) };
        let mut report = Report::default();
        secret(hidden).examine(0, &[], true, &mut report);
        assert!(report.findings[0].seen.contains("could not be looked at") && report.checked.is_empty(), "{report:?}");
    }

    #[test]
    fn a_file_in_a_sockets_place_is_found() {
        let mut other = socket(None);
        other.socket.found = Ok(Some(Entry { uid: 0, gid: 0, mode: 0o660, is_folder: false, is_socket: false }));
        assert!(found(0, vec![], Some(other))[0].seen.contains("is no socket"));
    }
}
