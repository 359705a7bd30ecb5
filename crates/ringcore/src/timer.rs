//! Time: sleep, and a limit on any future.
//! Pair: src/timer.ts

use crate::error::{Error, Result};
use crate::future::{Context, Future, Poll};
use crate::op::{self, Op};
use std::pin::Pin;
use std::time::Duration;

// PAIR: Timer
/// The future of `sleep`: one kernel timeout. Dropped, the timer is cancelled.
pub struct Timer {
  op: Op<op::Timeout>,
}

impl Future for Timer {
  type Output = ();

  // PAIR: Timer.poll
  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
    // A runtime that closes cancels the timer; there is nobody left then who could be early.
    Pin::new(&mut self.op).poll(cx).map(|_| ())
  }
}

// PAIR: sleep
/// Ends after `duration`, never early. Lazy, as every Rust future: the clock starts at the first
/// poll. (The TypeScript twin starts at the call.)
pub fn sleep(duration: Duration) -> Timer {
  Timer { op: op::timeout(duration) }
}

// PAIR: timeout
/// The value of `future`, or `Error::Timeout` when `duration` passes first. A late future is
/// dropped, which cancels what it waits for.
pub fn timeout<F: Future>(future: F, duration: Duration) -> Timeout<F> {
  Timeout { future: Box::pin(future), timer: sleep(duration) }
}

/// The future of `timeout`.
pub struct Timeout<F> {
  future: Pin<Box<F>>,
  timer: Timer,
}

impl<F: Future> Future for Timeout<F> {
  type Output = Result<F::Output>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<F::Output>> {
    // The future first: a value that is there at the same instant wins over the clock.
    if let Poll::Ready(value) = self.future.as_mut().poll(cx) {
      return Poll::Ready(Ok(value));
    }
    Pin::new(&mut self.timer).poll(cx).map(|()| Err(Error::Timeout))
  }
}
