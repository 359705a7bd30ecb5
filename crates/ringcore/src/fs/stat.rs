//! What is known of a file whose name is in the kernel's caches, by plain system calls that wait
//! for nothing.
//! Pair: src/fs/stat.ts
//!
//! ```text
//! openat2(O_PATH, RESOLVE_CACHED) ── statx ── close     on a file system of this machine
//!      │ not cached                    └ on another one, whose server may know better: the ring
//!      └ the ring
//! ```
//! The ring gives every statx to a kernel thread, which costs thirty times as much as the call.
#![allow(unsafe_code)]

use super::cached::open_cached;
use super::mounts::{all_local, is_local, statx, StatxBytes, STATX_MOUNT};
use crate::border::Border;
use crate::cqe::*;
use crate::error::{errno_error, Result};
use crate::executor::current;
use crate::op;
use crate::ring::{close_now, Ring};
use crate::runtime::yield_now;
use crate::sqe::{IORING_OP_STATX, STATX_BYTES};
use crate::statx::{decode, Statx};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Everything that node:fs tells.
pub(super) const MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// What a look at a file's metadata is about.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
  /// What a path leads to.
  Path(&'a CStr),
  /// The same, but of a symbolic link the link.
  Link(&'a CStr),
  /// Whether a path leads to something, as access(2) with F_OK sees it.
  Name(&'a CStr),
  /// What is open.
  Open(i32),
}

/// What it has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
  /// It is known.
  Known,
  /// There is no such file.
  Absent,
  /// It is the ring's work.
  Unknown,
}

/// The system calls.
pub(crate) fn stat(place: Place<'_>, into: &mut StatxBytes) -> Told {
  let (path, links, mask) = match place {
    Place::Open(fd) if stat_open(fd, MASK, into) => return Told::Known,
    Place::Name(path) if acts_as_itself() => (path, 0, 0),
    Place::Open(_) | Place::Name(_) => return Told::Unknown,
    Place::Path(path) => (path, 0, MASK),
    Place::Link(path) => (path, libc::O_NOFOLLOW, MASK),
  };
  // What stat(2) finds, an automount point is not triggered but EAGAIN.
  let fd = match open_cached(path, libc::O_PATH | libc::O_CLOEXEC | links) {
    Ok(fd) => fd,
    Err(libc::ENOENT) => return Told::Absent,
    Err(_) => return Told::Unknown,
  };
  let known = stat_open(fd, mask, into);
  close_now(fd);
  if known {
    Told::Known
  } else {
    Told::Unknown
  }
}

fn stat_open(fd: i32, mask: u32, into: &mut StatxBytes) -> bool {
  let mut told = |mask| statx(fd, mask | STATX_MOUNT, into) && is_local(fd, into);
  // Some that are not local wait with it for what they have to write (CIFS). Once there are others
  // at all, where it is comes first.
  fd >= 0 && (all_local() || told(0)) && told(mask)
}

/// Whether access(2), which goes by the real ids, finds the way that an open finds: they are the
/// effective ones, and it would neither take nor give capabilities that pass permissions by.
fn acts_as_itself() -> bool {
  const VERSION_3: u32 = 0x2008_0522;
  const DAC_OVERRIDE_AND_READ_SEARCH: u32 = 1 << 1 | 1 << 2;
  // Version and process; effective, permitted and inheritable, twice.
  let (head, mut sets) = ([VERSION_3, 0], [0_u32; 6]);
  // SAFETY: I1: both are read or written before the call returns.
  let told = unsafe { libc::syscall(libc::SYS_capget, head.as_ptr(), sets.as_mut_ptr()) };
  // SAFETY: I1: no memory is named.
  let ids = unsafe { [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()] };
  let permitted = if ids[0] == 0 { sets[1] } else { 0 };
  let passes = (sets[0] ^ permitted) & DAC_OVERRIDE_AND_READ_SEARCH;
  told == 0 && ids[0] == ids[1] && ids[2] == ids[3] && passes == 0
}

/// Whether a descriptor is of a regular file on a file system of this machine.
pub fn is_local_file(fd: i32) -> bool {
  let mut found = [0; STATX_BYTES as usize];
  let mask = libc::STATX_TYPE | STATX_MOUNT;
  fd >= 0
    && statx(fd, mask, &mut found)
    && u32::from(decode(&found).mode) & libc::S_IFMT == libc::S_IFREG
    && is_local(fd, &mut found)
}

impl Ring {
  /// A look at a file's metadata, where this ring may ask for it.
  pub fn stat(&mut self, place: Place<'_>, into: &mut StatxBytes) -> Told {
    if !self.may_look(&[IORING_OP_STATX]) {
      return Told::Unknown;
    }
    let told = self.driver.stat(place, into);
    self.stats.looks = self.stats.looks.wrapping_add((told != Told::Unknown) as u32);
    told
  }
}

impl Border {
  /// `statCached` of TypeScript: arguments and the result are words, a path is among the inputs.
  pub fn stat(&mut self) {
    let (at, len, kind) = (self.get(H_STAT), self.get(H_STAT_PATH), self.get(H_STAT_KIND));
    let place = match (len, kind) {
      (0, _) => Some(Place::Open(at as i32)),
      (_, STAT_LINK) => self.input_path(at, len).map(Place::Link),
      (_, STAT_NAME) => self.input_path(at, len).map(Place::Name),
      _ => self.input_path(at, len).map(Place::Path),
    };
    let memory = self.memory().clone();
    let into = memory.base().wrapping_add(BORDER_CACHED as usize).cast::<StatxBytes>();
    // SAFETY: I6: in the slab, which is larger; nothing else lies in these bytes, and only the
    // JavaScript thread touches them, which is in this call.
    let into = unsafe { &mut *into };
    let told = place.map_or(Told::Unknown, |place| self.ring.stat(place, into));
    let res = match told {
      Told::Known => 0,
      Told::Absent => -libc::ENOENT,
      Told::Unknown => -libc::EAGAIN,
    };
    self.set(H_STAT, res as u32);
    self.set(H_LOOKS, self.ring.stats.looks);
    self.tick();
  }
}

// PAIR: statCached
/// A look at a file's metadata for the task that is being polled; or the errno. None: it is the
/// ring's work.
async fn stat_cached(place: Place<'_>) -> Option<std::result::Result<Statx, i32>> {
  let mut found = [0; STATX_BYTES as usize];
  let told = current().ok()?.reactor.borrow_mut().ring.stat(place, &mut found);
  if told == Told::Unknown {
    return None;
  }
  // The others' turn: nobody else ends a loop of looks that never wait (I8).
  yield_now().await;
  Some(if told == Told::Known { Ok(decode(&found)) } else { Err(libc::ENOENT) })
}

/// What is known of what a path leads to, or of a link itself.
pub(super) async fn of_path(path: &Path, link: bool) -> Result<Statx> {
  let name = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
  let place = if link { Place::Link(&name) } else { Place::Path(&name) };
  let flags = if link { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
  match stat_cached(place).await {
    // A path with a NUL, or none: the operation says what is wrong with it.
    Some(found) if !name.is_empty() => {
      let syscall = if link { "lstat" } else { "stat" };
      found.map_err(|errno| errno_error(errno, syscall).with_path(path))
    }
    _ => op::statx(libc::AT_FDCWD, path, flags, MASK).await,
  }
}

/// What is known of what is open.
pub(super) async fn of_open(fd: i32) -> Option<Statx> {
  stat_cached(Place::Open(fd)).await?.ok()
}
