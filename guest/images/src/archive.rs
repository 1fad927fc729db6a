//! Images in and out of files: `docker save`, `load`, `import` and `commit`.

mod ahead;
mod load;
mod new_image;
mod save;
mod spool;

pub use load::Loaded;
pub use new_image::{CommitOptions, ImportOptions};
pub use save::Chosen;
