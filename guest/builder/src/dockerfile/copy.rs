//! COPY and ADD.

use berth_images::exec_form;

use super::flags::Flags;
use super::heredoc::{self, Heredoc};

/// A file whose content stands in the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlineFile {
    /// Its name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Whether variables in it are expanded.
    pub expand: bool,
}

/// COPY or ADD. Texts may hold variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// Whether it is ADD: remote sources, and archives unpacked.
    pub add: bool,
    /// The sources by path, pattern or URL.
    pub sources: Vec<String>,
    /// Sources that stand in the Dockerfile.
    pub files: Vec<InlineFile>,
    /// Where they go.
    pub destination: String,
    /// The stage, context or image that has the sources.
    pub from: Option<String>,
    /// The owner.
    pub chown: Option<String>,
    /// The permissions.
    pub chmod: Option<String>,
    /// A layer that doesn't depend on what lies below.
    pub link: bool,
    /// Keep the sources' folders.
    pub parents: bool,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// What a remote source must be.
    pub checksum: Option<String>,
    /// Keep a repository's `.git`.
    pub keep_git_dir: bool,
    /// Whether archives are unpacked, if said.
    pub unpack: Option<bool>,
}

impl Copy {
    pub(super) fn parse(add: bool, text: &str, heredocs: &[Heredoc], escape: char) -> Result<Self, String> {
        let keyword = if add { "ADD" } else { "COPY" };
        let (mut flags, rest) = Flags::split(text, escape);
        let from = if add { None } else { flags.text("from")? };
        if from.as_deref().is_some_and(|from| from.contains('$')) {
            let advice = "define a new stage with FROM using ARG from global scope as a workaround";
            return Err(format!("variable expansion is not supported for --from, {advice}"));
        }
        let mut copy = Self {
            add,
            sources: Vec::new(),
            files: Vec::new(),
            destination: String::new(),
            from,
            chown: flags.text("chown")?,
            chmod: flags.text("chmod")?,
            link: flags.switch("link")?.unwrap_or(false),
            parents: if add { false } else { flags.switch("parents")?.unwrap_or(false) },
            exclude: flags.list("exclude")?,
            checksum: if add { flags.text("checksum")? } else { None },
            keep_git_dir: add && flags.switch("keep-git-dir")?.unwrap_or(false),
            unpack: if add { flags.switch("unpack")? } else { None },
        };
        flags.finish()?;
        let mut words = exec_form(&rest).unwrap_or_else(|| heredoc::raw_words(&rest, escape));
        copy.destination = words.pop().filter(|_| !words.is_empty()).ok_or_else(|| {
            format!("{keyword} requires at least two arguments, but only one was provided. Destination could not be determined")
        })?;
        for word in words {
            match heredocs.iter().find(|heredoc| heredoc.word == word) {
                Some(heredoc) => copy.files.push(InlineFile {
                    name: heredoc.name.clone(),
                    content: heredoc.content.clone(),
                    expand: heredoc.expand,
                }),
                None => copy.sources.push(word),
            }
        }
        Ok(copy)
    }
}
