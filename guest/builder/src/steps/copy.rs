//! COPY and ADD.

mod linked;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use berth_images::{Digest, Dress, Glob, is_pattern};

use super::origin::{Opened, Origin};
use super::remote::{self, Checkout, Fetched};
use super::{blocking, folder};
use crate::beneath::{self, Owner, Root, clean};
use crate::checksum::Checksum;
use crate::chmod::Chmod;
use crate::dockerfile::{Copy, Lexer, Purpose};
use crate::files::Files;
use crate::git::Address;
use crate::history::Style;
use crate::ignore::Ignore;
use crate::observe::StepName;
use crate::solve::{Build, Outcome};
use crate::state::State;
use crate::transfer::{Transfer, Way, make_room};
use crate::workspace::Workspace;
use crate::{Builder, Error, Result, key_of, user};

/// From so many files on, those of a client's folder are linked into the layer. Fewer are copied: one that has them and
/// later gets the whole folder, as many Dockerfiles do, can have only one of both linked.
const MANY: usize = 200;

/// Everything that a copy needs, variables expanded.
struct Plan {
    style: Style,
    keyword: &'static str,
    /// Sources in the origin, clean; where `--parents` cuts is marked by what stands before `/./`.
    sources: Vec<String>,
    /// Inline files and downloads: name and where the bytes are.
    extra: Vec<Extra>,
    destination: String,
    /// The destination as it was written.
    written: String,
    chown: Option<String>,
    chmod: Option<Chmod>,
    link: bool,
    parents: bool,
    exclude: Ignore,
    unpack: Option<bool>,
    add: bool,
}

/// A source that isn't in the origin.
enum Extra {
    Inline { name: String, content: String },
    Download(Fetched),
    Checkout(Checkout),
}

/// A source found in the origin: its path, and how much of it `--parents` keeps.
struct Found {
    path: String,
    is_folder: bool,
    kept: String,
}

/// Copies files into the stage, or takes them from the cache.
pub(super) async fn copy(
    build: &Arc<Build>,
    stage: usize,
    name: &StepName,
    copy: &Copy,
    state: &mut State,
) -> Result<Outcome> {
    let (plan, needs_origin) = plan(build, name, copy, state).await?;
    let origin = match needs_origin {
        true => Origin::find(build, stage, name, copy.from.as_deref().unwrap_or_default()).await?,
        false => Origin::Files(Files::empty()),
    };
    let opened = origin.open(build).await?;
    let (plan, opened, found, content, count) = blocking(move || {
        let found = find(&plan, &opened)?;
        let (content, count) = checksum(&plan, &opened, &found)?;
        Ok((plan, opened, found, content, count))
    })
    .await?;
    let text = spelled(build, copy, state)?;
    let settings = format!(
        "{} {:?} {:?} {} {} {:?} {} {:?}",
        plan.destination,
        plan.chown,
        plan.chmod,
        plan.link,
        plan.parents,
        copy.exclude,
        plan.add,
        plan.unpack
    );
    let sources: Vec<&str> = found.iter().map(|found| found.kept.as_str()).collect();
    let parent = state.files.key.to_string();
    let (sources, content_key) = (sources.join("\0"), content.to_string());
    let made_of = [settings.as_str(), &sources, &content_key];
    let key = key_of(&[["copy", &parent].as_slice(), &made_of].concat());
    let linked = linked::is_independent(&plan).then(|| key_of(&[["linked"].as_slice(), &made_of].concat()));
    let entry = state.style.copy(&state.shell, &text, &shown(&plan, &found, &content));
    let lock = build.builder.lock_for(key.hex());
    let _alone = lock.lock().await;
    if let Some((files, created)) = build.cached(stage, &key, &state.files).await {
        state.advance(files, &lock, &created, entry);
        return Ok(Outcome::Cached);
    }
    let (builder, files) = (build.builder.clone(), state.files.clone());
    let may_serve = !build.ignores_cache(stage) && build.options.cache_from.is_empty();
    if let Some(linked) = linked.clone().filter(|_| may_serve)
        && let Some((files, created)) = blocking({
            let (builder, files, key, text) = (builder.clone(), files.clone(), key.clone(), text.clone());
            move || linked::again(&builder, &files, key, linked, &text)
        })
        .await?
    {
        state.advance(files, &lock, &created.to_string(), entry);
        return Ok(Outcome::Cached);
    }
    let (files, created) = blocking(move || {
        let is_large = count >= MANY;
        let (next, size) = make(&builder, &plan, &opened, (&found, is_large), &files, key)?;
        // What changed nothing has no layer that others could have.
        let linked = linked.filter(|_| next.layers.len() > files.layers.len());
        let created = builder.cache.put_linked(&next, &files, size, &text, linked)?;
        Ok((next, created))
    })
    .await?;
    state.advance(files, &lock, &created.to_string(), entry);
    Ok(Outcome::Made)
}

