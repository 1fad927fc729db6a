//! `docker cp`: files out of a container as an archive, and into it from one.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use berth_images::CopyOptions;
use berth_runtime::beneath;
use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Stat, StatVfsMountFlags};
use rustix::io::Errno;

use crate::container::user;
use crate::view::View;
use crate::{Engine, Error};

/// What `docker cp` wants to know of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStat {
    /// The path's last part.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Type and permissions as the kernel has them.
    pub mode: u32,
    /// When it changed last.
    pub modified: Timestamp,
    /// Where a symbolic link leads in the end; empty for anything else.
    pub link_target: String,
}

/// Files that are about to be copied out.
#[derive(Debug)]
pub struct Archive {
    /// What they begin with.
    pub stat: PathStat,
    view: View,
    asked: Asked,
    shown: OsString,
}

/// How an archive is copied in.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    /// Whether a folder and something that isn't one may not replace each other.
    pub no_overwrite_dir_non_dir: bool,
    /// Whether everything becomes the container's user's, if it has one.
    pub copy_uid_gid: bool,
}

impl Engine {
    /// What is at `path` in a container.
    ///
    /// # Errors
    /// When there is nothing.
    pub async fn archive_stat(&self, name: &str, path: &str) -> Result<PathStat, Error> {
        let container = self.containers.find(name)?;
        let view = self.view(&container).await?;
        let (asked, name) = (Asked::new(path), name.to_owned());
        tokio::task::spawn_blocking(move || asked.stat(&view).map_err(|errno| asked.missing(&name, errno)))
            .await?
    }

    /// Opens what is at `path` in a container, for [`Archive::write`].
    ///
    /// # Errors
    /// When there is nothing.
    pub async fn archive(&self, name: &str, path: &str) -> Result<Archive, Error> {
        let container = self.containers.find(name)?;
        let view = self.view(&container).await?;
        let (asked, name) = (Asked::new(path), name.to_owned());
        let archive = tokio::task::spawn_blocking(move || {
            let stat = asked.stat(&view).map_err(|errno| asked.missing(&name, errno))?;
            let shown = OsString::from(&stat.name);
            Ok::<_, Error>(Archive { stat, view, asked, shown })
        });
        let archive = archive.await??;
        self.tell(&container, "archive-path");
        Ok(archive)
    }

    /// Unpacks an archive into the folder `path` of a container.
    ///
    /// # Errors
    /// When there is no such folder, it can't be written, or the archive isn't one.
    pub async fn extract(
        &self,
        name: &str,
        path: &str,
        options: ExtractOptions,
        archive: impl Read + Send + 'static,
    ) -> Result<(), Error> {
        let container = self.containers.find(name)?;
        let view = self.view(&container).await?;
        let (asked, name) = (Asked::new(path), name.to_owned());
        let wanted_user = container.with(|record| record.config.user.clone());
        let extracted = tokio::task::spawn_blocking(move || {
            let folder = beneath::look_up(view.root.as_fd(), &asked.path);
            check_writable(&view, &folder.map_err(|errno| asked.missing(&name, errno))?)?;
            let owner = if options.copy_uid_gid && !wanted_user.is_empty() {
                let root = PathBuf::from(format!("/proc/self/fd/{}", view.root.as_raw_fd()));
                let identity = user::find(&root, &wanted_user, None)?;
                Some((identity.uid, identity.gid))
            } else {
                None
            };
            let options = CopyOptions {
                no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
                owner,
                dress_folder: false,
            };
            let path = asked.path.as_os_str().as_bytes();
            berth_images::copy_in(view.root.as_fd(), path, archive, &options).map_err(|error| match error {
                berth_images::Error::InvalidLayer(why) => {
                    Error::InvalidRequest(format!("invalid tar archive: {why}"))
                }
                error => error.into(),
            })
        });
        extracted.await??;
        self.tell(&container, "extract-to-dir");
        Ok(())
    }
}

impl Archive {
    /// Writes the tar. Blocks.
    ///
    /// # Errors
    /// When something can't be read, or nobody listens.
    pub fn write(self, writer: impl Write) -> Result<(), Error> {
        let is_folder = FileType::from_raw_mode(self.stat.mode) == FileType::Directory;
        let shown = self.shown.as_bytes();
        let opened = if is_folder {
            beneath::look_up(self.view.root.as_fd(), &self.asked.path)
                .map(|folder| (folder, OsString::from(".")))
        } else {
            self.asked.parent(&self.view)
        };
        let (folder, name) = opened.map_err(|errno| self.asked.missing("", errno))?;
        Ok(berth_images::copy_out(folder.as_fd(), &name, shown, writer)?)
    }
}

