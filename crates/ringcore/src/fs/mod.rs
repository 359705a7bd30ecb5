//! Files: `File`, how one is opened, its chunks and lines, and functions that take paths.
//! Pair: src/fs/index.ts
//!
//! ```text
//! path functions   read  write  copy  create_dir_all ...     one call, nothing stays open
//! File             read  write  append  stat  chunks ...     a descriptor, its cursor, its end
//! op               read  write  openat  fsync  statx ...     one entry of the ring each
//! ```
//! What the ring has no operation for is done with a plain system call: the listing of a directory
//! (`remove_dir_all`) and the permissions of a copy.

pub mod cached;
pub mod chunks;
pub mod file;
pub mod functions;
pub(crate) mod handle;
pub mod larger;
pub mod lines;
pub(crate) mod mounts;
pub mod options;
pub mod stat;

pub(crate) mod transfer;
pub mod tree;
pub(crate) mod window;

// PAIR: Chunks
// PAIR: ChunksOptions
pub use chunks::{Chunks, ChunksOptions};

// PAIR: File
pub use file::File;

// PAIR: read
// PAIR: readToString
// PAIR: write
// PAIR: copy
// PAIR: metadata
// PAIR: symlinkMetadata
// PAIR: exists
// PAIR: createDir
// PAIR: removeFile
// PAIR: removeDir
// PAIR: rename
// PAIR: symlink
// PAIR: hardLink
pub use functions::{
  copy, create_dir, exists, hard_link, metadata, read, read_to_string, remove_dir, remove_file,
  rename, symlink, symlink_metadata, write,
};

// PAIR: Lines
pub use lines::Lines;

// PAIR: OpenOptions
pub use options::OpenOptions;

// PAIR: createDirAll
// PAIR: removeDirAll
pub use tree::{create_dir_all, remove_dir_all};
