// Files: `File`, how one is opened, its chunks and lines, and functions that take paths.
// Pair: crates/ringcore/src/fs/mod.rs
//
//   path functions   read  write  copy  createDirAll ...     one call, nothing stays open
//   File             read  write  append  stat  chunks ...   a descriptor, its cursor, its end
//   op               read  write  openat  fsync  statx ...   one entry of the ring each
//
// What the ring has no operation for is done by node:fs: the listing of a directory
// (`removeDirAll`) and the permissions of a copy.

// PAIR: Chunks
// PAIR: ChunksOptions
export { Chunks, type ChunksOptions } from './chunks.ts';
// PAIR: File
export { type AppendOptions, type At, File } from './file.ts';
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
export {
  copy,
  createDir,
  exists,
  hardLink,
  metadata,
  read,
  readToString,
  removeDir,
  removeFile,
  rename,
  symlink,
  symlinkMetadata,
  write,
} from './functions.ts';
// PAIR: Lines
export { Lines, type LinesOptions } from './lines.ts';
// PAIR: OpenOptions
export { Files, OpenOptions } from './options.ts';
// PAIR: createDirAll
// PAIR: removeDirAll
export { createDirAll, removeDirAll } from './tree.ts';
