//! The files that the guest's kernel knows, by number.
//!
//! A node is a file of the host by identity (file system, number, birth), not by name: two names of one file are one
//! node. It holds a descriptor as long as there is room; one without is opened again by the names that led to it, and
//! only if these still lead to the same file.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use crate::case::Case;
use crate::place::{At, Place, may_have_case};
use crate::server::Share;
use crate::sys::{self, Errno, Kind, Moment, Status};
use crate::wire::ROOT;

/// What makes a file the same file: its file system, its number there, and its birth (numbers are used again).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity(u64, u64, Option<Moment>);

impl Identity {
    pub(crate) fn of(status: &Status) -> Self {
        Self(status.device, status.ino, status.birth)
    }
}

/// An owner that the guest has set.
pub(crate) type Owner = (u32, u32);

/// What is known of a file.
pub(crate) struct Node {
    identity: Identity,
    kind: Kind,
    /// The latest name that led to it, or the one of several spellings that the kernel believes.
    place: Place,
    /// The place is known to be no longer its own.
    displaced: bool,
    /// How often the kernel was told of it; at zero it has forgotten.
    lookups: u64,
    /// Open handles: the file may have lost its names, so the descriptor stays.
    handles: u32,
    file: Option<Arc<OwnedFd>>,
    /// Used since its descriptor was last considered for closing.
    recent: bool,
    /// The remembered owner, as of the change time beside it.
    owner: Option<(Moment, Option<Owner>)>,
    changes: Changes,
}

impl Node {
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }
}

/// What the guest does to a file itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    /// How many it has begun,
    begun: u64,
    /// and ended.
    ended: u64,
    /// The change time that the latest one left: between these two.
    left: Option<(Moment, Moment)>,
}

impl Changes {
    /// None is under way.
    pub(crate) fn is_settled(&self) -> bool {
        self.begun == self.ended
    }

    /// Whether the latest one may have left this change time.
    pub(crate) fn has_left(&self, changed: Moment) -> bool {
        self.left.is_some_and(|(earliest, latest)| (earliest..=latest).contains(&changed))
    }
}

/// What is known of a node beyond what `stat` tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Its number as the guest sees it.
    pub(crate) number: u64,
    /// The remembered owner; unknown when the file has changed since it was read.
    pub(crate) owner: Option<Option<Owner>>,
    /// The folder of its name, and whether that may have a case.
    pub(crate) folder: Option<(u64, bool)>,
}

impl Known {
    /// Whether every change by its name is seen, as far as `case` knows the folder: none when it isn't watched.
    pub(crate) fn is_watched(&self, case: impl FnOnce(u64) -> Option<Case>) -> bool {
        self.folder.is_some_and(|(folder, has_case)| match case(folder) {
            // By another spelling it may change unnoticed, where another spelling has a number of its own.
            Some(Case::Unknown) => !has_case,
            case => case.is_some(),
        })
    }
}

/// A node of which the kernel is told.
pub(crate) struct Told {
    pub(crate) node: u64,
    /// Its descriptor.
    pub(crate) file: Arc<OwnedFd>,
    pub(crate) known: Known,
}

/// All nodes.
pub(crate) struct Nodes {
    by_id: HashMap<u64, Node>,
    by_identity: HashMap<Identity, u64>,
    by_place: HashMap<Place, u64>,
    next: u64,
    shares: Vec<Share>,
    /// Nodes that hold a descriptor, the longest unused ones first.
    held: VecDeque<u64>,
    most_held: usize,
    /// File systems in the order in which they were met.
    devices: Vec<u64>,
}

impl Nodes {
    /// Nothing known yet but what is shared; at most so many descriptors are held.
    pub(crate) fn new(shares: Vec<Share>, most_held: usize) -> Self {
        Self {
            by_id: HashMap::new(),
            by_identity: HashMap::new(),
            by_place: HashMap::new(),
            next: ROOT + 1,
            shares,
            held: VecDeque::new(),
            most_held,
            devices: Vec::new(),
        }
    }

    /// The shared folders.
    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// The folder shared as `name`.
    fn shared(&self, name: &CStr) -> Result<PathBuf, Errno> {
        let share = self.shares.iter().find(|share| share.name.as_bytes() == name.to_bytes());
        share.map(|share| share.folder.clone()).ok_or(Errno::NOENT)
    }

