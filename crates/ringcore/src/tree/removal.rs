// PAIR: only-rust removal.rs -- plain system calls on the threads of the lane
//! A tree is removed: a folder only ever as a folder, anything else by unlink(2), which removes a
//! link and never follows it. What others remove meanwhile is removed.

use super::dir::{look, open_below, open_path, unlink, Below, Entry, Listing};
use super::{Done, Folder, Open, Plan};
use crate::plain::{stat, Result};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicBool;
use std::sync::OnceLock;

pub(crate) struct RemoveTree {
  path: CString,
  root: OnceLock<OwnedFd>,
}

impl RemoveTree {
  /// Without the slashes at its end: through them a link would be followed.
  pub(crate) fn new(path: CString) -> RemoveTree {
    let mut bytes = path.into_bytes();
    while bytes.len() > 1 && bytes.ends_with(b"/") {
      bytes.pop();
    }
    let path = CString::new(bytes).unwrap_or_default();
    RemoveTree { path, root: OnceLock::new() }
  }

  fn root(&self) -> Result<RawFd> {
    self.root.get().map(OwnedFd::as_raw_fd).ok_or(libc::EBADF)
  }
}

impl Plan for RemoveTree {
  fn begin(&self) -> Result<()> {
    // rmdir(2) would refuse these in the end, when all in them is gone.
    let last = self.path.to_bytes().rsplit(|byte| *byte == b'/').next();
    if self.path.to_bytes() == b"/" || matches!(last, Some(b"." | b"..")) {
      return Err(libc::EINVAL);
    }
    let opened = open_path(&self.path)?;
    let _ = self.root.set(opened);
    Ok(())
  }

  fn open(&self, path: &CStr) -> Result<Option<Open>> {
    match open_below(self.root()?, path) {
      Ok(folder) => {
        let (listing, path) = (Listing::new(folder), path.to_owned());
        Ok(Some(Open { listing, to: None, path, late: None }))
      }
      Err(libc::ENOENT) => Ok(None),
      Err(errno) => Err(errno),
    }
  }

  fn entry(&self, open: &Open, entry: &Entry, _stop: &AtomicBool) -> Result<Done> {
    if entry.kind == libc::DT_DIR {
      return Ok(Done::Folder);
    }
    match unlink(open.listing.fd(), &entry.name, 0) {
      Ok(()) | Err(libc::ENOENT) => Ok(Done::Gone),
      Err(libc::EISDIR) => Ok(Done::Folder),
      // What POSIX wants of a folder, and some file systems say, which may not tell the kind.
      Err(libc::EPERM) if entry.kind == libc::DT_UNKNOWN => Ok(Done::Folder),
      Err(errno) => Err(errno),
    }
  }

  fn forgets(&self) -> bool {
    true
  }

  fn leave(&self, parent: &CStr, name: &CStr) -> Result<()> {
    let removed = Below::open(self.root()?, parent)
      .and_then(|parent| unlink(parent.fd(), name, libc::AT_REMOVEDIR));
    match removed {
      Err(libc::ENOENT) => Ok(()),
      other => other,
    }
  }

  fn end(&self, _folders: &[Folder], result: Result<()>, _stop: &AtomicBool) -> Result<()> {
    result?;
    let root = stat(self.root.get().ok_or(libc::EBADF)?)?;
    // Another one of this name is not what was to be removed. Between this look and the call is an
    // instant in which one that is put there, and is empty, goes: no call takes a descriptor.
    let found = look(libc::AT_FDCWD, &self.path);
    if found.is_ok_and(|found| (found.st_dev, found.st_ino) != (root.st_dev, root.st_ino)) {
      return Ok(());
    }
    match unlink(libc::AT_FDCWD, &self.path, libc::AT_REMOVEDIR) {
      Err(libc::ENOENT) => Ok(()),
      other => other,
    }
  }
}
