//! A user by name or number, from the image's own /etc/passwd and /etc/group.
//!
//! The image is hostile: its files are opened beneath the container's root, whatever links it has, and read up
//! to a limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use crate::Error;

/// The longest /etc/passwd that is read, in bytes.
const LONGEST: u64 = 8 << 20;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

impl Identity {
    /// The groups besides the first one, and that one among them: what it may not lose, it has as all its groups, as in
    /// Docker (CVE-2022-36109).
    pub(crate) fn all_groups(&self) -> Vec<u32> {
        let others = self.groups.iter().copied().filter(|group| *group != self.gid);
        std::iter::once(self.gid).chain(others).collect()
    }
}

/// The highest number of a user, as in Docker.
const HIGHEST: u32 = i32::MAX as u32;

/// The identity that `wanted` (`user[:group]`, root when empty) and `--group-add` mean in the root at `root`.
pub(crate) fn find(root: &Path, wanted: &str, group_add: Option<&[String]>) -> Result<Identity, Error> {
    let read = |file| read_beneath(root, file).unwrap_or_default();
    resolve(wanted, group_add.unwrap_or_default(), &read("etc/passwd"), &read("etc/group"))
}

fn resolve(wanted: &str, group_add: &[String], passwd: &str, group: &str) -> Result<Identity, Error> {
    let (user, wanted_group) = wanted
        .split_once(':')
        .map_or((wanted, None), |(user, group)| (user, Some(group).filter(|group| !group.is_empty())));
    let user = if user.is_empty() { "0" } else { user };
    let asked: Option<i64> = user.parse().ok();
    let number = asked.and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= HIGHEST);
    let entry = lines(passwd).find(|fields| {
        let same_number = number.is_some() && fields.get(2).and_then(|field| field.parse().ok()) == number;
        fields.first() == Some(&user) || same_number
    });
    let field = |index: usize| entry.as_ref().and_then(|fields| fields.get(index)).copied();
    let parsed = |index| field(index).and_then(|text| text.parse().ok());
    let uid = match (parsed(2), number) {
        (Some(uid), _) | (None, Some(uid)) => uid,
        (None, None) if asked.is_some() => {
            return Err(Error::InvalidRequest(format!("uids and gids must be in range 0-{HIGHEST}")));
        }
        (None, None) => {
            return Err(Error::InvalidRequest(format!(
                "unable to find user {user}: no matching entries in passwd file"
            )));
        }
    };
    let gid = match wanted_group {
        Some(name) => group_id(name, group)?,
        None => parsed(3).unwrap_or(0),
    };
    let name = field(0).unwrap_or(user);
    // A group named with the user replaces its membership, as in Docker.
    let mut groups: Vec<u32> = if wanted_group.is_none() { memberships(name, group) } else { Vec::new() };
    for wanted in group_add {
        let id = group_id(wanted, group)?;
        if !groups.contains(&id) {
            groups.push(id);
        }
    }
    let home = field(5).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { uid, gid, groups, home })
}

/// The groups whose member list has `user`.
fn memberships(user: &str, group: &str) -> Vec<u32> {
    let member =
        |fields: &Vec<&str>| fields.get(3).is_some_and(|list| list.split(',').any(|name| name == user));
    lines(group).filter(member).filter_map(|fields| fields.get(2)?.parse().ok()).collect()
}

fn group_id(wanted: &str, group: &str) -> Result<u32, Error> {
    let by_name = lines(group).find(|fields| fields.first() == Some(&wanted));
    let found = by_name.and_then(|fields| fields.get(2)?.parse().ok()).or_else(|| wanted.parse().ok());
    found.ok_or_else(|| {
        Error::InvalidRequest(format!("unable to find group {wanted}: no matching entries in group file"))
    })
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(':').collect())
}

fn read_beneath(root: &Path, file: &str) -> Option<String> {
    let root =
        rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .ok()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, file, flags, Mode::empty(), resolve).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/srv:/bin/false\n";
    const GROUP: &str = "root:x:0:\nweb:x:44:\nlogs:x:4:web,root\n";

    fn find(wanted: &str, add: &[&str]) -> Result<Identity, Error> {
        let add: Vec<String> = add.iter().map(|&name| name.to_owned()).collect();
        resolve(wanted, &add, PASSWD, GROUP)
    }

    #[test]
    fn a_user_by_name_brings_group_home_and_memberships() {
        let expected = Identity { uid: 33, gid: 44, groups: vec![4], home: "/srv".to_owned() };
        assert_eq!(find("web", &[]).unwrap(), expected);
        assert_eq!(find("33", &[]).unwrap(), expected);
    }

    #[test]
    fn a_number_without_an_entry_is_taken_as_it_is() {
        assert_eq!(
            find("1000:1001", &["logs", "7"]).unwrap(),
            Identity { uid: 1000, gid: 1001, groups: vec![4, 7], home: "/".to_owned() }
        );
    }

    #[test]
    fn an_unknown_name_is_refused_in_dockers_words() {
        let error = find("ghost", &[]).unwrap_err().to_string();
        assert_eq!(error, "unable to find user ghost: no matching entries in passwd file");
        assert!(find("web:ghosts", &[]).is_err());
    }
}