    /// Opens what `name` in a folder is; the root's names are the shares.
    pub(crate) fn look_up(&mut self, folder: u64, name: &CStr) -> Result<OwnedFd, Errno> {
        if folder == ROOT {
            return sys::open_root(&self.shared(name)?);
        }
        sys::look_up(self.file(folder)?.as_fd(), name)
    }

    /// Tells the kernel of a file once more by a name; it gets a node if it is new.
    pub(crate) fn tell(&mut self, file: OwnedFd, status: &Status, at: At<'_>) -> Told {
        let identity = Identity::of(status);
        let known = self.by_identity.get(&identity).copied();
        let id = known.unwrap_or_else(|| self.make(identity, status.kind(), at));
        if let Some(node) = self.by_id.get_mut(&id) {
            node.lookups += 1;
        }
        if !self.is_at(id, at) {
            let place = at.place();
            if !place.ignores_case || !self.is_believed_otherwise(id, &place) {
                self.put(id, place);
            }
        }
        Told { node: id, file: self.hold(id, file), known: self.known(id, status) }
    }

    fn make(&mut self, identity: Identity, kind: Kind, at: At<'_>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.by_identity.insert(identity, id);
        let node = Node {
            identity,
            kind,
            place: at.place(),
            displaced: false,
            lookups: 0,
            handles: 0,
            file: None,
            recent: false,
            owner: None,
            changes: Changes::default(),
        };
        self.by_id.insert(id, node);
        id
    }

    /// What is known of a node, of which `stat` tells this.
    pub(crate) fn known(&mut self, id: u64, status: &Status) -> Known {
        let number = self.number(status.device, status.ino);
        let Some(node) = self.by_id.get(&id) else { return Known { number, owner: None, folder: None } };
        let owner = node.owner.and_then(|(as_of, owner)| (as_of == status.ctime).then_some(owner));
        let place = (!node.displaced).then_some(&node.place);
        Known { number, owner, folder: place.map(|place| (place.folder, may_have_case(&place.name))) }
    }

    /// The kernel has forgotten a node so often; returns what it knows no more, whose descriptor is closed with it.
    pub(crate) fn forget(&mut self, id: u64, count: u64) -> Option<Node> {
        let node = self.by_id.get_mut(&id)?;
        node.lookups = node.lookups.saturating_sub(count);
        if node.lookups == 0 && node.handles == 0 { self.take(id) } else { None }
    }

    fn take(&mut self, id: u64) -> Option<Node> {
        let node = self.by_id.remove(&id)?;
        self.by_identity.remove(&node.identity);
        if self.by_place.get(&node.place) == Some(&id) {
            self.by_place.remove(&node.place);
        }
        // Its place in the queue goes when its turn comes: the queue is as long as there are descriptors at most.
        Some(node)
    }

    /// Whether the kernel believes another name for this one's file, or another file at this name: in a folder that
    /// ignores case either stays until it is told to be gone ([`crate::case`]).
    fn is_believed_otherwise(&self, id: u64, place: &Place) -> bool {
        let there =
            self.by_place.get(place).filter(|there| **there != id).and_then(|there| self.by_id.get(there));
        let itself = self.by_id.get(&id).filter(|node| node.kind != Kind::Folder && !node.displaced);
        let mut known = there.into_iter().chain(itself).map(|node| &node.place);
        known.any(|known| known.folder == place.folder && known.ignores_case && known.name != place.name)
    }

    /// Gives a node its latest name.
    fn put(&mut self, id: u64, place: Place) {
        let Some(node) = self.by_id.get_mut(&id) else { return };
        if node.place != place && self.by_place.get(&node.place) == Some(&id) {
            self.by_place.remove(&node.place);
        }
        node.displaced = false;
        node.place = place.clone();
        let replaced = self.by_place.insert(place, id).filter(|replaced| *replaced != id);
        if let Some(node) = replaced.and_then(|replaced| self.by_id.get_mut(&replaced)) {
            node.displaced = true;
        }
    }

    /// A file that has a node has this name now; returns the node.
    pub(crate) fn moved(&mut self, status: &Status, place: Place) -> Option<u64> {
        let id = *self.by_identity.get(&Identity::of(status))?;
        // Of several spellings it keeps its own.
        if self.by_place.get(&place) != Some(&id) {
            self.put(id, place);
        }
        Some(id)
    }

