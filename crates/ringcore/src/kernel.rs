//! The driver over the kernel: enter and the park protocol. How it is made: setup.rs.
//! Pair: src/kernel.ts
#![allow(unsafe_code)]

use crate::buffer::Slab;
use crate::cqe::Cqe;
use crate::error::{Error, Result};
pub use crate::eventfd::{eventfd, signal_eventfd, wait_eventfd};
use crate::fs::cached::{self, Cached};
use crate::fs::larger::{self, Filled};
use crate::fs::mounts::StatxBytes;
use crate::fs::stat::{self, Place, Told};
use crate::lane::{self, Lane};
use crate::polling::{FIRST_LOOK, LAST_LOOK};
use crate::register;
use crate::ring::{Driver, Wait};
use crate::setup::{blame, check, errno_of, limit_workers, refusal_of, restrict};
pub use crate::setup::{setup, step_down, Options, RingFd, SetupFlags};
use crate::sqe::{Sqe, IORING_OP_MSG_RING};
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{fence, Ordering};
use std::time::Duration;

// PAIR: Kernel
/// The kernel's ring, its eventfd, and what it was made with.
pub struct Kernel {
  pub(crate) ring: IoUring,
  eventfd: OwnedFd,
  pub(crate) flags: SetupFlags,
  /// Entries since the last submit: what a polling thread has not been told of.
  pub(crate) pushed: usize,
  /// The last submit was a system call.
  pub(crate) entered: bool,
  lane: Lane,
  /// What the lane took since a submit was told how many.
  pub(crate) handed: usize,
}

impl Kernel {
  // PAIR: Kernel.open
  /// Makes a ring for this thread, with a registered eventfd whose notifications are off.
  pub fn open(options: &Options) -> Result<Kernel> {
    check(options)?;
    let (ring, flags) = step_down(options, setup).map_err(|error| refused(options, &error))?;
    let fd = eventfd()?;
    // SAFETY: I3: `fd` was made just now and belongs to nobody else.
    let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
    let (lane, handed) = (Lane::default(), 0);
    let mut kernel = Kernel { ring, eventfd, flags, pushed: 0, entered: false, lane, handed };
    kernel.ring.submitter().register_eventfd(fd).map_err(|error| refusal(&error))?;
    limit_workers(&kernel.ring, options)?;
    if let Some(allow) = options.allow {
      let missing = kernel.missing();
      let opcodes = crate::table::OPS.iter().map(|op| op.opcode);
      let kernels = |opcode: &u32| !lane::serves(*opcode) && !missing.contains(&(*opcode as u8));
      let opcodes = opcodes.filter(kernels);
      restrict(&kernel.ring, allow, &opcodes.collect::<Vec<_>>())?;
    }
    kernel.unpark();
    Ok(kernel)
  }

  /// For `Options::attach` of another ring, as long as this one is open.
  pub fn fd(&self) -> RingFd {
    RingFd(self.ring.as_raw_fd())
  }

  /// The eventfd that the reactor thread reads.
  pub fn eventfd(&self) -> i32 {
    self.eventfd.as_raw_fd()
  }

  /// The flags that the kernel accepted.
  pub fn flags(&self) -> SetupFlags {
    self.flags
  }

  /// SQ and CQ entries.
  pub fn entries(&self) -> (u32, u32) {
    (self.ring.params().sq_entries(), self.ring.params().cq_entries())
  }

  /// IORING_REGISTER_PROBE: which opcodes this kernel has. The lane answers by MSG_RING.
  pub fn supports(&self, opcodes: &[u8]) -> Vec<bool> {
    let mut probe = io_uring::Probe::new();
    let known = self.ring.submitter().register_probe(&mut probe).is_ok();
    let has = |opcode: &u8| match lane::serves(*opcode as u32) {
      true => probe.is_supported(IORING_OP_MSG_RING as u8),
      false => probe.is_supported(*opcode),
    };
    opcodes.iter().map(|opcode| known && has(opcode)).collect()
  }

  /// Opcodes of the table that this kernel lacks; none where it cannot be asked (before 5.6).
  pub fn missing(&self) -> Vec<u8> {
    let opcodes: Vec<u8> = crate::table::OPS.iter().map(|op| op.opcode as u8).collect();
    let supported = self.supports(&opcodes);
    if !supported.contains(&true) {
      return Vec::new();
    }
    opcodes.into_iter().zip(supported).filter(|(_, has)| !has).map(|(opcode, _)| opcode).collect()
  }

  fn sq_flags_pending(&mut self) -> bool {
    let sq = self.ring.submission();
    sq.taskrun() || sq.cq_overflow()
  }
}

/// Enters that find no completion although SQ_TASKRUN is set: work that completes nothing, 20
/// pieces each, or none at all.
const STALE_LOOKS: u32 = 8;

