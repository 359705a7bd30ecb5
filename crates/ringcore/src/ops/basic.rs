//! Nothing, time, polls and cancels.
//! Pair: src/ops/basic.ts

use super::fields::{count, nothing, Fd, Fields};
use crate::error::{Error, Result};
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::input::{Input, Patch};
use crate::op::{Op, Operation};
use crate::slot::{Held, Key};
use crate::sqe::*;
use std::any::Any;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

// PAIR: nop
/// Does nothing, through the whole ring.
///
/// Man: io_uring_prep_nop(3). Kernel: 5.1.
pub fn nop() -> Op<Nop> {
  Op::new(Nop { inject: None })
}

// PAIR: only-rust nopWith -- TypeScript passes { result } to op.nop
/// A nop that completes with `result` (at least 0, or a negative errno), for tests.
///
/// Man: io_uring_prep_nop(3). Kernel: 6.11.
pub fn nop_with(result: i32) -> Op<Nop> {
  Op::new(Nop { inject: Some(result) })
}

pub struct Nop {
  inject: Option<i32>,
}

impl Operation for Nop {
  type Output = Result<usize>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let mut sqe = Sqe { opcode: IORING_OP_NOP as u8, fd: -1, ..Sqe::default() };
    if let Some(result) = self.inject {
      (sqe.op_flags, sqe.len) = (IORING_NOP_INJECT_RESULT, result as u32);
    }
    Ok((sqe, None))
  }

  fn finish(self, res: i32) -> Result<usize> {
    count(res, "nop")
  }

  fn fail(self, error: Error) -> Result<usize> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

// PAIR: timeout
/// The kernel's timer: ends after `duration`, never early. Its ETIME is success.
///
/// Man: io_uring_prep_timeout(3). Kernel: 5.4.
pub fn timeout(duration: Duration) -> Op<Timeout> {
  Op::new(Timeout::of(IORING_OP_TIMEOUT, duration))
}

// PAIR: only-rust timeoutAt -- TypeScript passes { absolute: 'realtime' } to op.timeout
/// The same, ending at a moment of the system's clock, whose changes it follows.
///
/// Man: io_uring_prep_timeout(3). Kernel: 5.15.
pub fn timeout_at(moment: SystemTime) -> Op<Timeout> {
  let duration = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
  let flags = IORING_TIMEOUT_ABS | IORING_TIMEOUT_REALTIME;
  Op::new(Timeout { opcode: IORING_OP_TIMEOUT, duration, flags })
}

pub struct Timeout {
  opcode: u32,
  duration: Duration,
  flags: u32,
}

impl Timeout {
  /// A timer of its own, or the limit of the operation before it in a chain.
  pub(crate) fn of(opcode: u32, duration: Duration) -> Timeout {
    Timeout { opcode, duration, flags: 0 }
  }
}

impl Operation for Timeout {
  type Output = Result<()>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let (opcode, op_flags) = (self.opcode as u8, self.flags);
    let sqe = Sqe { opcode, fd: -1, len: 1, op_flags, ..Sqe::default() };
    let time = timespec(self.duration.as_secs(), self.duration.subsec_nanos());
    Ok((sqe, Some(Input::time(time))))
  }

  fn finish(self, res: i32) -> Result<()> {
    match res {
      _ if res == -libc::ETIME => Ok(()),
      _ => count(res, "timeout").map(|_| ()),
    }
  }

  fn fail(self, error: Error) -> Result<()> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

/// A `struct __kernel_timespec`: 64-bit seconds and nanoseconds on every machine.
pub fn timespec(seconds: u64, nanoseconds: u32) -> [u8; 16] {
  let mut bytes = [0; 16];
  bytes[..8].copy_from_slice(&(seconds as i64).to_ne_bytes());
  bytes[8..].copy_from_slice(&(nanoseconds as i64).to_ne_bytes());
  bytes
}

// PAIR: timeoutUpdate
/// Sets the timer in flight with this key anew: it ends `duration` from now. ENOENT: it is not in
/// flight.
///
/// Man: io_uring_prep_timeout_update(3). Kernel: 5.11.
pub fn timeout_update(target: Option<Key>, duration: Duration) -> Op<Fields<()>> {
  let sqe = Sqe { op_flags: IORING_TIMEOUT_UPDATE, ..aimed(IORING_OP_TIMEOUT_REMOVE, target) };
  let time = Input::time(timespec(duration.as_secs(), duration.subsec_nanos()));
  let input = time.with_patches([Patch::Off(0), Patch::Nothing]);
  Fields::with(sqe, Ok(Some(input)), "timeout", (None, None), nothing)
}

