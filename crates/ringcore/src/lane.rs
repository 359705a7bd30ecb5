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

use crate::cqe::Cqe;
use crate::pool::{holds, next, pool, Job, Pool, Target, Work, ENDED, THREADS, WORK};
use crate::sqe::{
  Sqe, ERRNO_UNSUPPORTED_OP, IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING, LANE_OP_COPY_FILE,
  LANE_OP_COPY_TREE, LANE_OP_REMOVE_TREE,
};
use crate::tree::{CopyTree, RemoveTree, Step, Tree};
use io_uring::IoUring;
use std::collections::VecDeque;
use std::ffi::{c_char, CStr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How long exit(3) waits for what was handed over.
const EXIT_BOUND: Duration = Duration::from_secs(10);
/// The process whose exit(3) waits; not a child that it forked, which has no thread of the lane.
static EXITS: AtomicI32 = AtomicI32::new(0);
/// exit(3) calls `at_exit`, which a child that was forked inherits.
static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Whether an opcode is the lane's: the kernel has never heard of it.
pub(crate) const fn serves(opcode: u32) -> bool {
  matches!(opcode, LANE_OP_COPY_FILE | LANE_OP_COPY_TREE | LANE_OP_REMOVE_TREE)
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
      opcode if serves(opcode) => self.take(ring, sqe),
      IORING_OP_ASYNC_CANCEL if sqe.op_flags == 0 => return self.cancel(sqe),
      _ => return false,
    }
    true
  }

  fn take(&mut self, ring: RawFd, sqe: &Sqe) {
    // SAFETY: I2: the ring keeps the path until the entry is pushed, which is now.
    let path = |address: u64| unsafe { CStr::from_ptr(address as *const c_char) }.to_owned();
    let (user_data, flags, stop) = (sqe.user_data, sqe.op_flags, AtomicBool::new(false));
    let work = match sqe.opcode as u32 {
      LANE_OP_REMOVE_TREE => Work::Tree(Tree::remove(RemoveTree::new(path(sqe.addr)))),
      LANE_OP_COPY_TREE => {
        Work::Tree(Tree::copy(CopyTree::new(path(sqe.addr), path(sqe.off), flags)))
      }
      _ => Work::File { from: path(sqe.addr), to: path(sqe.off), flags },
    };
    match self.target(ring) {
      Ok(target) => self.waiting.push(Arc::new(Job { target, user_data, work, stop })),
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
    if let Some(job) = waits.or_else(|| pool.withdraw(&is).pop()) {
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
    for job in self.waiting.drain(..) {
      match job.work {
        Work::File { .. } => pool.files.push_back(job),
        Work::Tree(_) => pool.trees.push_back(job),
      }
    }
    // A new thread takes one before it is ever idle.
    let mut fresh = 0;
    while pool.queued() > pool.idle + fresh && pool.threads < THREADS && start(&mut pool) {
      fresh += 1;
    }
    for _ in 0..count.min(pool.idle) {
      WORK.notify_one();
    }
    if pool.threads == 0 {
      // Nothing has happened yet, so that whoever asked can do it by other means.
      let refused = pool.withdraw(&|_| true);
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
    let mine = pool.withdraw(&own);
    drop(pool);
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

extern "C" {
  /// at_quick_exit(3), which the libc crate lacks: Bun ends by quick_exit(3).
  fn at_quick_exit(function: extern "C" fn()) -> i32;
}

/// exit(3) ends threads wherever they are. Node's own finish what they have; so do these.
extern "C" fn at_exit() {
  // SAFETY: I6: no argument, no failure.
  if unsafe { libc::getpid() } == EXITS.load(Ordering::Relaxed) {
    let busy = |pool: &mut Pool| pool.queued() > 0 || !pool.running.is_empty();
    drop(ENDED.wait_timeout_while(pool(), EXIT_BOUND, busy));
  }
}

/// One thread more. False: none can be had, or no ring for it.
pub(crate) fn start(pool: &mut Pool) -> bool {
  // SAFETY: I6: no argument, no failure.
  EXITS.store(unsafe { libc::getpid() }, Ordering::Relaxed);
  if !REGISTERED.swap(true, Ordering::Relaxed) {
    // SAFETY: I6: the function is there as long as this library is; one of both calls it, once.
    unsafe { (libc::atexit(at_exit), at_quick_exit(at_exit)) };
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
pub(crate) fn unsignalled<R>(run: impl FnOnce() -> R) -> R {
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
  let mut row = 0;
  while let Some(job) = next(&mut row) {
    let step = job.run();
    let mut pool = pool();
    let place = pool.running.iter().position(|running| Arc::ptr_eq(running, &job));
    place.map(|place| pool.running.swap_remove(place));
    ENDED.notify_all();
    match step {
      Step::Over(res) => {
        pool.trees.retain(|tree| !Arc::ptr_eq(tree, &job));
        // First: a cancel that comes now finds nothing, as with one that the kernel has completed.
        drop(pool);
        poster.post(&job, res);
      }
      // The other thread may have ended it meanwhile.
      Step::Later if !job.is_over() && !holds(&pool.trees, &job) => pool.trees.push_front(job),
      Step::Later | Step::Leave => {}
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
