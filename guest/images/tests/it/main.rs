//! The library from outside: archives in, file systems out, a real registry in between.
#![expect(clippy::unwrap_used, reason = "a test that can't set up fails, and says where")]
#![expect(clippy::print_stdout, reason = "a skipped test says why")]

mod fake;
mod fixture;
mod hostile;
mod load;
mod pull;
mod recovery;
mod registry;
mod removal;
mod secure;
mod snapshot;
mod transfer;
mod unfriendly;
