//! What is mounted in a container beside its root: `-v`, `--mount`, `--tmpfs` and the image's volumes, resolved
//! once at creation.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::container::host_config::{HostConfig, MountSpec};
use crate::container::record::Record;
use crate::host_paths::HostPaths;
use crate::volumes::Volumes;

/// One resolved mount, as `docker inspect` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountPoint {
    /// What it is.
    #[serde(rename = "Type")]
    pub kind: MountKind,
    /// The volume's name, or the image's as it was given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The path on the user's machine, as given; of a volume or an image, its folder here.
    pub source: String,
    /// Where it appears.
    pub destination: String,
    /// The volume's driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The options as given.
    pub mode: String,
    /// Whether it can be written.
    #[serde(rename = "RW")]
    pub writable: bool,
    /// `rprivate`, `rslave`, …
    pub propagation: String,
    /// What Docker's list doesn't show.
    #[serde(default, skip_serializing_if = "MountOptions::is_usual")]
    pub options: MountOptions,
}

/// What a mount asks for beyond what Docker's list shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountOptions {
    /// A fresh volume stays empty instead of getting the image's files.
    pub(crate) no_copy: bool,
    /// A folder or file inside the volume or the image.
    pub(crate) subpath: String,
    /// What is mounted below the source is left out.
    pub(crate) non_recursive: bool,
    /// Of a read-only bind: what is mounted below it can be written.
    pub(crate) writable_below: bool,
}

impl MountOptions {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A file or folder of the user's machine.
    Bind,
    /// A volume of this engine.
    Volume,
    /// Another image's files.
    Image,
    /// Memory.
    Tmpfs,
}

impl MountPoint {
    /// What `--mount type=tmpfs` asks for, which nothing is resolved of.
    pub fn in_memory(host: &HostConfig) -> impl Iterator<Item = Self> {
        let specs = host.mounts.iter().flatten().filter(|spec| spec.kind == "tmpfs");
        specs.map(|spec| Self {
            kind: MountKind::Tmpfs,
            name: String::new(),
            source: String::new(),
            destination: clean(&spec.target),
            driver: String::new(),
            mode: String::new(),
            writable: !spec.read_only,
            propagation: String::new(),
            options: MountOptions::default(),
        })
    }
}

/// What asks for a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// `-v`.
    Binds,
    /// `--mount`.
    Mounts,
    /// A path of the configuration that is to have an anonymous volume.
    Config,
}

/// A wish for a mount, parsed.
struct Wish {
    origin: Origin,
    kind: MountKind,
    source: String,
    destination: String,
    mode: String,
    writable: bool,
    propagation: String,
    labels: BTreeMap<String, String>,
    options: MountOptions,
    /// Options of the driver of a volume made on the way.
    driver_options: BTreeMap<String, String>,
    /// A missing source is made (`-v`) or refused (`--mount`).
    make_source: bool,
}

/// Checks a container's mounts without making anything.
pub(crate) fn check(host: &HostConfig, paths: &HostPaths) -> Result<(), Error> {
    let size = |spec: &MountSpec| spec.tmpfs_options.as_ref().map_or(0, |options| options.size_bytes);
    if let Some(spec) = host.mounts.iter().flatten().find(|spec| size(spec) < 0) {
        return Err(Error::InvalidRequest(format!(
            "invalid mount config for type \"tmpfs\": the size at {} is negative",
            spec.target
        )));
    }
    for (path, options) in host.tmpfs.iter().flatten() {
        tmpfs(path, options.split(','))?;
    }
    for spec in host.mounts.iter().flatten().filter(|spec| spec.kind == "tmpfs") {
        if !spec.source.is_empty() {
            return Err(Error::InvalidRequest(
                "invalid mount config for type \"tmpfs\": field Source must not be specified".to_owned(),
            ));
        }
        let options = spec.tmpfs_options.iter().flat_map(|options| options.options.iter().flatten());
        let options: Vec<String> = options.map(|words| words.join("=")).collect();
        tmpfs(&spec.target, options.iter().map(String::as_str))?;
    }
    let wishes = wishes(host, paths)?;
    check_destinations(host, &wishes)?;
    for wish in &wishes {
        if wish.kind == MountKind::Bind {
            if !paths.is_absolute(&wish.source) {
                return Err(Error::InvalidRequest(format!(
                    "invalid mount config for type \"bind\": invalid mount path: '{}' mount path must be absolute",
                    wish.source
                )));
            }
            let here = paths.resolve(&wish.source)?;
            if !wish.make_source && !here.exists() {
                return Err(Error::BindSourceMissing(wish.source.clone()));
            }
        }
    }
    Ok(())
}

