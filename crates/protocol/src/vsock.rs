//! The vsock ports of the guest. The host connects, the guest listens: a guest can't open anything towards the host, and
//! its kernel carries nothing within it, so a container that reaches vsock still reaches nobody.

/// Context id of the guest; one VM per host daemon, so one number serves.
pub const GUEST_CID: u32 = 3;

/// The conversation of [`crate::guest`]: one stream for the life of the VM.
pub const CONTROL: u32 = 1024;

/// The Docker API: one stream per client connection, plain bytes.
pub const DOCKER_API: u32 = 1025;

/// The Docker API for clients of the host's own `tcp://` addresses: one stream per connection, plain bytes, on which the
/// guest speaks TLS when the user wants it.
pub const DOCKER_API_REMOTE: u32 = 1028;

/// A published UDP port: one stream per peer, opened by [`crate::port::Forward`].
pub const FORWARD: u32 = 1026;

/// Changes of shared folders: one stream for the life of the VM, of FUSE notifications as they would be written to
/// `/dev/fuse`, and of [`SHARE_LOOK`]. The guest says nothing. Nobody listens in a guest whose kernel takes none.
pub const SHARE_CHANGES: u32 = 1027;

/// Requests for shared folders, in a machine without a queue for them: one stream for the life of the VM. The guest sends
/// requests as its `/dev/fuse` gives them, the host replies as that takes them, in any order. Nobody listens in a guest
/// that has the folders by a queue, or none. A host whose stream ended opens another one: what was under way is lost.
pub const SHARES: u32 = 1029;

/// Among the notifications' codes: not for the kernel, but a path beneath the mount that the guest is to look at.
pub const SHARE_LOOK: u32 = 0x4002;
