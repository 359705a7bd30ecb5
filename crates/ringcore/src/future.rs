//! Futures, wakers, contexts. "Rust gives it, TypeScript builds it."
//! Pair: src/future.ts

use crate::error::Result;

// PAIR: Poll
pub use std::task::Poll;

// PAIR: Waker
pub use std::task::Waker;

// PAIR: Context
pub use std::task::Context;

// PAIR: Future
pub use std::future::Future;

/// The outcome of a task, shared by the task and its handle.
pub(crate) struct Outcome<T> {
  pub value: Option<Result<T>>,
  pub waker: Option<Waker>,
  pub done: bool,
}

impl<T> Outcome<T> {
  /// Settles once; later calls change nothing.
  pub fn settle(&mut self, value: Result<T>) {
    if !self.done {
      self.done = true;
      self.value = Some(value);
      if let Some(waker) = self.waker.take() {
        waker.wake();
      }
    }
  }
}
