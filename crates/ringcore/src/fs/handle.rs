//! The descriptor of an open file: who uses it, in which order, and how it ends.
//! Pair: src/fs/handle.ts
//!
//! ```text
//! enter ──> [ line of those who use the cursor ] ──> one operation after the other ──> leave
//!      └──────────────── with an offset: at once ──> any number ────────────────────> leave
//! close: nobody may enter any more; when the last one has left, the descriptor is closed
//! ```
//! Reads at the file position that run at once would read the same bytes, or skip some: the kernel
//! looks at the position when one starts and moves it when it ends. Hence the line.

use crate::chain::{Chain, Members};
use crate::error::{errno_error, Error, Result};
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll, Waker};
use crate::op::{self, Op, Operation};
use crate::slot::Key;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

// PAIR: Handle
/// A descriptor and those who use it. Forgotten, it is closed through the ring (I3).
pub(crate) struct Handle {
  /// -1: its close is on its way, or it is closed.
  fd: Cell<i32>,
  executor: Rc<Executor>,
  /// Operations between enter and leave.
  users: Cell<usize>,
  closing: Cell<bool>,
  ended: Cell<bool>,
  /// Who waits for its end.
  closers: RefCell<Vec<Waker>>,
  /// Who uses the cursor, and who waits for it.
  line: RefCell<VecDeque<(u64, Option<Waker>)>>,
  tickets: Cell<u64>,
}

impl Handle {
  /// A descriptor that is nobody else's, for the runtime that polls the caller.
  pub fn new(fd: i32) -> Result<Rc<Handle>> {
    let executor = current()?;
    let (users, tickets) = (Cell::new(0), Cell::new(0));
    let (closing, ended, line) = (Cell::new(false), Cell::new(false), RefCell::default());
    let (fd, closers) = (Cell::new(fd), RefCell::default());
    Ok(Rc::new(Handle { fd, executor, users, closing, ended, closers, line, tickets }))
  }

  /// The descriptor, as long as it is open.
  pub fn fd(&self) -> Option<i32> {
    Some(self.fd.get()).filter(|fd| *fd >= 0)
  }

  fn check(&self, syscall: &'static str) -> Result<()> {
    if !Rc::ptr_eq(&self.executor, &current()?) {
      return Err(Error::WrongRuntime);
    }
    if self.closing.get() {
      return Err(errno_error(libc::EBADF, syscall));
    }
    Ok(())
  }

  // PAIR: Handle.enter
  /// Begins an operation; one on the cursor when all before it have ended. The order is that of the
  /// first polls. (In TypeScript that of the calls: there a method starts when it is called.)
  pub async fn enter(self: Rc<Self>, cursor: bool, syscall: &'static str) -> Result<Rc<Lease>> {
    self.check(syscall)?;
    let ticket = self.tickets.get();
    self.tickets.set(ticket + 1);
    self.users.set(self.users.get() + 1);
    let lease = Lease { handle: self, ticket };
    if cursor {
      lease.handle.line.borrow_mut().push_back((ticket, None));
      poll_fn(|cx| lease.handle.poll_turn(ticket, cx)).await;
    }
    Ok(Rc::new(lease))
  }

  fn poll_turn(&self, ticket: u64, cx: &mut Context<'_>) -> Poll<()> {
    let mut line = self.line.borrow_mut();
    let place = line.iter().position(|(other, _)| *other == ticket).expect("it stands in line");
    if place == 0 {
      return Poll::Ready(());
    }
    line[place].1 = Some(cx.waker().clone());
    Poll::Pending
  }

  // PAIR: Handle.leave
  /// An operation has ended: the next one in line begins, or the close.
  fn leave(&self, ticket: u64) {
    let mut line = self.line.borrow_mut();
    line.retain(|(other, _)| *other != ticket);
    let next = line.front_mut().and_then(|(_, waker)| waker.take());
    drop(line);
    next.into_iter().for_each(Waker::wake);
    self.users.set(self.users.get() - 1);
    if self.users.get() == 0 {
      self.wake_closers();
    }
  }

