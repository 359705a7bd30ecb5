//! A small file whose name and bytes are in the kernel's caches, by plain system calls that wait
//! for nothing.
//! Pair: src/fs/cached.ts
//!
//! ```text
//! openat2(RESOLVE_CACHED) ── statx ── preadv2(RWF_NOWAIT) ── close     it is whole
//!      │ not cached    │          └ not cached: closed, the ring does it
//!      └ the ring      ├ larger: it stays open, see larger.rs
//!                      └ a FIFO, a device: it stays open, the ring reads it
//! ```
//! That is what the ring's own open and read do at first, on this thread too. Four system calls are
//! cheaper than four entries, slots and completions, and with the size known no second read has to
//! prove the end.
#![allow(unsafe_code)]

use crate::border::Border;
use crate::cqe::*;
use crate::executor::current;
use crate::fs::larger::read_larger;
use crate::fs::mounts::statx;
use crate::ring::{close_now, Ring};
use crate::sqe::{IORING_OP_CLOSE, IORING_OP_OPENAT, IORING_OP_READ, STATX_BYTES};
use crate::statx::decode;
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a look has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cached {
  /// The whole file: so many bytes.
  Whole(usize),
  /// A regular file of so many bytes, more than there was room for: open, at its start.
  Larger(i32, usize),
  /// It is open, at its start: the rest is the ring's work.
  Open(i32),
  /// There is no such file.
  Absent,
  /// Nothing has happened: the ring's work from the beginning.
  Unknown,
}

/// The arguments of openat2(2).
#[repr(C)]
struct OpenHow {
  flags: u64,
  mode: u64,
  resolve: u64,
}

const RESOLVE_CACHED: u64 = 0x20;

/// More bytes are no result in JavaScript: the ring's way says so.
const LARGEST: usize = i32::MAX as usize;

/// The system calls. A file that fills `into` is not known to be whole.
pub(crate) fn look(path: &CStr, into: &mut [u8]) -> Cached {
  // As io_uring opens at first: what has to be waited for says so, and a FIFO has no writer yet.
  let fd = match open_cached(path, libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) {
    Ok(fd) => fd,
    Err(libc::ENOENT) => return Cached::Absent,
    Err(_) => return Cached::Unknown,
  };
  let size = match known(fd) {
    Some((libc::S_IFREG, size)) => usize::try_from(size).unwrap_or(usize::MAX),
    Some((libc::S_IFDIR, _)) => usize::MAX,
    _ => {
      ours(fd);
      return Cached::Open(fd);
    }
  };
  if (into.len()..=LARGEST).contains(&size) {
    return Cached::Larger(fd, size);
  }
  // It may be opened once more: a slot of the ring's table goes with the ring.
  let whole = size < into.len() && read_now(fd, into) == size as isize;
  close_now(fd);
  if whole {
    Cached::Whole(size)
  } else {
    Cached::Unknown
  }
}

/// What stays open is as everybody opens it: O_NONBLOCK was a wish of the look only.
pub(crate) fn ours(fd: i32) {
  // SAFETY: I3: the look's own descriptor; no memory is named.
  unsafe { libc::fcntl(fd, libc::F_SETFL, 0) };
}

/// Opens what is found without waiting; or an errno, EAGAIN where it is not.
pub(super) fn open_cached(path: &CStr, flags: i32) -> std::result::Result<i32, i32> {
  let how = OpenHow { flags: flags as u64, mode: 0, resolve: RESOLVE_CACHED };
  let (at, size) = (libc::AT_FDCWD, std::mem::size_of::<OpenHow>());
  // SAFETY: I1: path and arguments are read before the call returns.
  let fd = unsafe { libc::syscall(libc::SYS_openat2, at, path.as_ptr(), &how, size) } as i32;
  if fd < 0 {
    return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN));
  }
  Ok(fd)
}

/// The kind (`S_IFMT`) and the size of what is open, as far as this machine knows: no server is
/// asked, as fstat(2) would. statx(2) with AT_STATX_DONT_SYNC.
pub fn known(fd: i32) -> Option<(u32, u64)> {
  let mut found = [0; STATX_BYTES as usize];
  if !statx(fd, libc::STATX_TYPE | libc::STATX_SIZE, &mut found) {
    return None;
  }
  let found = decode(&found);
  Some((u32::from(found.mode) & libc::S_IFMT, found.size))
}

/// preadv2(2) with RWF_NOWAIT: what is in memory already; -1: nothing is, without waiting. `offset`
/// -1 is the cursor.
///
/// # Safety
/// I1: the parts may be written until the call returns.
pub unsafe fn preadv_now(fd: i32, parts: &[libc::iovec], offset: i64) -> isize {
  let (count, high) = (parts.len() as i64, 0i64);
  // SAFETY: I1: as the caller has promised.
  let res = unsafe {
    libc::syscall(libc::SYS_preadv2, fd, parts.as_ptr(), count, offset, high, libc::RWF_NOWAIT)
  };
  res as isize
}