/// Expands the instruction's texts and fetches what comes from elsewhere; says whether the origin is needed.
async fn plan(build: &Arc<Build>, name: &StepName, copy: &Copy, state: &State) -> Result<(Plan, bool)> {
    let keyword = if copy.add { "ADD" } else { "COPY" };
    let wrong = |reason: String| Error::Copy { keyword, reason };
    let (mut sources, mut extra) = (Vec::new(), Vec::new());
    for text in &copy.sources {
        let text = build.expand(text, state)?;
        if copy.add && Address::is_one(&text) {
            let checksum = copy.checksum.as_deref();
            let checkout = remote::check_out(build, &text, checksum, copy.keep_git_dir).await?;
            extra.push(Extra::Checkout(checkout));
        } else if copy.add && remote::is_url(&text) {
            extra.push(Extra::Download(remote::fetch(build, name, &text, copy.checksum.as_deref()).await?));
        } else {
            sources.push(text);
        }
    }
    if copy.checksum.is_some() && extra.is_empty() {
        return Err(wrong("checksum requires HTTP(S) or Git sources".to_owned()));
    }
    for file in &copy.files {
        let lexer = Lexer { escape: build.file.directives.escape, purpose: Purpose::Content };
        let expanded = if file.expand {
            lexer.expand(&file.content, &state.variables()).map_err(Error::Invalid)?.text
        } else {
            file.content.clone()
        };
        extra.push(Extra::Inline { name: file.name.clone(), content: expanded });
    }
    let destination = build.expand(&copy.destination, state)?;
    let written = destination.clone();
    let is_folder = destination.ends_with('/')
        || matches!(destination.as_str(), "." | "./")
        || destination.ends_with("/.");
    if sources.len() + extra.len() > 1 && !is_folder {
        let reason = format!(
            "When using {keyword} with more than one source file, the destination must be a directory and end with a /"
        );
        return Err(Error::Invalid(reason));
    }
    let mut destination = folder::absolute(&state.config.config.working_dir, &destination);
    if is_folder && destination != "/" {
        destination.push('/');
    }
    let exclude: Vec<String> =
        copy.exclude.iter().map(|text| build.expand(text, state)).collect::<Result<_>>()?;
    let chmod = copy.chmod.as_ref().map(|text| build.expand(text, state)).transpose()?;
    let plan = Plan {
        style: build.style,
        keyword,
        extra,
        destination,
        written,
        chown: copy.chown.as_ref().map(|text| build.expand(text, state)).transpose()?,
        chmod: chmod.map(|text| Chmod::parse(&text)).transpose().map_err(wrong)?,
        link: copy.link,
        parents: copy.parents,
        exclude: Ignore::of(exclude.iter().map(String::as_str)).map_err(wrong)?,
        unpack: copy.unpack,
        add: copy.add,
        sources,
    };
    let needs_origin = !plan.sources.is_empty();
    Ok((plan, needs_origin))
}

