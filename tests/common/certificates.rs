//! A certificate for a server on the loopback address, and the authorities that a client may trust.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Files of PEM. The server's certificate is for `127.0.0.1` and nothing else: under the name `localhost` it is wrong.
pub(crate) struct Certificates {
    /// Who signed the server's certificate.
    pub(crate) ca: PathBuf,
    /// Somebody else, by the same name.
    pub(crate) other_ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Writes the four files to this folder.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let file = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let ((ca, issuer), (other_ca, _)) = (authority(), authority());
        let server = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&server, &issuer);
        let files = Self {
            ca: file("ca.pem", &ca),
            other_ca: file("other-ca.pem", &other_ca),
            certificate: file("server.pem", &certificate.unwrap().pem()),
            key: file("server.key", &server.serialize_pem()),
        };
        // PostgreSQL takes no key that others can read.
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }
}

/// A certificate and what signs with it.
fn authority() -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

/// A client that trusts the authorities of this file and no others.
pub(crate) fn trusting(ca: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth()
}
