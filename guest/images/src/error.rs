//! What can go wrong, in Docker's words where Docker has some, and by kind for whoever must react.

use std::io;
use std::path::PathBuf;

use crate::Digest;

/// The result of this crate's calls.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request makes no sense.
    InvalidParameter,
    /// The named thing isn't there.
    NotFound,
    /// It can't be done in the present state.
    Conflict,
    /// The registry wants other credentials.
    Unauthorized,
    /// The registry doesn't let these credentials do it.
    Forbidden,
    /// The registry wants to be asked less often.
    TooManyRequests,
    /// The registry doesn't answer as it should.
    Unavailable,
    /// Our fault or the machine's.
    System,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text doesn't follow the grammar.
    #[error("invalid reference format")]
    InvalidReference,
    /// Repositories are lower case.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    UppercaseName(String),
    /// It would be taken for an id.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    HexadecimalName(String),
    /// Over the grammar's limit.
    #[error("invalid reference format: repository name must not be more than 255 characters")]
    LongName,
    /// Not a tag.
    #[error("invalid tag format")]
    InvalidTag,
    /// A tag was expected and a digest given.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// Not `sha256:` and 64 digits.
    #[error("invalid checksum digest format: {0}")]
    InvalidDigest(String),
    /// Not a platform.
    #[error("{0:?}: cannot parse platform specifier: invalid argument")]
    InvalidPlatform(String),
    /// A word that is neither an operating system nor an architecture.
    #[error("{0:?}: unknown operating system or architecture: invalid argument")]
    UnknownPlatform(String),

    /// No image is called so.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// Several images' ids start so.
    #[error("ambiguous image id prefix {0}: more than one image matches")]
    AmbiguousId(String),
    /// The image can't be removed now.
    #[error("conflict: unable to delete {image} ({}) - {reason}", if *.forceable { "must be forced" } else { "cannot be forced" })]
    InUse {
        /// The short id.
        image: String,
        /// Whether force would do it.
        forceable: bool,
        /// Why, in Docker's words.
        reason: String,
    },
    /// The image's only name can't be removed now.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its \
         referenced image {image}"
    )]
    NameInUse {
        /// The name, as it was asked for.
        name: String,
        /// The short id of a container that uses the image.
        container: String,
        /// The image's short id.
        image: String,
    },
    /// No snapshot is called so.
    #[error("no snapshot for container {0}")]
    NoSuchSnapshot(String),
    /// There is one already.
    #[error("a snapshot for container {0} exists already")]
    SnapshotExists(String),
    /// Container ids become folder names.
    #[error("invalid snapshot name {0:?}")]
    InvalidSnapshotName(String),

    /// A file of the web didn't come.
    #[error("failed to download {url}: {reason}")]
    Download {
        /// From where.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A file operation failed.
    #[error("{operation} {path}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Reading what the caller gives, or writing to it.
    #[error("{operation}")]
    Stream {
        /// What was tried.
        operation: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Mounting failed.
    #[error("mount the overlay of {snapshot}: {step}")]
    Mount {
        /// Whose.
        snapshot: String,
        /// At which step.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The store is newer than this program.
    #[error("the image store {path} has format {found}, this program knows up to {known}")]
    NewerStore {
        /// Where.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A document isn't what it should be.
    #[error("invalid {subject}")]
    Json {
        /// Which.
        subject: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// Content isn't what its name says.
    #[error("{subject}: filesystem layer verification failed for digest {expected}: found {found}")]
    WrongDigest {
        /// What was read.
        subject: &'static str,
        /// What it should be.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Content isn't in the store.
    #[error("content {0} isn't in the store")]
    NoSuchContent(Digest),

    /// A folder and something that isn't one may not replace each other.
    #[error("cannot overwrite {} {path:?} with {}", if *.is_folder { "directory" } else { "non-directory" },
        if *.is_folder { "non-directory" } else { "directory" })]
    Overwrite {
        /// What is there.
        path: String,
        /// Whether that is a folder.
        is_folder: bool,
    },
    /// A layer can't be unpacked.
    #[error("unpack layer entry {entry:?}: {step}")]
    Unpack {
        /// Which entry.
        entry: String,
        /// At which step.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// What should be an archive's header isn't one.
    #[error("archive/tar: invalid tar header")]
    InvalidTarHeader,
    /// An archive, or what it is compressed as, ends too early.
    #[error("unexpected EOF")]
    UnexpectedEnd,
    /// The layer's archive isn't well formed.
    #[error("invalid layer: {0}")]
    InvalidLayer(&'static str),
    /// A limit that guards against bombs.
    #[error("the layer is refused: {what} over the limit of {limit}")]
    LayerLimit {
        /// What there is too much of.
        what: &'static str,
        /// How much may be.
        limit: u64,
    },
    /// An archive of images lacks a file.
    #[error("open {0}: no such file or directory")]
    NotInArchive(String),
    /// An archive of images isn't well formed.
    #[error("invalid archive: {0}")]
    InvalidArchive(String),
    /// Manifest and configuration disagree, or the manifest is of an old kind.
    #[error("unsupported manifest media type {0:?}")]
    UnsupportedManifest(String),
    /// The image's layers don't fit its configuration.
    #[error("invalid image: {layers} layers for {diff_ids} diff ids")]
    LayerCount {
        /// Layers in the manifest.
        layers: usize,
        /// Layers in the configuration.
        diff_ids: usize,
    },

    /// The image isn't for the wanted platform.
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform {
        /// What was wanted.
        platform: String,
    },
    /// The registry doesn't have the manifest.
    #[error("manifest for {reference} not found: {said}")]
    ManifestNotFound {
        /// Familiar form.
        reference: String,
        /// The registry's words, `manifest unknown: …`.
        said: String,
    },
    /// The registry doesn't have the repository.
    #[error("repository {repository} not found: {said}")]
    RepositoryNotFound {
        /// Familiar name.
        repository: String,
        /// The registry's words.
        said: String,
    },
    /// The image is for another platform and there is no choice.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    OtherPlatform {
        /// Familiar form.
        reference: String,
        /// The image's.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// There is no image of that name to push.
    #[error("An image does not exist locally with the tag: {0}")]
    NothingToPush(String),
    /// The repository has other tags.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// The registry doesn't let us.
    #[error(
        "pull access denied for {repository}, repository does not exist or may require 'docker login': {said}"
    )]
    PullDenied {
        /// Familiar name.
        repository: String,
        /// The registry's words.
        said: String,
    },
    /// The registry wants a name and a password, and there are none. By dockerd's rule, it is no refusal of credentials: of
    /// those Docker's client asks its user for others.
    #[error("no basic auth credentials")]
    NoCredentials,
    /// The credentials aren't right.
    #[error("{said}")]
    Unauthorized {
        /// The registry's words, `unauthorized: authentication required`.
        said: String,
    },
    /// The credentials are known, and don't suffice.
    #[error("{said}")]
    Denied {
        /// The registry's words, `denied: requested access to the resource is denied`.
        said: String,
    },
    /// The token server of a registry gives no token to who logs in.
    #[error("Get {url:?}")]
    Login {
        /// The registry's address.
        url: String,
        /// What the token server says.
        source: Box<Self>,
    },
    /// The registry has a reason.
    #[error("{said}")]
    Refused {
        /// What it is about.
        kind: Kind,
        /// The registry's words.
        said: String,
    },
    /// The registry answered something else.
    #[error("{said}")]
    Registry {
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        said: String,
    },
    /// The registry can't be reached.
    #[error("{method} {url:?}: {reason}")]
    Unreachable {
        /// HTTP method.
        method: &'static str,
        /// The address, without credentials.
        url: String,
        /// The innermost cause in one line.
        reason: String,
    },
    /// No registry that could be searched answers there.
    #[error("invalid registry endpoint {0}")]
    InvalidEndpoint(String),
    /// The registry's answer makes no sense.
    #[error("unexpected answer from {url:?}: {problem}")]
    BadAnswer {
        /// The address.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A custom certificate or key can't be used.
    #[error("certificate {path}: {problem}")]
    Certificate {
        /// Where it lies.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A background step ended early: the engine is going down, or the step panicked.
    #[error("{0} was interrupted")]
    Interrupted(&'static str),
}

impl Error {
    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::InvalidReference
            | Self::UppercaseName(_)
            | Self::HexadecimalName(_)
            | Self::LongName
            | Self::InvalidTag
            | Self::TagWithDigest
            | Self::InvalidDigest(_)
            | Self::InvalidPlatform(_)
            | Self::UnknownPlatform(_)
            | Self::InvalidSnapshotName(_)
            | Self::InvalidArchive(_)
            | Self::InvalidLayer(_)
            | Self::InvalidEndpoint(_)
            | Self::LayerLimit { .. }
            | Self::Overwrite { .. } => Kind::InvalidParameter,
            Self::NoSuchImage(_)
            | Self::NoSuchSnapshot(_)
            | Self::NoSuchContent(_)
            | Self::NoPlatform { .. }
            | Self::ManifestNotFound { .. }
            | Self::RepositoryNotFound { .. }
            | Self::OtherPlatform { .. }
            | Self::NothingToPush(_)
            | Self::NoSuchTag(_)
            | Self::PullDenied { .. } => Kind::NotFound,
            Self::AmbiguousId(_) | Self::InUse { .. } | Self::NameInUse { .. } | Self::SnapshotExists(_) => {
                Kind::Conflict
            }
            Self::Unauthorized { .. } => Kind::Unauthorized,
            Self::Denied { .. } => Kind::Forbidden,
            Self::Refused { kind, .. } => *kind,
            Self::Login { source, .. } => source.kind(),
            Self::Registry { .. }
            | Self::Download { .. }
            | Self::Unreachable { .. }
            | Self::BadAnswer { .. } => Kind::Unavailable,
            _ => Kind::System,
        }
    }

    /// Whether it is that the disk is full.
    pub(crate) fn is_lack_of_room(&self) -> bool {
        let causes = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| full.contains(&error.kind()))
    }

    pub(crate) fn file(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }

    /// Reading an archive failed.
    pub(crate) fn reading(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Self::UnexpectedEnd,
            _ => Self::Stream { operation: "read the archive", source },
        }
    }

    pub(crate) fn stream(operation: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Stream { operation, source }
    }
}