/// Refuses what `-v` and `--mount` put in one place, and `-v` and `--tmpfs`, as Docker does.
fn check_destinations(host: &HostConfig, wishes: &[Wish]) -> Result<(), Error> {
    let is_bind =
        |path: &String| wishes.iter().any(|wish| wish.origin == Origin::Binds && wish.destination == *path);
    let mut tmpfs = host.tmpfs.iter().flatten().map(|(path, _)| clean(path));
    let in_memory = host.mounts.iter().flatten().filter(|spec| spec.kind == "tmpfs");
    let mut destinations: Vec<String> = wishes.iter().map(|wish| wish.destination.clone()).collect();
    destinations.extend(in_memory.map(|spec| clean(&spec.target)));
    destinations.sort_unstable();
    let same = destinations.windows(2).find(|pair| pair[0] == pair[1]);
    let twice = tmpfs.find(is_bind).or_else(|| same.map(|pair| pair[0].clone()));
    twice.map_or(Ok(()), |path| Err(Error::InvalidRequest(format!("Duplicate mount point: {path}"))))
}

/// Settings of a tmpfs that have a value (tmpfs(5)), and those that have none (mount(8)).
const TMPFS_SETTINGS: &[&str] = &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];
const TMPFS_FLAGS: &[&str] = &[
    "",
    "async",
    "atime",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "relatime",
    "ro",
    "rw",
    "strictatime",
    "suid",
    "sync",
];