/// Refuses a destination that is no folder or can't be written, in Docker's words.
fn check_writable(view: &View, folder: &OwnedFd) -> Result<(), Error> {
    let failed = |errno: Errno| Error::View { step: "look at the destination", source: errno.into() };
    let refuse = |text: &str| Err(Error::InvalidRequest(text.to_owned()));
    let stat = rustix::fs::fstat(folder).map_err(failed)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return refuse("extraction point is not a directory");
    }
    if !rustix::fs::fstatvfs(folder).map_err(failed)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    let root = rustix::fs::fstat(&view.root).map_err(failed)?;
    if stat.st_dev == root.st_dev {
        return refuse("container rootfs is marked read-only");
    }
    refuse("mounted volume is marked read-only")
}

/// A path that a client asks for.
#[derive(Debug)]
struct Asked {
    /// Absolute, without `.` and `..`.
    path: PathBuf,
    /// Whether it ends in `/` or `/.`: then it means a folder, through whatever links.
    is_folder: bool,
    /// As the client wrote it.
    written: String,
}

impl Asked {
    fn new(written: &str) -> Self {
        let mut path = PathBuf::from("/");
        for part in Path::new(written).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => drop(path.pop()),
                _ => {}
            }
        }
        let is_folder = written.ends_with('/') || written.ends_with("/.") || path == Path::new("/");
        Self { path, is_folder, written: written.to_owned() }
    }

    /// The last part of the path, as Go's `filepath.Base` has it: `/` of the root, `.` of what ends so.
    fn base(&self) -> OsString {
        match self.path.file_name() {
            None => "/".into(),
            Some(_) if self.written.ends_with("/.") => ".".into(),
            Some(name) => name.to_owned(),
        }
    }

    /// The folder that it is in, and its name there.
    fn parent(&self, view: &View) -> rustix::io::Result<(OwnedFd, OsString)> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok((beneath::look_up(view.root.as_fd(), Path::new("/"))?, ".".into()));
        };
        Ok((beneath::look_up(view.root.as_fd(), parent)?, name.to_owned()))
    }

    fn stat(&self, view: &View) -> rustix::io::Result<PathStat> {
        let stat = if self.is_folder {
            let stat = rustix::fs::fstat(beneath::look_up(view.root.as_fd(), &self.path)?)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            stat
        } else {
            let (folder, name) = self.parent(view)?;
            rustix::fs::statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)?
        };
        let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
        Ok(PathStat {
            name: self.base().to_string_lossy().into_owned(),
            size: stat.st_size,
            mode: stat.st_mode,
            modified: modified(&stat),
            link_target: if is_link { self.leads_to(view)? } else { String::new() },
        })
    }

    /// Where a symbolic link leads in the end, or at first when that isn't there.
    fn leads_to(&self, view: &View) -> rustix::io::Result<String> {
        let of = |fd: &OwnedFd| rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
        if let Ok(target) = beneath::look_up(view.root.as_fd(), &self.path) {
            return Ok(of(&target)?.to_string_lossy().into_owned());
        }
        let (folder, name) = self.parent(view)?;
        let folder_path = OsString::from_vec(of(&folder)?.into_bytes());
        let link = OsString::from_vec(rustix::fs::readlinkat(&folder, &name, Vec::new())?.into_bytes());
        let target = Path::new(&folder_path).join(link);
        Ok(Self::new(&target.to_string_lossy()).path.to_string_lossy().into_owned())
    }

    fn missing(&self, container: &str, errno: Errno) -> Error {
        match errno {
            Errno::NOENT => Error::NoSuchFile { path: self.written.clone(), container: container.to_owned() },
            Errno::NOTDIR => Error::InvalidRequest(format!("lstat {}: not a directory", self.written)),
            errno => Error::View { step: "look up the path", source: errno.into() },
        }
    }
}

fn modified(stat: &Stat) -> Timestamp {
    let nanoseconds = i32::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Timestamp::new(stat.st_mtime, nanoseconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_cleaned_and_its_end_says_what_it_means() {
        let asked = |text| {
            let asked = Asked::new(text);
            (asked.path.to_string_lossy().into_owned(), asked.is_folder, asked.base().into_string().unwrap())
        };
        assert_eq!(asked("/a/../../b"), ("/b".to_owned(), false, "b".to_owned()));
        assert_eq!(asked("a/b/"), ("/a/b".to_owned(), true, "b".to_owned()));
        assert_eq!(asked("/a/b/."), ("/a/b".to_owned(), true, ".".to_owned()));
        assert_eq!(asked("/"), ("/".to_owned(), true, "/".to_owned()));
    }
}
