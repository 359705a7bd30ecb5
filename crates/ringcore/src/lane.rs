// PAIR: only-rust lane.rs -- a thread that blocks; TypeScript sees operations like any other
//! The lane: at most two threads a process for what io_uring has no operation for.
//!
//! ```text
//! Kernel::push ──> waiting ── submit ──> queue ──> a thread: plain system calls
//!                                                     │ IORING_OP_MSG_RING from its own ring
//! reap <── CQE in the operation's ring <──────────────┘
//! ```
//! An entry whose opcode is `LANE_OP_*` never enters the SQ. All else is as with those that do: it
//! is in flight until its CQE, which a thread of the lane posts into the ring, so that reap, park,
//! wake-up and drain know nothing of it. A thread has no address of the ring's memory (I2): paths
//! are copied into the job, and the ring is named by a descriptor of the job's own.
#![allow(unsafe_code)]

use crate::copy::copy_file;
use crate::cqe::Cqe;
use crate::sqe::{
  Sqe, ERRNO_UNSUPPORTED_OP, IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING, LANE_OP_COPY_FILE,
};
use io_uring::IoUring;
use std::collections::VecDeque;
use std::ffi::{c_char, CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Threads at most, whatever the number of rings.
const THREADS: usize = 2;
/// How long a thread stays without work.
const IDLE: Duration = Duration::from_secs(1);
/// How long exit(3) waits for what was handed over.
const EXIT_BOUND: Duration = Duration::from_secs(10);

/// Whether an opcode is the lane's: the kernel has never heard of it.
pub(crate) const fn serves(opcode: u32) -> bool {
  opcode == LANE_OP_COPY_FILE
}

/// Where a completion goes: a descriptor of its own, so that the number of a ring that was closed
/// is never that of another file while a job has it.
struct Target {
  /// `None`: the ring is closed, nobody reads its completions any more. The kernel keeps a ring as
  /// long as somebody has a descriptor of it. Locked while a message is sent.
  ring: Mutex<Option<OwnedFd>>,
}

impl Target {
  fn ring(&self) -> MutexGuard<'_, Option<OwnedFd>> {
    self.ring.lock().unwrap_or_else(PoisonError::into_inner)
  }
}

/// One operation.
struct Job {
  target: Arc<Target>,
  user_data: u64,
  from: CString,
  to: CString,
  flags: u32,
  /// Looked at between pieces: it ends with ECANCELED.
  stop: AtomicBool,
}

impl Job {
  fn is(&self, target: &Arc<Target>, user_data: u64) -> bool {
    self.user_data == user_data && Arc::ptr_eq(&self.target, target)
  }
}

/// What all rings of the process share.
struct Pool {
  queue: VecDeque<Arc<Job>>,
  running: Vec<Arc<Job>>,
  threads: usize,
  idle: usize,
}

static POOL: Mutex<Pool> =
  Mutex::new(Pool { queue: VecDeque::new(), running: Vec::new(), threads: 0, idle: 0 });
static WORK: Condvar = Condvar::new();
/// Something has ended.
static ENDED: Condvar = Condvar::new();
/// The process whose exit(3) waits; not a child that it forked, which has no thread of the lane.
static EXITS: AtomicI32 = AtomicI32::new(0);

fn pool() -> MutexGuard<'static, Pool> {
  POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One ring's end of the lane.
#[derive(Default)]
pub(crate) struct Lane {
  /// Made with the first operation.
  target: Option<Arc<Target>>,
  /// Pushed, not submitted.
  waiting: Vec<Arc<Job>>,
  /// Ended without a thread: the next reap has them first.
  ended: VecDeque<Cqe>,
}

impl Lane {
  /// Takes an entry that is the lane's: an operation, or the cancel of one. False: the kernel's.
  pub(crate) fn push(&mut self, ring: RawFd, sqe: &Sqe) -> bool {
    match sqe.opcode as u32 {
      LANE_OP_COPY_FILE => self.copy_file(ring, sqe),
      IORING_OP_ASYNC_CANCEL if sqe.op_flags == 0 => return self.cancel(sqe),
      _ => return false,
    }
    true
  }

  fn copy_file(&mut self, ring: RawFd, sqe: &Sqe) {
    // SAFETY: I2: the ring keeps the path until the entry is pushed, which is now.
    let path = |address: u64| unsafe { CStr::from_ptr(address as *const c_char) }.to_owned();
    let (from, to) = (path(sqe.addr), path(sqe.off));
    let (user_data, flags, stop) = (sqe.user_data, sqe.op_flags, AtomicBool::new(false));
    match self.target(ring) {
      Ok(target) => {
        self.waiting.push(Arc::new(Job { target, user_data, from, to, flags, stop }));
      }
      Err(errno) => self.end(user_data, -errno),
    }
  }

