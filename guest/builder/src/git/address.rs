//! Where a repository is, and what of it is meant: `https://host/path.git#reference:subfolder`.

use super::object::Id;
use super::wrong;
use crate::beneath::clean;
use crate::{Error, Result};

/// A repository with a reference and a folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `https://host/path`, without user and fragment.
    pub(super) url: String,
    /// `user:password`, percent-encoded as it stood in the address.
    pub(super) user: Option<String>,
    /// A branch, a tag, a full name or a commit; empty is the repository's own choice.
    pub(super) reference: String,
    /// A clean path; empty is all.
    pub(super) subfolder: String,
    /// Whether the checkout has its `.git` folder.
    pub(super) keeps_git_dir: bool,
}

impl Address {
    /// Whether a text means a repository, by BuildKit's rules.
    pub(crate) fn is_one(text: &str) -> bool {
        let before_fragment = text.split('#').next().unwrap_or(text);
        let is_web = text.starts_with("http://") || text.starts_with("https://");
        ["git://", "git@", "ssh://", "github.com/"].iter().any(|start| text.starts_with(start))
            || (is_web && before_fragment.ends_with(".git"))
    }

    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or can only be reached in a way that this engine can't.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (remote, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (reference, subfolder) = fragment.split_once(':').unwrap_or((fragment, ""));
        let remote = match remote.strip_prefix("github.com/") {
            Some(path) => format!("https://github.com/{path}"),
            None => remote.to_owned(),
        };
        let Some((scheme @ ("http" | "https"), rest)) = remote.split_once("://") else {
            return Err(Error::Unsupported(format!(
                "{remote}: git repositories are reached by https:// alone in this engine"
            )));
        };
        let (host, path) =
            rest.split_once('/').ok_or_else(|| wrong(format!("{remote} names no repository")))?;
        let (user, host) = host.rsplit_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        let is_sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_sound(rest) || reference.starts_with('-') || !is_sound(reference) {
            return Err(wrong(format!("{remote}#{fragment} isn't an address")));
        }
        Ok(Self {
            url: format!("{scheme}://{host}/{}", path.trim_end_matches('/')),
            user: user.map(str::to_owned),
            reference: reference.to_owned(),
            subfolder: clean(subfolder),
            keeps_git_dir: false,
        })
    }

    /// The same with the `.git` folder where `keeps` says so; a folder of a repository has none, as with BuildKit.
    #[must_use]
    pub(crate) fn keeping_git_dir(self, keeps: bool) -> Self {
        Self { keeps_git_dir: keeps && self.subfolder.is_empty(), ..self }
    }

    /// What of a commit is meant, for keys of the cache.
    pub(crate) fn part(&self) -> String {
        match self.keeps_git_dir {
            true => ".git".to_owned(),
            false => self.subfolder.clone(),
        }
    }

    /// The address without its secrets.
    pub(crate) fn shown(&self) -> &str {
        &self.url
    }

    /// The repository's host, which secrets are named after.
    pub(crate) fn host(&self) -> &str {
        self.url.split('/').nth(2).unwrap_or_default()
    }

    pub(super) fn has_host_of(&self, other: &Self) -> bool {
        self.host() == other.host() && self.url.starts_with("https://") == other.url.starts_with("https://")
    }

    /// A submodule's repository, whose address may be relative to this one's, at one commit.
    pub(super) fn module(&self, url: &str, commit: &Id) -> Result<Self> {
        let absolute = if url.starts_with("./") || url.starts_with("../") {
            let (start, path) =
                self.url.split_at(self.url.len() - self.url.splitn(4, '/').nth(3).map_or(0, str::len));
            format!("{start}{}", clean(&format!("{path}/{url}")))
        } else {
            url.to_owned()
        };
        let user = self.user.clone();
        let module = Self::parse(&absolute)?;
        let user = module.user.clone().or_else(|| user.filter(|_| module.has_host_of(self)));
        Ok(Self { reference: commit.to_string(), subfolder: String::new(), user, ..module })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_reference_and_a_folder() {
        let address = Address::parse("https://me:pw@host/a/b.git#v1:deep/../er").unwrap();
        assert_eq!((address.url.as_str(), address.reference.as_str()), ("https://host/a/b.git", "v1"));
        assert_eq!((address.subfolder.as_str(), address.user.as_deref()), ("er", Some("me:pw")));
        assert_eq!(Address::parse("github.com/a/b").unwrap().url, "https://github.com/a/b");
        for text in ["git@host:a.git", "ssh://host/a.git", "git://host/a.git"] {
            assert!(Address::is_one(text));
            assert!(Address::parse(text).unwrap_err().to_string().contains("https://"), "{text}");
        }
        assert!(Address::is_one("https://host/a.git#main") && !Address::is_one("https://host/a.tar"));
        assert!(Address::parse("https://host/a b.git").is_err());
        assert!(Address::parse("https://host/a.git#--upload-pack=x").is_err());
    }

    #[test]
    fn submodules_may_be_relative_and_keep_the_user_of_their_own_host() {
        let (address, commit) = (Address::parse("https://me@host/a/b.git").unwrap(), Id::of("blob", b""));
        let near = address.module("../c.git", &commit).unwrap();
        assert_eq!((near.url.as_str(), near.user.as_deref()), ("https://host/a/c.git", Some("me")));
        assert_eq!(near.reference, commit.to_string());
        let far = address.module("https://other/c.git", &commit).unwrap();
        assert_eq!(far.user, None);
        assert!(address.module("git@other:c.git", &commit).is_err());
    }
}