/// The sources that are there, patterns resolved.
fn find(plan: &Plan, opened: &Opened) -> Result<Vec<Found>> {
    let root = Root::open(&opened.root).map_err(Error::file("open", &opened.root))?;
    let mut all = Vec::new();
    for source in &plan.sources {
        let (before, after) = match source.split_once("/./") {
            Some((before, after)) if plan.parents => (clean(before), after),
            _ => (String::new(), source.as_str()),
        };
        let path = clean(&format!("{before}/{after}"));
        let missing = || missing(plan.keyword, source);
        let mut paths = BTreeSet::new();
        if is_pattern(&path) && !root.exists(&path) {
            let glob = Glob::parse(&path).map_err(|reason| Error::Copy { keyword: plan.keyword, reason })?;
            let top = root.folder(".").map_err(Error::file("open", &opened.root))?;
            // A pattern without ** only looks as deep as it is itself.
            let deepest = if path.contains("**") { usize::MAX } else { path.matches('/').count() };
            matching(&root, top.as_fd(), "", &glob, deepest, &mut paths)
                .map_err(Error::file("search", &opened.root))?;
        } else {
            root.entry(&path).map_err(|_| missing())?;
            paths.insert(path);
        }
        if paths.is_empty() {
            return Err(missing());
        }
        all.extend(paths.into_iter().map(|path| {
            let kept = path.strip_prefix(&before).unwrap_or(&path).trim_start_matches('/').to_owned();
            Found { is_folder: root.is_folder(&path), path, kept }
        }));
    }
    Ok(all)
}

fn missing(keyword: &'static str, source: &str) -> Error {
    let reason = format!(
        "file not found in build context or excluded by .dockerignore: stat {source}: file does not exist"
    );
    Error::Copy { keyword, reason }
}

fn matching(
    root: &Root,
    folder: std::os::fd::BorrowedFd<'_>,
    path: &str,
    glob: &Glob,
    deepest: usize,
    found: &mut BTreeSet<String>,
) -> std::io::Result<()> {
    for name in beneath::names(folder)? {
        let Ok(name) = String::from_utf8(name) else { continue };
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if glob.matches(&path) {
            found.insert(path);
        } else if path.matches('/').count() < deepest
            && let Ok(inner) = root.folder(&path)
        {
            // Links that lead in a circle end at the kernel's limit on them, but multiply before.
            let is_link = path.matches('/').count() > 64;
            if !is_link {
                matching(root, inner.as_fd(), &path, glob, deepest, found)?;
            }
        }
    }
    Ok(())
}

/// What the sources are, as one digest, and how many files.
fn checksum(plan: &Plan, opened: &Opened, found: &[Found]) -> Result<(Digest, usize)> {
    let root = Root::open(&opened.root).map_err(Error::file("open", &opened.root))?;
    let mut sum = Checksum::new(&plan.exclude, opened.with_owners, &opened.known);
    for Found { path, .. } in found {
        let fail = || Error::file("read", opened.root.join(path));
        match root.folder(path) {
            Ok(folder) => {
                sum.text(b"folder");
                for name in beneath::names(folder.as_fd()).map_err(fail())? {
                    let shown = String::from_utf8_lossy(&name).into_owned();
                    sum.add(folder.as_fd(), &name, &shown).map_err(fail())?;
                }
            }
            Err(_) => {
                // Links are followed to what they lead to, as the copy does.
                let (parent, name) = resolved(&root, path).map_err(fail())?;
                sum.text(b"file");
                sum.add(parent.as_fd(), name.as_bytes(), "").map_err(fail())?;
            }
        }
    }
    for extra in &plan.extra {
        match extra {
            Extra::Inline { name, content } => {
                sum.text(name.as_bytes());
                sum.text(content.as_bytes());
            }
            Extra::Download(fetched) => {
                sum.text(fetched.name.as_bytes());
                sum.text(fetched.digest.to_string().as_bytes());
            }
            Extra::Checkout(checkout) => sum.text(checkout.content.as_bytes()),
        }
    }
    let count = sum.files();
    Ok((sum.finish(), count))
}

