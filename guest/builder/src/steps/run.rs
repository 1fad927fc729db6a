//! RUN.

use std::path::Path;
use std::sync::Arc;

use berth_images::Platform;
use berth_runtime::attended::{CgroupPlace, Ending};

use super::blocking;
use super::mounts::{self, Mounted};
use super::settings::PROXIES;
use crate::beneath::Root;
use crate::container::{Container, bind};
use crate::dockerfile::{Heredoc, Run};
use crate::files::Files;
use crate::history::Style;
use crate::observe::{StepName, Stream};
use crate::options::{HOST_NETWORK, INSECURE};
use crate::process::{self, Sandbox};
use crate::solve::{Build, Outcome};
use crate::state::{PATH, State};
use crate::workspace::Workspace;
use crate::{Error, Result, interpreter, key_of, user};

/// Names that every `/etc/hosts` begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
/// Paths that mounts need and that an image needn't have; what a step made of them only for that goes again.
const STUBS: [&str; 7] = ["proc", "sys", "dev", "etc", "etc/hosts", "etc/hostname", "etc/resolv.conf"];
/// Where a script of a here-document appears.
const SCRIPTS: &str = "/dev/pipes";

/// What a step runs, apart from its files.
struct Plan {
    argv: Vec<String>,
    environment: Vec<String>,
    folder: String,
    user: String,
    network: String,
    /// Whether it runs outside of the sandbox.
    is_insecure: bool,
    script: Option<(String, String)>,
}

/// Runs a command in the stage, or takes what it made from the cache.
pub(super) async fn run(
    build: &Arc<Build>,
    stage: usize,
    name: &StepName,
    run: &Run,
    state: &mut State,
) -> Result<Outcome> {
    let plan = plan(build, run, state)?;
    check_grants(build, &plan)?;
    let wishes = mounts::resolve(build, stage, name, run, state).await?;
    let key = key(build, run, &plan, state, &wishes);
    let lock = build.builder.lock_for(key.hex());
    let _alone = lock.lock().await;
    let entry = state.style.run(&told_argv(run, &state.shell), &state.told_arguments());
    if let Some((files, created)) = build.cached(stage, &key, &state.files).await {
        state.advance(files, &lock, &created, entry);
        return Ok(Outcome::Cached);
    }
    interpreter::check(&state.config.platform())?;
    let (builder, files) = (build.builder.clone(), state.files.clone());
    let workspace = blocking(move || Workspace::open(&builder, &files)).await?;
    let mounted = mounts::mount(build, wishes, workspace.folder()).await?;
    let (workspace, mounted) = execute(build, name, &plan, workspace, mounted).await?;
    let (builder, files, description) = (build.builder.clone(), state.files.clone(), name.text.clone());
    let style = build.style;
    let (files, created): (Files, _) = blocking(move || {
        let added = workspace.commit(style, None, None)?;
        // Binds into other file systems outlive the step's own by a moment.
        drop(mounted);
        let size = added.as_ref().map_or(0, |(layer, _)| layer.size);
        let next = files.with(key, added);
        let created = builder.cache.put(&next, &files, size, &description)?;
        Ok((next, created))
    })
    .await?;
    state.advance(files, &lock, &created.to_string(), entry);
    Ok(Outcome::Made)
}

/// The arguments as the history tells them: a script by the name that it appears by.
fn told_argv(run: &Run, shell: &[String]) -> Vec<String> {
    match run.script() {
        Some(script) => shell.iter().cloned().chain([script_path(script)]).collect(),
        None => run.argv(shell),
    }
}

fn script_path(script: &Heredoc) -> String {
    format!("{SCRIPTS}/{}", script.name)
}

fn plan(build: &Build, run: &Run, state: &State) -> Result<Plan> {
    let mut argv = run.argv(&state.shell);
    let script = run.script().map(|script| (script_path(script), script.content.clone()));
    if let Some((path, _)) = &script {
        argv = vec![path.clone()];
    }
    let mut environment = state.config.config.env.clone();
    environment.extend(state.seen_arguments().iter().map(|(name, value)| format!("{name}={value}")));
    if !environment.iter().any(|entry| entry.starts_with("PATH=")) {
        environment.push(PATH.to_owned());
    }
    let folder = match state.config.config.working_dir.as_str() {
        "" => "/".to_owned(),
        folder => folder.to_owned(),
    };
    let network = match run.network.as_deref() {
        None | Some("default") => build.options.network.clone(),
        Some(mode) => mode.to_owned(),
    };
    let is_insecure = run.security.as_deref() == Some("insecure");
    let user = state.config.config.user.clone();
    Ok(Plan { argv, environment, folder, user, network, is_insecure, script })
}