    /// A name was taken away; returns the node that it led to.
    pub(crate) fn displaced(&mut self, place: &Place) -> Option<u64> {
        let id = self.by_place.remove(place)?;
        if let Some(node) = self.by_id.get_mut(&id) {
            node.displaced = true;
        }
        Some(id)
    }

    /// The node that a name last led to.
    pub(crate) fn at(&self, place: &Place) -> Option<u64> {
        self.by_place.get(place).copied()
    }

    /// The other spelling by which the node at a place is known.
    pub(crate) fn other_name(&self, place: &Place) -> Option<Arc<CStr>> {
        let known = &self.by_id.get(self.by_place.get(place)?)?.place.name;
        (*known != place.name).then(|| Arc::clone(known))
    }

    /// Whether a node is where somebody asks, in this spelling.
    pub(crate) fn is_at(&self, id: u64, at: At<'_>) -> bool {
        let node = self.by_id.get(&id).filter(|node| !node.displaced && node.place.is(at));
        node.is_some_and(|node| self.by_place.get(&node.place) == Some(&id))
    }

    /// Where a node was last found, as far as nothing else is known.
    pub(crate) fn place(&self, id: u64) -> Option<Place> {
        self.by_id.get(&id).filter(|node| !node.displaced).map(|node| node.place.clone())
    }

    /// The way from the root to a place, as far as it is known.
    pub(crate) fn path(&self, place: &Place) -> Option<Vec<u8>> {
        let mut names = vec![place.name.to_bytes().to_vec()];
        let mut folder = place.folder;
        while folder != ROOT {
            let place = self.place(folder)?;
            names.push(place.name.to_bytes().to_vec());
            folder = place.folder;
            // No longer than a path may be; it also ends a loop, which there can't be.
            if names.len() > 2048 {
                return None;
            }
        }
        names.reverse();
        Some(names.join(&b'/'))
    }

    /// The names at these places may lead elsewhere by now; returns the nodes that they led to. Folders keep theirs as
    /// the way to what is in them, which is checked whenever it is gone.
    pub(crate) fn doubt(&mut self, which: impl Fn(&Place) -> bool) -> Vec<(u64, Place)> {
        let mut doubted = Vec::new();
        for (id, node) in self.by_id.iter_mut().filter(|(_, node)| which(&node.place)) {
            node.displaced |= node.kind != Kind::Folder;
            if self.by_place.get(&node.place) == Some(id) {
                self.by_place.remove(&node.place);
            }
            doubted.push((*id, node.place.clone()));
        }
        doubted
    }

    /// What the guest itself has just done to a file left it changed at this time.
    pub(crate) fn changed_by_guest(&mut self, id: u64, changed: Moment) {
        self.change_begins(id);
        self.change_ends(id, Some((changed, changed)));
    }

    /// The guest begins to change a file.
    pub(crate) fn change_begins(&mut self, id: u64) {
        if let Some(node) = self.by_id.get_mut(&id) {
            if node.changes.is_settled() {
                node.changes.left = None;
            }
            node.changes.begun += 1;
        }
    }

