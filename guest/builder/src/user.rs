//! Users and groups by name, from the files of an image.

use std::path::Path;

use crate::beneath::Root;
use crate::{Error, Result};

/// The longest user file that is read.
const LONGEST: u64 = 4 << 20;

/// Who a process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Finds `user`, `user:group` or numbers in the files of `root`.
pub(crate) fn find(root: &Path, wanted: &str) -> Result<Identity> {
    let opened = Root::open(root).map_err(Error::file("open", root))?;
    let text = |file| opened.text(file, LONGEST).unwrap_or_default();
    resolve(wanted, &text("etc/passwd"), &text("etc/group"))
}

fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<Identity> {
    let (user, group_name) = match wanted.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = lines(passwd).find(|fields| fields.first() == Some(&user) || fields.get(2) == Some(&user));
    let number = |at: usize| entry.as_ref().and_then(|fields| fields.get(at)?.parse::<u32>().ok());
    let Some(uid) = number(2).or_else(|| user.parse().ok()) else {
        return Err(Error::Invalid(format!(
            "unable to find user {user}: no matching entries in passwd file"
        )));
    };
    let gid = match group_name {
        Some(name) => group_id(name, group)?,
        None => number(3).unwrap_or(0),
    };
    let field =
        |at: usize| entry.as_ref().and_then(|fields| fields.get(at).copied()).filter(|text| !text.is_empty());
    let name = field(0).unwrap_or(user);
    let member =
        |fields: &Vec<&str>| fields.get(3).is_some_and(|list| list.split(',').any(|each| each == name));
    let groups = match group_name {
        Some(_) => Vec::new(),
        None => lines(group).filter(member).filter_map(|fields| fields.get(2)?.parse().ok()).collect(),
    };
    Ok(Identity { uid, gid, groups, home: field(5).unwrap_or("/").to_owned() })
}

/// The owner that `--chown` names: a group of the user's own number when none is given.
pub(crate) fn owner(root: &Path, wanted: &str) -> Result<(u32, u32)> {
    let is_number = wanted.parse::<u32>().is_ok();
    let found = find(root, wanted)?;
    // As Docker has it, `--chown=1000` is 1000:1000.
    Ok(if is_number { (found.uid, found.uid) } else { (found.uid, found.gid) })
}

fn group_id(wanted: &str, group: &str) -> Result<u32> {
    let by_name = lines(group).find(|fields| fields.first() == Some(&wanted));
    let found = by_name.and_then(|fields| fields.get(2)?.parse().ok()).or_else(|| wanted.parse().ok());
    found.ok_or_else(|| {
        Error::Invalid(format!("unable to find group {wanted}: no matching entries in group file"))
    })
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}
