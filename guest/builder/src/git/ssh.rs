//! Git's protocol through SSH (gitprotocol-pack, "SSH Transport"): a program on the server, reached by one channel.
//!
//! Who the client is, its agent signs for: no key is ever here. The server's own key is taken as it is shown, as in a
//! build by BuildKit, whose frontend asks the server itself which key to expect; what is checked out is known by a
//! commit's hash where the address has one. Keys of servers are Ed25519 or ECDSA; users' may be RSA, too.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle, Handler, Msg};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Preferred};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

use super::address::Ssh;
use super::lines;
use crate::{Builder, Error, Result};

/// How long a greeting and a login may take; an agent may ask its user first.
const LOGIN: Duration = Duration::from_secs(120);
/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// The largest answer, as over HTTP.
const LARGEST: u64 = 1 << 37;
/// What is kept of a server's complaints.
const COMPLAINT: usize = 4096;
/// Keys of an agent that are tried: servers hang up on who tries more.
const KEYS: usize = 20;

/// A program of the server's that answers.
pub(super) struct Connection {
    channel: Channel<Msg>,
    /// What came and wasn't asked for yet.
    ahead: Vec<u8>,
    complaint: Vec<u8>,
    shown: String,
    #[expect(dead_code, reason = "held for its drop, which ends the connection")]
    handle: Handle<Server>,
}

struct Server;

impl Handler for Server {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

impl Connection {
    /// Logs in and starts the program.
    pub(super) async fn open(builder: &Builder, shown: &str, to: &Ssh, agent: DuplexStream) -> Result<Self> {
        let refused = |reason: String| Error::Download { url: shown.to_owned(), reason };
        let stream = builder.registries.dial(&to.host, to.port).await?;
        let opened = timeout(LOGIN, async {
            let mut handle = russh::client::connect_stream(Arc::new(config()), stream, Server)
                .await
                .map_err(|error| refused(error.to_string()))?;
            log_in(&mut handle, to, agent).await.map_err(refused)?;
            let channel = start(&handle, &to.path).await.map_err(|error| refused(error.to_string()))?;
            Ok::<_, Error>((handle, channel))
        });
        let (handle, channel) = opened.await.map_err(|_| refused("no answer".to_owned()))??;
        Ok(Self { channel, ahead: Vec::new(), complaint: Vec::new(), shown: shown.to_owned(), handle })
    }

    /// Sends a question and writes the answer into a new file, until its packets have been flushed so many times.
    pub(super) async fn ask(&mut self, question: &[u8], flushes: usize, path: &Path) -> Result<()> {
        let failed = || Error::file("write", path);
        let mut file = tokio::fs::File::create(path).await.map_err(failed())?;
        if !question.is_empty() {
            self.channel.data_bytes(question.to_vec()).await.map_err(|_| self.refused("connection lost"))?;
        }
        let (mut left, mut taken) = (flushes, 0);
        loop {
            let (whole, flushed) = lines::whole(&self.ahead, &mut left)?;
            file.write_all(&self.ahead[..whole]).await.map_err(failed())?;
            self.ahead.drain(..whole);
            taken += whole as u64;
            if taken > LARGEST {
                return Err(self.refused(&format!("larger than {LARGEST} bytes")));
            }
            if flushed {
                return file.flush().await.map_err(failed());
            }
            self.hear().await?;
        }
    }

    /// Waits for more of the answer.
    async fn hear(&mut self) -> Result<()> {
        loop {
            match timeout(SILENCE, self.channel.wait()).await {
                Err(_) => return Err(self.refused("no answer")),
                Ok(Some(ChannelMsg::Data { data })) => {
                    self.ahead.extend_from_slice(&data);
                    return Ok(());
                }
                Ok(Some(ChannelMsg::ExtendedData { data, .. })) => {
                    let most = COMPLAINT.saturating_sub(self.complaint.len()).min(data.len());
                    self.complaint.extend_from_slice(&data[..most]);
                }
                Ok(Some(ChannelMsg::Failure)) => {
                    return Err(self.refused("the server runs no git-upload-pack"));
                }
                Ok(None) => {
                    let words = String::from_utf8_lossy(&self.complaint);
                    let words = words.trim();
                    let words = if words.is_empty() { "the server hung up" } else { words };
                    return Err(self.refused(words));
                }
                // Of an end, too: what the server wrote before may come after it.
                Ok(Some(_)) => {}
            }
        }
    }

    fn refused(&self, reason: &str) -> Error {
        Error::Download { url: self.shown.clone(), reason: reason.to_owned() }
    }
}

/// Keys of servers that can be checked here.
fn config() -> Config {
    let curves = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
    let ecdsa = curves.map(|curve| Algorithm::Ecdsa { curve });
    let key = Cow::Owned([vec![Algorithm::Ed25519], ecdsa.to_vec()].concat());
    Config { preferred: Preferred { key, ..Preferred::default() }, nodelay: true, ..Config::default() }
}

/// Tries the agent's keys, one after the other.
async fn log_in(handle: &mut Handle<Server>, to: &Ssh, agent: DuplexStream) -> Result<(), String> {
    let mut agent = AgentClient::connect(agent);
    let identities = agent.request_identities().await;
    let identities = identities.map_err(|error| format!("the client's ssh agent doesn't answer: {error}"))?;
    let count = identities.len();
    for identity in identities.into_iter().take(KEYS) {
        let tried = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let Some(hash) = hash(handle, &key.algorithm()).await? else { continue };
                handle.authenticate_publickey_with(&to.user, key, hash, &mut agent).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let Some(hash) = hash(handle, &certificate.algorithm()).await? else { continue };
                handle.authenticate_certificate_with(&to.user, certificate, hash, &mut agent).await
            }
        };
        // An agent that won't sign with one key may do so with the next.
        if matches!(tried, Ok(AuthResult::Success)) {
            return Ok(());
        }
        if handle.is_closed() {
            break;
        }
    }
    Err(format!(
        "{}@{}: Permission denied (publickey): the server takes none of the {count} keys of the client's ssh agent",
        to.user, to.host
    ))
}

/// What an RSA key signs, by what the server knows; none when that is SHA-1 alone.
async fn hash(handle: &Handle<Server>, algorithm: &Algorithm) -> Result<Option<Option<HashAlg>>, String> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(Some(None));
    }
    let best = handle.best_supported_rsa_hash().await.map_err(|error| error.to_string())?;
    Ok(best.unwrap_or(Some(HashAlg::Sha512)).map(Some))
}

async fn start(handle: &Handle<Server>, path: &str) -> Result<Channel<Msg>, russh::Error> {
    let channel = handle.channel_open_session().await?;
    // A server that doesn't take this answers by the protocol's first version.
    channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
    channel.exec(true, format!("git-upload-pack {}", quoted(path))).await?;
    Ok(channel)
}

/// A path as one word of a shell's.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', r"'\''").replace('!', r"'\!'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_of_a_shells() {
        assert_eq!(quoted("a b.git"), "'a b.git'");
        assert_eq!(quoted("'; rm -rf !$x"), r"''\''; rm -rf '\!'$x'");
    }
}
