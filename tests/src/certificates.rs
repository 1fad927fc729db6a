//! Certificates made with the `openssl` command: an authority's, an engine's and clients'.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::guard::need_program;

/// Openssl's own book-keeping, which alone lets a certificate begin and end when one likes.
const BOOKS: &str = "[ca]\ndefault_ca = books\n[books]\ndatabase = index.txt\nnew_certs_dir = .\nserial = serial\n\
    default_md = sha256\npolicy = any\ncertificate = ca.pem\nprivate_key = ca-key.pem\nunique_subject = no\n\
    [any]\ncommonName = supplied\n";

/// An authority, in a folder of its own.
pub struct Authority(tempfile::TempDir);

impl Authority {
    /// A fresh one; none, with the reason printed, where `openssl` isn't installed.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn new() -> Option<Self> {
        if !need_program("openssl") {
            return None;
        }
        let authority = Self(tempfile::tempdir().expect("make a folder for certificates"));
        for (name, text) in [("books.cnf", BOOKS), ("index.txt", ""), ("serial", "10")] {
            fs::write(authority.0.path().join(name), text).expect("write openssl's books");
        }
        let subject = ["-subj", "/CN=berth-test", "-days", "2", "-out", "ca.pem", "-keyout", "ca-key.pem"];
        authority.openssl(&[&["req", "-x509"], KEY, &subject].concat());
        Some(authority)
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// A folder with `ca.pem`, `cert.pem` and `key.pem` for an engine at 127.0.0.1.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn engine(&self) -> PathBuf {
        self.server("engine", "IP:127.0.0.1,DNS:localhost")
    }

    /// The same for a server of this name at these addresses, as openssl spells them.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn server(&self, name: &str, addresses: &str) -> PathBuf {
        let extensions = format!("subjectAltName={addresses}\nextendedKeyUsage=serverAuth\n");
        self.issue(name, &extensions, "20200101000000Z", "20991231000000Z")
    }

    /// The same for a client.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn client(&self) -> PathBuf {
        self.issue("client", "extendedKeyUsage=clientAuth\n", "20200101000000Z", "20991231000000Z")
    }

    /// The same for a client whose certificate has had its time.
    ///
    /// # Panics
    /// When openssl fails.
    pub fn expired_client(&self) -> PathBuf {
        self.issue("expired", "extendedKeyUsage=clientAuth\n", "20200101000000Z", "20200102000000Z")
    }

    fn issue(&self, name: &str, extensions: &str, begins: &str, ends: &str) -> PathBuf {
        let folder = self.0.path().join(name);
        fs::create_dir(&folder).expect("make a folder for a certificate");
        fs::write(self.0.path().join("extensions"), extensions).expect("write the extensions");
        let at = |file: &str| format!("{name}/{file}");
        let subject = format!("/CN={name}");
        let request = ["-subj", &subject, "-out", &at("request.pem"), "-keyout", &at("key.pem")];
        self.openssl(&[&["req"], KEY, &request].concat());
        let sign = ["ca", "-batch", "-config", "books.cnf", "-extfile", "extensions", "-notext"];
        let dates = ["-startdate", begins, "-enddate", ends];
        let files = ["-in", &at("request.pem"), "-out", &at("cert.pem")];
        self.openssl(&[sign.as_slice(), &dates, &files].concat());
        fs::copy(self.certificate(), folder.join("ca.pem")).expect("copy the authority's certificate");
        folder
    }

    fn openssl(&self, args: &[&str]) {
        openssl(self.0.path(), args);
    }
}

/// A folder with `cert.pem` and `key.pem` for a server at these addresses, as openssl makes a certificate that nobody else
/// signed: an authority's, too. None, with the reason printed, where `openssl` isn't installed.
///
/// # Panics
/// When openssl fails.
pub fn self_signed(addresses: &str) -> Option<tempfile::TempDir> {
    if !need_program("openssl") {
        return None;
    }
    let folder = tempfile::tempdir().expect("make a folder for a certificate");
    let names = format!("subjectAltName={addresses}");
    let subject =
        ["-subj", "/CN=alone", "-addext", &names, "-days", "2", "-out", "cert.pem", "-keyout", "key.pem"];
    openssl(folder.path(), &[&["req", "-x509"], KEY, &subject].concat());
    Some(folder)
}

fn openssl(folder: &Path, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.expect("run openssl");
    assert!(
        output.status.success(),
        "openssl {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A fresh key, without a password.
const KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/// Puts another authority's certificate beside a client's own: the client then trusts that one's engine.
///
/// # Panics
/// When it can't be copied.
pub fn trust(client: &Path, authority: &Authority) {
    fs::copy(authority.certificate(), client.join("ca.pem")).expect("copy an authority's certificate");
}
