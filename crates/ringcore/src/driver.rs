//! The seam: what stands below the ring, the kernel or the seeded mock of the tests.
//! Pair: src/driver.ts

use crate::buffer::Slab;
use crate::cqe::Cqe;
use crate::fs::cached::Cached;
use crate::fs::larger::Filled;
use crate::fs::mounts::StatxBytes;
use crate::fs::stat::{Place, Told};
use crate::sqe::Sqe;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::time::Duration;

/// How long an enter may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
  /// Not at all: task work is run, CQEs are posted.
  No,
  /// Until at least one CQE.
  Forever,
  /// The same with a limit.
  For(Duration),
}

// PAIR: Driver
/// What stands below the ring: the kernel, or the seeded mock of the tests.
pub trait Driver {
  // PAIR: Driver.push
  /// Puts entries into the SQ in one piece, a chain whole. The caller has seen that there is room.
  /// How many went there: what the kernel has no operation for goes elsewhere.
  fn push(&mut self, sqes: &[Sqe]) -> usize;
  // PAIR: Driver.submit
  /// One io_uring_enter(2) with GETEVENTS. `Err` is the errno.
  fn submit(&mut self, wait: Wait) -> std::result::Result<usize, i32>;
  // PAIR: Driver.reap
  /// Copies CQEs out, oldest first; how many.
  fn reap(&mut self, out: &mut [Cqe]) -> usize;
  // PAIR: Driver.park
  /// Asks for a wake-up, then looks once more. False: something is there, do not sleep.
  fn park(&mut self) -> bool;
  // PAIR: only-rust Driver.unpark -- TypeScript's turn function does it before its first enter
  /// Wake-ups are not wanted any more.
  fn unpark(&mut self);
  // PAIR: only-rust Driver.room -- TypeScript sees a list of descriptors instead of the SQ
  /// Free SQ entries.
  fn room(&self) -> usize;
  /// SQ entries in all.
  fn capacity(&self) -> usize;
  /// Entries that wait for a submit.
  fn queued(&self) -> usize;
  /// SQ entries that the kernel has not taken yet.
  fn untaken(&self) -> usize {
    self.queued()
  }
  /// The ring has ended, and nothing is submitted any more: what does not need it is stopped. How
  /// many SQ entries the kernel has not taken and never will.
  fn end(&mut self) -> usize {
    self.untaken()
  }
  /// The same: completions that wait for an enter come to the CQ, and nothing is submitted.
  fn collect(&mut self) {}
  /// A thread of the kernel takes entries whenever it likes (SQPOLL). `queued` then counts what it
  /// has not been told of.
  fn polled(&self) -> bool {
    false
  }
  /// The last submit was a system call.
  fn entered(&self) -> bool {
    true
  }
  /// Where `polled` and the SQ is full: waits until an entry was taken, unless completions wait for
  /// a reap. Whether that was a system call; `Err` is the errno.
  fn make_room(&mut self) -> std::result::Result<bool, i32> {
    Ok(false)
  }
  /// CQEs, task work or overflow wait for an enter or a reap.
  fn pending(&mut self) -> bool;
  /// The CQ has overflowed; entries come with the next enters.
  fn overflowed(&self) -> bool;
  // PAIR: only-rust Driver.registerGroup -- TypeScript gets a group with its memory, see provide
  /// IORING_REGISTER_PBUF_RING (kernel 5.19): the kernel takes buffers of `entries` entries at
  /// `address`, whose memory stays until the group is unregistered or the ring is gone (I1).
  fn register_group(
    &mut self,
    _id: u16,
    _address: u64,
    _entries: u16,
  ) -> std::result::Result<(), i32> {
    Err(libc::EOPNOTSUPP)
  }
  /// IORING_UNREGISTER_PBUF_RING.
  fn unregister_group(&mut self, _id: u16) {}
  // PAIR: Driver.look
  /// A look at a small file, by system calls that wait for nothing.
  fn look(&mut self, _path: &CStr, _into: &mut [u8]) -> Cached {
    Cached::Unknown
  }
  // PAIR: Driver.fill
  /// Reads what a look has found larger: see fs/larger.rs.
  fn fill(&mut self, _fd: i32, _into: &mut [MaybeUninit<u8>]) -> Filled {
    Filled::NOTHING
  }
  // PAIR: Driver.stat
  /// A look at a file's metadata, by system calls that wait for nothing.
  fn stat(&mut self, _place: Place<'_>, _into: &mut StatxBytes) -> Told {
    Told::Unknown
  }
  /// IORING_REGISTER_SYNC_CANCEL of everything. Its return is no barrier (I7). False: this kernel
  /// has no such call (it came with 6.0).
  fn cancel_all(&mut self) -> bool;
  /// Makes the table of registered buffers, empty. `Err` is the errno, here and below; EINVAL is
  /// that of a kernel without (before 5.19), and of the mock.
  fn register_buffers(&mut self, _count: u32) -> std::result::Result<(), i32> {
    Err(libc::EINVAL)
  }
  /// Makes the table of direct descriptors, empty.
  fn register_files(&mut self, _count: u32) -> std::result::Result<(), i32> {
    Err(libc::EINVAL)
  }
  /// Puts a slab into the table, or empties the place.
  fn set_buffer(&mut self, _index: u32, _slab: Option<&Slab>) -> std::result::Result<(), i32> {
    Err(libc::EINVAL)
  }
}

/// The driver of a closed ring: nothing goes in, nothing comes out.
pub(crate) struct Closed;

impl Driver for Closed {
  fn push(&mut self, _sqes: &[Sqe]) -> usize {
    0
  }

  fn submit(&mut self, _wait: Wait) -> std::result::Result<usize, i32> {
    Ok(0)
  }

  fn reap(&mut self, _out: &mut [Cqe]) -> usize {
    0
  }

  fn park(&mut self) -> bool {
    true
  }

  fn unpark(&mut self) {}

  fn room(&self) -> usize {
    0
  }

  fn capacity(&self) -> usize {
    0
  }

  fn queued(&self) -> usize {
    0
  }

  fn pending(&mut self) -> bool {
    false
  }

  fn overflowed(&self) -> bool {
    false
  }

  fn cancel_all(&mut self) -> bool {
    true
  }
}
