//! Debian's docker-registry on a loopback port, with or without a password.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running registry; ended when dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) folder: TempDir,
    pub(crate) address: String,
}

impl Registry {
    /// Starts one, or says why the test is skipped.
    pub(crate) fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// One that lets in only this user; needs `htpasswd`.
    pub(crate) fn with_password(user: &str, password: &str) -> Option<Self> {
        let Ok(output) = Command::new("htpasswd").args(["-Bbn", user, password]).output() else {
            println!("skipped: needs htpasswd (Debian: apache2-utils)");
            return None;
        };
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("htpasswd");
        fs::write(&file, output.stdout).unwrap();
        let auth = format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display());
        Self::start_in(folder, "", &auth)
    }

    /// One that speaks TLS with `server.crt` of this folder, and only to clients of `ca.crt`.
    pub(crate) fn with_certificates(folder: &Path) -> Option<Self> {
        let path = |name: &str| folder.join(name).display().to_string();
        let tls = format!(
            ", tls: {{certificate: {}, key: {}, clientcas: [{}]}}",
            path("server.crt"),
            path("server.key"),
            path("ca.crt")
        );
        Self::start_in(TempDir::new().unwrap(), &tls, "")
    }

    fn start_with(extra: &str) -> Option<Self> {
        Self::start_in(TempDir::new().unwrap(), "", extra)
    }

    fn start_in(folder: TempDir, tls: &str, extra: &str) -> Option<Self> {
        // The port is free at this moment; another test's registry gets another.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http: {{addr: '{address}'{tls}}}\n{extra}",
            folder.path().join("data").display()
        );
        let path = folder.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let started = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = started else {
            println!("skipped: needs docker-registry (Debian: docker-registry)");
            return None;
        };
        let registry = Self { child, folder, address };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&registry.address).is_err() {
            assert!(Instant::now() < deadline, "the registry doesn't listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(registry)
    }

    /// Puts a manifest there as it is.
    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, json: &str) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "PUT /v2/{repository}/manifests/{tag} HTTP/1.1\r\nHost: {}\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{json}",
            self.address,
            json.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
