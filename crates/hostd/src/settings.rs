//! Where the daemon keeps its things and what machine it runs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vmm::config::{Config, HOST_ALIAS, HostForward, Share, SharesOver};

use crate::Error;

/// The daemon's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Sockets and logs; ends with the session.
    pub run_dir: PathBuf,
    /// The data disk.
    pub data_dir: PathBuf,
    /// `vmlinux` and `root.erofs`.
    pub image_dir: PathBuf,
    /// The program that is this daemon, with its leading arguments: it is started again with `vmm CONFIG` for the
    /// machine.
    pub relaunch: Vec<String>,
    /// The machine's memory.
    pub memory_mib: u32,
    /// The machine's CPUs.
    pub cpus: u32,
    /// The data disk's size as the guest sees it; the file is sparse.
    pub disk_bytes: u64,
    /// Ports of the host's loopback that containers reach as `host.docker.internal:port`.
    pub host_ports: Vec<u16>,
    /// Folders of this machine that containers may see.
    pub shares: Vec<PathBuf>,
    /// What carries their requests.
    pub shares_over: SharesOver,
    /// The user's daemon.json, as text.
    pub daemon_json: String,
    /// Where it and the files that it names lie.
    pub config_dir: PathBuf,
}

/// `settings.json`, as the user writes it. What is left out keeps its default; an unknown key is refused, so that
/// a slip of the pen isn't silently ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    memory_mib: Option<u32>,
    cpus: Option<u32>,
    disk_gib: Option<u64>,
    host_ports: Option<Vec<u16>>,
    shares: Option<Vec<String>>,
    shares_over: Option<SharesOver>,
}

/// Where this host's resolvers are named.
const RESOLVERS: &str = "/etc/resolv.conf";
/// The least memory that kernel and engine start in.
const LEAST_MEMORY_MIB: u32 = 256;
/// What the emulated machine's interrupt controller can hold.
const MOST_CPUS: u32 = 8;

impl Settings {
    /// The usual places of this user, changed by `$XDG_CONFIG_HOME/berth/settings.json`; `daemon.json` beside it is
    /// the engine's.
    ///
    /// # Errors
    /// When a file is there and can't be honoured.
    pub fn read(image_dir: PathBuf, relaunch: Vec<String>) -> Result<Self, Error> {
        let mut settings = Self::of_user(image_dir, relaunch);
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let config = std::env::var_os("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty());
        let folder = config.map_or_else(|| home.join(".config"), PathBuf::from).join("berth");
        let path = folder.join("settings.json");
        let refuse = |reason: String| Error::Settings { path: path.clone(), reason };
        if let Some(text) = text_of(&path)? {
            let file: File = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
            settings.apply(file).map_err(refuse)?;
        }
        settings.daemon_json = text_of(&folder.join("daemon.json"))?.unwrap_or_default();
        settings.config_dir = folder;
        Ok(settings)
    }

    fn apply(&mut self, file: File) -> Result<(), String> {
        if let Some(mib) = file.memory_mib {
            if mib < LEAST_MEMORY_MIB {
                return Err(format!("memory_mib: {mib} is under the least, {LEAST_MEMORY_MIB}"));
            }
            self.memory_mib = mib;
        }
        if let Some(cpus) = file.cpus {
            if !(1..=MOST_CPUS).contains(&cpus) {
                return Err(format!("cpus: {cpus} isn't between 1 and {MOST_CPUS}"));
            }
            self.cpus = cpus;
        }
        if let Some(gib) = file.disk_gib {
            if !(1..=16 << 10).contains(&gib) {
                return Err(format!("disk_gib: {gib} isn't between 1 and {}", 16 << 10));
            }
            self.disk_bytes = gib << 30;
        }
        self.host_ports = file.host_ports.unwrap_or_default();
        self.shares_over = file.shares_over.unwrap_or_default();
        if let Some(shares) = file.shares {
            let folders = shares.iter().map(|text| shared_folder(text)).collect::<Result<Vec<_>, _>>()?;
            self.shares = outermost(folders);
        }
        Ok(())
    }

    /// The usual places of this user: `$XDG_RUNTIME_DIR/berth`, else `~/.berth/run`; data in `~/.berth/data`.
    pub fn of_user(image_dir: PathBuf, relaunch: Vec<String>) -> Self {
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let session = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let run_dir = session.map_or_else(|| home.join(".berth/run"), |dir| PathBuf::from(dir).join("berth"));
        let cpus = std::thread::available_parallelism().map_or(2, usize::from);
        let shares = if home.is_dir() { vec![home.clone()] } else { Vec::new() };
        Self {
            run_dir,
            data_dir: home.join(".berth/data"),
            image_dir,
            relaunch,
            memory_mib: 2048,
            cpus: u32::try_from(cpus).unwrap_or(2).min(MOST_CPUS),
            disk_bytes: 64 << 30,
            host_ports: Vec::new(),
            shares,
            shares_over: SharesOver::default(),
            daemon_json: String::new(),
            config_dir: PathBuf::new(),
        }
    }

    /// Where Docker clients connect.
    pub fn docker_socket(&self) -> PathBuf {
        self.run_dir.join("docker.sock")
    }

    /// Where the window and the command line connect ([`protocol::control`]).
    pub fn control_socket(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The guest's ports.
    pub fn vsock_socket(&self) -> PathBuf {
        self.vmm_config().vsock_socket()
    }

    /// What the machine's process is told.
    pub fn vmm_config(&self) -> Config {
        let forward = |port: &u16| HostForward {
            guest: std::net::SocketAddrV4::new(HOST_ALIAS, *port),
            host_port: *port,
        };
        Config {
            kernel: self.image_dir.join("vmlinux"),
            root: self.image_dir.join("root.erofs"),
            data_disk: self.data_dir.join("data.img"),
            data_disk_bytes: self.disk_bytes,
            shares: self.shares.iter().enumerate().map(|(index, folder)| share(index, folder)).collect(),
            shares_over: self.shares_over,
            run_dir: self.run_dir.join("vm"),
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            forwards: self.host_ports.iter().map(forward).collect(),
            resolvers: PathBuf::from(RESOLVERS),
        }
    }
}

/// The file's text; none when there is no such file.
fn text_of(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Prepare { doing: "read", path: path.to_path_buf(), source }),
    }
}