impl Driver for Kernel {
  // PAIR: Kernel.push
  fn push(&mut self, sqes: &[Sqe]) -> usize {
    // The tail moves when `sq` is dropped: a polling kernel thread sees a chain whole.
    let fd = self.ring.as_raw_fd();
    let mut sq = self.ring.submission();
    let mut count = 0;
    for sqe in sqes {
      if self.lane.push(fd, sqe) {
        continue;
      }
      // SAFETY: I1, I2: every address in an entry is a region, the arena or a slot's own box, kept
      // by the ring until the last CQE. Room was checked by the caller.
      unsafe { sq.push(sqe.entry()).expect("the ring checks for room") };
      count += 1;
    }
    self.pushed += count;
    count
  }

  // PAIR: Kernel.submit
  fn submit(&mut self, wait: Wait) -> std::result::Result<usize, i32> {
    self.handed += self.lane.submit();
    // Nobody sleeps on a completion that is here already.
    let wait = if self.lane.pending() { Wait::No } else { wait };
    if self.flags.sqpoll.is_some() {
      return self.submit_polled(wait);
    }
    (self.pushed, self.entered) = (0, true);
    let queued = self.queued() as u32;
    if queued == 0 && self.handed > 0 && wait == Wait::No && !self.sq_flags_pending() {
      self.entered = false; // All of it was the lane's.
      return Ok(std::mem::take(&mut self.handed));
    }
    let submitter = self.ring.submitter();
    let flags = EnterFlags::GETEVENTS;
    // Submitter::submit() would not run deferred task work, so the raw call it is (one enter posts
    // at most 20 CQEs of task work; the caller loops while `pending`).
    let result = match wait {
      // SAFETY: I1: no argument memory is passed; what the SQEs name is kept by the ring.
      Wait::No => unsafe { submitter.enter::<libc::sigset_t>(queued, 0, flags.bits(), None) },
      // SAFETY: I1: as above.
      Wait::Forever => unsafe { submitter.enter::<libc::sigset_t>(queued, 1, flags.bits(), None) },
      Wait::For(limit) => {
        let limit = Timespec::from(limit);
        submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
      }
    };
    let taken = result.map_err(|error| errno_of(&error))?;
    Ok(taken + std::mem::take(&mut self.handed))
  }