    /// A change that had begun is over, and left a time between these two on the file.
    pub(crate) fn change_ends(&mut self, id: u64, left: Option<(Moment, Moment)>) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.changes.ended += 1;
            // Of several at once the one that ends last needn't be the one that looked last.
            let all = [node.changes.left, left].into_iter().flatten();
            node.changes.left = all.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        }
    }

    /// What the guest has done to a file.
    pub(crate) fn changes(&self, id: u64) -> Changes {
        self.by_id.get(&id).map(|node| node.changes).unwrap_or_default()
    }

    /// What kind of file a node is.
    pub(crate) fn kind(&self, id: u64) -> Result<Kind, Errno> {
        if id == ROOT {
            return Ok(Kind::Folder);
        }
        self.by_id.get(&id).map(|node| node.kind).ok_or(Errno::STALE)
    }

    /// A handle of the node was opened.
    pub(crate) fn opened(&mut self, id: u64) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.handles += 1;
        }
    }

    /// A handle of the node was closed.
    pub(crate) fn closed(&mut self, id: u64) {
        let Some(node) = self.by_id.get_mut(&id) else { return };
        node.handles = node.handles.saturating_sub(1);
        if node.lookups == 0 && node.handles == 0 {
            self.take(id);
        }
    }

    /// The descriptor of a node, opened again if it was closed to make room.
    pub(crate) fn file(&mut self, id: u64) -> Result<Arc<OwnedFd>, Errno> {
        let node = self.by_id.get_mut(&id).ok_or(Errno::STALE)?;
        node.recent = true;
        if let Some(file) = &node.file {
            return Ok(Arc::clone(file));
        }
        self.open_again(id)
    }

    /// The same for whoever has it by a name: the kernel is to look again whose name for a file that isn't open has gone in
    /// another spelling, of which it hasn't heard yet ([`crate::case`]).
    pub(crate) fn named_file(&mut self, id: u64) -> Result<Arc<OwnedFd>, Errno> {
        let node = self.by_id.get(&id).ok_or(Errno::STALE)?;
        if node.displaced && node.place.ignores_case && node.handles == 0 {
            return Err(Errno::STALE);
        }
        self.file(id)
    }

    /// The descriptor of a node, if it has one now.
    pub(crate) fn held(&self, id: u64) -> Option<Arc<OwnedFd>> {
        self.by_id.get(&id)?.file.clone()
    }

    /// Climbs to the nearest ancestor that has a descriptor and walks down again, checking each step.
    fn open_again(&mut self, id: u64) -> Result<Arc<OwnedFd>, Errno> {
        let mut way = vec![id];
        // A folder's way to the root has no loops; the bound only guards against our own mistakes.
        while way.len() < 4096 {
            let node = way.last().and_then(|id| self.by_id.get(id)).ok_or(Errno::STALE)?;
            let folder = node.place.folder;
            let is_open = self.by_id.get(&folder).is_some_and(|node| node.file.is_some());
            if folder == ROOT || is_open {
                break;
            }
            way.push(folder);
        }
        let mut opened = Err(Errno::STALE);
        for id in way.into_iter().rev() {
            let node = self.by_id.get(&id).ok_or(Errno::STALE)?;
            let (identity, place) = (node.identity, node.place.clone());
            let file = self.look_up(place.folder, &place.name).map_err(|_| Errno::STALE)?;
            if Identity::of(&sys::status(file.as_fd())?) != identity {
                return Err(Errno::STALE);
            }
            opened = Ok(self.hold(id, file));
        }
        opened
    }

    /// Keeps a descriptor with its node, unless it has one; returns the one that it has.
    fn hold(&mut self, id: u64, file: OwnedFd) -> Arc<OwnedFd> {
        let file = Arc::new(file);
        let Some(node) = self.by_id.get_mut(&id) else { return file };
        node.recent = true;
        if let Some(held) = &node.file {
            return Arc::clone(held);
        }
        node.file = Some(Arc::clone(&file));
        self.held.push_back(id);
        self.make_room(id);
        file
    }

    /// Closes descriptors of nodes that weren't used for long when there are too many.
    fn make_room(&mut self, newest: u64) {
        let mut turns = 2 * self.held.len();
        while self.held.len() > self.most_held && turns > 0 {
            turns -= 1;
            let Some(oldest) = self.held.pop_front() else { return };
            let Some(node) = self.by_id.get_mut(&oldest) else { continue };
            if node.recent || node.handles > 0 || oldest == newest {
                node.recent = false;
                self.held.push_back(oldest);
            } else {
                node.file = None;
            }
        }
    }

    /// The number of a file as the guest sees it. The guest sees one file system: numbers of the host's other ones get
    /// upper bits of their own.
    pub(crate) fn number(&mut self, device: u64, ino: u64) -> u64 {
        let known = self.devices.iter().position(|known| *known == device);
        let index = known.unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        ino ^ ((index as u64) << 48)
    }

    /// What the file's attribute says of its owner has changed. The change time alone doesn't tell: it may be the same
    /// tick's.
    pub(crate) fn forget_owner(&mut self, id: u64) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.owner = None;
        }
    }

    /// What was known of the owner at this change time, if it still is, holds at a later one, too.
    pub(crate) fn owner_stays(&mut self, id: u64, before: Moment, after: Moment) {
        if let Some((as_of, _)) = self.by_id.get_mut(&id).and_then(|node| node.owner.as_mut())
            && *as_of == before
        {
            *as_of = after;
        }
    }

    /// Keeps what the file's attribute says of its owner.
    pub(crate) fn keep_owner(&mut self, id: u64, changed: Moment, owner: Option<Owner>) {
        if let Some(node) = self.by_id.get_mut(&id) {
            node.owner = Some((changed, owner));
        }
    }
}
