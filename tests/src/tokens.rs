//! A token server for a registry (distribution's token specification): ann's password, or the identity token that it
//! gave her, leads to a token that lets her pull and push `team/box`.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::condition::eventually;
use crate::engine::Engine;
use crate::guard::need_program;
use crate::registry::free_port;

/// Makes the token, signed by a fresh key.
const SIGN: &str = include_str!("tokens/sign.sh");
const SERVER: &str = include_str!("tokens/server.pl");

/// A running server; it ends when dropped.
pub struct TokenServer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl TokenServer {
    /// Starts one beside a native engine; none, with the reason printed, where a program is missing.
    ///
    /// # Panics
    /// When it doesn't listen before the deadline.
    pub fn start(engine: &Engine) -> Option<Self> {
        if !need_program("openssl") || !need_program("perl") {
            return None;
        }
        let folder = tempfile::tempdir().expect("make a folder for the token server");
        let mut sign = Command::new("sh");
        let signed = sign.args(["-e", "-c", SIGN]).current_dir(folder.path()).stderr(Stdio::null()).status();
        assert!(signed.expect("run sh").success(), "no token was made");
        let port = free_port();
        let mut server = engine.beside("perl");
        server.args(["-e", SERVER, &port.to_string()]).arg(folder.path().join("token"));
        let process = server.stdin(Stdio::null()).spawn().expect("start the token server");
        eventually("the token server listens", || engine.fetch(&format!("127.0.0.1:{port}")));
        Some(Self { process, port, folder })
    }

    /// What a registry's configuration says of it.
    pub(crate) fn registry_config(&self) -> String {
        let (port, roots) = (self.port, self.folder.path().join("cert.pem"));
        format!(
            "auth: {{ token: {{ realm: 'http://127.0.0.1:{port}/token', service: registry, issuer: berth-test, \
             rootcertbundle: {} }} }}",
            roots.display()
        )
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
