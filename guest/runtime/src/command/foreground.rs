//! Attending to a process in the foreground: signals go to it, a terminal is connected with the caller's own, its end
//! becomes this program's.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions};
use rustix::termios::{OptionalActions, Termios};

use crate::console::{Terminal, WindowSize};
use crate::error::{Doing, Error};
use crate::sys;

/// How long what a program wrote last may take from its terminal to the caller's.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Holds signals back from now on until [`attend`] passes them on. Call it before the process is made.
pub(super) fn keep_signals() {
    sys::block_signals();
}

/// Attends to a child of this process to its end; the exit code a shell would give.
pub(super) fn attend(pid: i32, pidfd: BorrowedFd<'_>, terminal: Option<Terminal>) -> Result<u8, Error> {
    let shown = terminal.map(Shown::connect).transpose()?;
    let code = loop {
        match sys::next_signal() {
            Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(pidfd)? {
                    break code;
                }
            }
            Ok(libc::SIGWINCH) if shown.is_some() => shown.iter().for_each(Shown::resize),
            // Stopping the attendant would leave the process running by itself; Go's runtimes use SIGURG inside.
            Ok(libc::SIGTTIN | libc::SIGTTOU | libc::SIGURG | libc::SIGPIPE) => {}
            Ok(signal) => drop(sys::kill(pid, signal)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).doing("wait for a signal"),
        }
    };
    if let Some(shown) = &shown {
        let _ = shown.is_over.recv_timeout(LAST_OUTPUT);
    }
    Ok(code)
}

fn reap(pidfd: BorrowedFd<'_>) -> Result<Option<u8>, Error> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    let status = rustix::process::waitid(WaitId::PidFd(pidfd), options).doing("collect the process")?;
    Ok(status.map(|status| {
        let code = status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0));
        code as u8
    }))
}

/// A terminal connected with the caller's own. When dropped, that one is as it was.
struct Shown {
    terminal: Terminal,
    before: Option<Termios>,
    is_over: mpsc::Receiver<()>,
}

impl Shown {
    fn connect(terminal: Terminal) -> Result<Self, Error> {
        let stdin = rustix::stdio::stdin();
        let before = rustix::termios::tcgetattr(stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).doing("make the terminal raw")?;
        }
        let end = || -> Result<File, Error> {
            let end = rustix::io::fcntl_dupfd_cloexec(terminal.as_fd(), 3).doing("duplicate the terminal")?;
            Ok(end.into())
        };
        let (mut input, mut output) = (end()?, end()?);
        let (tell, is_over) = mpsc::channel();
        // Both end with this program; the signals are blocked in them as well.
        std::thread::spawn(move || std::io::copy(&mut std::io::stdin(), &mut input));
        std::thread::spawn(move || {
            // EIO, once nobody has the other side open any more, is the usual end.
            let _ = std::io::copy(&mut output, &mut std::io::stdout());
            let _ = tell.send(());
        });
        let shown = Self { terminal, before, is_over };
        shown.resize();
        Ok(shown)
    }

    fn resize(&self) {
        if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            let _ = self.terminal.resize(WindowSize { rows: size.ws_row, cols: size.ws_col });
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
        }
    }
}
