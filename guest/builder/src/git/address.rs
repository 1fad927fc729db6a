//! Where a repository is, and what of it is meant: `https://host/path.git#reference:subfolder`, or by SSH
//! `user@host:path.git` and `ssh://user@host:port/path.git`.

use super::object::Id;
use super::wrong;
use crate::beneath::clean;
use crate::{Error, Result};

/// A repository with a reference and a folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// `https://host/path`, without user and fragment; by SSH with the user, who is no secret.
    pub(super) url: String,
    /// Where, when by SSH.
    pub(super) ssh: Option<Ssh>,
    /// `user:password`, percent-encoded as it stood in the address.
    pub(super) user: Option<String>,
    /// A branch, a tag, a full name or a commit; empty is the repository's own choice.
    pub(super) reference: String,
    /// A clean path; empty is all.
    pub(super) subfolder: String,
    /// Whether the checkout has its `.git` folder.
    pub(super) keeps_git_dir: bool,
}

/// A repository behind SSH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ssh {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
}

impl Ssh {
    /// Reads `ssh://user@host:port/path` or `user@host:path`; none when it is neither.
    fn parse(remote: &str) -> Option<Self> {
        let Some(rest) = remote.strip_prefix("ssh://") else {
            let (user, host, path) = scp(remote)?;
            return Self::new(user, host, 22, path.to_owned());
        };
        let (authority, path) = rest.split_once('/')?;
        let (user, host) = authority.rsplit_once('@').unwrap_or(("root", authority));
        let user = user.split(':').next()?;
        let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let (host, port) = match host.rsplit_once(':').filter(|(_, port)| is_port(port)) {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (host, 22),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let path = String::from_utf8(berth_images::registry::percent_decoded(path)).ok()?;
        // `~user` is that user's home, beneath no folder.
        let path = if path.starts_with('~') { path } else { format!("/{path}") };
        Self::new(user, host, port, path)
    }

    fn new(user: &str, host: &str, port: u16, path: String) -> Option<Self> {
        let is_sound = !user.is_empty()
            && !host.is_empty()
            && !path.trim_matches('/').is_empty()
            && !path.starts_with('-')
            && !path.chars().any(char::is_control);
        is_sound.then(|| Self { user: user.to_owned(), host: host.to_owned(), port, path })
    }
}

/// The parts of `user@host:path`, by BuildKit's rules.
fn scp(remote: &str) -> Option<(&str, &str, &str)> {
    let (user, rest) = remote.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let is_name = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
    };
    (is_name(user, b"-_") && is_name(host, b"-.")).then_some((user, host, path))
}

