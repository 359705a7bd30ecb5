// PAIR: only-rust plain.rs -- plain system calls on a thread of the lane
//! System calls that copy and tree have in common.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A value, or an errno.
pub(crate) type Result<T> = std::result::Result<T, i32>;

/// A file by its name in an open folder, or by a path.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
  pub(crate) folder: RawFd,
  pub(crate) name: &'a CStr,
}

/// Opens without waiting for the other end of a pipe. A lease is waited for: it is given back, or
/// taken, within seconds.
pub(crate) fn open(
  place: Place,
  flags: i32,
  mode: libc::mode_t,
  stop: &AtomicBool,
) -> Result<OwnedFd> {
  let flags = flags | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
  loop {
    // SAFETY: I1, I3: a name of the caller's; the descriptor is new and belongs to nobody else.
    let opened = unsafe { libc::openat(place.folder, place.name.as_ptr(), flags, mode & 0o7777) };
    match checked(opened as i64) {
      // SAFETY: I3: as above.
      Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
      Err(libc::EINTR) => {}
      Err(libc::EAGAIN) if !stop.load(Ordering::Relaxed) => {
        std::thread::sleep(Duration::from_millis(10));
      }
      Err(libc::EAGAIN) => return Err(libc::ECANCELED),
      Err(errno) => return Err(errno),
    }
  }
}

pub(crate) fn close(fd: OwnedFd) -> Result<()> {
  // SAFETY: I3: the only owner gives it up here.
  match checked(unsafe { libc::close(fd.into_raw_fd()) } as i64) {
    Err(libc::EINTR) => Ok(()), // It is closed all the same.
    result => result.map(drop),
  }
}

pub(crate) fn stat(fd: &OwnedFd) -> Result<libc::stat> {
  let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
  // SAFETY: I1: the kernel fills a struct of this function's own during the call.
  checked(unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) } as i64)?;
  // SAFETY: I1: filled, or zero, and every bit pattern is a stat.
  Ok(unsafe { stat.assume_init() })
}

/// statfs(2)'s magic number. `None`: it does not tell.
pub(crate) fn file_system(fd: &OwnedFd) -> Option<u32> {
  let mut system = std::mem::MaybeUninit::<libc::statfs>::zeroed();
  // SAFETY: I1: the kernel fills a struct of this function's own during the call.
  let told = unsafe { libc::fstatfs(fd.as_raw_fd(), system.as_mut_ptr()) } == 0;
  // SAFETY: I1: zeroed, and every bit pattern is a statfs.
  told.then(|| unsafe { system.assume_init() }.f_type as u32)
}

pub(crate) fn seek(fd: &OwnedFd, at: u64, whence: i32) -> Result<u64> {
  // SAFETY: I3: an open descriptor of ours.
  let place = unsafe { libc::lseek(fd.as_raw_fd(), at as libc::off_t, whence) };
  checked(place).map(|place| place as u64)
}

pub(crate) fn kind(stat: &libc::stat) -> libc::mode_t {
  stat.st_mode & libc::S_IFMT
}

/// A system call's result, or its errno.
pub(crate) fn checked(result: i64) -> Result<i64> {
  if result >= 0 {
    return Ok(result);
  }
  Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
