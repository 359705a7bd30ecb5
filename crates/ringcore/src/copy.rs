// PAIR: only-rust copy.rs -- plain system calls on a thread of the lane
//! A file is copied as Node's copyFile does it, with one difference: what the destination holds is
//! written over, not cut off first, since new blocks cost several times the copy.
#![allow(unsafe_code)]

use crate::plain::{checked, close, file_system, kind, open, seek, stat, Place, Result};
use crate::sqe::{COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE, COPYFILE_OWNER};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// What one system call copies: between two of them the end of the ring is looked for (I7).
const PIECE: u64 = 1 << 20;
/// What is read at once where the kernel does not copy by itself.
const BUFFER: usize = 64 << 10;
/// statfs(2): shares of Windows, whose fchmod may always fail.
const CIFS: u32 = 0xff53_4d42;
/// The same: what is new has few blocks here, and SEEK_DATA has called it a hole (before 2.2.2).
const ZFS: u32 = 0x2fc1_2fc1;
/// Set-user-ID, set-group-ID, sticky.
const SPECIAL: libc::mode_t = 0o7000;

/// 0, or a negative errno. When something fails the destination is removed, as with node, except
/// that a copy which was stopped before it has written leaves what it found.
pub(crate) fn copy_file(from: &CStr, to: &CStr, flags: u32, stop: &AtomicBool) -> i32 {
  let at = |name| Place { folder: libc::AT_FDCWD, name };
  match copy(at(from), at(to), flags, false, stop) {
    Ok(_) => 0,
    Err(errno) => -errno,
  }
}

/// Copies a file of one folder into another one, where it is new: the inode there. What is no file
/// by now, or a link, is an error.
pub(crate) fn copy_entry(
  from: RawFd,
  to: RawFd,
  name: &CStr,
  flags: u32,
  stop: &AtomicBool,
) -> Result<u64> {
  let at = |folder| Place { folder, name };
  copy(at(from), at(to), flags | COPYFILE_EXCL, true, stop)
}

fn copy(from: Place, to: Place, flags: u32, entry: bool, stop: &AtomicBool) -> Result<u64> {
  let known = COPYFILE_EXCL | COPYFILE_FICLONE | COPYFILE_FICLONE_FORCE | COPYFILE_OWNER;
  if flags & !known != 0 {
    return Err(libc::EINVAL);
  }
  let follow = if entry { libc::O_NOFOLLOW } else { 0 };
  let source = open(from, libc::O_RDONLY | follow, 0, stop)?;
  let found = stat(&source)?;
  if entry && kind(&found) != libc::S_IFREG {
    return Err(libc::EOPNOTSUPP);
  }
  let (target, made) = destination(to, flags & COPYFILE_EXCL != 0, found.st_mode, stop)?;
  let there = stat(&target)?;
  if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino) {
    return Ok(there.st_ino);
  }
  if kind(&there) != libc::S_IFREG {
    return Err(libc::EINVAL); // A pipe or a device, which has no length.
  }
  let (touched, way, buffer) = (false, Way::Range, Vec::new());
  let mut copying = Copying { source, target, found, there, made, touched, way, buffer, stop };
  let mut copied = copying.run(flags);
  // Only a write of root leaves these as they are; of a tree they are set again.
  if entry && copied.is_ok() && found.st_mode & SPECIAL != 0 {
    copied = copying.set_mode();
  }
  let kept = copied == Err(libc::ECANCELED) && !copying.touched && !made;
  // Node begins with the cut: by a link, or another name, this is seen when a copy has failed.
  if copied.is_err() && !copying.touched && !kept {
    let _ = copying.cut(0);
  }
  // Some file systems say only now that there was no room.
  copied = copied.and(close(copying.target));
  if copied.is_err() && !kept {
    // SAFETY: I1: a name of the caller's. Its own error would hide the first one.
    unsafe { libc::unlinkat(to.folder, to.name.as_ptr(), 0) };
  }
  copied.map(|()| there.st_ino)
}

/// How bytes are moved, best first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
  /// copy_file_range(2): within a file system, and some share instead of copying.
  Range,
  /// sendfile(2): between file systems.
  Send,
  /// read(2) and write(2).
  Plain,
}

struct Copying<'a> {
  source: OwnedFd,
  target: OwnedFd,
  found: libc::stat,
  there: libc::stat,
  /// The destination is new.
  made: bool,
  /// The destination is no longer what it was.
  touched: bool,
  way: Way,
  buffer: Vec<u8>,
  stop: &'a AtomicBool,
}

