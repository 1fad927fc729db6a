//! A unix socket, for its owner and perhaps a group.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use tokio::net::{UnixListener, UnixStream};

/// Opens the socket. A stale one is replaced; one that answers belongs to a running engine and is refused.
pub(crate) async fn unix(path: &Path, group: Option<&str>) -> anyhow::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    if UnixStream::connect(path).await.is_ok() {
        anyhow::bail!(
            "{} is in use: another engine answers there; stop it or choose another --listen",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove the stale socket {}", path.display()));
        }
        _ => {}
    }
    let group = group.map(group_id).transpose()?;
    let listener = UnixListener::bind(path).with_context(|| format!("listen on {}", path.display()))?;
    let restrict = || format!("restrict {}", path.display());
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group).with_context(restrict)?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(restrict)?;
    Ok(listener)
}

/// A group's number; a name is looked up in this machine's file.
fn group_id(group: &str) -> anyhow::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let all = std::fs::read_to_string("/etc/group").context("look for the group of the socket")?;
    find(&all, group).with_context(|| format!("group {group} not found"))
}

/// A line is `name:password:number:members` (group(5)).
fn find(all: &str, group: &str) -> Option<u32> {
    let mut lines = all.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&group))?.get(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_that_is_named_may_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        let (own, shared) = (folder.path().join("own"), folder.path().join("shared"));
        let _own = unix(&own, None).await.unwrap();
        let own_group = std::os::unix::fs::MetadataExt::gid(&folder.path().metadata().unwrap());
        let _shared = unix(&shared, Some(&own_group.to_string())).await.unwrap();
        assert_eq!((mode(&own), mode(&shared)), (0o600, 0o660));
        let refused = unix(&folder.path().join("x"), Some("no-such-group")).await.unwrap_err();
        assert_eq!(refused.to_string(), "group no-such-group not found");
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        assert_eq!(find("root:x:0:\ndocker:x:998:ann\n", "docker"), Some(998));
        assert_eq!(find("root:x:0:\n", "docker"), None);
    }
}
