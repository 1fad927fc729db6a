//! The user's terminal: its size, its raw mode, and the news of a new size.

use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Whether a stream is a terminal.
pub(crate) fn is_terminal(stream: &impl AsFd) -> bool {
    rustix::termios::isatty(stream)
}

/// Rows and columns of the terminal at standard output.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row != 0 && size.ws_col != 0).then_some((size.ws_row, size.ws_col))
}

/// Columns of the terminal at standard error, for progress.
pub(crate) fn columns() -> usize {
    tcgetwinsize(std::io::stdout()).map_or(0, |size| size.ws_col).into()
}

/// The terminal at standard input, raw until this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// Every key goes to the container; none when standard input isn't a terminal.
    pub(crate) fn enter() -> Option<Self> {
        let before = tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