/// Refuses what the build isn't granted.
fn check_grants(build: &Build, plan: &Plan) -> Result<()> {
    let granted = build.options.granted;
    let wanted = [
        (plan.network == "host", granted.host_network, HOST_NETWORK),
        (plan.is_insecure, granted.insecure, INSECURE),
    ];
    match wanted.into_iter().find(|(is_wanted, is_granted, _)| *is_wanted && !is_granted) {
        Some((.., name)) => Err(Error::Invalid(format!("{name} is not allowed"))),
        None => Ok(()),
    }
}

fn key(
    build: &Build,
    run: &Run,
    plan: &Plan,
    state: &State,
    wishes: &[mounts::Wish],
) -> berth_images::Digest {
    let mut environment = plan.environment.clone();
    environment.retain(|entry| entry.split_once('=').is_none_or(|(name, _)| !PROXIES.contains(&name)));
    let mounts: Vec<String> = wishes.iter().map(|wish| wish.key.clone()).collect();
    let platform = state.config.platform();
    let mut parts = vec![
        "run".to_owned(),
        state.files.key.to_string(),
        plan.argv.join("\0"),
        environment.join("\0"),
        plan.folder.clone(),
        plan.user.clone(),
        run.network.clone().unwrap_or_default(),
        plan.script.as_ref().map(|(_, content)| content.clone()).unwrap_or_default(),
        build.options.extra_hosts.join("\0"),
        build.options.hostname.clone(),
        mounts.join("\0"),
    ];
    if plan.is_insecure {
        parts.push(INSECURE.to_owned());
    }
    // The same files may be for several processors, and programs ask which.
    if platform != Platform::local() {
        parts.push(platform.to_string());
    }
    key_of(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs the step's container to its end.
async fn execute(
    build: &Arc<Build>,
    name: &StepName,
    plan: &Plan,
    workspace: Workspace,
    mut mounted: Mounted,
) -> Result<(Workspace, Mounted)> {
    let (builder, id) = (build.builder.clone(), workspace.name().to_owned());
    let network = plan.network.clone();
    let sandbox = blocking(move || Sandbox::open(&builder, &id, &network)).await?;
    build.observer.runs(name, workspace.name());
    let folder = workspace.folder().to_owned();
    let hostname = hostname(build, &workspace);
    names(build, &folder, hostname, &sandbox)?;
    let mut mounts = Vec::new();
    for file in ["hosts", "hostname", "resolv.conf"] {
        mounts.push(bind(&folder.join(file), &format!("/etc/{file}"), false)?);
    }
    if let Some((path, content)) = &plan.script {
        let file = folder.join("script");
        write(&file, content)?;
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, executable).map_err(Error::file("make executable", &file))?;
        mounts.push(bind(&file, path, true)?);
    }
    mounts.append(&mut mounted.mounts);
    let identity = user::find(workspace.root(), &plan.user)?;
    let mut environment = plan.environment.clone();
    environment.append(&mut mounted.environment);
    for name in PROXIES {
        if let Some(Some(value)) = build.options.arguments.get(name) {
            environment.push(format!("{name}={value}"));
        }
    }
    if !environment.iter().any(|entry| entry.starts_with("HOME=")) {
        environment.push(format!("HOME={}", identity.home));
    }
    let targets: Vec<String> =
        mounts.iter().map(|mount| mount.destination().to_string_lossy().into_owned()).collect();
    let root = workspace.root().to_owned();
    let missing = missing(&root, &targets)?;
    let container = Container {
        root: &root,
        argv: plan.argv.clone(),
        environment,
        folder: plan.folder.clone(),
        identity,
        hostname,
        network: sandbox.network.clone(),
        is_insecure: plan.is_insecure,
        shm_size: build.options.shm_size,
        limits: &build.options.limits,
        mounts,
    };
    let spec = container.spec()?;
    let says = |stream: Stream, bytes: &[u8]| build.observer.says(name, stream, bytes);
    let place = place(build, workspace.name());
    let ending = process::run(&build.builder, &folder, place, &spec, &says, &build.cancel).await;
    blocking(move || {
        drop(sandbox);
        Ok(())
    })
    .await?;
    remove_stubs(&root, &missing);
    let command = plan.argv.join(" ");
    match ending? {
        Ending::Exited(0) => Ok((workspace, mounted)),
        Ending::Exited(code) => Err(Error::Command { command, code }),
        Ending::Failed(reason) => Err(Error::NotStarted { command, reason }),
        Ending::Abandoned => Err(Error::Cancelled),
    }
}

/// What the step's machine is called: as asked, or as each builder has it.
fn hostname<'a>(build: &'a Build, workspace: &'a Workspace) -> &'a str {
    match (build.options.hostname.as_str(), build.style) {
        ("", Style::BuildKit) => "buildkitsandbox",
        ("", Style::Classic) => &workspace.name()[crate::workspace::PREFIX.len()..],
        (asked, _) => asked,
    }
}

/// Where the step's cgroup is: below the engine's own for builds, or the one that was asked for.
fn place(build: &Build, name: &str) -> CgroupPlace {
    let parent = match build.options.cgroup_parent.as_str() {
        "" => &build.builder.cgroup_parent,
        asked => asked,
    };
    let path = format!("/{}/{name}", parent.trim_matches('/'));
    CgroupPlace { mount: build.builder.cgroups.mount.clone(), path }
}

/// The files that name the step and others.
fn names(build: &Build, folder: &Path, hostname: &str, sandbox: &Sandbox) -> Result<()> {
    let mut hosts = HOSTS.to_owned();
    for entry in &build.options.extra_hosts {
        if let Some((name, address)) = entry.split_once([':', '=']) {
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
    }
    write(&folder.join("hosts"), &hosts)?;
    write(&folder.join("hostname"), &format!("{hostname}\n"))?;
    write(&folder.join("resolv.conf"), &sandbox.resolver())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::file("write", path))
}

/// Mount points that the image lacks, with the time of the folder that they will appear in.
fn missing(root: &Path, targets: &[String]) -> Result<Vec<Stub>> {
    let opened = Root::open(root).map_err(Error::file("open", root))?;
    let mut missing: Vec<Stub> = Vec::new();
    let all =
        STUBS.map(str::to_owned).into_iter().chain(targets.iter().map(|path| crate::beneath::clean(path)));
    for path in all {
        if path.starts_with("dev/") {
            continue;
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            if !opened.exists(part) && !missing.iter().any(|stub| stub.path == part) {
                let parent = part.rsplit_once('/').map_or("", |(parent, _)| parent);
                let time = opened.entry(parent).ok().and_then(|folder| rustix::fs::fstat(folder).ok());
                let time = time.map(|stat| (stat.st_mtime, stat.st_mtime_nsec as i64));
                missing.push(Stub { path: part.to_owned(), time });
            }
        }
    }
    Ok(missing)
}

struct Stub {
    path: String,
    /// The containing folder's modification time before.
    time: Option<(i64, i64)>,
}

/// Removes what is there only as a mount point: empty files and folders. What a step filled stays.
fn remove_stubs(root: &Path, stubs: &[Stub]) {
    let Ok(opened) = Root::open(root) else { return };
    for stub in stubs.iter().rev() {
        let (parent, name) = stub.path.rsplit_once('/').unwrap_or(("", &stub.path));
        let Ok(folder) = opened.folder(parent) else { continue };
        let Ok(stat) = rustix::fs::statat(&folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        let removed = match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory => {
                rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::REMOVEDIR)
            }
            rustix::fs::FileType::RegularFile if stat.st_size == 0 => {
                rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty())
            }
            _ => continue,
        };
        if removed.is_ok()
            && let Some((seconds, nanoseconds)) = stub.time
        {
            let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            let _ = rustix::fs::futimens(&folder, &times);
        }
    }
}