/// Checks a tmpfs, in Docker's words.
fn tmpfs<'o>(path: &str, options: impl Iterator<Item = &'o str>) -> Result<(), Error> {
    if !path.starts_with('/') {
        return Err(Error::InvalidRequest(format!(
            "invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    if clean(path) == "/" {
        return Err(Error::InvalidRequest("invalid specification: destination can't be '/'".to_owned()));
    }
    for option in options {
        let known = match option.split_once('=') {
            Some((name, _)) => TMPFS_SETTINGS.contains(&name),
            None => TMPFS_FLAGS.contains(&option),
        };
        if !known {
            let name = option.split('=').next().unwrap_or(option);
            return Err(Error::InvalidRequest(format!("invalid tmpfs option \"{name}\"")));
        }
    }
    Ok(())
}

/// Resolves a container's mounts, making volumes and missing bind sources on the way. Later kinds win over
/// earlier ones at the same place: the image's volumes, then `--volumes-from`, then what the user asked for.
pub(crate) fn resolve(
    record: &Record,
    volumes_from: Vec<MountPoint>,
    paths: &HostPaths,
    volumes: &Volumes,
) -> Result<Vec<MountPoint>, Error> {
    let host = &record.host_config;
    let mut resolved: BTreeMap<String, MountPoint> = BTreeMap::new();
    for mount in volumes_from {
        resolved.insert(mount.destination.clone(), mount);
    }
    let made_elsewhere = |wish: &Wish| {
        wish.kind == MountKind::Volume && volumes.find(&wish.source).is_err() && !driver_is_ours(host)
    };
    for wish in wishes(host, paths)? {
        if made_elsewhere(&wish) {
            return Err(Error::NoSuchDriver(host.volume_driver.clone()));
        }
        let mount = realize(wish, &record.id, paths, volumes)?;
        resolved.insert(mount.destination.clone(), mount);
    }
    let covered_by_tmpfs = |path: &str| {
        let tmpfs = host.tmpfs.iter().flatten().any(|(target, _)| clean(target) == path);
        tmpfs || host.mounts.iter().flatten().any(|spec| spec.kind == "tmpfs" && clean(&spec.target) == path)
    };
    for path in record.config.volumes.iter().flatten().map(|(path, _)| clean(path)) {
        if !resolved.contains_key(&path) && !covered_by_tmpfs(&path) {
            if !driver_is_ours(host) {
                return Err(Error::NoSuchDriver(host.volume_driver.clone()));
            }
            let wish = Wish::volume(Origin::Config, String::new(), path.clone());
            resolved.insert(path, realize(wish, &record.id, paths, volumes)?);
        }
    }
    Ok(resolved.into_values().collect())
}

/// Whether volumes that are made on the way are this engine's own.
fn driver_is_ours(host: &HostConfig) -> bool {
    matches!(host.volume_driver.as_str(), "" | "local")
}

impl Wish {
    fn volume(origin: Origin, name: String, destination: String) -> Self {
        Self {
            origin,
            kind: MountKind::Volume,
            source: name,
            destination,
            mode: "z".to_owned(),
            writable: true,
            propagation: String::new(),
            labels: BTreeMap::new(),
            options: MountOptions::default(),
            driver_options: BTreeMap::new(),
            make_source: true,
        }
    }
}

fn wishes(host: &HostConfig, paths: &HostPaths) -> Result<Vec<Wish>, Error> {
    let binds = host.binds.iter().flatten().map(|text| parse_bind(text, paths));
    let mounts = host.mounts.iter().flatten().filter(|spec| spec.kind != "tmpfs").map(parse_mount);
    binds.chain(mounts).collect()
}

/// `source:destination[:options]`; the source is a path of the user's machine or a volume's name.
fn parse_bind(text: &str, paths: &HostPaths) -> Result<Wish, Error> {
    let invalid = || Error::InvalidRequest(format!("invalid volume specification: '{text}'"));
    // A Windows source has a colon of its own, after the drive's letter.
    let skipped = if paths.is_absolute(text) && !text.starts_with('/') { 2 } else { 0 };
    let (source, rest) = match text[skipped..].split_once(':') {
        Some((source, rest)) => (format!("{}{source}", &text[..skipped]), rest),
        None => (String::new(), text),
    };
    let (destination, mode) = rest.split_once(':').unwrap_or((rest, ""));
    if mode.contains(':') {
        return Err(invalid());
    }
    if !is_mode(mode) {
        return Err(Error::InvalidRequest(format!("invalid mode: {mode}")));
    }
    let is_bind = paths.is_absolute(&source);
    let refuse = |why: &str| {
        let kind = if is_bind { "bind" } else { "volume" };
        Err(Error::InvalidRequest(format!("{}: invalid mount config for type \"{kind}\": {why}", invalid())))
    };
    if !destination.starts_with('/') {
        return refuse(&format!("invalid mount path: '{destination}' mount path must be absolute"));
    }
    if clean(destination) == "/" {
        return refuse("invalid specification: destination can't be '/'");
    }
    let mut wish = Wish { mode: mode.to_owned(), ..Wish::volume(Origin::Binds, source, clean(destination)) };
    if is_bind {
        wish.kind = MountKind::Bind;
        "rprivate".clone_into(&mut wish.propagation);
    }
    for option in mode.split(',') {
        match option {
            "ro" => wish.writable = false,
            "nocopy" if is_bind => return refuse("field VolumeOptions must not be specified"),
            "nocopy" => wish.options.no_copy = true,
            _ if !PROPAGATIONS.contains(&option) => {}
            _ if !is_bind => return refuse("field BindOptions must not be specified"),
            propagation => propagation.clone_into(&mut wish.propagation),
        }
    }
    Ok(wish)
}

const PROPAGATIONS: &[&str] = &["private", "rprivate", "shared", "rshared", "slave", "rslave"];
/// Options of `-v`; of each kind, one.
const MODES: [&[&str]; 5] =
    [&["rw", "ro"], &["z", "Z"], PROPAGATIONS, &["nocopy"], &["consistent", "cached", "delegated"]];

/// Whether the options of `-v` are known, and no two exclude each other.
fn is_mode(mode: &str) -> bool {
    let mut seen = BTreeSet::new();
    mode.is_empty()
        || mode.split(',').all(|option| {
            MODES.iter().position(|kind| kind.contains(&option)).is_some_and(|kind| seen.insert(kind))
        })
}

/// `--mount`.
fn parse_mount(spec: &MountSpec) -> Result<Wish, Error> {
    let invalid =
        |why: &str| Error::InvalidRequest(format!("invalid mount config for type \"{}\": {why}", spec.kind));
    if !spec.target.starts_with('/') {
        return Err(invalid(&format!("invalid mount path: '{}' mount path must be absolute", spec.target)));
    }
    let mut wish = Wish::volume(Origin::Mounts, spec.source.clone(), clean(&spec.target));
    wish.mode = "z".to_owned();
    wish.writable = !spec.read_only;
    match spec.kind.as_str() {
        "volume" => {
            let options = spec.volume_options.clone().unwrap_or_default();
            if !options.subpath.is_empty() && !is_local(&options.subpath) {
                return Err(invalid("subpath must be a relative path within the volume"));
            }
            if !options
                .driver_config
                .as_ref()
                .is_none_or(|driver| matches!(driver.name.as_str(), "" | "local"))
            {
                let driver = options.driver_config.unwrap_or_default().name;
                return Err(Error::NoSuchDriver(driver).during(format!("create {}", spec.source)));
            }
            wish.driver_options = options.driver_config.unwrap_or_default().options;
            wish.options.no_copy = options.no_copy;
            wish.options.subpath = options.subpath;
            wish.labels = options.labels;
        }
        "bind" => {
            if spec.source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            let options = spec.bind_options.clone().unwrap_or_default();
            wish.kind = MountKind::Bind;
            wish.mode = String::new();
            wish.make_source = options.create_mountpoint;
            if options.read_only_non_recursive && options.read_only_force_recursive {
                return Err(invalid("ReadOnlyNonRecursive conflicts with ReadOnlyForceRecursive"));
            }
            if (options.read_only_non_recursive || options.read_only_force_recursive) && !spec.read_only {
                return Err(invalid("mount must be set \"ReadOnly\" when using its recursive options"));
            }
            if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
                return Err(invalid(&format!("invalid propagation mode: {}", options.propagation)));
            }
            wish.options.non_recursive = options.non_recursive;
            wish.options.writable_below = options.read_only_non_recursive;
            wish.propagation =
                if options.propagation.is_empty() { "rprivate".to_owned() } else { options.propagation };
        }
        "image" => {
            if spec.source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            let subpath = spec.image_options.clone().unwrap_or_default().subpath;
            if !subpath.is_empty() && !is_local(&subpath) {
                return Err(invalid("subpath must be a relative path within the volume"));
            }
            wish.kind = MountKind::Image;
            (wish.mode, wish.writable) = (String::new(), false);
            "rprivate".clone_into(&mut wish.propagation);
            wish.options.subpath = subpath;
        }
        _ => return Err(invalid("mount type unknown")),
    }
    Ok(wish)
}

fn realize(wish: Wish, container: &str, paths: &HostPaths, volumes: &Volumes) -> Result<MountPoint, Error> {
    let Wish { kind, source, destination, mode, writable, propagation, labels, options, make_source, .. } =
        wish;
    let mut mount = MountPoint {
        kind,
        name: String::new(),
        source,
        destination,
        driver: String::new(),
        mode,
        writable,
        propagation,
        options,
    };
    if kind == MountKind::Volume {
        let volume = volumes.ensure(&mount.source, Some(container), labels, wish.driver_options)?;
        mount.source = volumes.data(&volume.name).to_string_lossy().into_owned();
        mount.name = volume.name;
        "local".clone_into(&mut mount.driver);
        return Ok(mount);
    }
    if kind == MountKind::Image {
        mount.name = std::mem::take(&mut mount.source);
        return Ok(mount);
    }
    let here = paths.resolve(&mount.source)?;
    if make_source && !here.exists() {
        std::fs::create_dir_all(&here).map_err(|source| Error::Folder { folder: here, source })?;
    }
    Ok(mount)
}

/// Whether a path stays where it starts.
fn is_local(path: &str) -> bool {
    let mut parts = std::path::Path::new(path).components();
    parts.all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

/// A destination without `.`, `//` and trailing `/`; `..` climbs to at most `/`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_paths::{HostOs, Share};

    fn windows() -> HostPaths {
        let share = Share { host: r"C:\Users\x".to_owned(), mounted_at: "/shares/0".into() };
        HostPaths::Shared { os: HostOs::Windows, shares: vec![share] }
    }

    #[test]
    fn a_windows_source_keeps_its_colon() {
        let wish = parse_bind(r"C:\Users\x\app:/src:ro", &windows()).unwrap();
        assert_eq!((wish.source.as_str(), wish.destination.as_str()), (r"C:\Users\x\app", "/src"));
        assert!(!wish.writable && wish.kind == MountKind::Bind);
    }

    #[test]
    fn a_word_is_a_volume_and_a_lone_path_an_anonymous_one() {
        let named = parse_bind("data:/var/lib", &HostPaths::Native).unwrap();
        assert_eq!((named.kind, named.source.as_str()), (MountKind::Volume, "data"));
        assert_eq!(parse_bind("/cache", &HostPaths::Native).unwrap().source, "");
    }

    #[test]
    fn a_destination_that_is_the_root_is_refused() {
        assert!(parse_bind("/x:/", &HostPaths::Native).is_err());
        assert!(parse_bind("/x:/a/..", &HostPaths::Native).is_err());
        assert!(parse_bind("/x:y", &HostPaths::Native).is_err());
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        for wrong in
            ["/x:/y:ro,rw", "/x:/y:slave,private", "/x:/y:foo", "/x:/y:ro,", "/x:/y:nocopy", "v1:/y:shared"]
        {
            assert!(parse_bind(wrong, &HostPaths::Native).is_err(), "{wrong}");
        }
        let wish = parse_bind("/x:/y:ro,z,rslave,cached", &HostPaths::Native).unwrap();
        assert_eq!((wish.writable, wish.propagation.as_str()), (false, "rslave"));
    }
}
