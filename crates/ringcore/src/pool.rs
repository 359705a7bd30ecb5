// PAIR: only-rust pool.rs -- threads that block; TypeScript sees operations like any other
//! The jobs of the lane, and who does which.

use crate::copy::copy_file;
use crate::lane::start;
use crate::tree::{Around, Step, Tree};
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Threads at most, whatever the number of rings.
pub(crate) const THREADS: usize = 2;
/// How long a thread stays without work.
const IDLE: Duration = Duration::from_secs(1);

/// Files that a thread copies one after the other while a tree waits for it.
const ROW: usize = 16;

/// Where a completion goes: a descriptor of its own, so that the number of a ring that was closed
/// is never that of another file while a job has it.
pub(crate) struct Target {
  /// `None`: the ring is closed, nobody reads its completions any more. The kernel keeps a ring as
  /// long as somebody has a descriptor of it. Locked while a message is sent.
  pub(crate) ring: Mutex<Option<OwnedFd>>,
}

impl Target {
  pub(crate) fn ring(&self) -> MutexGuard<'_, Option<OwnedFd>> {
    self.ring.lock().unwrap_or_else(PoisonError::into_inner)
  }
}

/// One operation.
pub(crate) struct Job {
  pub(crate) target: Arc<Target>,
  pub(crate) user_data: u64,
  pub(crate) work: Work,
  /// Looked at between pieces: it ends with ECANCELED.
  pub(crate) stop: AtomicBool,
}

pub(crate) enum Work {
  File {
    from: CString,
    to: CString,
    flags: u32,
  },
  /// Both threads may be at it: it runs twice then, and is queued while it runs.
  Tree(Tree),
}

impl Job {
  pub(crate) fn run(self: &Arc<Job>) -> Step {
    match &self.work {
      Work::Tree(tree) => tree.work(&self.stop, self),
      Work::File { .. } if self.stop.load(Ordering::Relaxed) => Step::Over(-libc::ECANCELED),
      Work::File { from, to, flags } => {
        // A bug of ours fails this copy, and no thread or operation is lost with it.
        let copy = || copy_file(from, to, *flags, &self.stop);
        Step::Over(catch_unwind(AssertUnwindSafe(copy)).unwrap_or(-libc::EIO))
      }
    }
  }

  pub(crate) fn is_over(&self) -> bool {
    matches!(&self.work, Work::Tree(tree) if tree.is_over())
  }

  pub(crate) fn is(&self, target: &Arc<Target>, user_data: u64) -> bool {
    self.user_data == user_data && Arc::ptr_eq(&self.target, target)
  }
}

impl Around for Arc<Job> {
  fn help(&self) {
    let mut pool = pool();
    // A tree that waits comes before a second thread for this one.
    if !pool.trees.is_empty() {
      return;
    }
    // If all threads are busy now, for the one that is the first to have done.
    pool.trees.push_back(self.clone());
    if pool.idle > 0 {
      WORK.notify_one();
    } else if pool.threads < THREADS {
      start(&mut pool);
    }
  }

  fn is_wanted(&self) -> bool {
    !pool().files.is_empty()
  }
}

pub(crate) fn holds<'a>(jobs: impl IntoIterator<Item = &'a Arc<Job>>, job: &Arc<Job>) -> bool {
  jobs.into_iter().any(|each| Arc::ptr_eq(each, job))
}

/// What all rings of the process share.
pub(crate) struct Pool {
  pub(crate) files: VecDeque<Arc<Job>>,
  /// Those that were begun are in front: no more than threads.
  pub(crate) trees: VecDeque<Arc<Job>>,
  pub(crate) running: Vec<Arc<Job>>,
  pub(crate) threads: usize,
  pub(crate) idle: usize,
}

impl Pool {
  pub(crate) fn queued(&self) -> usize {
    self.files.len() + self.trees.len()
  }

  /// Takes out of the queues what nobody works on; what runs is in no queue any more.
  pub(crate) fn withdraw(&mut self, is: &dyn Fn(&Arc<Job>) -> bool) -> Vec<Arc<Job>> {
    let Pool { files, trees, running, .. } = self;
    let mut withdrawn = Vec::new();
    for queue in [files, trees] {
      queue.retain(|job| {
        let ends = is(job);
        if ends && !holds(running.iter(), job) {
          withdrawn.push(job.clone());
        }
        !ends
      });
    }
    withdrawn
  }
}

pub(crate) static POOL: Mutex<Pool> = Mutex::new(Pool {
  files: VecDeque::new(),
  trees: VecDeque::new(),
  running: Vec::new(),
  threads: 0,
  idle: 0,
});
pub(crate) static WORK: Condvar = Condvar::new();
/// Something has ended.
pub(crate) static ENDED: Condvar = Condvar::new();

pub(crate) fn pool() -> MutexGuard<'static, Pool> {
  POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The job that waits longest, a file before a tree, but not for ever. `None`: there was none for a
/// while, the thread ends.
pub(crate) fn next(row: &mut usize) -> Option<Arc<Job>> {
  let mut pool = pool();
  loop {
    let tree = *row >= ROW && !pool.trees.is_empty();
    let file = if tree { None } else { pool.files.pop_front() };
    *row = if file.is_some() { *row + 1 } else { 0 };
    if let Some(job) = file.or_else(|| pool.trees.pop_front()) {
      pool.running.push(job.clone());
      return Some(job);
    }
    pool.idle += 1;
    let waited = WORK.wait_timeout(pool, IDLE).unwrap_or_else(PoisonError::into_inner);
    pool = waited.0;
    pool.idle -= 1;
    if waited.1.timed_out() && pool.queued() == 0 {
      pool.threads -= 1;
      return None;
    }
  }
}
