//! What a caller reads: standard error, and the file of `--log` in logrus' formats, from which containerd and conmon
//! take the last error.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::LogFormat;
use crate::rfc3339;

/// Where errors and warnings go.
pub(super) struct Report {
    file: Option<PathBuf>,
    format: LogFormat,
    debug: bool,
}

impl Report {
    /// Nothing is opened before there is something to say.
    pub(super) fn new(file: Option<&Path>, format: LogFormat, debug: bool) -> Self {
        Self { file: file.map(Path::to_path_buf), format, debug }
    }

    /// The one thing that made the verb fail.
    pub(super) fn error(&self, message: &str) {
        self.write("error", message);
        if self.file.is_some() {
            eprintln!("{message}");
        }
    }

    /// Something that was asked for and given only in part.
    pub(super) fn warn(&self, message: &str) {
        self.write("warning", message);
    }

    /// What is done, for `--debug`.
    pub(super) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = rfc3339::format(now.as_secs() * 1_000_000_000);
        let line = match self.format {
            LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string() + "\n",
            LogFormat::Text => format!("time={time:?} level={level} msg={message:?}\n"),
        };
        let file =
            self.file.as_ref().map(|path| std::fs::OpenOptions::new().append(true).create(true).open(path));
        // A log that can't be written is no reason to fail: the caller still has the exit code.
        let _ = match file {
            Some(Ok(mut file)) => file.write_all(line.as_bytes()),
            _ => std::io::stderr().write_all(line.as_bytes()),
        };
    }
}
