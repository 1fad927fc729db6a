//! What an image's history says of a step: in the words of the classic builder, or of BuildKit.

use berth_images::HistoryEntry;

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Classic,
    BuildKit,
}

impl Style {
    /// A step that changed the configuration alone: `ENV a=b`.
    pub(crate) fn setting(self, shell: &[String], text: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop)  {text}", shell.join(" ")),
            Self::BuildKit => text.to_owned(),
        };
        self.entry(created_by, true)
    }

    /// RUN: the process' arguments with the build arguments that it saw.
    pub(crate) fn run(self, argv: &[String], arguments: &[(String, String)]) -> HistoryEntry {
        let seen: String = arguments.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let prefix =
            if arguments.is_empty() { String::new() } else { format!("|{}{seen} ", arguments.len()) };
        let line = format!("{prefix}{}", argv.join(" "));
        let created_by = match self {
            Self::Classic => line,
            Self::BuildKit => format!("RUN {line} # buildkit"),
        };
        self.entry(created_by, false)
    }

    /// COPY or ADD: what was copied (in each style's words).
    pub(crate) fn copy(self, shell: &[String], text: &str, copied: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop) {copied} ", shell.join(" ")),
            Self::BuildKit => format!("{text} # buildkit"),
        };
        self.entry(created_by, false)
    }

    /// WORKDIR.
    pub(crate) fn folder(self, shell: &[String], path: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop) WORKDIR {path}", shell.join(" ")),
            Self::BuildKit => format!("WORKDIR {path}"),
        };
        self.entry(created_by, false)
    }

    fn entry(self, created_by: String, empty_layer: bool) -> HistoryEntry {
        let comment = match self {
            Self::Classic => String::new(),
            Self::BuildKit => "buildkit.dockerfile.v0".to_owned(),
        };
        HistoryEntry { created_by, comment, empty_layer, ..HistoryEntry::default() }
    }
}

/// Gives every entry a time: its layer's, or of the layer before it; those before the first new layer get that one's.
/// So a build from the cache makes the same image again.
pub(crate) fn date(history: &mut [HistoryEntry]) {
    let mut at: Option<String> = None;
    let mut missing = false;
    for entry in history.iter() {
        if entry.created.is_some() {
            at.clone_from(&entry.created);
            if missing {
                break;
            }
        } else {
            missing = true;
        }
    }
    missing = false;
    for entry in history {
        if entry.created.is_some() {
            if missing {
                at.clone_from(&entry.created);
            }
        } else {
            missing = true;
            entry.created.clone_from(&at);
        }
    }
}
