//! One container's process: namespaces, cgroup v2, root filesystem, capabilities, seccomp, exec (OCI runtime spec).
//!
//! [`create()`] makes a container's first process from a [`Spec`] and leaves it waiting right before its program;
//! [`Container::start`] lets it go. [`exec()`] adds a process to a running container. Both fork and change
//! namespaces: call them from a single-threaded process (the guard, the `berth-runtime` command), never from the
//! engine. [`cgroup`] and [`seccomp`] may be used from anywhere.
//!
//! It doesn't pull images, mount layers, make networks or keep logs.

pub mod attended;
mod capabilities;
pub mod cgroup;
mod child;
pub mod command;
mod console;
mod create;
mod credentials;
pub mod defaults;
mod error;
mod exec;
pub mod go_duration;
mod handover;
mod handshake;
mod hooks;
pub mod init;
mod labels;
mod limits;
mod memory_policy;
mod namespaces;
mod program;
pub mod protect;
pub mod rfc3339;
mod rootfs;
mod scheduling;
pub mod seccomp;
mod settings;
mod span;
mod stdio;
mod sys;

pub use capabilities::{available as available_capabilities, names as capability_names};
pub use console::{Terminal, WindowSize};
pub use create::{Container, Create, Life, create};
pub use error::{Error, FailureKind, plain};
pub use exec::{Exec, Process, exec};
pub use oci_spec::runtime as oci;
pub use oci_spec::runtime::Spec;
pub use rootfs::beneath;
pub use span::Span;
pub use stdio::Stdio;
