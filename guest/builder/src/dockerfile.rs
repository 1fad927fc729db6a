//! A Dockerfile: its text as stages of instructions, each with its place, and what a reviewer would say about it.
//!
//! Pure functions over text: nothing here touches a disk, and hostile text ends in an error.

mod checks;
mod command;
mod copy;
mod expand;
mod flags;
mod heredoc;
mod instruction;
mod lines;
mod mount;
mod nearest;
mod pairs;
mod pattern;
mod stages;

use std::fmt;

pub use checks::Warning;
pub(crate) use checks::variables;
pub use command::{Command, Healthcheck};
pub use copy::{Copy, InlineFile};
pub use expand::{Expanded, Lexer, Purpose, Variables, value};
pub use heredoc::Heredoc;
pub use instruction::{Instruction, Step};
pub use lines::{LONGEST, Node};
pub use mount::{Mount, MountKind, Sharing};
pub use stages::{Dockerfile, Stage};

pub(crate) use command::Run;
pub(crate) use stages::single;

/// Where an instruction stands; lines and columns count from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its first line.
    pub line: usize,
    /// The column of its first word.
    pub column: usize,
    /// Its last line, here-documents included.
    pub end_line: usize,
}

impl Place {
    /// Where it begins and ends as BuildKit has it: lines from 1, characters from 0; the last line counts from its beginning.
    pub(crate) fn positions(self) -> ((usize, usize), (usize, usize)) {
        let start = (self.line, self.column.saturating_sub(1));
        if self.end_line > self.line { (start, (self.end_line, 0)) } else { (start, start) }
    }
}

/// What the first comment lines say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directives {
    /// The character that continues lines and escapes others.
    pub escape: char,
    /// The frontend that was asked for; ours serves whatever it says.
    pub syntax: Option<String>,
    /// Settings of the build checks.
    pub check: Option<String>,
}

impl Default for Directives {
    fn default() -> Self {
        Self { escape: '\\', syntax: None, check: None }
    }
}

/// Text that isn't a Dockerfile, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// The line, from 1; 0 when it is about the whole.
    pub line: usize,
    /// Docker's words.
    pub message: String,
}

impl SyntaxError {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for SyntaxError {}
