//! Chains: operations that the kernel starts one after the other, in one submission.
//! Pair: src/chain.ts
//!
//! ```text
//! link((a, b, c))          a ──LINK──> b ──LINK──> c      a failed or short: b, c are Abort
//! with_timeout(a, time)    a ──LINK──> link timeout
//! ```
//! A chain goes in whole or waits whole (I5). In Rust every member gives its own result; members
//! share bytes when they are given clones of one `Alloc`.

use crate::error::{Error, Result};
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::op::{Op, Operation};
use crate::ops::Timeout;
use crate::ring::Entry;
use crate::slot::Key;
use crate::sqe::{IORING_OP_LINK_TIMEOUT, IOSQE_IO_HARDLINK, IOSQE_IO_LINK};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// What a chain is made of: an operation, or one with its limit.
pub trait Linkable: Unpin {
  type Output;
  /// Adds its entries; `flag` links the last of them to what follows.
  fn stage(&mut self, flag: u8, entries: &mut Vec<Entry>) -> Result<()>;
  /// The chain is on its way: takes its keys.
  fn staged(&mut self, executor: &Rc<Executor>, keys: &mut dyn Iterator<Item = Key>);
  /// The chain was not submitted.
  fn refuse(&mut self, error: Error) -> Self::Output;
  /// Its result, when all of it has ended.
  fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

impl<K: Operation> Linkable for Op<K> {
  type Output = K::Output;

  fn stage(&mut self, flag: u8, entries: &mut Vec<Entry>) -> Result<()> {
    entries.push(Op::stage(self, flag)?);
    Ok(())
  }

  fn staged(&mut self, executor: &Rc<Executor>, keys: &mut dyn Iterator<Item = Key>) {
    Op::staged(self, executor, keys.next().expect("a key for every entry"));
  }

  fn refuse(&mut self, error: Error) -> K::Output {
    Op::refuse(self, error)
  }

  fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<K::Output> {
    Pin::new(self).poll(cx)
  }
}

/// A result that says whether the operation was cancelled, so that a limit can explain it.
pub trait Limit: Sized {
  /// The same with `Error::Timeout` in place of `Error::Abort`.
  fn timed_out(self) -> Self;
}

impl<T> Limit for Result<T> {
  fn timed_out(self) -> Self {
    match self {
      Err(Error::Abort) => Err(Error::Timeout),
      Err(Error::Os { errno: libc::EINTR, .. } | Error::Net { errno: libc::EINTR, .. }) => {
        Err(Error::Timeout)
      }
      other => other,
    }
  }
}

impl<T, B> Limit for (Result<T>, B) {
  fn timed_out(self) -> Self {
    (self.0.timed_out(), self.1)
  }
}

// PAIR: Limited
/// An operation with a time limit that the kernel keeps.
pub struct Limited<K: Operation> {
  op: Op<K>,
  limit: Op<Timeout>,
  output: Option<K::Output>,
  expired: Option<bool>,
  started: bool,
}

impl<K: Operation> Limited<K> {
  pub(crate) fn new(op: Op<K>, limit: Duration) -> Limited<K> {
    let limit = Op::new(Timeout::of(IORING_OP_LINK_TIMEOUT, limit));
    Limited { op, limit, output: None, expired: None, started: false }
  }
}

impl<K: Operation> Linkable for Limited<K>
where
  K::Output: Limit + Unpin,
{
  type Output = K::Output;

  fn stage(&mut self, flag: u8, entries: &mut Vec<Entry>) -> Result<()> {
    self.started = true;
    let first = if flag == 0 { IOSQE_IO_LINK as u8 } else { flag };
    entries.push(self.op.stage(first)?);
    entries.push(self.limit.stage(flag)?);
    Ok(())
  }

  fn staged(&mut self, executor: &Rc<Executor>, keys: &mut dyn Iterator<Item = Key>) {
    self.op.staged(executor, keys.next().expect("a key for every entry"));
    self.limit.staged(executor, keys.next().expect("a key for every entry"));
  }

  fn refuse(&mut self, error: Error) -> K::Output {
    self.op.refuse(error)
  }

  fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<K::Output> {
    if self.output.is_none() {
      if let Poll::Ready(output) = Pin::new(&mut self.op).poll(cx) {
        self.output = Some(output);
      }
    }
    if self.expired.is_none() {
      if let Poll::Ready(ended) = Pin::new(&mut self.limit).poll(cx) {
        self.expired = Some(ended.is_ok());
      }
    }
    match (self.output.take(), self.expired) {
      (Some(output), Some(true)) => Poll::Ready(output.timed_out()),
      (Some(output), Some(false)) => Poll::Ready(output),
      (output, _) => {
        self.output = output;
        Poll::Pending
      }
    }
  }
}

impl<K: Operation> Future for Limited<K>
where
  K::Output: Limit + Unpin,
{
  type Output = K::Output;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<K::Output> {
    if !self.started {
      match submit(|entries| self.stage(0, entries)) {
        Ok((executor, keys)) => self.staged(&executor, &mut keys.into_iter()),
        Err(error) => return Poll::Ready(self.op.refuse(error)),
      }
    }
    self.poll_end(cx)
  }
}

/// Stages the members of a chain and pushes them in one piece.
fn submit(stage: impl FnOnce(&mut Vec<Entry>) -> Result<()>) -> Result<(Rc<Executor>, Vec<Key>)> {
  let executor = current()?;
  let mut entries = Vec::new();
  stage(&mut entries)?;
  let longest = executor.reactor.borrow().ring.longest_chain();
  if entries.len() > longest {
    let text = format!("a chain has at most {longest} entries here, not {}", entries.len());
    return Err(Error::Invalid(text));
  }
  let keys = executor.reactor.borrow_mut().ring.push_chain(entries);
  Ok((executor, keys))
}

/// Several operations as a tuple.
pub trait Members: Unpin {
  type Output;
  #[doc(hidden)]
  type Outputs: Default + Unpin;
  #[doc(hidden)]
  fn stage_all(&mut self, flag: u8, entries: &mut Vec<Entry>) -> Result<()>;
  #[doc(hidden)]
  fn staged_all(&mut self, executor: &Rc<Executor>, keys: &mut dyn Iterator<Item = Key>);
  #[doc(hidden)]
  fn refuse_all(&mut self, error: &Error) -> Self::Output;
  #[doc(hidden)]
  fn poll_all(&mut self, outputs: &mut Self::Outputs, cx: &mut Context<'_>) -> Poll<Self::Output>;
}

macro_rules! members {
  ($last:tt; $($name:ident $index:tt),+) => {
    impl<$($name: Linkable),+> Members for ($($name,)+)
    where
      $($name::Output: Unpin),+
    {
      type Output = ($($name::Output,)+);
      type Outputs = ($(Option<$name::Output>,)+);

      fn stage_all(&mut self, flag: u8, entries: &mut Vec<Entry>) -> Result<()> {
        $(self.$index.stage(if $index == $last { 0 } else { flag }, entries)?;)+
        Ok(())
      }

      fn staged_all(&mut self, executor: &Rc<Executor>, keys: &mut dyn Iterator<Item = Key>) {
        $(self.$index.staged(executor, keys);)+
      }

      fn refuse_all(&mut self, error: &Error) -> Self::Output {
        ($(self.$index.refuse(error.clone()),)+)
      }

      fn poll_all(
        &mut self,
        outputs: &mut Self::Outputs,
        cx: &mut Context<'_>,
      ) -> Poll<Self::Output> {
        $(if outputs.$index.is_none() {
          if let Poll::Ready(output) = self.$index.poll_end(cx) {
            outputs.$index = Some(output);
          }
        })+
        if $(outputs.$index.is_some())&&+ {
          return Poll::Ready(($(outputs.$index.take().expect("looked at above"),)+));
        }
        Poll::Pending
      }
    }
  };
}

members!(1; A 0, B 1);
members!(2; A 0, B 1, C 2);
members!(3; A 0, B 1, C 2, D 3);
members!(4; A 0, B 1, C 2, D 3, E 4);
members!(5; A 0, B 1, C 2, D 3, E 4, F 5);

// PAIR: Chain
/// The operations of `link` and `hardlink`; ends with all their results after the last CQE.
pub struct Chain<M: Members> {
  members: M,
  outputs: M::Outputs,
  flag: u8,
  started: bool,
}

impl<M: Members> Chain<M> {
  pub(crate) fn new(members: M, hard: bool) -> Chain<M> {
    let flag = if hard { IOSQE_IO_HARDLINK } else { IOSQE_IO_LINK } as u8;
    Chain { members, outputs: M::Outputs::default(), flag, started: false }
  }
}

impl<M: Members> Future for Chain<M> {
  type Output = M::Output;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
    let this = &mut *self;
    if !this.started {
      this.started = true;
      match submit(|entries| this.members.stage_all(this.flag, entries)) {
        Ok((executor, keys)) => this.members.staged_all(&executor, &mut keys.into_iter()),
        Err(error) => return Poll::Ready(this.members.refuse_all(&error)),
      }
    }
    this.members.poll_all(&mut this.outputs, cx)
  }
}
