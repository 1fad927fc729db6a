//! What is measured, done inside of the machine by this same program: one deed in one folder. It prints its seconds.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::ValueEnum;

/// What one deed takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which one.
    #[arg(value_enum)]
    deed: Deed,
    /// Where.
    folder: PathBuf,
    /// How many files.
    #[arg(long)]
    files: usize,
    /// How long the long file is.
    #[arg(long)]
    mebibytes: usize,
}

/// What is done, each with what the ones before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deed {
    /// Files of a few bytes.
    Create,
    /// Attributes of each, which the kernel doesn't know.
    Stat,
    /// Attributes of each, which were looked at right before.
    StatAgain,
    /// The names in their folder, which the kernel doesn't know.
    List,
    /// Each gets another name.
    Rename,
    /// Each goes.
    Unlink,
    /// One long file, synced.
    Write,
    /// The same, which the kernel doesn't know.
    Read,
    /// A git repository of 2,000 files, out of a bundle.
    GitClone,
    /// Whether they changed; the kernel doesn't know them.
    GitStatus,
    /// A tar archive of 2,000 files.
    Untar,
    /// Commits of a database, each synced.
    SqliteCommits,
}

/// In this order.
pub(crate) const DEEDS: &[Deed] = &[
    Deed::Create,
    Deed::Stat,
    Deed::StatAgain,
    Deed::List,
    Deed::Rename,
    Deed::Unlink,
    Deed::Write,
    Deed::Read,
    Deed::GitClone,
    Deed::GitStatus,
    Deed::Untar,
    Deed::SqliteCommits,
];

/// Where the image has what is cloned and unpacked.
pub(super) const BUNDLE: &str = "srv/repository.bundle";
pub(super) const ARCHIVE: &str = "srv/tree.tar";
const COMMITS: usize = 200;
const CONTENT: &[u8] = b"a few bytes";
const PIECE: usize = 1 << 20;
/// Servers hear of what the kernel has forgotten behind its back, and answer nothing to it: so long they have for all of
/// it, or the first place of a run would be measured while each of them does that.
const FORGETS: Duration = Duration::from_secs(2);

impl Deed {
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the kernel is to know nothing of the files before.
    fn is_cold(self) -> bool {
        matches!(self, Self::Stat | Self::List | Self::Read | Self::GitStatus)
    }
}

/// Does it.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.deed == Deed::GitStatus {
        // The first one after a clone reads what was written as late as the index itself, and notes that it is clean.
        perform(args)?;
    }
    if args.deed.is_cold() {
        run_program(Path::new("/"), &["sync"])?;
        fs::write("/proc/sys/vm/drop_caches", "3").context("drop what the kernel knows")?;
        std::thread::sleep(FORGETS);
        // The pages of this program were dropped, too: what a short deed takes isn't to be what the disk takes for them.
        fs::read_dir("/")?.try_for_each(|entry| entry?.metadata().map(drop))?;
    }
    prepare(args)?;
    let began = Instant::now();
    perform(args).with_context(|| args.deed.name())?;
    println!("{}", began.elapsed().as_secs_f64());
    Ok(())
}

fn prepare(args: &Args) -> anyhow::Result<()> {
    let within = |name: &str| args.folder.join(name);
    match args.deed {
        Deed::Create => {
            for entry in fs::read_dir(&args.folder)? {
                clear(&entry?.path())?;
            }
            Ok(fs::create_dir(within("files"))?)
        }
        Deed::GitClone => clear(&within("clone")),
        Deed::Untar => {
            clear(&within("tree"))?;
            Ok(fs::create_dir(within("tree"))?)
        }
        Deed::SqliteCommits => clear(&within("data.db")),
        Deed::GitStatus => load_git(),
        // Another place's cold deed has made the kernel forget.
        Deed::StatAgain => perform(args),
        _ => Ok(()),
    }
}

