// PAIR: only-rust eventfd.rs -- JavaScript never waits on one
//! The eventfd that the kernel signals when completions come to a parked ring.
#![allow(unsafe_code)]

use crate::error::Result;
use crate::kernel::refusal;
use std::io;

/// A new eventfd, the caller's to close.
pub fn eventfd() -> Result<i32> {
  // SAFETY: I3: the call makes a new descriptor, owned by the caller; no memory is named.
  match unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) } {
    fd if fd >= 0 => Ok(fd),
    _ => Err(refusal(&io::Error::last_os_error())),
  }
}

/// Blocks on an eventfd until it is signalled. For the reactor thread. False: it cannot be read.
pub fn wait_eventfd(fd: i32) -> bool {
  let mut count = [0u8; 8];
  loop {
    // SAFETY: I1: the buffer is this function's own, alive for the whole call.
    let read = unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
    if read == 8 {
      return true;
    }
    if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
      return false;
    }
  }
}

/// Adds 1 to an eventfd, which wakes its reader.
pub fn signal_eventfd(fd: i32) {
  let one = 1u64.to_ne_bytes();
  // SAFETY: I1: the buffer is this function's own. A failed write (counter at its top) means that
  // the reader is awake or will be.
  unsafe { libc::write(fd, one.as_ptr().cast(), one.len()) };
}
