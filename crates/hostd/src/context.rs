//! The `docker context` named `berth`, in the files of Docker's own context store. Other contexts aren't touched, nor
//! one of this name that somebody else made.

use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

const NAME: &str = "berth";
/// The SHA-256 of the name: how the store calls the folder.
const FOLDER: &str = "5c2f64c7f21efd5fb5e3d6a499abe5eacb248ae6f6f0085387c9a056d10ef5fd";

/// Docker's folder of client settings.
pub(crate) struct Store(PathBuf);

impl Store {
    /// `$DOCKER_CONFIG`, else `~/.docker`.
    pub(crate) fn of_user() -> Self {
        let named = std::env::var_os("DOCKER_CONFIG").filter(|dir| !dir.is_empty());
        let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        Self(named.map_or_else(|| home().join(".docker"), PathBuf::from))
    }

    /// Makes the context, or aims it at this socket.
    pub(crate) fn add(&self, socket: &Path) -> io::Result<()> {
        if !self.is_ours() {
            return Ok(());
        }
        let folder = self.folder();
        std::fs::create_dir_all(&folder)?;
        let context = json!({
            "Name": NAME,
            "Metadata": { "Description": "Berth", "berth": true },
            "Endpoints": { "docker": { "Host": host(socket), "SkipTLSVerify": false } },
        });
        replace(&folder.join("meta.json"), &context.to_string())
    }

    /// Removes it when it leads to this socket; a client that was told to use it gets its default again.
    pub(crate) fn remove(&self, socket: &Path) -> io::Result<()> {
        let leads_here = self.read().is_some_and(|context| {
            context.pointer("/Endpoints/docker/Host").and_then(Value::as_str) == Some(&host(socket))
        });
        if !self.is_ours() || !leads_here {
            return Ok(());
        }
        std::fs::remove_dir_all(self.folder())?;
        self.configure(|config| {
            if config.get("currentContext").and_then(Value::as_str) == Some(NAME) {
                config.remove("currentContext");
            }
        })
    }

    /// Makes it the one that `docker` uses.
    pub(crate) fn select(&self) -> io::Result<()> {
        self.configure(|config| drop(config.insert("currentContext".to_owned(), NAME.into())))
    }

    /// Changes `config.json`; all else in it stays, and the file too when nothing changes.
    fn configure(&self, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> io::Result<()> {
        let path = self.0.join("config.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => "{}".to_owned(),
            Err(error) => return Err(error),
        };
        let mut config: serde_json::Map<String, Value> = serde_json::from_str(&text)?;
        let before = config.clone();
        change(&mut config);
        if config == before {
            return Ok(());
        }
        std::fs::create_dir_all(&self.0)?;
        replace(&path, &serde_json::to_string_pretty(&config)?)
    }

    fn folder(&self) -> PathBuf {
        self.0.join("contexts/meta").join(FOLDER)
    }

    fn read(&self) -> Option<Value> {
        serde_json::from_str(&std::fs::read_to_string(self.folder().join("meta.json")).ok()?).ok()
    }

    /// Whether the name is free or the context was made here.
    fn is_ours(&self) -> bool {
        self.read().is_none_or(|context| context.pointer("/Metadata/berth") == Some(&Value::Bool(true)))
    }
}

fn host(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// Writes beside and renames: a client that reads meanwhile sees the old or the new text. What lies there keeps its
/// mode, since `config.json` may hold passwords.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mode = std::fs::metadata(path).map_or(0o600, |metadata| metadata.permissions().mode());
    let fresh = path.with_extension("berth-new");
    drop(std::fs::remove_file(&fresh));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    std::fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_and_goes_and_leaves_all_else_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        std::fs::write(&config, r#"{"auths":{"a":{}}}"#).unwrap();
        let store = Store(folder.path().to_path_buf());
        let socket = Path::new("/run/berth/docker.sock");
        store.add(socket).unwrap();
        assert!(store.read().unwrap().to_string().contains("unix:///run/berth/docker.sock"));
        store.select().unwrap();
        assert!(std::fs::read_to_string(&config).unwrap().contains(r#""currentContext": "berth""#));
        store.remove(socket).unwrap();
        assert_eq!(store.read(), None);
        let left: Value = serde_json::from_str(&std::fs::read_to_string(&config).unwrap()).unwrap();
        assert_eq!(left, json!({ "auths": { "a": {} } }));
    }

    #[test]
    fn somebody_elses_context_of_this_name_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store(folder.path().to_path_buf());
        std::fs::create_dir_all(store.folder()).unwrap();
        let theirs = json!({ "Name": "berth", "Metadata": {}, "Endpoints": {} });
        std::fs::write(store.folder().join("meta.json"), theirs.to_string()).unwrap();
        store.add(Path::new("/s")).unwrap();
        store.remove(Path::new("/s")).unwrap();
        assert_eq!(store.read(), Some(theirs));
    }
}
