//! The driver over the kernel: set-up with step-down, enter, and the park protocol.
//! Pair: src/kernel.ts
#![allow(unsafe_code)]

use crate::cqe::Cqe;
use crate::error::{Error, Result};
use crate::ring::{Driver, Wait};
use crate::sqe::Sqe;
use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{fence, Ordering};
use std::time::Duration;

// PAIR: Options
/// How a ring is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
  /// SQ entries, rounded up to a power of two by the kernel. 1 to 32768.
  pub entries: u32,
  /// CQ entries; 0 is the default of four times the SQ.
  pub cq_entries: u32,
  /// Bytes of regions at most.
  pub memory_limit: usize,
}

impl Default for Options {
  fn default() -> Options {
    Options { entries: 256, cq_entries: 0, memory_limit: usize::MAX }
  }
}

/// The flags that a ring was made with, by the kernel's names without IORING_SETUP_.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetupFlags {
  pub single_issuer: bool,
  pub defer_taskrun: bool,
  pub coop_taskrun: bool,
  pub taskrun_flag: bool,
  pub submit_all: bool,
  pub clamp: bool,
  pub no_sqarray: bool,
}

impl SetupFlags {
  // PAIR: only-rust SetupFlags.steps -- TypeScript asks for a ring and is told its flags
  /// What is tried, best first. Each step leaves out what an older kernel does not know, so that
  /// the EINVAL of any one flag ends at a set that works, at the latest at none.
  pub fn steps() -> [SetupFlags; 6] {
    let none = SetupFlags::default();
    let clamp = SetupFlags { clamp: true, ..none };
    let all = SetupFlags { submit_all: true, ..clamp };
    let coop = SetupFlags { coop_taskrun: true, taskrun_flag: true, ..all };
    let defer = SetupFlags { single_issuer: true, defer_taskrun: true, taskrun_flag: true, ..all };
    [SetupFlags { no_sqarray: true, ..defer }, defer, coop, all, clamp, none]
  }

  /// The names of those set, for probe().
  pub fn names(&self) -> Vec<&'static str> {
    let all = [
      ("SINGLE_ISSUER", self.single_issuer),
      ("DEFER_TASKRUN", self.defer_taskrun),
      ("COOP_TASKRUN", self.coop_taskrun),
      ("TASKRUN_FLAG", self.taskrun_flag),
      ("SUBMIT_ALL", self.submit_all),
      ("CLAMP", self.clamp),
      ("NO_SQARRAY", self.no_sqarray),
    ];
    all.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect()
  }
}

/// One try at io_uring_setup(2).
pub fn setup(entries: u32, cq_entries: u32, flags: SetupFlags) -> io::Result<IoUring> {
  let mut builder = IoUring::builder();
  // A forked child must not find our rings in its address space.
  builder.dontfork();
  if flags.single_issuer {
    builder.setup_single_issuer();
  }
  if flags.defer_taskrun {
    builder.setup_defer_taskrun();
  }
  if flags.coop_taskrun {
    builder.setup_coop_taskrun();
  }
  if flags.taskrun_flag {
    builder.setup_taskrun_flag();
  }
  if flags.submit_all {
    builder.setup_submit_all();
  }
  if flags.clamp {
    builder.setup_clamp();
  }
  if flags.no_sqarray {
    builder.setup_no_sqarray();
  }
  if cq_entries > 0 {
    builder.setup_cqsize(cq_entries);
  }
  builder.build(entries)
}

/// Steps down from the best flags on EINVAL, and to fewer entries on ENOMEM (old kernels count the
/// ring against RLIMIT_MEMLOCK; some answered ENOMEM at random). `setup` is a parameter so that
/// tests can refuse.
pub fn step_down<R>(
  options: &Options,
  mut setup: impl FnMut(u32, u32, SetupFlags) -> io::Result<R>,
) -> io::Result<(R, SetupFlags)> {
  let mut entries = options.entries;
  let mut steps = SetupFlags::steps().into_iter();
  let mut flags = steps.next().expect("there are six");
  loop {
    // Multishot and bursts make more completions than submissions; overflow works, but is slow.
    let cq_entries = if options.cq_entries > 0 { options.cq_entries } else { entries * 4 };
    match setup(entries, cq_entries, flags) {
      Ok(ring) => return Ok((ring, flags)),
      Err(error) => match (error.raw_os_error(), steps.len()) {
        (Some(libc::EINVAL), 1..) => flags = steps.next().expect("there is one more"),
        (Some(libc::ENOMEM), _) if entries > 8 && options.cq_entries == 0 => entries /= 2,
        _ => return Err(error),
      },
    }
  }
}

