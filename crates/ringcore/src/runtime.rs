//! Runtime: a ring of its own and the tasks on it; run, spawn and yield_now.
//! Pair: src/runtime.ts

use crate::error::Result;
use crate::executor::{current, Entered, Executor};
use crate::future::{Context, Future, Poll};
use crate::kernel::Kernel;
use crate::reactor::Reactor;
use crate::ring::{Driver, Ring, Stats};
use crate::setup::{Options, RingFd};
use crate::sqe::IORING_OP_READ;
use crate::task::JoinHandle;
use std::cell::Cell;
use std::pin::{pin, Pin};
use std::rc::Rc;

// PAIR: Runtime
/// A ring of its own and the tasks on it. It belongs to the thread that made it (I6).
pub struct Runtime {
  executor: Rc<Executor>,
  fd: Cell<Option<RingFd>>,
}

impl Runtime {
  /// A runtime on the kernel's ring.
  pub fn new(options: Options) -> Result<Runtime> {
    // The wake-up of a blocking park is a read of the runtime's own.
    let allow = options.allow.map(|allow| allow.with(IORING_OP_READ));
    let kernel = Kernel::open(&Options { allow, ..options })?;
    let fd = kernel.fd();
    let runtime = Runtime::with_driver(Box::new(kernel), options)?;
    runtime.fd.set(Some(fd));
    Ok(runtime)
  }

  /// A runtime on any driver; the tests use the mock.
  pub fn with_driver(driver: Box<dyn Driver>, options: Options) -> Result<Runtime> {
    let mut ring = Ring::new(driver, options.memory_limit)?;
    ring.allow = options.allow;
    Ok(Runtime { executor: Executor::new(Reactor::new(ring))?, fd: Cell::new(None) })
  }

  /// For `Options::attach` of another runtime; `None` once this one is closed.
  pub fn ring_fd(&self) -> Option<RingFd> {
    self.fd.get()
  }

  // PAIR: Runtime.run
  /// Runs turns until the future has ended. Other tasks live on, and go on in the next `run`.
  pub fn run<F: Future + 'static>(&self, future: F) -> F::Output {
    let entered = Entered::new(&self.executor);
    let mut handle = pin!(self.executor.spawn(future));
    loop {
      if let Some(value) = handle.as_mut().get_mut().outcome.borrow_mut().value.take() {
        drop(entered);
        return value.expect("the handle of `run` is not given to anybody who could abort it");
      }
      self.executor.turn(|| handle.finished());
    }
  }

  // PAIR: Runtime.spawn
  /// Queues a task that runs while somebody calls `run`.
  pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
    self.executor.spawn(future)
  }

  // PAIR: Runtime.stats
  /// Counters since the ring was made.
  pub fn stats(&self) -> Stats {
    self.executor.reactor.borrow().ring.stats
  }

  /// Operations between push and last CQE.
  pub fn in_flight(&self) -> usize {
    self.executor.reactor.borrow().ring.in_flight()
  }

  /// Direct descriptors that are not free.
  pub fn directs(&self) -> usize {
    self.executor.reactor.borrow().ring.directs()
  }

  // PAIR: Runtime.close
  /// Aborts all tasks and closes the ring (I7). `Drop` does the same.
  pub fn close(&self) -> bool {
    self.fd.set(None);
    self.executor.close()
  }
}

impl Drop for Runtime {
  fn drop(&mut self) {
    if !self.close() {
      // I7: the kernel may still write the wake-up's 8 bytes; they stay.
      std::mem::forget(self.executor.clone());
    }
  }
}

// PAIR: spawn
/// Queues a task on the runtime that polls the caller.
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
  current().expect("spawn is called inside of a task; outside, use Runtime::spawn").spawn(future)
}

// PAIR: run
/// Runs one future on a runtime of its own with default options.
pub fn run<F: Future + 'static>(future: F) -> Result<F::Output> {
  Ok(Runtime::new(Options::default())?.run(future))
}

// PAIR: yieldNow
/// Lets every other ready task and the ring have a turn.
pub fn yield_now() -> YieldNow {
  YieldNow { yielded: false }
}

/// The future of `yield_now`.
pub struct YieldNow {
  yielded: bool,
}

impl Future for YieldNow {
  type Output = ();

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
    if std::mem::replace(&mut self.yielded, true) {
      return Poll::Ready(());
    }
    cx.waker().wake_by_ref();
    Poll::Pending
  }
}