  fn target(&mut self, ring: RawFd) -> Result<Arc<Target>, i32> {
    if let Some(target) = &self.target {
      return Ok(target.clone());
    }
    // SAFETY: I3: the descriptor of an open ring, for the length of this call. The copy is
    // close-on-exec as well.
    let copied = unsafe { BorrowedFd::borrow_raw(ring) }.try_clone_to_owned();
    let ring = copied.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))?;
    let target = Arc::new(Target { ring: Mutex::new(Some(ring)) });
    Ok(self.target.insert(target).clone())
  }

  fn end(&mut self, user_data: u64, res: i32) {
    self.ended.push_back(Cqe { user_data, res, flags: 0 });
  }

  /// As the kernel cancels: what waits ends now, what runs at its next piece. False: it is none of
  /// the lane's, the kernel may know it.
  fn cancel(&mut self, sqe: &Sqe) -> bool {
    let Some(target) = self.target.clone() else {
      return false;
    };
    let is = |job: &Arc<Job>| job.is(&target, sqe.addr);
    let mut pool = pool();
    let waits = self.waiting.iter().position(is).map(|place| self.waiting.remove(place));
    let queued = pool.queue.iter().position(is);
    if let Some(job) = waits.or_else(|| pool.queue.remove(queued?)) {
      self.end(job.user_data, -libc::ECANCELED);
      self.end(sqe.user_data, 0);
      return true;
    }
    let Some(job) = pool.running.iter().find(|job| is(job)) else {
      return false;
    };
    job.stop.store(true, Ordering::Relaxed);
    self.end(sqe.user_data, 0);
    true
  }

  /// Hands over what was pushed; how many. Without a thread they end as unsupported here.
  pub(crate) fn submit(&mut self) -> usize {
    let count = self.waiting.len();
    if count == 0 {
      return 0;
    }
    let mut pool = pool();
    pool.queue.extend(self.waiting.drain(..));
    // A new thread takes one before it is ever idle.
    let mut fresh = 0;
    while pool.queue.len() > pool.idle + fresh && pool.threads < THREADS && start(&mut pool) {
      fresh += 1;
    }
    for _ in 0..count.min(pool.idle) {
      WORK.notify_one();
    }
    if pool.threads == 0 {
      // Nothing has happened yet, so that whoever asked can do it by other means.
      let refused: Vec<_> = pool.queue.drain(..).collect();
      refused.iter().for_each(|job| self.end(job.user_data, -(ERRNO_UNSUPPORTED_OP as i32)));
    }
    count
  }

  /// Pushed, not submitted.
  pub(crate) fn waiting(&self) -> usize {
    self.waiting.len()
  }

  /// A completion that needs no kernel, the oldest first.
  pub(crate) fn reap(&mut self) -> Option<Cqe> {
    self.ended.pop_front()
  }

  /// Whether there is such a completion.
  pub(crate) fn pending(&self) -> bool {
    !self.ended.is_empty()
  }

  /// Everything of this ring: what waits ends now, what runs when its piece is done (I7).
  pub(crate) fn cancel_all(&mut self) {
    let Some(target) = self.target.clone() else {
      return;
    };
    let own = |job: &Arc<Job>| Arc::ptr_eq(&job.target, &target);
    let mut pool = pool();
    pool.running.iter().filter(|job| own(job)).for_each(|job| {
      job.stop.store(true, Ordering::Relaxed);
    });
    let (mine, others) = std::mem::take(&mut pool.queue).into_iter().partition(own);
    pool.queue = others;
    drop(pool);
    let mine: VecDeque<Arc<Job>> = mine;
    for job in self.waiting.split_off(0).into_iter().chain(mine) {
      self.end(job.user_data, -libc::ECANCELED);
    }
  }
}

impl Drop for Lane {
  fn drop(&mut self) {
    self.cancel_all();
    if let Some(target) = &self.target {
      target.ring().take();
    }
  }
}

/// exit(3) ends threads wherever they are. Node's own finish what they have; so do these.
extern "C" fn at_exit() {
  // SAFETY: I6: no argument, no failure.
  if unsafe { libc::getpid() } == EXITS.load(Ordering::Relaxed) {
    let busy = |pool: &mut Pool| !pool.queue.is_empty() || !pool.running.is_empty();
    drop(ENDED.wait_timeout_while(pool(), EXIT_BOUND, busy));
  }
}

