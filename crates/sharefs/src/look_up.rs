//! From a name to a node.

use std::ffi::CStr;
use std::os::fd::AsFd;

use crate::nodes::Place;
use crate::owner::Told;
use crate::server::Server;
use crate::sys::{self, Errno, Kind, Status};
use crate::watch::SHORT;
use crate::wire::ROOT;
use crate::wire::reply::{Entry, Reply};
use crate::wire::request::Header;

impl Server {
    /// What `name` in the folder is. A folder is watched from here on: the guest may watch it without a look inside.
    pub(crate) fn look_up(&self, header: &Header, name: &CStr, reply: &mut Reply<'_>) -> Result<(), Errno> {
        let mut entry = match self.entry(header, name) {
            // Programs ask again and again for what isn't there. Its coming is told at once; but when events were lost,
            // nobody knows of whose absence the kernel was told, so that it isn't believed for long.
            Err(Errno::NOENT) if self.watches.has(header.node) => {
                reply.absent(SHORT);
                return Ok(());
            }
            found => found?,
        };
        let is_folder = entry.attributes.status.kind() == Kind::Folder;
        if is_folder && self.watch(entry.node) {
            // What was seen before the watch began may have changed unseen.
            entry = self.entry(header, name)?;
            self.nodes().forget(entry.node, 1);
        }
        reply.entry(&entry);
        Ok(())
    }

    /// The same for a name in a list: listing a folder is no look into all that are in it.
    pub(crate) fn entry(&self, header: &Header, name: &CStr) -> Result<Entry, Errno> {
        self.watch(header.node);
        self.find(header, name)
    }

    /// The same for what the guest has just made, or given one more name.
    pub(crate) fn look_up_made(
        &self,
        header: &Header,
        name: &CStr,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let entry = self.find(header, name)?;
        self.nodes().changed_by_guest(entry.node, entry.attributes.status.ctime);
        reply.entry(&entry);
        Ok(())
    }

    /// Finds a file by its name and tells the kernel of it.
    fn find(&self, header: &Header, name: &CStr) -> Result<Entry, Errno> {
        let place = Place::new(header.node, name);
        if header.node != ROOT {
            let folder = self.file(header.node)?;
            let status = sys::status_of_name(folder.as_fd(), name)?;
            if may_stay_closed(&status) {
                return Ok(self.tell(header, place, &status, Told::Name(folder.as_fd(), name)));
            }
        }
        let file = self.open_name(header.node, name)?;
        let status = sys::status(file.as_fd())?;
        let entry = self.tell(header, place, &status, Told::File(file.as_fd()));
        self.nodes().hold(entry.node, file);
        Ok(entry)
    }

    /// Tells the kernel of a file by one of its names.
    pub(crate) fn tell(&self, header: &Header, place: Place, status: &Status, told: Told<'_>) -> Entry {
        let folder = place.folder;
        let node = self.nodes().tell(status, place);
        let attributes = self.shown(header, node, told, *status);
        // A folder is to be looked up once more before the guest may go by its name for long: then it is watched.
        let is_sure = status.kind() != Kind::Folder || self.watches.has(node);
        let valid = if is_sure { self.name_valid(folder) } else { SHORT };
        Entry { node, attributes, valid }
    }
}

/// Whether a file is found again by its name when it is used: it has no other one, and whoever has its number next isn't
/// taken for it.
fn may_stay_closed(status: &Status) -> bool {
    status.kind() == Kind::Regular && status.links == 1 && status.birth.is_some()
}