/// An entry on an operation in flight; without a key on nobody's (ENOENT).
fn aimed(opcode: u32, target: Option<Key>) -> Sqe {
  let addr = target.map_or(u64::MAX, Key::user_data);
  Sqe { addr, ..Fd::Raw(-1).on(opcode) }
}

// PAIR: pollAdd
/// Waits until one of `events` (POLLIN, POLLOUT ...) is true of `fd`; resolves to those that are.
///
/// Man: io_uring_prep_poll_add(3), poll(2). Kernel: 5.1.
pub fn poll_add(fd: impl Into<Fd>, events: u32) -> Op<Fields<u32>> {
  let sqe = Sqe { op_flags: poll_word(events), ..fd.into().on(IORING_OP_POLL_ADD) };
  Fields::op(sqe, "poll", |events| events as u32)
}

/// The kernel reads poll32_events with its halves swapped on big-endian machines.
pub fn poll_word(events: u32) -> u32 {
  if cfg!(target_endian = "big") {
    events.rotate_left(16)
  } else {
    events
  }
}

// PAIR: pollRemove
/// Ends the poll in flight with this key: it ends with `Error::Abort`, if it had not ended by then.
/// ENOENT: it is not in flight, or was no poll.
///
/// Man: io_uring_prep_poll_remove(3). Kernel: 5.1.
pub fn poll_remove(target: Option<Key>) -> Op<Fields<()>> {
  Fields::op(aimed(IORING_OP_POLL_REMOVE, target), "poll", nothing)
}

// PAIR: cancel
/// Cancels the operation in flight with this key. Ok: it ends with `Error::Abort`, if it had not
/// ended by then. ENOENT: it is not in flight. EALREADY: it runs and cannot be stopped.
///
/// Man: io_uring_prep_cancel(3). Kernel: 5.5.
pub fn cancel(target: Option<Key>) -> Cancel {
  Cancel { target, running: None }
}

/// The future of `cancel`. It goes through the ring's own queue, ahead of everything (I5).
pub struct Cancel {
  target: Option<Key>,
  running: Option<(Rc<Executor>, Key)>,
}

impl Future for Cancel {
  type Output = Result<()>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
    if self.running.is_none() {
      let executor = current()?;
      let mut reactor = executor.reactor.borrow_mut();
      let key = reactor.ring.cancel_op(self.target, crate::slot::Owner::Future);
      drop(reactor);
      self.running = Some((executor, key));
    }
    let (executor, key) = self.running.as_ref().expect("set above");
    let polled = executor.reactor.borrow_mut().poll(*key, cx);
    if polled.is_ready() {
      self.target = None;
      self.running = None;
    }
    polled.map(|(res, _)| count(res, "cancel").map(|_| ()))
  }
}

impl Drop for Cancel {
  fn drop(&mut self) {
    if let Some((executor, key)) = self.running.take() {
      executor.reactor.borrow_mut().abandon(key, Held::Nothing);
    }
  }
}

// PAIR: cancelFd
/// Cancels every operation in flight on `fd`; how many there were. Each of them ends with
/// `Error::Abort`, if it had not ended by then. EBADF: it is not open.
///
/// Man: io_uring_prep_cancel_fd(3). Kernel: 5.19.
pub fn cancel_fd(fd: impl Into<Fd>) -> CancelFd {
  CancelFd { fd: fd.into(), running: None }
}

/// The future of `cancel_fd`. It goes through the ring's own queue, ahead of everything (I5).
pub struct CancelFd {
  fd: Fd,
  running: Option<(Rc<Executor>, Key)>,
}

impl Future for CancelFd {
  type Output = Result<usize>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<usize>> {
    if self.running.is_none() {
      let executor = current()?;
      let sqe = self.fd.cancelled();
      let key = executor.reactor.borrow_mut().ring.cancel_fd(sqe, crate::slot::Owner::Future);
      self.running = Some((executor, key));
    }
    let (executor, key) = self.running.as_ref().expect("set above");
    let polled = executor.reactor.borrow_mut().poll(*key, cx);
    if polled.is_ready() {
      self.running = None;
    }
    polled.map(|(res, _)| count(res, "cancel"))
  }
}

impl Drop for CancelFd {
  fn drop(&mut self) {
    if let Some((executor, key)) = self.running.take() {
      executor.reactor.borrow_mut().abandon(key, Held::Nothing);
    }
  }
}