// PAIR: Kernel
/// The kernel's ring, its eventfd, and what it was made with.
pub struct Kernel {
  ring: IoUring,
  eventfd: OwnedFd,
  flags: SetupFlags,
}

impl Kernel {
  // PAIR: Kernel.open
  /// Makes a ring for this thread, with a registered eventfd whose notifications are off.
  pub fn open(options: &Options) -> Result<Kernel> {
    if options.entries == 0 || options.entries > 32768 {
      let text = format!("entries must be between 1 and 32768, got {}", options.entries);
      return Err(Error::Invalid(text));
    }
    let (ring, flags) = step_down(options, setup).map_err(|error| refusal(&error))?;
    let fd = eventfd()?;
    // SAFETY: I3: `fd` was made just now and belongs to nobody else.
    let eventfd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut kernel = Kernel { ring, eventfd, flags };
    let submitter = kernel.ring.submitter();
    submitter.register_eventfd(fd).map_err(|error| refusal(&error))?;
    // Bounded workers do files, unbounded ones sockets and pipes. Best effort, Linux 5.15.
    let mut workers = [4, 64];
    let _ = submitter.register_iowq_max_workers(&mut workers);
    kernel.unpark();
    Ok(kernel)
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

  /// IORING_REGISTER_PROBE: which opcodes this kernel has.
  pub fn supports(&self, opcodes: &[u8]) -> Vec<bool> {
    let mut probe = io_uring::Probe::new();
    let known = self.ring.submitter().register_probe(&mut probe).is_ok();
    opcodes.iter().map(|opcode| known && probe.is_supported(*opcode)).collect()
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

impl Driver for Kernel {
  // PAIR: Kernel.push
  fn push(&mut self, sqes: &[Sqe]) {
    // The tail moves when `sq` is dropped: a polling kernel thread sees a chain whole.
    let mut sq = self.ring.submission();
    for sqe in sqes {
      // SAFETY: I1, I2: every address in an entry is a region, the arena or a slot's own box, kept
      // by the ring until the last CQE. Room was checked by the caller.
      unsafe { sq.push(sqe.entry()).expect("the ring checks for room") };
    }
  }

  // PAIR: Kernel.submit
  fn submit(&mut self, wait: Wait) -> std::result::Result<usize, i32> {
    let queued = self.queued() as u32;
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
    result.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
  }

  // PAIR: Kernel.reap
  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    let mut count = 0;
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
    if !cfg!(target_arch = "x86_64") || !self.flags.taskrun_flag {
      let _ = self.submit(Wait::No);
    }
    let empty = self.ring.completion().is_empty();
    let parked = empty && !self.sq_flags_pending();
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
    // SAFETY: I6: as in `room`.
    unsafe { self.ring.submission_shared() }.len()
  }

  fn pending(&mut self) -> bool {
    !self.ring.completion().is_empty() || self.sq_flags_pending()
  }

  fn overflowed(&self) -> bool {
    // SAFETY: I6: as in `room`.
    unsafe { self.ring.submission_shared() }.cq_overflow()
  }

  fn cancel_all(&mut self) -> bool {
    // One pass without waiting: what can be cancelled is; what runs in io-wq ends by itself (I7).
    // ENOENT: nothing was left; ETIME: something runs. Both are fine, the CQEs tell.
    let now = Timespec::new();
    let all = CancelBuilder::any().all();
    let result = self.ring.submitter().register_sync_cancel(Some(now), all);
    !matches!(result, Err(error) if error.raw_os_error() == Some(libc::EINVAL))
  }
}

impl Drop for Kernel {
  fn drop(&mut self) {
    let _ = self.ring.submitter().unregister_eventfd();
  }
}

/// An errno of set-up as the error a person can act on.
fn refusal(error: &io::Error) -> Error {
  let errno = error.raw_os_error().unwrap_or(libc::EIO);
  let (reason, advice) = crate::probe::explain(errno, &crate::probe::Surroundings::read());
  Error::Unavailable { reason, advice }
}

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

/// How long an orderly end of a ring waits for the kernel (I7).
pub const DRAIN_BOUND: Duration = Duration::from_millis(500);