  fn wake_closers(&self) {
    let closers = std::mem::take(&mut *self.closers.borrow_mut());
    closers.into_iter().for_each(Waker::wake);
  }

  // PAIR: Handle.close
  /// Lets nobody enter any more, waits until all have left, closes. Later calls wait for the same
  /// end. Dropped, it goes on to be closed when the last user is gone.
  pub async fn close(self: Rc<Self>) -> Result<()> {
    if !Rc::ptr_eq(&self.executor, &current()?) {
      return Err(Error::WrongRuntime);
    }
    self.closing.set(true);
    self.clone().when(|handle| handle.users.get() == 0).await;
    let fd = self.fd.replace(-1);
    if fd < 0 {
      self.clone().when(|handle| handle.ended.get()).await;
      return Ok(());
    }
    // The ring never cancels a close, also when nobody waits for it any more.
    let _ending = Ending(self.clone());
    op::close(fd).await
  }

  async fn when(self: Rc<Self>, true_of: fn(&Handle) -> bool) {
    let wait = |cx: &mut Context<'_>| {
      if true_of(&self) {
        return Poll::Ready(());
      }
      self.closers.borrow_mut().push(cx.waker().clone());
      Poll::Pending
    };
    poll_fn(wait).await;
  }
}

// PAIR: only-rust Handle.drop -- in TypeScript a FinalizationRegistry does this, and warns
impl Drop for Handle {
  fn drop(&mut self) {
    if let Some(fd) = self.fd() {
      self.executor.reactor.borrow_mut().ring.close_fd(fd);
    }
  }
}

/// The close is done, however it ended.
struct Ending(Rc<Handle>);

impl Drop for Ending {
  fn drop(&mut self) {
    self.0.ended.set(true);
    self.0.wake_closers();
  }
}

/// The right to use the descriptor, and the cursor when it was asked for. It ends with the last
/// clone: that of the operation in flight, when its caller is gone.
pub(crate) struct Lease {
  handle: Rc<Handle>,
  ticket: u64,
}

impl Lease {
  /// The descriptor: nobody closes it before the lease ends.
  pub fn fd(&self) -> i32 {
    self.handle.fd.get()
  }

  /// One operation under this lease.
  pub fn step<F: Flight>(self: &Rc<Self>, op: F) -> Step<F> {
    Step { op: Some(op), lease: self.clone(), started: false }
  }
}

impl Drop for Lease {
  fn drop(&mut self) {
    self.handle.leave(self.ticket);
  }
}

/// What can be in flight.
pub(crate) trait Flight: Future + Unpin + 'static {
  /// For its cancel; `None`: it is carried out to its end.
  fn key(&self) -> Option<Key>;
}

impl<K: Operation + 'static> Flight for Op<K> {
  fn key(&self) -> Option<Key> {
    Op::key(self)
  }
}

impl<M: Members + 'static> Flight for Chain<M> {
  fn key(&self) -> Option<Key> {
    None
  }
}

// PAIR: only-rust Step -- in TypeScript the runtime holds what is in flight
/// An operation of a lease. Dropped in flight it is cancelled, and the lease ends with its CQE:
/// what still reads at the cursor, or still writes, is over before the next one begins.
pub(crate) struct Step<F: Flight> {
  op: Option<F>,
  lease: Rc<Lease>,
  started: bool,
}

impl<F: Flight> Future for Step<F> {
  type Output = F::Output;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
    self.started = true;
    let op = self.op.as_mut().expect("a step is not polled after its end");
    let polled = Pin::new(op).poll(cx);
    if polled.is_ready() {
      self.op = None;
    }
    polled
  }
}

impl<F: Flight> Drop for Step<F> {
  fn drop(&mut self) {
    let executor = self.lease.handle.executor.clone();
    // A runtime that closes waits for every CQE itself (I7).
    let Some(op) = self.op.take().filter(|_| self.started && !executor.ended()) else {
      return;
    };
    if let Some(key) = op.key() {
      executor.reactor.borrow_mut().cancel(key);
    }
    let lease = self.lease.clone();
    drop(executor.spawn(async move {
      op.await;
      drop(lease);
    }));
  }
}
