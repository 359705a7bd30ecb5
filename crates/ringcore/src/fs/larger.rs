//! A cached file that is larger than the window of a look: its bytes go straight to where they
//! stay, by one more call that waits for nothing.
//! Pair: src/fs/larger.ts
//!
//! ```text
//! a look ── memory of that size ── preadv2(RWF_NOWAIT) ── close     it is whole
//!                                     └ not cached, or more than 1 MiB: it stays open, after
//!                                       what has come; the rest is the ring's work
//! ```
#![allow(unsafe_code)]

use super::cached::{ours, preadv_now, Found};
use crate::border::Border;
use crate::cqe::*;
use crate::ring::{close_now, Ring};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

/// Bytes that one call brings at most (I8).
pub const FILL_BYTES: usize = 1 << 20;

/// What one call has brought: so many bytes; and whether the file ends behind them, and is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
  pub count: usize,
  pub ended: bool,
}

impl Filled {
  /// The ring is to be asked.
  pub const NOTHING: Filled = Filled { count: 0, ended: false };
}

/// The system calls. What is read to its end is closed; what is not is at its cursor.
pub(crate) fn fill(fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
  let filled = read_now(fd, into);
  if filled.ended {
    close_now(fd);
  } else {
    ours(fd);
  }
  filled
}

fn read_now(fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
  let most = into.len().min(FILL_BYTES);
  // A file that has grown says so here. It had its size: nothing behind it is its end.
  let mut behind = [0u8; 64];
  let spare = if most == into.len() { behind.len() } else { 0 };
  let mut count = 0;
  loop {
    let rest = &mut into[count..most];
    let parts = [
      libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() },
      libc::iovec { iov_base: behind.as_mut_ptr().cast(), iov_len: spare },
    ];
    // SAFETY: I1: both are written before the call returns, and no longer than they are.
    let res = unsafe { preadv_now(fd, &parts, -1) };
    match usize::try_from(res) {
      Err(_) => return Filled { count, ended: false },
      Ok(0) => return Filled { count, ended: true },
      Ok(more) => count += more,
    }
    if count > most {
      // SAFETY: I1: no memory is named. What is behind will be read again.
      unsafe { libc::lseek(fd, -((count - most) as i64), libc::SEEK_CUR) };
      return Filled { count: most, ended: false };
    }
    if count == most {
      return Filled { count, ended: spare > 0 };
    }
  }
}

impl Ring {
  /// Reads what a look has left open.
  pub fn fill_larger(&mut self, fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
    if self.closed || self.fatal.is_some() {
      return Filled::NOTHING;
    }
    self.driver.fill(fd, into)
  }
}

impl Border {
  /// `readLarger` of TypeScript: reads what the last look has opened. It is still said to be open
  /// (I3), unless it has ended and is closed.
  pub fn fill(&mut self, into: &mut [MaybeUninit<u8>]) {
    let fd = self.get(H_CACHED_FD).wrapping_sub(1) as i32;
    let open = fd >= 0 && fd != self.protected;
    let filled = if open { self.ring.fill_larger(fd, into) } else { Filled::NOTHING };
    if filled.ended {
      self.set(H_CACHED_FD, 0);
    }
    self.set(H_CACHED, filled.count as u32);
    self.tick();
  }
}

// PAIR: readLarger
/// All of it for the task that is being polled, or what is open, at its start.
pub(crate) fn read_larger(ring: &mut Ring, fd: i32, size: usize) -> Found {
  let mut bytes = Vec::new();
  if size <= FILL_BYTES && bytes.try_reserve_exact(size).is_ok() {
    let Filled { count, ended } = ring.fill_larger(fd, &mut bytes.spare_capacity_mut()[..size]);
    if ended {
      // SAFETY: I1: so many were written.
      unsafe { bytes.set_len(count) };
      return Found::Whole(bytes);
    }
    // SAFETY: I1: no memory is named.
    unsafe { libc::lseek(fd, 0, libc::SEEK_SET) };
  }
  ours(fd);
  // SAFETY: I3: the descriptor was made by the look, nobody else knows it.
  Found::Open(unsafe { OwnedFd::from_raw_fd(fd) })
}
