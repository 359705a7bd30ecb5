// PAIR: only-rust dir.rs -- plain system calls on the threads of the lane
//! Open folders, and what is in them.

use crate::plain::{checked, Result};
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Bytes that a listing reads at once.
const BUFFER: usize = 16 << 10;
/// struct linux_dirent64: where its length, its type and its name are.
const LENGTH: usize = 16;
const KIND: usize = 18;
const NAME: usize = 19;

const FOLDER: i32 = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;

/// An entry of a folder.
pub(super) struct Entry {
  pub(super) name: CString,
  /// DT_*.
  pub(super) kind: u8,
}

/// A folder's entries, one after the other.
pub(super) struct Listing {
  folder: OwnedFd,
  buffer: Vec<u8>,
  place: usize,
}

impl Listing {
  pub(super) fn new(folder: OwnedFd) -> Listing {
    Listing { folder, buffer: Vec::new(), place: 0 }
  }

  pub(super) fn fd(&self) -> RawFd {
    self.folder.as_raw_fd()
  }

  pub(super) fn next(&mut self) -> Result<Option<Entry>> {
    loop {
      if self.place >= self.buffer.len() && !self.fill()? {
        return Ok(None);
      }
      let record = &self.buffer[self.place..];
      let length = u16::from_ne_bytes([record[LENGTH], record[LENGTH + 1]]) as usize;
      let name = CStr::from_bytes_until_nul(&record[NAME..length]).map_err(|_| libc::EIO)?;
      self.place += length;
      if !matches!(name.to_bytes(), b"." | b"..") {
        return Ok(Some(Entry { name: name.to_owned(), kind: record[KIND] }));
      }
    }
  }

  /// Reads more. False: there is no more.
  fn fill(&mut self) -> Result<bool> {
    self.buffer.resize(BUFFER, 0);
    let (fd, buffer) = (self.folder.as_raw_fd(), self.buffer.as_mut_ptr());
    // SAFETY: I1: a buffer of the listing's own, alive for the whole call.
    let read = unsafe { libc::syscall(libc::SYS_getdents64, fd, buffer, BUFFER) };
    // A folder that somebody else has removed has no more entries; readdir(3) says so, too.
    let count = match checked(read) {
      Err(libc::ENOENT) => 0,
      read => read?,
    };
    self.buffer.truncate(count as usize);
    self.place = 0;
    Ok(count > 0)
  }
}

/// Opens the folder that a path names, which may not be a link.
pub(super) fn open_path(path: &CStr) -> Result<OwnedFd> {
  // SAFETY: I1: a path of the caller's.
  owned(unsafe { libc::open(path.as_ptr(), FOLDER) } as i64)
}

/// Opens a folder below another one, through no link at all.
pub(super) fn open_below(root: RawFd, path: &CStr) -> Result<OwnedFd> {
  // SAFETY: I1: zero is no flag at all; a struct of this function's own.
  let mut how: libc::open_how = unsafe { std::mem::zeroed() };
  how.flags = FOLDER as u64;
  how.resolve = libc::RESOLVE_NO_SYMLINKS;
  let size = std::mem::size_of_val(&how);
  // SAFETY: I1: a path of the caller's, and a struct of this function's own.
  owned(unsafe { libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &how, size) })
}

fn owned(opened: i64) -> Result<OwnedFd> {
  // SAFETY: I3: the descriptor is new and belongs to nobody else.
  checked(opened).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A folder below a tree's own, for as long as an entry of it is named: the tree's own is open.
pub(super) enum Below {
  Root(RawFd),
  Opened(OwnedFd),
}

impl Below {
  pub(super) fn open(root: RawFd, path: &CStr) -> Result<Below> {
    if path.to_bytes() == b"." {
      return Ok(Below::Root(root));
    }
    open_below(root, path).map(Below::Opened)
  }

  pub(super) fn fd(&self) -> RawFd {
    match self {
      Below::Root(fd) => *fd,
      Below::Opened(fd) => fd.as_raw_fd(),
    }
  }
}

/// What a name of an open folder stands for; of a link the link itself.
pub(super) fn look(folder: RawFd, name: &CStr) -> Result<libc::stat> {
  let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
  let flags = libc::AT_SYMLINK_NOFOLLOW;
  // SAFETY: I1: a name of the caller's; the kernel fills a struct of this function's own.
  checked(unsafe { libc::fstatat(folder, name.as_ptr(), stat.as_mut_ptr(), flags) } as i64)?;
  // SAFETY: I1: filled, and every bit pattern is a stat.
  Ok(unsafe { stat.assume_init() })
}

/// Removes a name of an open folder; `flags` is 0 or AT_REMOVEDIR.
pub(super) fn unlink(folder: RawFd, name: &CStr, flags: i32) -> Result<()> {
  // SAFETY: I1, I3: a name of the caller's.
  checked(unsafe { libc::unlinkat(folder, name.as_ptr(), flags) } as i64).map(drop)
}
