//! Op: one operation on the ring, a lazy future. The opcodes are in ops.rs.
//! Pair: src/op.ts
//!
//! An operation describes; nothing happens until it is polled. Buffers go in and come back. Dropped
//! in flight it is cancelled, its memory stays with the ring until the CQE (I2), and a descriptor
//! that comes all the same is closed (I3).

use crate::error::{Error, Result};
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::input::Input;
pub use crate::ops::*;
use crate::ring::Entry;
use crate::slot::{Held, Key, Owner};
use crate::sqe::Sqe;
use std::any::Any;
use std::pin::Pin;
use std::rc::Rc;

/// A result and the buffer that went in.
pub type BufResult<T, B = Vec<u8>> = (Result<T>, B);

/// What one opcode adds to `Op`: the SQE it writes and how it reads its CQE.
pub trait Operation: Unpin {
  type Output;
  /// The entry, and the bytes that the kernel reads when it takes it. `Err` ends the operation.
  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)>;
  /// The result of the CQE.
  fn finish(self, res: i32) -> Self::Output;
  /// The result without a CQE.
  fn fail(self, error: Error) -> Self::Output;
  /// Takes out the memory that the kernel may write to until the CQE (I2): the future is dropped,
  /// or the ring is beyond use.
  fn hold(&mut self) -> Option<Box<dyn Any>>;
}

enum State<K> {
  Fresh(K),
  Running(K, Rc<Executor>, Key),
  Done,
}

// PAIR: Op
/// One operation on the ring.
pub struct Op<K: Operation> {
  state: State<K>,
}

impl<K: Operation> Op<K> {
  pub(crate) fn new(kind: K) -> Op<K> {
    Op { state: State::Fresh(kind) }
  }

  /// What it is, as long as it has not been started.
  pub(crate) fn fresh(&mut self) -> Option<&mut K> {
    match &mut self.state {
      State::Fresh(kind) => Some(kind),
      _ => None,
    }
  }

  /// The key of an operation in flight, for `cancel`.
  pub fn key(&self) -> Option<Key> {
    match &self.state {
      State::Running(_, _, key) => Some(*key),
      _ => None,
    }
  }
}

/// As a member of a chain.
impl<K: Operation> Op<K> {
  /// Its entry, when it has not been started.
  pub(crate) fn stage(&mut self, flags: u8) -> Result<Entry> {
    let State::Fresh(kind) = &mut self.state else {
      return Err(Error::Invalid("an operation that was started cannot be linked".into()));
    };
    let (mut sqe, input) = kind.prepare()?;
    sqe.flags |= flags;
    Ok(Entry { sqe, input, held: Held::Nothing, owner: Owner::Future })
  }

  /// The chain is on its way.
  pub(crate) fn staged(&mut self, executor: &Rc<Executor>, key: Key) {
    if let State::Fresh(kind) = std::mem::replace(&mut self.state, State::Done) {
      self.state = State::Running(kind, executor.clone(), key);
    }
  }

  /// The chain was not submitted.
  pub(crate) fn refuse(&mut self, error: Error) -> K::Output {
    match std::mem::replace(&mut self.state, State::Done) {
      State::Fresh(kind) => kind.fail(error),
      _ => panic!("only an operation that was not started can be refused"),
    }
  }
}

impl<K: Operation> Future for Op<K> {
  type Output = K::Output;

  // PAIR: Op.poll
  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Output> {
    match std::mem::replace(&mut self.state, State::Done) {
      State::Fresh(mut kind) => {
        let executor = match current() {
          Ok(executor) => executor,
          Err(error) => return Poll::Ready(kind.fail(error)),
        };
        let (sqe, input) = match kind.prepare() {
          Ok(prepared) => prepared,
          Err(error) => return Poll::Ready(kind.fail(error)),
        };
        let mut reactor = executor.reactor.borrow_mut();
        let key = reactor.start(sqe, input);
        let _ = reactor.poll(key, cx); // Leaves the waker; nothing completes before a turn.
        drop(reactor);
        self.state = State::Running(kind, executor, key);
        Poll::Pending
      }
      State::Running(mut kind, executor, key) => {
        let polled = executor.reactor.borrow_mut().poll(key, cx);
        match polled {
          Poll::Ready((res, _)) => {
            if executor.reactor.borrow().ring.fatal().is_some() {
              // No CQE came and none will: the buffer stays the kernel's for good (I2).
              std::mem::forget(kind.hold());
            }
            Poll::Ready(kind.finish(res))
          }
          Poll::Pending => {
            self.state = State::Running(kind, executor, key);
            Poll::Pending
          }
        }
      }
      State::Done => panic!("an operation was polled after its end"),
    }
  }
}

impl<K: Operation> Drop for Op<K> {
  fn drop(&mut self) {
    if let State::Running(mut kind, executor, key) = std::mem::replace(&mut self.state, State::Done)
    {
      let held = kind.hold().map_or(Held::Nothing, Held::Owned);
      executor.reactor.borrow_mut().abandon(key, held);
    }
  }
}