impl Address {
    /// Whether a text means a repository, by BuildKit's rules.
    pub(crate) fn is_one(text: &str) -> bool {
        let before_fragment = text.split('#').next().unwrap_or(text);
        let is_web = text.starts_with("http://") || text.starts_with("https://");
        ["git://", "git@", "ssh://", "github.com/"].iter().any(|start| text.starts_with(start))
            || scp(before_fragment).is_some()
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
        let is_sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_meant = is_sound(&remote) && !reference.starts_with('-') && is_sound(reference);
        if remote.starts_with("ssh://") || scp(&remote).is_some() {
            let unsound = || wrong(format!("{remote}#{fragment} isn't an address"));
            let ssh = Ssh::parse(&remote).filter(|_| is_meant).ok_or_else(unsound)?;
            return Ok(Self {
                url: without_password(&remote),
                ssh: Some(ssh),
                user: None,
                reference: reference.to_owned(),
                subfolder: clean(subfolder),
                keeps_git_dir: false,
            });
        }
        let Some((scheme @ ("http" | "https"), rest)) = remote.split_once("://") else {
            return Err(Error::Unsupported(format!(
                "{remote}: git repositories are reached by https:// and ssh alone in this engine"
            )));
        };
        let (host, path) =
            rest.split_once('/').ok_or_else(|| wrong(format!("{remote} names no repository")))?;
        let (user, host) = host.rsplit_once('@').map_or((None, host), |(user, host)| (Some(user), host));
        if host.is_empty() || !is_meant {
            return Err(wrong(format!("{remote}#{fragment} isn't an address")));
        }
        Ok(Self {
            url: format!("{scheme}://{host}/{}", path.trim_end_matches('/')),
            ssh: None,
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
        let ssh = self.ssh.as_ref().map(|ssh| ssh.host.as_str());
        ssh.or_else(|| self.url.split('/').nth(2)).unwrap_or_default()
    }

    pub(super) fn has_host_of(&self, other: &Self) -> bool {
        self.host() == other.host()
            && self.ssh.is_some() == other.ssh.is_some()
            && self.url.starts_with("https://") == other.url.starts_with("https://")
    }

    /// A submodule's repository, whose address may be relative to this one's, at one commit.
    pub(super) fn module(&self, url: &str, commit: &Id) -> Result<Self> {
        let absolute = if url.starts_with("./") || url.starts_with("../") {
            let path = match self.url.contains("://") {
                true => self.url.splitn(4, '/').nth(3),
                false => self.url.split_once(':').map(|(_, path)| path.trim_start_matches('/')),
            };
            let (start, path) = self.url.split_at(self.url.len() - path.map_or(0, str::len));
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

/// `ssh://user:password@…` without the password: none is ever sent.
fn without_password(remote: &str) -> String {
    let (start, rest) = remote.split_at(if remote.starts_with("ssh://") { 6 } else { 0 });
    match rest.split_once('@') {
        Some((user, rest)) => format!("{start}{}@{rest}", user.split(':').next().unwrap_or(user)),
        None => remote.to_owned(),
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
        assert!(Address::is_one("git://host/a.git"));
        assert!(Address::parse("git://host/a.git").unwrap_err().to_string().contains("https://"));
        assert!(Address::is_one("https://host/a.git#main") && !Address::is_one("https://host/a.tar"));
        assert!(Address::parse("https://host/a b.git").is_err());
        assert!(Address::parse("https://host/a.git#--upload-pack=x").is_err());
    }

    #[test]
    fn repositories_behind_ssh_have_a_user_a_port_and_a_path() {
        let ssh = |text: &str| {
            assert!(Address::is_one(text), "{text}");
            let ssh = Address::parse(text).unwrap().ssh.unwrap();
            (format!("{}@{}", ssh.user, ssh.host), ssh.port, ssh.path)
        };
        assert_eq!(ssh("git@host:a/b.git#main:x"), ("git@host".to_owned(), 22, "a/b.git".to_owned()));
        assert_eq!(ssh("me@host:/a.git"), ("me@host".to_owned(), 22, "/a.git".to_owned()));
        assert_eq!(ssh("ssh://me:pw@host:2222/a%20b"), ("me@host".to_owned(), 2222, "/a b".to_owned()));
        assert_eq!(ssh("ssh://[::1]:22/~you/a"), ("root@::1".to_owned(), 22, "~you/a".to_owned()));
        assert_eq!(Address::parse("ssh://me:pw@host/a").unwrap().shown(), "ssh://me@host/a");
        for text in ["git@host:-a", "git@host:", "ssh://host", "ssh://host:99999/a", "ssh://host/a%00b"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert!(!Address::is_one("folder/a@b") && !Address::is_one("a b@host:c"));
    }

    #[test]
    fn submodules_may_be_relative_and_keep_the_user_of_their_own_host() {
        let (address, commit) = (Address::parse("https://me@host/a/b.git").unwrap(), Id::of("blob", b""));
        let near = address.module("../c.git", &commit).unwrap();
        assert_eq!((near.url.as_str(), near.user.as_deref()), ("https://host/a/c.git", Some("me")));
        assert_eq!(near.reference, commit.to_string());
        let far = address.module("https://other/c.git", &commit).unwrap();
        assert_eq!(far.user, None);
        assert!(address.module("git@other:c.git", &commit).unwrap().ssh.is_some());
        let module = |of: &str| Address::parse(of).unwrap().module("../c.git", &commit).unwrap().url;
        assert_eq!(module("git@host:a/b.git"), "git@host:a/c.git");
        assert_eq!(module("git@host:/a/b.git"), "git@host:/a/c.git");
        assert_eq!(module("ssh://git@host:2222/a/b.git"), "ssh://git@host:2222/a/c.git");
    }
}
