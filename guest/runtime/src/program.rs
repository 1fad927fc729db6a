//! Finding the program in the container's PATH, and executing it, with Docker's words for what goes wrong.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, FileType};
use rustix::io::Errno;

use crate::error::{Error, FailureKind};
use crate::sys;

/// A program with its arguments and environment, ready to execute.
pub(crate) struct Program {
    name: String,
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    /// Looks the program up as the process's user.
    pub(crate) fn find(process: &Process) -> Result<Self, Error> {
        let args = process.args().as_deref().unwrap_or_default();
        let name = args.first().ok_or(Error::Spec("no program to execute"))?;
        let env = process.env().as_deref().unwrap_or_default();
        let path = look_up(name, search_path(env))?;
        Ok(Self {
            name: name.clone(),
            path: terminated(path.as_os_str().as_encoded_bytes())?,
            args: args.iter().map(|text| terminated(text.as_bytes())).collect::<Result<_, _>>()?,
            env: env.iter().map(|text| terminated(text.as_bytes())).collect::<Result<_, _>>()?,
        })
    }

    /// Executes it; returns only why that failed.
    pub(crate) fn execute(&self) -> Error {
        let error = sys::execve(&self.path, &self.args, &self.env);
        let (kind, reason) = match error.raw_os_error() {
            // The file is there: its interpreter isn't.
            Some(libc::ENOENT) => (FailureKind::NotFound, "no such file or directory".to_owned()),
            Some(libc::EACCES) => (FailureKind::NotExecutable, "permission denied".to_owned()),
            Some(libc::ENOEXEC) => (FailureKind::NotExecutable, "exec format error".to_owned()),
            _ => (FailureKind::Other, error.to_string()),
        };
        Error::Program { kind, program: self.name.clone(), reason }
    }
}

/// The folders of PATH. An empty element is the working folder, as everywhere.
fn search_path(env: &[String]) -> &str {
    env.iter().rev().find_map(|text| text.strip_prefix("PATH=")).unwrap_or_default()
}

fn look_up(name: &str, search: &str) -> Result<PathBuf, Error> {
    if name.contains('/') {
        return match refusal(Path::new(name)) {
            None => Ok(name.into()),
            Some((kind, reason)) => Err(Error::Program { kind, program: name.into(), reason }),
        };
    }
    search
        .split(':')
        .map(|folder| Path::new(if folder.is_empty() { "." } else { folder }).join(name))
        .find(|path| refusal(path).is_none())
        .filter(|_| !name.is_empty())
        .ok_or_else(|| Error::Program {
            kind: FailureKind::NotFound,
            program: name.into(),
            reason: "executable file not found in $PATH".into(),
        })
}

/// Why `path` can't be executed.
fn refusal(path: &Path) -> Option<(FailureKind, String)> {
    match rustix::fs::stat(path) {
        Err(errno) => {
            let kind = match errno {
                Errno::NOENT | Errno::NOTDIR => FailureKind::NotFound,
                _ => FailureKind::NotExecutable,
            };
            let text = match errno {
                Errno::NOENT => "no such file or directory",
                Errno::NOTDIR => "not a directory",
                Errno::ACCESS => "permission denied",
                Errno::LOOP => "too many levels of symbolic links",
                _ => "can't be looked at",
            };
            Some((kind, format!("stat {}: {text}", path.display())))
        }
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
            Some((FailureKind::NotExecutable, "is a directory".into()))
        }
        Ok(_) => rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
            .err()
            .map(|_| (FailureKind::NotExecutable, "permission denied".into())),
    }
}

fn terminated(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|error| Error::Value {
        what: "a NUL byte in",
        value: String::from_utf8_lossy(&error.into_vec()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_reads_as_docker_says() {
        let error = look_up("nope", "/usr/bin:/bin").unwrap_err();
        assert_eq!(error.to_string(), "exec: \"nope\": executable file not found in $PATH");
        assert_eq!(error.kind(), FailureKind::NotFound);
    }

    #[test]
    fn a_folder_is_not_executable() {
        let error = look_up("/etc", "").unwrap_err();
        assert_eq!(error.to_string(), "exec: \"/etc\": is a directory");
        assert_eq!(error.kind(), FailureKind::NotExecutable);
    }

    #[test]
    fn the_last_path_variable_counts() {
        let env = ["PATH=/a".to_owned(), "PATH=/b".to_owned()];
        assert_eq!(search_path(&env), "/b");
    }
}