impl Copying<'_> {
  fn run(&mut self, flags: u32) -> Result<()> {
    if self.stop.load(Ordering::Relaxed) {
      return Err(libc::ECANCELED);
    }
    // Old bytes are not shown to those whom only the new owner or permissions let in.
    if self.there.st_size > 0 && self.opens_up(flags) {
      self.empty()?;
    }
    self.permit(flags)?;
    if kind(&self.found) == libc::S_IFDIR {
      return Err(libc::EISDIR);
    }
    let size = self.found.st_size as u64;
    let asked = flags & (COPYFILE_FICLONE | COPYFILE_FICLONE_FORCE) != 0;
    // Where a file system can share, copy_file_range shares as well, but piece by piece.
    // Over a longer one only whole blocks can be shared.
    if asked {
      self.empty()?;
    }
    if (asked || size > PIECE) && self.there.st_size == 0 {
      match self.clone_whole() {
        Ok(()) => return Ok(()),
        Err(errno) if flags & COPYFILE_FICLONE_FORCE != 0 => return Err(errno),
        Err(_) => {}
      }
    }
    // Pipes and devices have no length: as with node nothing of them is copied.
    let regular = kind(&self.found) == libc::S_IFREG;
    let sparse = (self.found.st_blocks as u64).saturating_mul(512) < size
      && file_system(&self.source) != Some(ZFS);
    let end = match (regular, sparse) {
      (false, _) => 0,
      (true, true) => self.islands()?,
      // What has no length is read to its end; of what grows as fast as it is read, what there was.
      (true, false) => self.pour(if size == 0 { u64::MAX } else { size })?,
    };
    self.finish(end)
  }

  /// Whether somebody may read the destination who might not before.
  fn opens_up(&self, flags: u32) -> bool {
    let (found, there) = (&self.found, &self.there);
    let owner = (found.st_uid, found.st_gid) != (there.st_uid, there.st_gid);
    found.st_mode & !there.st_mode & 0o777 != 0 || (flags & COPYFILE_OWNER != 0 && owner)
  }

  /// Nothing is left of what the destination held.
  fn empty(&mut self) -> Result<()> {
    if self.there.st_size > 0 {
      self.cut(0)?;
      self.there.st_size = 0;
    }
    Ok(())
  }

  /// The destination gets the source's permissions, which a change of its owner cuts down. A new
  /// one has most often what it needs, and nobody asks whether it may be changed.
  fn permit(&mut self, flags: u32) -> Result<()> {
    let (found, there) = (&self.found, &self.there);
    let owned = (found.st_uid, found.st_gid) == (there.st_uid, there.st_gid);
    let moves = flags & COPYFILE_OWNER != 0 && !(self.made && owned);
    if moves {
      let target = self.target.as_raw_fd();
      // SAFETY: I3: an open descriptor of ours. Who may not do it has a copy all the same.
      unsafe { libc::fchown(target, found.st_uid, found.st_gid) };
    } else if self.made && (found.st_mode ^ there.st_mode) & 0o7777 == 0 {
      return Ok(());
    }
    self.set_mode()
  }

  fn set_mode(&self) -> Result<()> {
    let target = self.target.as_raw_fd();
    // SAFETY: I3: an open descriptor of ours.
    match checked(unsafe { libc::fchmod(target, self.found.st_mode & 0o7777) } as i64) {
      Err(libc::EPERM) => {
        (file_system(&self.target) == Some(CIFS)).then_some(()).ok_or(libc::EPERM)
      }
      result => result.map(drop),
    }
  }

  /// Shares the whole content.
  fn clone_whole(&mut self) -> Result<()> {
    // SAFETY: I3: open descriptors of ours; FICLONE takes a number.
    let cloned =
      unsafe { libc::ioctl(self.target.as_raw_fd(), libc::FICLONE, self.source.as_raw_fd()) };
    checked(cloned as i64)?;
    self.touched = true;
    Ok(())
  }

  /// Cuts off what is left of a longer one. An empty copy is a change of the file as well: its time
  /// is the cut's.
  fn finish(&mut self, end: u64) -> Result<()> {
    if end == 0 || end < self.there.st_size as u64 {
      self.cut(end)?;
    }
    Ok(())
  }

  /// A file with holes: only what lies between them. Where the file ends.
  fn islands(&mut self) -> Result<u64> {
    self.empty()?; // What is not written is a hole then.
    let mut at = 0;
    loop {
      if self.stop.load(Ordering::Relaxed) {
        return Err(libc::ECANCELED);
      }
      // Asked first: what is appended from here on is not taken for a hole.
      let end = seek(&self.source, 0, libc::SEEK_END)?;
      let start = match seek(&self.source, at, libc::SEEK_DATA) {
        Ok(start) => start,
        Err(libc::ENXIO) => {
          if end > at {
            self.cut(end)?;
          }
          return Ok(end.max(at));
        }
        // It cannot tell: all of it.
        Err(_) if at == 0 => return self.pour(u64::MAX),
        Err(errno) => return Err(errno),
      };
      let hole = match seek(&self.source, start, libc::SEEK_HOLE) {
        Ok(hole) if hole > start => hole,
        // It has become shorter meanwhile, or says what cannot be.
        _ => end,
      };
      seek(&self.source, start, libc::SEEK_SET)?;
      seek(&self.target, start, libc::SEEK_SET)?;
      let copied = self.pour(hole.saturating_sub(start))?;
      at = start + copied;
      if copied == 0 || copied < hole - start {
        return Ok(at); // It says that it is longer than it is, or has become shorter.
      }
    }
  }

  /// Copies from one cursor to the other until the end, or `most` bytes; how many.
  fn pour(&mut self, most: u64) -> Result<u64> {
    let mut copied = 0;
    if self.found.st_size == 0 {
      self.way = Way::Plain; // Files of /proc have content all the same, which only a read shows.
      self.leave_time();
    }
    while copied < most {
      if self.stop.load(Ordering::Relaxed) {
        return Err(libc::ECANCELED);
      }
      let piece = PIECE.min(most - copied) as usize;
      match self.move_piece(piece) {
        // Older kernels say so of files that have no length, or a wrong one.
        Ok(0) if copied == 0 && self.way != Way::Plain => self.way = Way::Plain,
        Ok(0) => break,
        Ok(count) => {
          copied += count as u64;
          self.touched = true;
        }
        Err(libc::EINTR) => {} // A change of the process's user reaches every thread.
        Err(errno) => self.way = self.way.instead(errno)?,
      }
    }
    Ok(copied)
  }

  /// Looking for content is no reading of an empty file: its time of access stays, where that may
  /// be asked for (by the owner).
  fn leave_time(&self) {
    let source = self.source.as_raw_fd();
    // SAFETY: I3: an open descriptor of ours; flags only.
    unsafe {
      let flags = libc::fcntl(source, libc::F_GETFL);
      libc::fcntl(source, libc::F_SETFL, flags | libc::O_NOATIME);
    }
  }

  fn move_piece(&mut self, len: usize) -> Result<usize> {
    let (from, to) = (self.source.as_raw_fd(), self.target.as_raw_fd());
    let none = std::ptr::null_mut();
    let moved = match self.way {
      // SAFETY: I1, I3: open descriptors of ours; without offsets no memory is named.
      Way::Range => unsafe { libc::copy_file_range(from, none, to, none, len, 0) },
      // SAFETY: I1, I3: as above.
      Way::Send => unsafe { libc::sendfile(to, from, none, len) },
      Way::Plain => return self.move_plain(len.min(BUFFER)),
    };
    checked(moved as i64).map(|count| count as usize)
  }

  fn move_plain(&mut self, len: usize) -> Result<usize> {
    self.buffer.resize(len, 0);
    let buffer = self.buffer.as_mut_ptr();
    // SAFETY: I1: a buffer of the copy's own, alive for the whole call.
    let read = unsafe { libc::read(self.source.as_raw_fd(), buffer.cast(), len) };
    let count = checked(read as i64)? as usize;
    let mut rest = &self.buffer[..count];
    while !rest.is_empty() {
      // SAFETY: I1: as above.
      let put = unsafe { libc::write(self.target.as_raw_fd(), rest.as_ptr().cast(), rest.len()) };
      match checked(put as i64) {
        Ok(count) => rest = &rest[count as usize..],
        Err(libc::EINTR) => continue,
        Err(errno) => return Err(errno),
      }
      self.touched = true;
    }
    Ok(count)
  }

  fn cut(&mut self, len: u64) -> Result<()> {
    loop {
      // SAFETY: I3: an open descriptor of ours.
      let cut = unsafe { libc::ftruncate(self.target.as_raw_fd(), len as libc::off_t) };
      match checked(cut as i64) {
        Ok(_) => break,
        Err(libc::EINTR) => {}
        Err(errno) => return Err(errno),
      }
    }
    self.touched = true;
    Ok(())
  }
}

impl Way {
  /// What is tried when this way is not open to these files. Another error is the copy's own.
  fn instead(self, errno: i32) -> Result<Way> {
    let closed = matches!(
      errno,
      libc::EXDEV | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL | libc::EPERM | libc::EACCES
    );
    match self {
      Way::Range if closed => Ok(Way::Send),
      Way::Send if closed => Ok(Way::Plain),
      _ => Err(errno),
    }
  }
}

/// The destination, and whether it was made here.
fn destination(
  to: Place,
  exclusive: bool,
  mode: libc::mode_t,
  stop: &AtomicBool,
) -> Result<(OwnedFd, bool)> {
  if !exclusive {
    if let Ok(target) = open(to, libc::O_WRONLY, 0, stop) {
      return Ok((target, false));
    }
  }
  match open(to, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, mode, stop) {
    // It was there, or a link to where nothing is, or is no place for a file: this one call is
    // what node makes, and its error is node's.
    Err(_) if !exclusive => {
      open(to, libc::O_WRONLY | libc::O_CREAT, mode, stop).map(|target| (target, false))
    }
    made => made.map(|target| (target, true)),
  }
}
