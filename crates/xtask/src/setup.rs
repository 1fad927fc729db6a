//! `cargo xtask setup`: the packages that building and testing need, on Debian 12 or later.
//!
//! Elsewhere it names what is missing and stops: guessing another system's package names would be worse.

use std::process::{Command, Stdio};

use anyhow::bail;

use crate::buildx;
use crate::step::{cargo, find_program, step};

/// What `cargo xtask setup` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// Only says what is missing.
    #[arg(long)]
    check: bool,
}

/// Who needs a group of packages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// The demo, and the tests.
    Always,
    Tests,
    /// The checks for other systems.
    Cross,
    /// Measuring, and other people's suites.
    Peers,
}

/// One group of packages and what it is for.
struct Group {
    purpose: &'static str,
    need: Need,
    packages: &'static [&'static str],
}

/// Everything, by purpose. A package stands once, in the group that needs it first.
const GROUPS: &[Group] = &[
    Group { purpose: "compile Rust and C", need: Need::Always, packages: &["build-essential", "pkg-config"] },
    Group {
        purpose: "build the guest kernel and root image",
        need: Need::Always,
        packages: &[
            "linux-source-6.12",
            "flex",
            "bison",
            "bc",
            "libelf-dev",
            "libssl-dev",
            "zstd",
            "xz-utils",
            "cpio",
            "patch",
            "erofs-utils",
            "e2fsprogs",
            "ca-certificates",
            "qemu-user-static",
        ],
    },
    Group { purpose: "run the emulated machine", need: Need::Always, packages: &["qemu-system-x86"] },
    Group { purpose: "make the demo's image", need: Need::Always, packages: &["busybox-static"] },
    Group {
        purpose: "test the engine: a registry, oracles, what Dockerfiles install, git over ssh",
        need: Need::Tests,
        packages: &[
            "docker-registry",
            "apache2-utils",
            "nftables",
            "iproute2",
            "openssl",
            "python3-pip",
            "openssh-server",
            "openssh-client",
        ],
    },
    Group { purpose: "test host folders that ignore case", need: Need::Tests, packages: &["ntfs-3g"] },
    Group {
        purpose: "test volumes on an NFS server",
        need: Need::Tests,
        packages: &["nfs-ganesha", "nfs-ganesha-vfs"],
    },
    Group {
        purpose: "build the window",
        need: Need::Always,
        packages: &["libwebkit2gtk-4.1-dev", "libxdo-dev", "libayatana-appindicator3-dev", "librsvg2-dev"],
    },
    Group {
        purpose: "test the window",
        need: Need::Tests,
        packages: &["xvfb", "xauth", "webkit2gtk-driver", "dbus", "dbus-x11", "fonts-dejavu-core"],
    },
    Group {
        purpose: "check the code of other systems",
        need: Need::Cross,
        packages: &["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy", "gcc-mingw-w64-x86-64"],
    },
    Group {
        purpose: "measure against peers, and run others' suites",
        need: Need::Peers,
        packages: &[
            "docker.io",
            "runc",
            "crun",
            "podman",
            "catatonit",
            "libseccomp-dev",
            "python3-venv",
            "git",
            "sqlite3",
            "libacl1-dev",
        ],
    },
];

/// Installs what building and running need and isn't there, with `sudo` when not root.
pub(crate) fn for_demo() -> anyhow::Result<()> {
    packages(&Args::default(), |need| need == Need::Always)
}

/// Installs what checking the code of other systems needs and isn't there.
pub(crate) fn for_cross() -> anyhow::Result<()> {
    packages(&Args::default(), |need| need == Need::Cross)
}

/// Installs the peers to measure against, and what others' suites need.
pub(crate) fn for_peers() -> anyhow::Result<()> {
    packages(&Args::default(), |need| need == Need::Peers)
}

/// Installs what is missing, with `sudo` when not root.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    packages(args, |need| matches!(need, Need::Always | Need::Tests))?;
    if find_program("cargo-nextest").is_none() {
        if args.check {
            bail!("cargo-nextest is missing: run `cargo xtask setup`");
        }
        step("install cargo-nextest", cargo().args(["install", "--locked", "cargo-nextest"]))?;
    }
    if !args.check
        && let Err(error) = buildx::for_tests()
    {
        println!("setup: no buildx, whose tests are skipped: {error:#}");
    }
    Ok(())
}

fn packages(args: &Args, is_wanted: fn(Need) -> bool) -> anyhow::Result<()> {
    let groups: Vec<&Group> = GROUPS.iter().filter(|group| is_wanted(group.need)).collect();
    let missing = missing(&groups);
    if missing.is_empty() {
        println!("setup: nothing is missing");
        return Ok(());
    }
    for group in groups {
        let wanted: Vec<_> = group.packages.iter().filter(|name| missing.contains(name)).copied().collect();
        if !wanted.is_empty() {
            println!("setup: to {}: {}", group.purpose, wanted.join(" "));
        }
    }
    if args.check {
        bail!("{} packages are missing: run `cargo xtask setup`", missing.len());
    }
    if find_program("apt-get").is_none() {
        bail!(
            "this system has no apt-get: install the equivalents of the packages above, then run this again"
        );
    }
    step("update the package lists", as_root("apt-get").args(["update", "-q"]).stdout(Stdio::null()))?;
    let unknown: Vec<_> = missing.iter().filter(|name| !has_candidate(name)).copied().collect();
    if !unknown.is_empty() {
        bail!(
            "apt knows no package {}: Debian 12 has it in bookworm-security, Debian 13 in main. Add that to \
             /etc/apt/sources.list and run this again",
            unknown.join(", ")
        );
    }
    step(
        "install packages",
        as_root("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(missing),
    )
}

/// Whether apt could install a package of this name.
fn has_candidate(package: &str) -> bool {
    let found = Command::new("apt-cache").args(["--quiet=2", "show", package]).stderr(Stdio::null()).output();
    found.is_ok_and(|output| !output.stdout.is_empty())
}

/// The packages of `groups` that dpkg doesn't report as installed.
fn missing(groups: &[&Group]) -> Vec<&'static str> {
    let installed = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\n"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let wanted = groups.iter().flat_map(|group| group.packages.iter().copied());
    wanted.filter(|name| !installed.lines().any(|line| line == format!("installed {name}"))).collect()
}

/// `program`, through sudo when this isn't root.
fn as_root(program: &str) -> Command {
    let uid = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    if uid.trim_ascii() == b"0" {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg(program);
    sudo
}
