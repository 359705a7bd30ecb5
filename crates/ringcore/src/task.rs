//! Tasks: spawned futures, and the handles that wait for them.
//! Pair: src/task.ts

use crate::error::{Error, Result};
use crate::future::{Context, Future, Outcome, Poll};
use crate::wake::{Queued, Ready};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Wake;

/// What a task's waker points to: where its task stands in line. It is shared with other threads,
/// so it names the task by number and never touches it.
pub struct TaskWaker {
  pub(crate) task: u32,
  /// The task's place may serve another one by now; the serial tells.
  pub(crate) serial: u64,
  /// Already in the ready queue: more wakes change nothing.
  pub(crate) queued: Queued,
  pub(crate) ready: Arc<Ready>,
}

impl Wake for TaskWaker {
  fn wake(self: Arc<Self>) {
    self.wake_by_ref();
  }

  /// Consumes nothing: the reference count of the caller stays the caller's.
  fn wake_by_ref(self: &Arc<Self>) {
    if self.queued.enter() {
      self.ready.push(self.task, self.serial);
    }
  }
}

/// What a handle can ask of its task without knowing its type.
pub(crate) trait Abort {
  /// Drops the task's future; false when it has ended.
  fn abort(&self, task: u32, serial: u64) -> bool;
}

// PAIR: Task
/// A spawned future and its waker.
pub struct Task {
  pub(crate) future: Option<Pin<Box<dyn Future<Output = ()>>>>,
  pub(crate) waker: Arc<TaskWaker>,
  /// Aborted while it was being polled: dropped when the poll returns.
  pub(crate) aborted: bool,
}

// PAIR: JoinHandle
/// Waits for a task. Dropping it detaches the task. A result is taken once.
pub struct JoinHandle<T> {
  pub(crate) outcome: Rc<RefCell<Outcome<T>>>,
  pub(crate) task: u32,
  pub(crate) serial: u64,
  pub(crate) runtime: Rc<dyn Abort>,
}

impl<T> JoinHandle<T> {
  // PAIR: JoinHandle.abort
  /// Drops the task's future at once: operations in flight are cancelled, their memory stays until
  /// their CQEs (I2). The handle ends with `Error::Abort`; an ended task keeps its result.
  pub fn abort(&self) {
    if self.runtime.abort(self.task, self.serial) {
      self.outcome.borrow_mut().settle(Err(Error::Abort));
    }
  }

  // PAIR: JoinHandle.finished
  /// Whether the task has ended, in any way.
  pub fn finished(&self) -> bool {
    self.outcome.borrow().done
  }
}

impl<T> Future for JoinHandle<T> {
  type Output = Result<T>;

  // PAIR: JoinHandle.poll
  fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
    let mut outcome = self.outcome.borrow_mut();
    match outcome.value.take() {
      Some(value) => Poll::Ready(value),
      None => {
        outcome.waker = Some(cx.waker().clone());
        Poll::Pending
      }
    }
  }
}