  // PAIR: Kernel.reap
  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    let mut count = 0;
    while count < out.len() {
      let Some(cqe) = self.lane.reap() else { break };
      out[count] = cqe;
      count += 1;
    }
    let mut cq = self.ring.completion();
    while count < out.len() {
      let Some(cqe) = cq.next() else { break };
      let (user_data, mut res, flags) = (cqe.user_data(), cqe.result(), cqe.flags());
      // What system calls never show: a cancelled open in io-wq answers ERESTARTSYS itself.
      if (-516..=-512).contains(&res) {
        res = -libc::EINTR;
      }
      out[count] = Cqe { user_data, res, flags };
      count += 1;
    }
    count
  }

  // PAIR: Kernel.park
  /// The order that loses no wake-up (every other one was measured to hang): notifications on by
  /// an atomic read-modify-write, a full fence, then look at CQ, TASKRUN and OVERFLOW.
  ///
  /// ```text
  /// this thread                     kernel
  /// clear CQ_EVENTFD_DISABLED       queue task work, set SQ_TASKRUN
  /// ----- full fence -----          ----- full fence -----
  /// look at SQ_TASKRUN, CQ          look at CQ_EVENTFD_DISABLED, signal
  /// ```
  /// Whoever comes second sees the other's write: we see the work, or the kernel signals.
  fn park(&mut self) -> bool {
    self.ring.completion().enable_eventfd();
    fence(Ordering::SeqCst);
    // On other machines than x86 nothing orders the kernel's set of TASKRUN before its look at the
    // flag; one more enter does. Without TASKRUN_FLAG an enter is the only way to look as well.
    // Without DEFER_TASKRUN (before 6.1) other threads of the kernel post completions, and 5.19 and
    // 6.0 have no fence between that and the look: an enter takes longer than such a store.
    // A polling thread has no task work of ours, and has its fence before it looks for waiters.
    let blind = !cfg!(target_arch = "x86_64") || !self.flags.defer_taskrun;
    if blind && !self.polled() {
      let _ = self.submit(Wait::No);
    }
    // The flag may be stale: the kernel set it after an enter had run the work. What an enter from
    // here on does not find signals the eventfd.
    let mut looks = 0;
    while self.ring.completion().is_empty() && self.sq_flags_pending() && looks < STALE_LOOKS {
      let _ = self.submit(Wait::No);
      looks += 1;
    }
    let empty = self.ring.completion().is_empty() && !self.lane.pending();
    let parked = empty && !self.overflowed();
    if !parked {
      self.unpark();
    }
    parked
  }

  fn unpark(&mut self) {
    self.ring.completion().disable_eventfd();
  }

  fn room(&self) -> usize {
    // SAFETY: I6: the ring is used by this thread only, and no other borrow of its SQ is alive.
    let sq = unsafe { self.ring.submission_shared() };
    sq.capacity() - sq.len()
  }

  fn capacity(&self) -> usize {
    self.entries().0 as usize
  }

  fn queued(&self) -> usize {
    let pushed = if self.polled() { self.pushed } else { self.untaken() };
    pushed + self.lane.waiting()
  }

  fn untaken(&self) -> usize {
    // SAFETY: I6: as in `room`.
    unsafe { self.ring.submission_shared() }.len()
  }

  fn end(&mut self) -> usize {
    self.lane.cancel_all();
    let gone = self.wait_until_taken(LAST_LOOK);
    // A polling thread that is there may take the rest at any moment: a close that is not made is a
    // descriptor lost, one that is made twice hits another's file.
    let never = gone || !self.polled();
    if never {
      self.untaken()
    } else {
      0
    }
  }

  fn collect(&mut self) {
    let flags = EnterFlags::GETEVENTS.bits();
    // SAFETY: I1: no argument memory is passed, no entry is taken.
    let _ = unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, flags, None) };
  }

  fn pending(&mut self) -> bool {
    let ended = !self.ring.completion().is_empty() || self.lane.pending();
    ended || self.sq_flags_pending()
  }

  fn overflowed(&self) -> bool {
    // SAFETY: I6: as in `room`.
    unsafe { self.ring.submission_shared() }.cq_overflow()
  }

  fn polled(&self) -> bool {
    self.flags.sqpoll.is_some()
  }

  fn entered(&self) -> bool {
    self.entered
  }

  fn make_room(&mut self) -> std::result::Result<bool, i32> {
    // Where completions wait they come first: older kernels take nothing while the CQ is full.
    if self.room() > 0 || self.pending() {
      return Ok(false);
    }
    let mut flags = EnterFlags::SQ_WAIT;
    flags.set(EnterFlags::SQ_WAKEUP, self.ring.submission().need_wakeup());
    // SAFETY: I1: no argument memory is passed; what the SQEs name is kept by the ring.
    let waited = unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, flags.bits(), None) };
    waited.map(|_| true).map_err(|error| errno_of(&error))
  }

  // PAIR: Kernel.look
  fn look(&mut self, path: &CStr, into: &mut [u8]) -> Cached {
    cached::look(path, into)
  }

  // PAIR: Kernel.fill
  fn fill(&mut self, fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
    larger::fill(fd, into)
  }

  // PAIR: Kernel.stat
  fn stat(&mut self, place: Place<'_>, into: &mut StatxBytes) -> Told {
    stat::stat(place, into)
  }

  fn cancel_all(&mut self) -> bool {
    self.wait_until_taken(FIRST_LOOK);
    self.lane.cancel_all();
    // One pass without waiting: what can be cancelled is; what runs in io-wq ends by itself (I7).
    // ENOENT: nothing was left; ETIME: something runs. Both are fine, the CQEs tell.
    let now = Timespec::new();
    let all = CancelBuilder::any().all();
    let result = self.ring.submitter().register_sync_cancel(Some(now), all);
    !matches!(result, Err(error) if error.raw_os_error() == Some(libc::EINVAL))
  }

  fn register_group(
    &mut self,
    id: u16,
    address: u64,
    entries: u16,
  ) -> std::result::Result<(), i32> {
    // SAFETY: I1: the ring's own slab, kept until the group is unregistered or the ring is closed;
    // every address in it is of the same slab.
    let made =
      unsafe { self.ring.submitter().register_buf_ring_with_flags(address, entries, id, 0) };
    made.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
  }

  fn unregister_group(&mut self, id: u16) {
    // Its only errors say that there is no such group.
    let _ = self.ring.submitter().unregister_buf_ring(id);
  }

  fn register_buffers(&mut self, count: u32) -> std::result::Result<(), i32> {
    register::buffers(&self.ring, count)
  }

  fn register_files(&mut self, count: u32) -> std::result::Result<(), i32> {
    register::files(&self.ring, count)
  }

  fn set_buffer(&mut self, index: u32, slab: Option<&Slab>) -> std::result::Result<(), i32> {
    register::buffer(&self.ring, index, slab)
  }
}

impl Drop for Kernel {
  fn drop(&mut self) {
    let _ = self.ring.submitter().unregister_eventfd();
  }
}

/// A refusal of set-up: by a flag that the user named, or of every ring.
fn refused(options: &Options, error: &io::Error) -> Error {
  match blame(options, setup) {
    Some(flag) => refusal_of(flag, errno_of(error)),
    None => refusal(error),
  }
}

/// An errno of set-up as the error a person can act on.
pub(crate) fn refusal(error: &io::Error) -> Error {
  let errno = errno_of(error);
  let (reason, advice) = crate::probe::explain(errno, &crate::probe::Surroundings::read());
  Error::Unavailable { reason, advice }
}

/// How long an orderly end of a ring waits for the kernel (I7).
pub const DRAIN_BOUND: Duration = Duration::from_millis(500);
