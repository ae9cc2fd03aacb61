//! Checkpoints: folders of safetensors and JSON files with the whole state of a run: [`Checkpoint`],
//! [`CheckpointStore`].
//!
//! ```text
//! <folder>/manifest.json                            format, version, and a digest of every file
//!          state.json                               small values, by section
//!          <section>.safetensors                    tensors, by section
//!          <section>.<tensor>.<number>.safetensors  a block of a large tensor, such as the rows of a replay
//! ```
//!
//! A folder is written under a temporary name, synced and then renamed, so it is either complete or absent. Equal
//! states give equal bytes: there are no time stamps. When reading, every digest is checked before the data is used.
//!
//! A block that the previous checkpoint has too is not written again: both folders hold the same file (a hard link). Each
//! folder is complete on its own, whatever happens to the others.

mod files;
mod manifest;
mod read;
mod section;
mod store;
mod write;

pub use files::FileDigest;
pub(crate) use files::{remove_dir, replace_dir};
pub use manifest::{FORMAT, Manifest};
pub use read::Checkpoint;
pub use section::{Number, Section};
pub use store::CheckpointStore;
pub use write::write;