/// The folder and name of what a path leads to.
fn resolved(root: &Root, path: &str) -> std::io::Result<(std::os::fd::OwnedFd, String)> {
    let mut path = clean(path);
    for _ in 0..40 {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let folder = root.folder(parent)?;
        match rustix::fs::readlinkat(&folder, name, Vec::new()) {
            Ok(target) => {
                let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
                path = if target.starts_with('/') {
                    clean(&target)
                } else {
                    clean(&format!("{parent}/{target}"))
                };
            }
            Err(rustix::io::Errno::INVAL) => return Ok((folder, name.to_owned())),
            Err(error) => return Err(error.into()),
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

/// How BuildKit's history names a copy: what goes where, and whose it becomes.
fn spelled(build: &Build, copy: &Copy, state: &State) -> Result<String> {
    let mut words = vec![if copy.add { "ADD" } else { "COPY" }.to_owned()];
    for (flag, value) in [("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if let Some(value) = value {
            words.push(format!("--{flag}={}", build.expand(value, state)?));
        }
    }
    for source in &copy.sources {
        words.push(build.expand(source, state)?);
    }
    words.extend(copy.files.iter().map(|file| format!("<<{}", file.name)));
    words.push(build.expand(&copy.destination, state)?);
    Ok(words.join(" "))
}

/// How the classic builder's history names what was copied.
fn shown(plan: &Plan, found: &[Found], content: &Digest) -> String {
    let kind = match (found, plan.extra.len()) {
        ([one], 0) if one.is_folder => "dir",
        ([_], 0) | ([], 1) => "file",
        _ => "multi",
    };
    let owner = plan.chown.as_ref().map(|owner| format!("--chown={owner} ")).unwrap_or_default();
    format!("{} {owner}{kind}:{} in {}", plan.keyword, content.hex(), plan.written)
}

/// Makes the files with the copy in them, and says the new layer's size.
fn make(
    builder: &Arc<Builder>,
    plan: &Plan,
    opened: &Opened,
    (found, is_large): (&[Found], bool),
    below: &Files,
    key: Digest,
) -> Result<(Files, u64)> {
    // A linked layer is made on nothing, so that no link below leads it elsewhere.
    let nothing = Files::empty();
    let workspace = Workspace::open_for_files(builder, if plan.link { &nothing } else { below })?;
    let owner = owner(builder, plan, opened, below, &workspace)?;
    let root = Root::open(workspace.root()).map_err(Error::file("open", workspace.root()))?;
    let source = Root::open(&opened.root).map_err(Error::file("open", &opened.root))?;
    let owner = owner.or((!opened.with_owners).then_some((0, 0)));
    let mut transfer = Transfer::new(owner, plan.chmod.as_ref(), &plan.exclude);
    let linked_with = opened.folder_of_client().filter(|folder| {
        is_large
            && found.len() == 1
            && plan.extra.is_empty()
            && !builder.store.is_linked_with(&below.chain(), folder)
    });
    if linked_with.is_some() {
        transfer = transfer.linking(&opened.known);
    }
    let target = Target { plan, root: &root, workspace: &workspace };
    for each in found {
        target.take(&transfer, &source, &opened.root, each)?;
    }
    for extra in &plan.extra {
        match extra {
            Extra::Checkout(checkout) => target.take_checkout(&mut transfer, checkout)?,
            extra => target.take_extra(extra, owner, workspace.folder())?,
        }
    }
    drop(transfer);
    drop(root);
    let added = workspace.commit(plan.style, plan.link.then(|| below.chain()).as_deref(), linked_with)?;
    let size = added.as_ref().map_or(0, |(layer, _)| layer.size);
    Ok((below.with(key, added), size))
}

fn owner(
    builder: &Arc<Builder>,
    plan: &Plan,
    _opened: &Opened,
    below: &Files,
    workspace: &Workspace,
) -> Result<Option<Owner>> {
    let Some(wanted) = &plan.chown else { return Ok(None) };
    if plan.link {
        let users = Workspace::open(builder, below)?;
        return user::owner(users.root(), wanted).map(Some);
    }
    user::owner(workspace.root(), wanted).map(Some)
}

/// Where a copy goes.
struct Target<'a> {
    plan: &'a Plan,
    root: &'a Root,
    workspace: &'a Workspace,
}

impl Target<'_> {
    fn fail(&self, error: std::io::Error) -> Error {
        Error::Copy { keyword: self.plan.keyword, reason: error.to_string() }
    }

    /// Folders on a copy's way are made with a mode that is a number, too, as in BuildKit; those of an archive's aren't.
    fn folders_mode(&self) -> u32 {
        match self.plan.chmod {
            Some(Chmod::Octal(mode)) => mode,
            _ => 0o755,
        }
    }

    fn take(&self, transfer: &Transfer<'_>, source: &Root, from: &Path, found: &Found) -> Result<()> {
        let fail = |error| self.fail(error);
        let destination = if self.plan.parents {
            let kept = found.kept.rsplit_once('/').map_or("", |(folders, _)| folders);
            format!("{}/{kept}/", self.plan.destination.trim_end_matches('/'))
        } else {
            self.plan.destination.clone()
        };
        if let Ok(folder) = source.folder(&found.path) {
            let destination = match self.plan.parents {
                true => format!("{}/{}", self.plan.destination.trim_end_matches('/'), found.kept),
                false => destination,
            };
            return self.take_folder(transfer, folder.as_fd(), &destination).map_err(fail);
        }
        let (parent, name) = resolved(source, &found.path).map_err(fail)?;
        if self.plan.add
            && self.plan.unpack != Some(false)
            && self.unpacked(transfer, source, found, &destination)?
        {
            return Ok(());
        }
        let base = found.path.rsplit('/').next().unwrap_or(&found.path);
        let (folder, new_name) = self.place(&destination, base, transfer.owner).map_err(fail)?;
        let shown = base.to_owned();
        let way = Way::new(parent.as_fd(), folder.as_fd());
        transfer.entry(way, name.as_bytes(), new_name.as_bytes(), &shown).map_err(|error| {
            tracing::debug!(from = %from.display(), "a copy failed");
            self.fail(error)
        })
    }

    fn take_folder(
        &self,
        transfer: &Transfer<'_>,
        folder: std::os::fd::BorrowedFd<'_>,
        destination: &str,
    ) -> std::io::Result<()> {
        let (target, made) = self.root.make_folders(destination, self.folders_mode(), transfer.owner)?;
        let layer = match transfer.links() {
            true => self.workspace.in_layer(target.as_fd())?,
            false => None,
        };
        let way = Way::new(folder, target.as_fd()).linking(layer.as_ref().map(AsFd::as_fd));
        transfer.folder(way.into_new(made), "")?;
        if made {
            transfer.dress(way, b".", b".", &rustix::fs::fstat(folder)?)?;
        }
        Ok(())
    }

    /// A repository's files, all of them, as the content of a folder.
    fn take_checkout(&self, transfer: &mut Transfer<'_>, checkout: &Checkout) -> Result<()> {
        let opened = Root::open(&checkout.folder).and_then(|root| root.folder("."));
        let folder = opened.map_err(Error::file("open", &checkout.folder))?;
        let owner = transfer.owner;
        // Files of a repository have no owner of their own.
        transfer.owner = owner.or(Some((0, 0)));
        let taken = self.take_folder(transfer, folder.as_fd(), &self.plan.destination);
        transfer.owner = owner;
        taken.map_err(|error| self.fail(error))
    }

    /// The folder and name that a file called `base` gets.
    fn place(
        &self,
        destination: &str,
        base: &str,
        owner: Option<Owner>,
    ) -> std::io::Result<(std::os::fd::OwnedFd, String)> {
        if destination.ends_with('/') || self.root.is_folder(destination) {
            let (folder, _) = self.root.make_folders(destination, self.folders_mode(), owner)?;
            return Ok((folder, base.to_owned()));
        }
        let (parent, name) = destination.rsplit_once('/').unwrap_or(("", destination));
        let (folder, _) = self.root.make_folders(parent, self.folders_mode(), owner)?;
        Ok((folder, name.to_owned()))
    }

    /// Unpacks a source that is an archive; says whether it was one.
    fn unpacked(
        &self,
        transfer: &Transfer<'_>,
        source: &Root,
        found: &Found,
        destination: &str,
    ) -> Result<bool> {
        let Ok(file) = source.file(&found.path) else { return Ok(false) };
        let copy = file.try_clone().map_err(|error| self.fail(error))?;
        if !berth_images::is_archive(copy)? {
            return Ok(false);
        }
        let file = source.file(&found.path).map_err(|error| self.fail(error))?;
        self.extract(file, destination, transfer.owner)?;
        Ok(true)
    }

    /// Unpacks an archive; owners and permissions are its own unless the instruction says others.
    fn extract(&self, file: std::fs::File, destination: &str, folders: Option<Owner>) -> Result<()> {
        self.root.make_folders(destination, 0o755, folders).map_err(|error| self.fail(error))?;
        let chmod = self.plan.chmod.as_ref();
        let mode = move |mode: u32, is_folder: bool| chmod.map_or(mode, |chmod| chmod.apply(mode, is_folder));
        let mode = chmod.is_some().then_some(&mode as &dyn Fn(u32, bool) -> u32);
        let owner = folders.filter(|_| self.plan.chown.is_some());
        berth_images::extract(file, self.workspace.root(), Path::new(destination), Dress { owner, mode })?;
        Ok(())
    }

    fn take_extra(&self, extra: &Extra, owner: Option<Owner>, scratch: &Path) -> Result<()> {
        let fail = |error| self.fail(error);
        let (name, mode) = match extra {
            Extra::Inline { name, .. } => (name, 0o644),
            Extra::Download(fetched) => (&fetched.name, 0o600),
            Extra::Checkout(_) => return Ok(()),
        };
        if let Extra::Download(fetched) = extra
            && self.plan.unpack == Some(true)
        {
            let file = std::fs::File::open(&fetched.path).map_err(fail)?;
            return self.extract(file, &self.plan.destination, owner);
        }
        let (folder, new_name) = self.place(&self.plan.destination, name, owner).map_err(fail)?;
        make_room(folder.as_fd(), new_name.as_bytes()).map_err(fail)?;
        let path = match extra {
            Extra::Inline { content, .. } => {
                let path = scratch.join("inline");
                std::fs::write(&path, content).map_err(Error::file("write", &path))?;
                path
            }
            Extra::Download(fetched) => fetched.path.clone(),
            Extra::Checkout(_) => return Ok(()),
        };
        let parent = Root::open(path.parent().unwrap_or(Path::new("/"))).map_err(fail)?;
        let chmod = self.plan.chmod.clone().unwrap_or(Chmod::Octal(mode));
        let none = Ignore::default();
        let transfer = Transfer::new(owner.or(Some((0, 0))), Some(&chmod), &none);
        let file = path.file_name().unwrap_or_default().as_encoded_bytes();
        let from = parent.folder(".").map_err(fail)?;
        let way = Way::new(from.as_fd(), folder.as_fd());
        transfer.entry(way, file, new_name.as_bytes(), "").map_err(fail)?;
        if let Extra::Download(Fetched { modified: Some(seconds), .. }) = extra {
            let time = rustix::fs::Timespec { tv_sec: *seconds, tv_nsec: 0 };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(&folder, new_name.as_str(), &times, flags)
                .map_err(|error| fail(error.into()))?;
        }
        Ok(())
    }
}
