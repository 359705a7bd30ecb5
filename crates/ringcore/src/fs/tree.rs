//! Directories as a whole: made with their parents, removed with their content.
//! Pair: src/fs/tree.ts
//!
//! What is removed is named by the open directory that holds it, never by a path from the root: a
//! symbolic link that somebody puts in place of a directory meanwhile is removed, not followed.
//! The listing itself is a plain system call, on this thread.

use super::functions::{create_dir, metadata, os};
use crate::error::{Error, Result};
use crate::op;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

// PAIR: createDirAll
/// Makes a directory, and its parents where they are missing. One that exists is fine.
pub async fn create_dir_all(path: impl AsRef<Path>) -> Result<()> {
  let path = path.as_ref();
  let mut missing: Vec<&Path> = Vec::new();
  let mut next = path;
  // Down to one that can be made: most often the first try is the only one.
  loop {
    match made(next).await {
      Ok(()) => break,
      Err(Error::Os { errno: libc::ENOENT, .. }) => {}
      Err(error) => return Err(error),
    }
    let parent = next.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Some(parent) = parent else {
      return Err(crate::error::errno_error(libc::ENOENT, "mkdir").with_path(path));
    };
    missing.push(next);
    next = parent;
  }
  for path in missing.into_iter().rev() {
    made(path).await?;
  }
  Ok(())
}

/// Makes one directory; one that is there already is as good.
async fn made(path: &Path) -> Result<()> {
  let error = match create_dir(path).await {
    Err(error @ Error::Os { errno: libc::EEXIST, .. }) => error,
    other => return other,
  };
  match metadata(path).await {
    Ok(found) if found.mode as u32 & libc::S_IFMT == libc::S_IFDIR => Ok(()),
    _ => Err(error),
  }
}

/// A directory that is being emptied.
struct Level {
  dirfd: i32,
  path: PathBuf,
  names: Vec<OsString>,
}

// PAIR: removeDirAll
/// Removes a directory and everything in it. Symbolic links are removed, never followed; one as the
/// path itself is ENOTDIR. What others remove meanwhile is no error.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> Result<()> {
  let path = path.as_ref().to_path_buf();
  let mut levels = Levels(vec![enter(libc::AT_FDCWD, &path, path.clone()).await?]);
  while let Some(level) = levels.0.last_mut() {
    let Some(name) = level.names.pop() else {
      levels.leave().await?;
      continue;
    };
    let (dirfd, inside) = (level.dirfd, level.path.join(&name));
    match op::unlinkat(dirfd, &name, 0).await {
      Ok(()) | Err(Error::Os { errno: libc::ENOENT, .. }) => {}
      // EPERM is what POSIX wants of a directory, and some file systems say.
      Err(Error::Os { errno: libc::EISDIR | libc::EPERM, .. }) => {
        match enter(dirfd, Path::new(&name), inside).await {
          Ok(level) => levels.0.push(level),
          Err(Error::Os { errno: libc::ENOENT, .. }) => {}
          Err(error) => return Err(error),
        }
      }
      Err(error) => return Err(error.with_path(&inside)),
    }
  }
  op::unlinkat(libc::AT_FDCWD, &path, libc::AT_REMOVEDIR).await
}

/// Opens a directory, if it is one, and lists it.
async fn enter(dirfd: i32, name: &Path, path: PathBuf) -> Result<Level> {
  let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
  let opened = op::openat(dirfd, name, flags, 0).await;
  let dirfd = opened.map_err(|error| error.with_path(&path))?;
  let mut level = Levels(vec![Level { dirfd, path, names: Vec::new() }]);
  let first = &mut level.0[0];
  let listed = std::fs::read_dir(format!("/proc/self/fd/{dirfd}"))
    .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
  first.names = listed.map_err(|error| os(&error, "scandir").with_path(&first.path))?;
  Ok(level.0.pop().expect("the one above"))
}

/// Directories from the outermost one inwards. Dropped, they are closed (I3).
struct Levels(Vec<Level>);

impl Levels {
  /// The innermost one is empty: it is closed, and removed from the one around it.
  async fn leave(&mut self) -> Result<()> {
    let level = self.0.pop().expect("the caller looked at it");
    op::close(level.dirfd).await?;
    let Some(outer) = self.0.last() else {
      return Ok(());
    };
    let name = level.path.file_name().expect("it was joined from one");
    match op::unlinkat(outer.dirfd, name, libc::AT_REMOVEDIR).await {
      Err(Error::Os { errno: libc::ENOENT, .. }) => Ok(()),
      other => other.map_err(|error| error.with_path(&level.path)),
    }
  }
}

impl Drop for Levels {
  fn drop(&mut self) {
    for level in &self.0 {
      if let Ok(executor) = crate::executor::current() {
        executor.reactor.borrow_mut().ring.close_fd(level.dirfd);
      } else {
        crate::ring::close_now(level.dirfd);
      }
    }
  }
}
