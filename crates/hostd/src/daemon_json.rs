//! What of the user's `daemon.json` is this machine's: the `tcp://` addresses that lead to the engine, and the files that
//! it names. All else is the engine's, which also refuses what makes no sense.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::Error;
use crate::settings::Settings;

/// Keys whose value is a file's path.
const FILES: &[&str] = &["seccomp-profile", "tlscacert", "tlscert", "tlskey"];
/// Values of such keys that name no file.
const NO_FILES: &[&str] = &["", "builtin", "unconfined"];
/// Docker's port where an address names none.
const PORT: u16 = 2375;

/// The addresses to listen on for clients of the network. What is no address the engine refuses.
pub(crate) fn addresses(settings: &Settings) -> Vec<SocketAddr> {
    let json = parsed(settings);
    let hosts = json.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    hosts.filter_map(|host| address(host.strip_prefix("tcp://")?)).collect()
}

/// The texts of the files that it names, by the path as written there; a relative one begins in its own folder.
///
/// # Errors
/// When one can't be read.
pub(crate) fn files(settings: &Settings) -> Result<BTreeMap<String, String>, Error> {
    let json = parsed(settings);
    let named = FILES.iter().filter_map(|key| Some((*key, json.get(*key)?.as_str()?)));
    named
        .filter(|(_, path)| !NO_FILES.contains(path))
        .map(|(key, path)| {
            let text =
                std::fs::read_to_string(settings.config_dir.join(path)).map_err(|error| Error::Settings {
                    path: settings.config_dir.join("daemon.json"),
                    reason: format!("{key}: can't read {path}: {error}"),
                })?;
            Ok((path.to_owned(), text))
        })
        .collect()
}

/// What isn't JSON the engine refuses.
fn parsed(settings: &Settings) -> Value {
    serde_json::from_str(settings.daemon_json.trim_start_matches('\u{feff}')).unwrap_or_default()
}

/// `address:port`, with what is left out filled in as the engine does.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') && !port.is_empty() => (host, port.parse().ok()?),
        _ => (text.trim_end_matches(':'), PORT),
    };
    match host.trim_start_matches('[').trim_end_matches(']') {
        "" | "localhost" => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        host => Some(SocketAddr::new(host.parse().ok()?, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(daemon_json: &str, folder: &std::path::Path) -> Settings {
        let settings = Settings::of_user("/image".into(), vec!["berth".to_owned()]);
        Settings { daemon_json: daemon_json.to_owned(), config_dir: folder.to_owned(), ..settings }
    }

    #[test]
    fn addresses_of_the_network_are_this_machines() {
        let text =
            r#"{"hosts": ["tcp://0.0.0.0:2376", "tcp://", "tcp://[::1]", "unix:///x", "tcp://a.example:1"]}"#;
        let found = addresses(&settings(text, "/".as_ref()));
        let found: Vec<String> = found.iter().map(SocketAddr::to_string).collect();
        assert_eq!(found, ["0.0.0.0:2376", "127.0.0.1:2375", "[::1]:2375"]);
        assert!(addresses(&settings("{", "/".as_ref())).is_empty());
    }

    #[test]
    fn named_files_are_read_beside_it_and_a_missing_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "authority").unwrap();
        let text = r#"{"tlscacert": "ca.pem", "seccomp-profile": "unconfined"}"#;
        let read = files(&settings(text, folder.path())).unwrap();
        assert_eq!(read, BTreeMap::from([("ca.pem".to_owned(), "authority".to_owned())]));
        let missing = files(&settings(r#"{"tlskey": "key.pem"}"#, folder.path())).unwrap_err();
        assert!(missing.to_string().contains("tlskey: can't read key.pem"), "{missing}");
    }
}
