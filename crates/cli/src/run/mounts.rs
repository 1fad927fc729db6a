//! `-v`, `--mount` and `--tmpfs`.

use std::collections::HashMap;

use bollard::models::{
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType,
    MountVolumeOptions,
};

use crate::failure::Failure;
use crate::quantity;

/// `-v`: what is bound by name or path, and the container's own volumes.
pub(super) fn volumes(given: &[String]) -> Result<(Vec<String>, Vec<String>), Failure> {
    let (mut binds, mut anonymous) = (Vec::new(), Vec::new());
    for text in given {
        match text.split_once(':') {
            None => anonymous.push(text.clone()),
            Some((source, rest)) if source.starts_with('.') || source == "~" => {
                let absolute = std::path::absolute(source)?;
                binds.push(format!("{}:{rest}", absolute.display()));
            }
            Some(_) => binds.push(text.clone()),
        }
    }
    Ok((binds, anonymous))
}

/// `--tmpfs /run:size=64m`.
pub(super) fn tmpfs(given: &[String]) -> HashMap<String, String> {
    let apart = |text: &String| {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        (path.to_owned(), options.to_owned())
    };
    given.iter().map(apart).collect()
}

/// One `--mount`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wanted {
    /// One that the API can carry.
    Known(Box<Mount>),
    /// Of a type that no engine knows. Docker's client leaves it to the engine to say so.
    Unknown(String),
}

impl Wanted {
    /// The mount, or the engine's words for its type.
    pub(super) fn known(&self) -> Result<Mount, Failure> {
        match self {
            Self::Known(mount) => Ok(Mount::clone(mount)),
            Self::Unknown(kind) => Err(Failure::new(format!(
                "Error response from daemon: invalid mount config for type \"{kind}\": mount type unknown"
            ))),
        }
    }
}

/// `--mount type=bind,source=/a,target=/b`.
pub(super) fn wanted(text: &str) -> Result<Wanted, String> {
    let kind = text.split(',').find_map(|field| field.strip_prefix("type=")).map(str::to_lowercase);
    match kind.filter(|kind| !["bind", "volume", "tmpfs", "image"].contains(&kind.as_str())) {
        Some(kind) => Ok(Wanted::Unknown(kind)),
        None => mount(text).map(|mount| Wanted::Known(Box::new(mount))),
    }
}

fn mount(text: &str) -> Result<Mount, String> {
    let mut mount = Mount { typ: Some(MountType::VOLUME), ..Mount::default() };
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let has_value = field.contains('=');
        let key = key.to_lowercase();
        let flag = || match value {
            "" | "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(format!("invalid value for {key}: {value}")),
        };
        match key.as_str() {
            "readonly" | "ro" => mount.read_only = Some(flag()?),
            "volume-nocopy" => volume(&mut mount).no_copy = Some(flag()?),
            "bind-nonrecursive" => bind(&mut mount).non_recursive = Some(flag()?),
            _ if !has_value => {
                return Err(format!("invalid field '{field}' must be a key=value pair"));
            }
            "type" => mount.typ = Some(kind(value)?),
            "source" | "src" => mount.source = Some(absolute(value)),
            "target" | "dst" | "destination" => mount.target = Some(value.to_owned()),
            "consistency" => mount.consistency = Some(value.to_owned()),
            "bind-propagation" => bind(&mut mount).propagation = Some(propagation(value)?),
            "volume-subpath" => volume(&mut mount).subpath = Some(value.to_owned()),
            "volume-label" => {
                let (name, label) = value.split_once('=').unwrap_or((value, ""));
                let labels = volume(&mut mount).labels.get_or_insert_default();
                labels.insert(name.to_owned(), label.to_owned());
            }
            "tmpfs-size" => tmpfs_options(&mut mount).size_bytes = Some(quantity::bytes(value)?),
            "tmpfs-mode" => {
                let mode =
                    i64::from_str_radix(value, 8).map_err(|_| format!("invalid value for {key}: {value}"))?;
                tmpfs_options(&mut mount).mode = Some(mode);
            }
            _ => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if mount.target.as_deref().unwrap_or_default().is_empty() {
        return Err("target is required".to_owned());
    }
    Ok(mount)
}

fn kind(text: &str) -> Result<MountType, String> {
    match text.to_lowercase().as_str() {
        "bind" => Ok(MountType::BIND),
        "volume" => Ok(MountType::VOLUME),
        "tmpfs" => Ok(MountType::TMPFS),
        _ => Ok(MountType::IMAGE),
    }
}

fn propagation(text: &str) -> Result<MountBindOptionsPropagationEnum, String> {
    text.parse().map_err(|_| format!("invalid propagation value: {text}"))
}

/// A relative source is seen from here; a name has no slash or dot in front.
fn absolute(source: &str) -> String {
    if !source.starts_with('.') {
        return source.to_owned();
    }
    std::path::absolute(source).map_or_else(|_| source.to_owned(), |path| path.display().to_string())
}

fn bind(mount: &mut Mount) -> &mut MountBindOptions {
    mount.bind_options.get_or_insert_default()
}

fn volume(mount: &mut Mount) -> &mut MountVolumeOptions {
    mount.volume_options.get_or_insert_default()
}

fn tmpfs_options(mount: &mut Mount) -> &mut MountTmpfsOptions {
    mount.tmpfs_options.get_or_insert_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_key_by_key() {
        let read = mount("type=tmpfs,dst=/run,tmpfs-size=64m,tmpfs-mode=1770,ro").unwrap();
        let options = read.tmpfs_options.unwrap();
        assert_eq!((read.typ, read.read_only), (Some(MountType::TMPFS), Some(true)));
        assert_eq!((options.size_bytes, options.mode), (Some(64 << 20), Some(0o1770)));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(mount("type=bind,frob=1,dst=/a").unwrap_err().contains("unexpected key 'frob'"));
        assert_eq!(mount("type=bind,src=/a").unwrap_err(), "target is required");
    }

    #[test]
    fn a_relative_bind_is_seen_from_here() {
        let here = std::env::current_dir().unwrap();
        let (binds, anonymous) = volumes(&["./a:/b:ro".to_owned(), "/data".to_owned()]).unwrap();
        assert_eq!(binds, [format!("{}/a:/b:ro", here.display())]);
        assert_eq!(anonymous, ["/data"]);
    }
}