/// Bytes from the file's start, its position left alone; -1: not without waiting.
fn read_now(fd: i32, into: &mut [u8]) -> isize {
  let iovec = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
  // SAFETY: I1: `into` is written before the call returns, and no longer than it is.
  unsafe { preadv_now(fd, &[iovec], 0) }
}

impl Ring {
  /// A look at a file, where this ring may open and read some.
  pub fn look(&mut self, path: &CStr, into: &mut [u8]) -> Cached {
    if !self.may_look(&[IORING_OP_OPENAT, IORING_OP_READ, IORING_OP_CLOSE]) {
      return Cached::Unknown;
    }
    let found = self.driver.look(path, into);
    self.stats.looks = self.stats.looks.wrapping_add((found != Cached::Unknown) as u32);
    found
  }

  /// Whether plain calls may stand for these operations.
  pub(super) fn may_look(&self, opcodes: &[u32]) -> bool {
    let allowed = opcodes.iter().all(|opcode| self.allows(*opcode));
    // With a polling thread this one makes no system calls.
    !self.closed && self.fatal.is_none() && !self.polled && allowed
  }
}

impl Border {
  /// `readCached` of TypeScript: arguments and results are words, the path is among the inputs.
  pub fn look(&mut self) {
    self.close_looked();
    let (from, len) = (self.get(H_CACHED), self.get(H_CACHED_PATH));
    let path = self.input_path(from, len);
    let found = path.map_or(Cached::Unknown, |path| self.look_at(path));
    let (res, fd) = match found {
      Cached::Whole(bytes) => (bytes as i32, -1),
      Cached::Larger(fd, size) => (size as i32, fd),
      Cached::Open(fd) => (-libc::EAGAIN, fd),
      Cached::Absent => (-libc::ENOENT, -1),
      Cached::Unknown => (-libc::EAGAIN, -1),
    };
    self.set(H_CACHED, res as u32);
    self.set(H_CACHED_FD, (fd + 1) as u32);
    self.set(H_LOOKS, self.ring.stats.looks);
    self.tick();
  }

  /// I3: what the last look has opened and nobody took, since JavaScript threw in between.
  fn close_looked(&mut self) {
    let looked = self.get(H_CACHED_FD);
    if looked != 0 {
      self.set(H_CACHED_FD, 0);
      let kept = BORDER_KEPT / 4..BORDER_KEPT / 4 + MAX_KEPT;
      let fd = looked.wrapping_sub(1) as i32;
      if fd != self.protected && !kept.into_iter().any(|index| self.word(index) == looked) {
        close_now(fd);
      }
    }
  }

  fn look_at(&mut self, path: &CStr) -> Cached {
    let into = self.memory().base().wrapping_add(BORDER_CACHED as usize);
    // SAFETY: I6: in the slab; nothing else lies in these bytes of it, and only the JavaScript
    // thread touches them, which is in this call.
    let into = unsafe { std::slice::from_raw_parts_mut(into, CACHED_BYTES as usize) };
    self.ring.look(path, into)
  }

  /// A path among the inputs; None: it has no end there.
  pub(super) fn input_path(&self, from: u32, len: u32) -> Option<&'static CStr> {
    let end = from.checked_add(len).filter(|end| *end <= INPUTS_BYTES)?;
    let path = self.memory().base().wrapping_add((BORDER_INPUTS + from) as usize);
    // SAFETY: I6: in the slab by the check above. It is used in this call only, in which nobody
    // writes there.
    CStr::from_bytes_with_nul(unsafe { std::slice::from_raw_parts(path, (end - from) as usize) })
      .ok()
  }
}

thread_local! {
  /// What a look reads: memory that is warm, and has its bytes copied out once.
  static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What a look has brought to a task.
pub(crate) enum Found {
  /// The whole file.
  Whole(Vec<u8>),
  /// It is open, at its start.
  Open(OwnedFd),
  /// Nothing.
  Nothing,
}

// PAIR: readCached
/// A look at a file for the task that is being polled.
pub(crate) fn read_cached(path: &Path) -> Found {
  let (Ok(executor), Ok(path)) = (current(), CString::new(path.as_os_str().as_bytes())) else {
    return Found::Nothing;
  };
  ROOM.with_borrow_mut(|room| {
    room.resize(CACHED_BYTES as usize, 0);
    let ring = &mut executor.reactor.borrow_mut().ring;
    match ring.look(&path, room) {
      Cached::Whole(bytes) => Found::Whole(room[..bytes].to_vec()),
      Cached::Larger(fd, size) => read_larger(ring, fd, size),
      // SAFETY: I3: the descriptor was made just now, nobody else knows it.
      Cached::Open(fd) => Found::Open(unsafe { OwnedFd::from_raw_fd(fd) }),
      Cached::Absent | Cached::Unknown => Found::Nothing,
    }
  })
}
