//! The executor: 1 poll ready tasks, 2 submit what they queued, 3 reap completions, 4 park.
//! Pair: src/executor.ts

use crate::error::{Error, Result};
use crate::future::{Context, Future, Outcome};
use crate::kernel::DRAIN_BOUND;
use crate::reactor::Reactor;
use crate::ring::Wait;
use crate::sync::Bell;
use crate::task::{Abort, JoinHandle, Task, TaskWaker};
use crate::wake::{Queued, Ready};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

thread_local! {
  static CURRENT: RefCell<Vec<Rc<Executor>>> = const { RefCell::new(Vec::new()) };
}

// PAIR: Executor
/// Tasks, their ready queue, and the reactor below.
pub struct Executor {
  pub(crate) reactor: RefCell<Reactor>,
  tasks: RefCell<Vec<Option<Task>>>,
  free: RefCell<Vec<u32>>,
  serial: Cell<u64>,
  ready: Arc<Ready>,
  /// Where the kernel puts the 8 bytes of the wake-up read; freed after the ring is closed (I2).
  wake_buffer: Box<Cell<[u8; 8]>>,
  wake_armed: Cell<bool>,
  closed: Cell<bool>,
}

impl Executor {
  /// No tasks yet.
  pub(crate) fn new(reactor: Reactor) -> Result<Rc<Executor>> {
    // Not EFD_NONBLOCK: the ring reads it, and the kernel waits for it by polling.
    let eventfd = crate::kernel::eventfd()?;
    Ok(Rc::new(Executor {
      reactor: RefCell::new(reactor),
      tasks: RefCell::default(),
      free: RefCell::default(),
      serial: Cell::new(0),
      ready: Arc::new(Ready::new(Bell(eventfd))),
      wake_buffer: Box::default(),
      wake_armed: Cell::new(false),
      closed: Cell::new(false),
    }))
  }

  // PAIR: Executor.spawn
  /// Queues a task; it is polled in the next turn, not here.
  pub(crate) fn spawn<F: Future + 'static>(self: &Rc<Self>, future: F) -> JoinHandle<F::Output> {
    let outcome = Rc::new(RefCell::new(Outcome { value: None, waker: None, done: false }));
    let settled = outcome.clone();
    let future = Box::pin(async move {
      let value = future.await;
      settled.borrow_mut().settle(Ok(value));
    });
    let serial = self.serial.get() + 1;
    self.serial.set(serial);
    let task = self.free.borrow_mut().pop().unwrap_or_else(|| {
      let mut tasks = self.tasks.borrow_mut();
      tasks.push(None);
      tasks.len() as u32 - 1
    });
    let (queued, ready) = (Queued::new(), self.ready.clone());
    let waker = Arc::new(TaskWaker { task, serial, queued, ready });
    self.tasks.borrow_mut()[task as usize] =
      Some(Task { future: Some(future), waker, aborted: false });
    self.ready.push(task, serial);
    JoinHandle { outcome, task, serial, runtime: self.clone() }
  }

  // PAIR: Executor.turn
  /// One round of the loop. It blocks in step 4 when there is nothing to do and `done` is false:
  /// the caller's own future may have ended in step 1, and nothing would ever end that wait.
  pub(crate) fn turn(self: &Rc<Self>, done: impl Fn() -> bool) {
    // 1 poll: the tasks that are ready now. Those that wake themselves wait for the next round, so
    // that completions come in between (I8).
    for _ in 0..self.ready.len() {
      let Some((task, serial)) = self.ready.pop() else {
        break;
      };
      self.poll_task(task, serial);
    }
    // 2 submit, 3 reap
    let mut reactor = self.reactor.borrow_mut();
    if reactor.ring.ready() {
      reactor.turn(Wait::No);
    }
    // 4 park: Rust may block here. Where JavaScript arms the reactor thread, this thread waits in
    // enter for a CQE; another thread ends the wait through the eventfd's read.
    if self.ready.is_empty() && !reactor.ring.ready() && !done() {
      if !self.wake_armed.replace(true) || reactor.ring.woken() {
        reactor.ring.arm_wake(self.ready.bell().0, self.wake_buffer.as_ptr().cast());
      }
      if self.ready.park() {
        reactor.turn(Wait::Forever);
      }
      if reactor.ring.fatal().is_some() {
        // No enter blocks any more; another thread may still wake a task.
        std::thread::sleep(std::time::Duration::from_millis(1));
      }
      self.ready.unpark();
    }
  }

  // PAIR: Executor.pollTask
  /// Polls one task outside of every borrow, so that it may spawn, abort and start operations.
  fn poll_task(self: &Rc<Self>, task: u32, serial: u64) {
    let (mut future, waker) = {
      let mut tasks = self.tasks.borrow_mut();
      let Some(entry) = tasks[task as usize].as_mut().filter(|t| t.waker.serial == serial) else {
        return; // It has ended; a late wake finds nobody.
      };
      // Before the poll: a wake during the poll queues the task again.
      entry.waker.queued.leave();
      let Some(future) = entry.future.take() else {
        return;
      };
      (future, entry.waker.clone())
    };
    let waker = waker.into();
    let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
    let mut tasks = self.tasks.borrow_mut();
    let entry = tasks[task as usize].as_mut().expect("only its own end removes a task");
    if done || entry.aborted {
      tasks[task as usize] = None;
      self.free.borrow_mut().push(task);
      drop(tasks);
      drop(future); // Outside of the borrow: its destructors may abort other tasks.
    } else {
      entry.future = Some(future);
    }
  }

  // PAIR: Executor.close
  /// Drops every task, then closes the ring (I7). False: something did not end in time.
  pub(crate) fn close(self: &Rc<Self>) -> bool {
    if self.closed.replace(true) {
      return true;
    }
    let _entered = Entered::new(self);
    let mut places = self.tasks.borrow_mut();
    let tasks: Vec<Option<Task>> = places.iter_mut().map(Option::take).collect();
    drop(places);
    drop(tasks); // Their operations are abandoned here.
    self.reactor.borrow_mut().close(DRAIN_BOUND)
  }

  /// It closes or is closed: nothing new is run to its end.
  pub(crate) fn ended(&self) -> bool {
    self.closed.get()
  }
}

impl Abort for Executor {
  fn abort(&self, task: u32, serial: u64) -> bool {
    let mut tasks = self.tasks.borrow_mut();
    let Some(entry) = tasks[task as usize].as_mut().filter(|t| t.waker.serial == serial) else {
      return false;
    };
    let future = entry.future.take();
    if future.is_some() {
      tasks[task as usize] = None;
      self.free.borrow_mut().push(task);
    } else {
      entry.aborted = true; // It aborts itself: dropped when its poll returns.
    }
    drop(tasks);
    drop(future);
    true
  }
}

impl Drop for Executor {
  fn drop(&mut self) {
    crate::ring::close_now(self.ready.bell().0);
  }
}

/// Makes an executor the thread's current one, for as long as it lives.
pub(crate) struct Entered;

impl Entered {
  pub(crate) fn new(executor: &Rc<Executor>) -> Entered {
    CURRENT.with_borrow_mut(|current| current.push(executor.clone()));
    Entered
  }
}

impl Drop for Entered {
  fn drop(&mut self) {
    CURRENT.with_borrow_mut(|current| current.pop());
  }
}

/// The runtime that polls right now. Operations bind to it at their first poll.
pub(crate) fn current() -> Result<Rc<Executor>> {
  CURRENT.with_borrow(|current| current.last().cloned()).ok_or(Error::WrongRuntime)
}
