//! The user's certificates of registries, in Docker's layout: `certs.d/HOST:PORT/` with `*.crt` for further authorities,
//! `*.cert` and `*.key` for ourselves. The guest, where registries are spoken to, gets their texts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Error;

const FOLDER: &str = "certs.d";
const KINDS: &[&str] = &["crt", "cert", "key"];
/// What the first message to the guest has room for.
const MOST_BYTES: usize = 256 << 10;

/// All of them, by `HOST:PORT/NAME.crt`.
///
/// # Errors
/// When one can't be read, isn't PEM's plain text, or all are too large for the guest.
pub(crate) fn of_user(config_dir: &Path) -> Result<BTreeMap<String, String>, Error> {
    let mut found = BTreeMap::new();
    for registry in entries(&config_dir.join(FOLDER))? {
        for file in entries(&registry)? {
            let kind = file.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            let name = file.strip_prefix(config_dir.join(FOLDER)).ok().and_then(Path::to_str);
            let (true, Some(name)) = (KINDS.contains(&kind), name) else { continue };
            let text = fs::read_to_string(&file).map_err(unreadable(&file))?;
            found.insert(name.to_owned(), text);
        }
    }
    if found.values().map(String::len).sum::<usize>() > MOST_BYTES {
        let reason = format!("its files are larger than {} KiB together", MOST_BYTES >> 10);
        return Err(Error::Settings { path: config_dir.join(FOLDER), reason });
    }
    Ok(found)
}

/// What lies in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<io::Result<_>>().map_err(unreadable(folder))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(unreadable(folder)(error)),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Prepare { doing: "read", path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(config_dir: &Path, name: &str, text: &[u8]) {
        let path = config_dir.join(FOLDER).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn certificates_are_known_by_registry_and_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(of_user(folder.path()).unwrap().is_empty());
        lay(folder.path(), "reg.example:5000/ca.crt", b"authority");
        lay(folder.path(), "reg.example:5000/client.key", b"key");
        lay(folder.path(), "reg.example:5000/notes.txt", b"mine");
        lay(folder.path(), "README", b"about");
        let expected = [("reg.example:5000/ca.crt", "authority"), ("reg.example:5000/client.key", "key")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(of_user(folder.path()).unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn what_cannot_be_handed_over_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        lay(folder.path(), "reg.example/ca.crt", &vec![b'a'; MOST_BYTES + 1]);
        assert!(of_user(folder.path()).unwrap_err().to_string().contains("256 KiB"));
        lay(folder.path(), "reg.example/ca.crt", b"\xff");
        assert!(of_user(folder.path()).unwrap_err().to_string().contains("reg.example/ca.crt"));
    }
}
