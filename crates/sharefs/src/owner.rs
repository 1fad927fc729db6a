//! Whose a file is, as the guest sees it.
//!
//! - A file of the user who shares belongs to **whoever asks**: any user of a container may do with it what that user
//!   may. The answer to one user isn't for another, which the reply says (`of_asker`).
//! - When the guest changes an owner, the host's stays: the new one is remembered in the extended attribute
//!   `user.berth.owner` (`UID:GID`), which the guest can neither see nor set, and from then on it is the one owner shown.
//!   Files that can't have the attribute (links, FIFOs, some file systems) take the change without remembering it.
//! - Everybody else's files show the host's own numbers: the host's kernel refuses there what it would refuse the user.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use crate::nodes::{Known, Owner, Told};
use crate::place::At;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, Status, mode};
use crate::wire::reply::Attributes;
use crate::wire::request::Header;

/// Where the owner is remembered.
const ATTRIBUTE: &CStr = c"user.berth.owner";
/// Beneath this nothing is the guest's to see.
pub(crate) const HIDDEN: &[u8] = b"user.berth.";

impl Server {
    /// What the guest is shown of a file.
    pub(crate) fn shown(
        &self,
        header: &Header,
        node: u64,
        file: BorrowedFd<'_>,
        status: Status,
    ) -> Attributes {
        let known = self.nodes().known(node, &status);
        let valid =
            self.attributes_valid(node, &status, || known.is_watched(|folder| self.watches.case(folder)));
        self.shown_with(header, (node, known), (status, valid), || read(file))
    }

    /// The same of a file that was just found by a name in a folder.
    pub(crate) fn shown_by_name(
        &self,
        header: &Header,
        at: At<'_>,
        told: &Told,
        status: Status,
    ) -> Attributes {
        let case = |folder| if folder == at.folder { at.case } else { self.watches.case(folder) };
        let valid = self.attributes_valid(told.node, &status, || told.known.is_watched(case));
        self.shown_with(header, (told.node, told.known), (status, valid), || {
            let (parent, file) =
                (self.nodes().held(at.folder).filter(|_| !at.name.is_empty()), told.file.as_fd());
            // What has taken its place in between changed the file's change time, by which this is remembered.
            parent.map_or_else(|| read(file), |parent| read_by_name(parent.as_fd(), at.name, file))
        })
    }

    fn shown_with(
        &self,
        header: &Header,
        (node, known): (u64, Known),
        (mut status, valid): (Status, u64),
        read: impl FnOnce() -> Option<Owner>,
    ) -> Attributes {
        let (uid, gid, of_asker) = if status.uid != self.user.0 {
            (status.uid, status.gid, false)
        } else {
            match known.owner.unwrap_or_else(|| self.remembered_owner(node, &status, read)) {
                Some((uid, gid)) => (uid, gid, false),
                None => (header.uid, header.gid, true),
            }
        };
        if status.kind() != Kind::Folder {
            // A program that runs as its owner on the host doesn't in the guest.
            status.mode &= !mode::SET_ID;
        }
        Attributes { status, ino: known.number, uid, gid, of_asker, valid }
    }

    fn remembered_owner(
        &self,
        node: u64,
        status: &Status,
        read: impl FnOnce() -> Option<Owner>,
    ) -> Option<Owner> {
        if !matches!(status.kind(), Kind::Regular | Kind::Folder) {
            return None;
        }
        let owner = read();
        self.nodes().keep_owner(node, status.ctime, owner);
        owner
    }

    /// Remembers an owner; the half that isn't given stays what it is.
    pub(crate) fn remember_owner(
        &self,
        header: &Header,
        file: BorrowedFd<'_>,
        uid: Option<u32>,
        gid: Option<u32>,
    ) -> Result<(), Errno> {
        let (uid, gid) = uid.zip(gid).unwrap_or_else(|| {
            let (old_uid, old_gid) = read(file).unwrap_or((header.uid, header.gid));
            (uid.unwrap_or(old_uid), gid.unwrap_or(old_gid))
        });
        let text = format!("{uid}:{gid}");
        match sys::set_attribute(file, ATTRIBUTE, text.as_bytes(), 0) {
            // There is no place for it: accepted, as on any file system without owners.
            Err(Errno::OPNOTSUPP | Errno::PERM | Errno::LOOP | Errno::BADF) => Ok(()),
            set => {
                self.nodes().forget_owner(header.node);
                set
            }
        }
    }
}

fn read(file: BorrowedFd<'_>) -> Option<Owner> {
    let mut value = [0; 32];
    let length = sys::get_attribute(file, ATTRIBUTE, &mut value).ok()?;
    parse(value.get(..length)?)
}

fn read_by_name(folder: BorrowedFd<'_>, name: &CStr, file: BorrowedFd<'_>) -> Option<Owner> {
    let mut value = [0; 32];
    match sys::get_attribute_of_name(folder, name, ATTRIBUTE, &mut value) {
        Ok(length) => parse(value.get(..length)?),
        Err(Errno::NODATA) => None,
        // The kernel doesn't have the call, or the name is gone.
        Err(_) => read(file),
    }
}

fn parse(value: &[u8]) -> Option<Owner> {
    let (uid, gid) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}