/// One thread more. False: none can be had, or no ring for it.
fn start(pool: &mut Pool) -> bool {
  // SAFETY: I6: no argument, no failure.
  let process = unsafe { libc::getpid() };
  if EXITS.swap(process, Ordering::Relaxed) != process {
    // SAFETY: I6: the function is there as long as this library is, and is called once.
    unsafe { libc::atexit(at_exit) };
  }
  let Ok(ring) = IoUring::builder().dontfork().build(2) else {
    return false;
  };
  let mut probe = io_uring::Probe::new();
  let known = ring.submitter().register_probe(&mut probe).is_ok();
  if !known || !probe.is_supported(IORING_OP_MSG_RING as u8) {
    return false;
  }
  let builder = std::thread::Builder::new().name("ringcore-lane".into()).stack_size(128 << 10);
  let started = unsignalled(|| builder.spawn(move || work(Poster(ring)))).is_ok();
  pool.threads += started as usize;
  started
}

/// Runs it with all signals blocked, which a thread that is made meanwhile inherits: signals are
/// for the threads that expect them.
fn unsignalled<R>(run: impl FnOnce() -> R) -> R {
  let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
  let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
  // SAFETY: I1: sets of this function's own; the calls cannot fail with these arguments.
  unsafe {
    libc::sigfillset(all.as_mut_ptr());
    libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
  }
  let result = run();
  // SAFETY: I1: as above, `before` was filled by the first call.
  unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
  result
}

/// A thread's life.
fn work(mut poster: Poster) {
  while let Some(job) = next() {
    let res = if job.stop.load(Ordering::Relaxed) {
      -libc::ECANCELED
    } else {
      // A bug of ours fails this copy, and no thread or operation is lost with it.
      let copy = || copy_file(&job.from, &job.to, job.flags, &job.stop);
      catch_unwind(AssertUnwindSafe(copy)).unwrap_or(-libc::EIO)
    };
    // First: a cancel that comes now finds nothing, as with one that the kernel has completed.
    pool().running.retain(|running| !Arc::ptr_eq(running, &job));
    ENDED.notify_all();
    poster.post(&job, res);
  }
}

/// The job that waits longest. `None`: there was none for a while, the thread ends.
fn next() -> Option<Arc<Job>> {
  let mut pool = pool();
  loop {
    if let Some(job) = pool.queue.pop_front() {
      pool.running.push(job.clone());
      return Some(job);
    }
    pool.idle += 1;
    let waited = WORK.wait_timeout(pool, IDLE).unwrap_or_else(PoisonError::into_inner);
    pool = waited.0;
    pool.idle -= 1;
    if waited.1.timed_out() && pool.queue.is_empty() {
      pool.threads -= 1;
      return None;
    }
  }
}

/// What a message may have to be tried again for.
const SHORT: [i32; 3] = [libc::EAGAIN, libc::ENOMEM, libc::EOVERFLOW];

/// A thread's own ring, which only sends.
struct Poster(IoUring);

impl Poster {
  /// Puts the completion into the job's ring.
  fn post(&mut self, job: &Job, res: i32) {
    let (res, off) = (res as u32, job.user_data);
    let message =
      |fd| Sqe { opcode: IORING_OP_MSG_RING as u8, fd, len: res, off, ..Sqe::default() };
    // The lock is not held in the pauses: who closes the ring waits for one message at most.
    let mut send = || job.target.ring().as_ref().map(|ring| self.send(&message(ring.as_raw_fd())));
    // The kernel is short of memory, or the other ring cannot take it right now. All else is done,
    // or EOWNERDEAD: its thread is gone, and with it whoever would wait.
    while send().is_some_and(|sent| SHORT.contains(&-sent)) {
      pause();
    }
  }

  /// One message, and what became of it. Never twice: a CQE too many would be another operation's.
  fn send(&mut self, sqe: &Sqe) -> i32 {
    // SAFETY: I1: it names no memory.
    unsafe { self.0.submission().push(sqe.entry()).expect("the one before was taken") };
    loop {
      // It takes what is in the queue still, and waits for what it has taken.
      let entered = self.0.submit_and_wait(1);
      if let Some(cqe) = self.0.completion().next() {
        return cqe.result();
      }
      if entered.is_err() {
        pause(); // EINTR, EAGAIN, EBUSY.
      }
    }
  }
}

fn pause() {
  std::thread::sleep(Duration::from_millis(1));
}
