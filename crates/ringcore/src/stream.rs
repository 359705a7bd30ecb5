//! Stream: a multishot operation, one submission with many results.
//! Pair: src/stream.ts
//!
//! ```text
//!           arm                 results wait in its slot
//! next() ────────> kernel ─────────────────────────────> next() takes the oldest
//!    ^               │ the shot ended (CQ overflow, no buffer left, too many wait)
//!    └── arm again ──┘ when somebody takes, and for buffers when one came back
//! ```
//! Dropped, it is cancelled: descriptors that nobody took are closed (I3), buffers are returned.

use crate::cqe::{IORING_CQE_F_BUFFER, IORING_CQE_F_MORE};
use crate::error::Result;
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::group::{BufferGroup, Lent};
use crate::input::Input;
use crate::ops::fields::count;
use crate::slot::{Held, Key};
use crate::sqe::Sqe;
use std::pin::Pin;
use std::rc::Rc;

// PAIR: BACKLOG
/// So many results wait at most; then the operation is ended, and armed again when they are taken.
/// What comes meanwhile waits in the kernel, as connections do in the listen queue.
pub const BACKLOG: usize = 1024;

/// What a result means.
pub enum Step<T> {
  Item(T),
  /// The stream's natural end.
  End,
  /// The same with a last item.
  Last(T),
}

/// What one opcode adds to `Stream`.
pub trait Shot: Unpin {
  type Item;
  /// The entry of the next shot, and its input.
  fn arm(&mut self) -> (Sqe, Option<Input>);
  /// What a result of 0 or more means, or one that `succeeds`.
  fn step(&mut self, res: i32, lent: Option<Lent>) -> Step<Self::Item>;
  /// Results below 0 that are a success (a timer's ETIME).
  fn succeeds(&self, res: i32) -> bool {
    res >= 0
  }
  fn syscall(&self) -> &'static str;
  /// The group that its bytes come from.
  fn group(&self) -> Option<&BufferGroup> {
    None
  }
}

enum State {
  /// Not armed: never yet, or its last shot ended.
  Idle,
  Armed(Key),
  Ended,
}

// PAIR: Stream
/// The results of a multishot operation, in order.
pub struct Stream<S: Shot> {
  shot: S,
  executor: Option<Rc<Executor>>,
  state: State,
}

impl<S: Shot> Stream<S> {
  pub(crate) fn new(shot: S) -> Stream<S> {
    Stream { shot, executor: None, state: State::Idle }
  }

  // PAIR: Stream.next
  /// The next result; `None` when the stream has ended. An error ends it.
  #[allow(clippy::should_implement_trait)] // An iterator's would block.
  pub fn next(&mut self) -> Next<'_, S> {
    Next { stream: self }
  }

  /// The key of its shot in flight, for `cancel`.
  pub fn key(&self) -> Option<Key> {
    match self.state {
      State::Armed(key) => Some(key),
      _ => None,
    }
  }

  /// The same as `next` for hand-written futures.
  pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<S::Item>>> {
    loop {
      match self.state {
        State::Ended => return Poll::Ready(None),
        State::Idle => {
          if let Err(error) = self.arm() {
            self.state = State::Ended;
            return Poll::Ready(Some(Err(error)));
          }
        }
        State::Armed(key) => {
          let executor = self.executor.as_ref().expect("it was armed on one").clone();
          let polled = executor.reactor.borrow_mut().poll_shot(key, cx);
          let Poll::Ready(result) = polled else {
            return Poll::Pending;
          };
          let Some((res, flags, paused)) = result else {
            self.state = State::Ended;
            continue;
          };
          if flags & IORING_CQE_F_MORE == 0 {
            self.state = State::Idle;
          }
          if let Some(outcome) = self.complete(res, flags, paused, cx) {
            return outcome;
          }
        }
      }
    }
  }

  // PAIR: Stream.arm
  /// One more shot.
  fn arm(&mut self) -> Result<()> {
    let executor = match &self.executor {
      Some(executor) => executor.clone(),
      None => current()?,
    };
    if let Some(group) = self.shot.group() {
      group.check(&executor)?;
    }
    let (sqe, input) = self.shot.arm();
    let key = executor.reactor.borrow_mut().start_shot(sqe, input);
    self.state = State::Armed(key);
    self.executor = Some(executor);
    Ok(())
  }

  // PAIR: Stream.complete
  /// One completion. `None`: it is nobody's, look again.
  fn complete(
    &mut self,
    res: i32,
    flags: u32,
    paused: bool,
    cx: &mut Context<'_>,
  ) -> Option<Poll<Option<Result<S::Item>>>> {
    if self.shot.succeeds(res) {
      let group = self.shot.group().filter(|_| flags & IORING_CQE_F_BUFFER != 0);
      let lent = group.map(|group| group.lent((flags >> 16) as u16, res as usize));
      return match self.shot.step(res, lent) {
        Step::Item(item) => Some(Poll::Ready(Some(Ok(item)))),
        Step::Last(item) => {
          self.end();
          Some(Poll::Ready(Some(Ok(item))))
        }
        Step::End => {
          self.end();
          None
        }
      };
    }
    // Before 6.5 a cancelled shot may end with these two instead.
    if paused && matches!(-res, libc::ECANCELED | libc::ENOENT | libc::ENOBUFS) {
      return None;
    }
    if let (Some(group), libc::ENOBUFS) = (self.shot.group(), -res) {
      if group.available() > 0 {
        return None;
      }
      // Armed again before one is back, it would spin.
      let executor = self.executor.as_ref().expect("it was armed on one");
      executor.reactor.borrow_mut().ring.groups.starve(group.id(), cx.waker());
      return Some(Poll::Pending);
    }
    self.end();
    count(res, self.shot.syscall()).err().map(|error| Poll::Ready(Some(Err(error))))
  }

  // PAIR: Stream.end
  /// No more results. A shot in flight is cancelled, and what it brings all the same is dropped.
  fn end(&mut self) {
    if let (State::Armed(key), Some(executor)) = (&self.state, &self.executor) {
      executor.reactor.borrow_mut().abandon(*key, Held::Nothing);
    }
    self.state = State::Ended;
  }
}

// PAIR: only-rust Stream.drop -- JavaScript has no destructor, see Stream.close
impl<S: Shot> Drop for Stream<S> {
  fn drop(&mut self) {
    self.end();
  }
}

// PAIR: only-rust Next -- in TypeScript it has a file of its own, next.ts
/// The future of `Stream::next`. Dropped, nothing is lost.
pub struct Next<'a, S: Shot> {
  stream: &'a mut Stream<S>,
}

impl<S: Shot> Future for Next<'_, S> {
  type Output = Option<Result<S::Item>>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
    self.stream.poll_next(cx)
  }
}