/// Git's own pages were dropped with the files': it asks about an empty repository elsewhere.
fn load_git() -> anyhow::Result<()> {
    let folder = std::env::temp_dir().join("empty");
    run_program(&std::env::temp_dir(), &["git", "init", "--quiet", "--template=", "empty"])?;
    run_program(&folder, &["git", "status", "--short"])
}

/// Removes what an earlier run has left.
fn clear(path: &Path) -> anyhow::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("remove {}", path.display())),
    }
}

fn perform(args: &Args) -> anyhow::Result<()> {
    let folder = args.folder.join("files");
    let each = |deed: &dyn Fn(&Path, usize) -> std::io::Result<()>| -> anyhow::Result<()> {
        for number in 0..args.files {
            deed(&folder.join(format!("file-{number:06}")), number)?;
        }
        Ok(())
    };
    match args.deed {
        Deed::Create => each(&|path, _| File::create_new(path)?.write_all(CONTENT)),
        Deed::Stat | Deed::StatAgain => each(&|path, _| fs::symlink_metadata(path).map(drop)),
        Deed::List => match fs::read_dir(&folder)?.count() {
            found if found == args.files => Ok(()),
            found => bail!("{found} of {} files are there", args.files),
        },
        Deed::Rename => each(&|path, number| fs::rename(path, folder.join(format!("moved-{number:06}")))),
        Deed::Unlink => each(&|_, number| fs::remove_file(folder.join(format!("moved-{number:06}")))),
        Deed::Write => write(&args.folder.join("long"), args.mebibytes),
        Deed::Read => read(&args.folder.join("long"), args.mebibytes),
        Deed::GitClone => {
            let bundle = format!("/{BUNDLE}");
            run_program(&args.folder, &["git", "clone", "--quiet", "--template=", &bundle, "clone"])
        }
        Deed::GitStatus => run_program(&args.folder.join("clone"), &["git", "status", "--short"]),
        Deed::Untar => run_program(&args.folder.join("tree"), &["tar", "-xf", &format!("/{ARCHIVE}")]),
        Deed::SqliteCommits => commit(&args.folder),
    }
}

fn write(path: &Path, mebibytes: usize) -> anyhow::Result<()> {
    let piece: Vec<u8> = (0..PIECE).map(|byte| (byte % 251) as u8).collect();
    let mut file = File::create(path)?;
    for _ in 0..mebibytes {
        file.write_all(&piece)?;
    }
    Ok(file.sync_all()?)
}

fn read(path: &Path, mebibytes: usize) -> anyhow::Result<()> {
    let (mut file, mut piece, mut sum) = (File::open(path)?, vec![0; PIECE], 0);
    loop {
        match file.read(&mut piece)? {
            0 if sum == mebibytes * PIECE => return Ok(()),
            0 => bail!("{sum} bytes are there"),
            count => sum += count,
        }
    }
}

fn commit(folder: &Path) -> anyhow::Result<()> {
    let mut sqlite = Command::new("sqlite3");
    let mut sqlite = sqlite.arg("data.db").current_dir(folder).stdin(Stdio::piped()).spawn()?;
    let mut statements = "create table t (n integer, text text);\n".to_owned();
    for number in 0..COMMITS {
        statements.push_str(&format!("insert into t values ({number}, 'some text of a row');\n"));
    }
    sqlite.stdin.take().context("sqlite's input")?.write_all(statements.as_bytes())?;
    if !sqlite.wait()?.success() {
        bail!("sqlite3 fails");
    }
    Ok(())
}

fn run_program(folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let (program, args) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    // The owner of a shared folder isn't the container's user to everyone who looks.
    command.args(args).current_dir(folder).env("GIT_CONFIG_COUNT", "1");
    command.env("GIT_CONFIG_KEY_0", "safe.directory").env("GIT_CONFIG_VALUE_0", "*");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    if !output.stdout.is_empty() {
        bail!("{} says {}", words.join(" "), String::from_utf8_lossy(&output.stdout).trim());
    }
    Ok(())
}