/// A shared folder for the machine; the guest knows it by its place in the list.
fn share(index: usize, folder: &Path) -> Share {
    Share { name: index.to_string(), folder: folder.to_path_buf() }
}

/// The folders that don't lie in another one of them: what does is shared with it, and must not be shared twice, since
/// the guest knows a folder by one name.
fn outermost(folders: Vec<PathBuf>) -> Vec<PathBuf> {
    let real: Vec<PathBuf> =
        folders.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect();
    let lies_in = |inner: usize, outer: usize| {
        let again = real[inner] == real[outer] && outer < inner;
        again || (real[inner] != real[outer] && real[inner].starts_with(&real[outer]))
    };
    let all = 0..real.len();
    let kept = |inner: &usize| !all.clone().any(|outer| lies_in(*inner, outer));
    all.clone().filter(kept).map(|index| folders[index].clone()).collect()
}

/// A folder as the user writes it: absolute, or beneath `~`.
fn shared_folder(text: &str) -> Result<PathBuf, String> {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let folder = match text.strip_prefix('~') {
        Some("") => home(),
        Some(rest) if rest.starts_with('/') => home().join(rest.trim_start_matches('/')),
        _ => PathBuf::from(text),
    };
    if !folder.is_absolute() {
        return Err(format!("shares: {text} isn't an absolute path"));
    }
    if !folder.is_dir() {
        return Err(format!("shares: {text} isn't a folder"));
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> Result<Settings, String> {
        let mut settings = Settings::of_user("/image".into(), vec!["berth".to_owned()]);
        settings.apply(serde_json::from_str(text).map_err(|error| error.to_string())?)?;
        Ok(settings)
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let settings = applied(r#"{ "memory_mib": 1024 }"#).unwrap();
        assert_eq!((settings.memory_mib, settings.disk_bytes), (1024, 64 << 30));
    }

    #[test]
    fn an_unknown_key_and_an_impossible_value_are_refused() {
        assert!(applied(r#"{ "memory": 1024 }"#).unwrap_err().contains("unknown field `memory`"));
        assert!(applied(r#"{ "cpus": 0 }"#).unwrap_err().contains("cpus"));
    }

    #[test]
    fn home_is_shared_unless_the_user_names_other_folders() {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap();
        assert_eq!(applied("{}").unwrap().shares, [home.as_path()]);
        assert_eq!(applied(r#"{ "shares": ["/tmp", "~"] }"#).unwrap().shares, [Path::new("/tmp"), &home]);
        assert!(applied(r#"{ "shares": [] }"#).unwrap().shares.is_empty());
    }

    #[test]
    fn a_folder_within_another_is_shared_once() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("a"), folder.path().join("a/b"));
        std::fs::create_dir_all(&inner).unwrap();
        let besides = folder.path().join("ab");
        std::fs::create_dir(&besides).unwrap();
        let all = vec![inner, outer.clone(), outer.clone(), besides.clone()];
        assert_eq!(outermost(all), [outer, besides]);
    }

    #[test]
    fn shared_folders_come_by_their_device_unless_the_user_wants_a_stream() {
        assert_eq!(applied("{}").unwrap().vmm_config().shares_over, SharesOver::VirtioFs);
        let over_vsock = applied(r#"{ "shares_over": "vsock" }"#).unwrap();
        assert_eq!(over_vsock.vmm_config().shares_over, SharesOver::Vsock);
        assert!(applied(r#"{ "shares_over": "9p" }"#).unwrap_err().contains("`virtio-fs` or `vsock`"));
    }

    #[test]
    fn a_share_that_is_no_folder_is_refused_by_name() {
        assert!(applied(r#"{ "shares": ["/no/such"] }"#).unwrap_err().contains("/no/such"));
        assert!(applied(r#"{ "shares": ["src"] }"#).unwrap_err().contains("absolute"));
    }
}
