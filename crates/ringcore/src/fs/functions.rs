//! Functions that take a path: nothing stays open.
//! Pair: src/fs/functions.ts

use super::cached::{read_cached, Found};
use super::file::{text, File};
use super::stat;
use crate::buffer::IoBuf;
use crate::error::{errno_error, Error, Result};
use crate::op::{self, BufResult};
use crate::runtime::yield_now;
use crate::sqe::INLINE_READ;
use crate::statx::Statx;
use libc::AT_FDCWD;
use std::path::Path;

// PAIR: read
/// The whole content of a file.
pub async fn read(path: impl AsRef<Path>) -> Result<Vec<u8>> {
  let path = path.as_ref();
  let file = match read_cached(path) {
    Found::Whole(bytes) => {
      // The others' turn: nobody else ends a loop of reads that never wait (I8).
      yield_now().await;
      return Ok(bytes);
    }
    Found::Open(fd) => File::from_fd(fd)?,
    Found::Nothing => File::open(path).await?,
  };
  // Nobody waits for the close: dropped, the file is closed through the ring.
  file.read_to_end().await
}

// PAIR: readToString
/// The same as text. `Error::NotUtf8`: it is none. (In TypeScript what is wrong becomes U+FFFD, as
/// in Node.)
pub async fn read_to_string(path: impl AsRef<Path>) -> Result<String> {
  text(read(path).await?)
}

// PAIR: write
/// Makes the file's content these bytes; makes the file if it is not there.
pub async fn write<B: IoBuf>(path: impl AsRef<Path>, buffer: B) -> BufResult<(), B> {
  let file = match File::create(path).await {
    Ok(file) => file,
    Err(error) => return (Err(error), buffer),
  };
  let (written, buffer) = file.write_all(buffer).await;
  // Some file systems say only now that there was no room.
  let closed = file.close().await;
  (written.and(closed), buffer)
}

// PAIR: copy
/// Copies content and permissions of a file, over one that exists; how many bytes. EINVAL: both
/// are the same file, which stays as it is.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<u64> {
  let (from, to) = (from.as_ref(), to.as_ref());
  let about = |error: Error| error.with_path(from).with_dest(to);
  let source = File::open(from).await?;
  let found = source.stat().await.map_err(about)?;
  let mode = found.mode as u32 & 0o7777;
  // Not O_TRUNC: the target may be the source by another name.
  let target = File::options().write(true).create(true).mode(mode).open(to).await?;
  let there = target.stat().await.map_err(about)?;
  let identity = |stat: &Statx| (stat.dev_major, stat.dev_minor, stat.ino);
  if identity(&found) == identity(&there) {
    return Err(about(errno_error(libc::EINVAL, "copyfile")));
  }
  if there.size > 0 {
    target.truncate(0).await.map_err(about)?;
  }
  let copied = pump(&source, &target).await.map_err(about)?;
  if there.mode as u32 & 0o7777 != mode && there.mode as u32 & libc::S_IFMT == libc::S_IFREG {
    // The ring has no fchmod. Through the descriptor: the name may be another file's by now.
    let open = format!("/proc/self/fd/{}", target.fd().unwrap_or(-1));
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    let changed = std::fs::set_permissions(open, permissions);
    changed.map_err(|error| about(os(&error, "fchmod")))?;
  }
  target.close().await.map_err(about)?;
  Ok(copied)
}

/// Everything from one cursor to another.
async fn pump(source: &File, target: &File) -> Result<u64> {
  let mut buffer = vec![0; INLINE_READ as usize];
  let mut copied = 0;
  loop {
    let (count, mut bytes) = source.read(buffer).await;
    let count = count?;
    if count == 0 {
      return Ok(copied);
    }
    bytes.truncate(count);
    let (written, mut bytes) = target.write_all(bytes).await;
    written?;
    copied += count as u64;
    bytes.resize(INLINE_READ as usize, 0);
    buffer = bytes;
  }
}

/// The error of a plain system call.
pub(super) fn os(error: &std::io::Error, syscall: &'static str) -> Error {
  errno_error(error.raw_os_error().unwrap_or(libc::EIO), syscall)
}

// PAIR: metadata
/// What is known of what a path leads to.
pub async fn metadata(path: impl AsRef<Path>) -> Result<Statx> {
  stat::of_path(path.as_ref(), false).await
}

// PAIR: symlinkMetadata
/// The same of a symbolic link itself.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> Result<Statx> {
  stat::of_path(path.as_ref(), true).await
}

// PAIR: exists
/// Whether a path leads to something. An error says that nobody may know (EACCES).
pub async fn exists(path: impl AsRef<Path>) -> Result<bool> {
  match metadata(path).await {
    Ok(_) => Ok(true),
    Err(Error::Os { errno: libc::ENOENT | libc::ENOTDIR, .. }) => Ok(false),
    Err(error) => Err(error),
  }
}

// PAIR: createDir
/// Makes a directory. EEXIST: there is something of that name.
pub async fn create_dir(path: impl AsRef<Path>) -> Result<()> {
  op::mkdirat(AT_FDCWD, path, 0o777).await
}

// PAIR: removeFile
/// Removes a name of a file, or a symbolic link.
pub async fn remove_file(path: impl AsRef<Path>) -> Result<()> {
  op::unlinkat(AT_FDCWD, path, 0).await
}

// PAIR: removeDir
/// Removes an empty directory.
pub async fn remove_dir(path: impl AsRef<Path>) -> Result<()> {
  op::unlinkat(AT_FDCWD, path, libc::AT_REMOVEDIR).await
}

// PAIR: rename
/// Gives a file another name, in place of what had it.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
  op::renameat(AT_FDCWD, from, AT_FDCWD, to, 0).await
}

// PAIR: symlink
/// Makes `path` a symbolic link that holds `target` as it is.
pub async fn symlink(target: impl AsRef<Path>, path: impl AsRef<Path>) -> Result<()> {
  op::symlinkat(target, AT_FDCWD, path).await
}

// PAIR: hardLink
/// Makes `to` a further name of the file `from`.
pub async fn hard_link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<()> {
  op::linkat(AT_FDCWD, from, AT_FDCWD, to, 0).await
}
