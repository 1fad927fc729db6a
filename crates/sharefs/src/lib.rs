//! Host folders as a FUSE server, for guests and for `/dev/fuse`: a request in, a reply out. Who carries them (a virtio-fs
//! queue, a stream) is none of its business; the data of reads and writes goes between him and the file ([`Carrier`]).
//!
//! - **Beneath.** A name is one component, looked up beneath its folder without following anything; links are the
//!   guest's kernel's to resolve, in the guest. So nothing outside the shared folders is ever reached, whatever names,
//!   links and races a guest makes.
//! - **As the user who shares.** Everything happens with the rights of this process. Whoever asks is shown as the owner
//!   of that user's files, so that any user of a container may work on them; an owner set by the guest is remembered
//!   in an attribute and never given to the host ([`owner`]).
//! - **Nothing that runs or is a device.** Set-id bits are dropped, device nodes are refused; only regular files and
//!   folders are opened.
//! - **Told.** Folders that the guest has looked into are watched; it is told what changed ([`Server::tell_changes`]).
//!
//! - **Locked.** A lock of the guest's is one of the host's file ([`locks`]).
//!
//! Not served: `ioctl`, device nodes, overlay's whiteouts. The kernel does the permission checks
//! (`default_permissions`).

mod attributes;
mod carrier;
mod case;
mod change_names;
mod echo;
mod extended;
mod files;
mod folders;
mod handles;
mod locks;
mod look_up;
mod nodes;
mod owner;
mod place;
mod server;
mod stream;
mod sys;
mod tell;
mod watch;
mod wire;

pub use carrier::{Carrier, Later, copied};
pub use server::{Error, Server, Share};
pub use wire::REPLY_HEADER;
