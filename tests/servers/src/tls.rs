//! Certificates for servers on the loopback address, made anew for each test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tempfile::TempDir;

/// What the server's certificate is good for: the loopback address, and the names under which Azure is called.
const NAMES: [&str; 4] = ["localhost", "127.0.0.1", "myvault.vault.azure.net", "login.microsoftonline.com"];

/// An authority, a server's certificate and a client's, as PEM files in a folder that goes with this value.
#[derive(Debug)]
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes all of them.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn make() -> Self {
        let certificates = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let authority = authority();
        std::fs::write(certificates.ca(), authority.pem()).expect("a temporary file");
        certificates.sign(&authority, "server", &NAMES, ExtendedKeyUsagePurpose::ServerAuth);
        certificates.sign(&authority, "client", &["client"], ExtendedKeyUsagePurpose::ClientAuth);
        certificates
    }

    /// The authority's certificate: what a client has to trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The server's certificate, for `localhost`, `127.0.0.1`, `myvault.vault.azure.net` and
    /// `login.microsoftonline.com`.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// The server's private key.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// A certificate with which a client shows who it is.
    #[must_use]
    pub fn client_certificate(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// The client's private key.
    #[must_use]
    pub fn client_key(&self) -> PathBuf {
        self.folder.path().join("client.key")
    }

    /// The text of one of these files.
    ///
    /// # Panics
    /// If it is not one of them.
    #[must_use]
    pub fn pem(&self, file: &Path) -> String {
        std::fs::read_to_string(file).expect("a file that was written above")
    }

    fn sign(
        &self,
        authority: &CertifiedIssuer<'_, KeyPair>,
        file: &str,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
    ) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("the names are valid");
        params.distinguished_name.push(DnType::CommonName, format!("keyrot test {file}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, authority).expect("a certificate");
        std::fs::write(self.folder.path().join(format!("{file}.pem")), certificate.pem())
            .expect("a temporary file");
        std::fs::write(self.folder.path().join(format!("{file}.key")), key.serialize_pem())
            .expect("a temporary file");
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "keyrot test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}
