//! Multishot operations, and receives into provided buffers.
//! Pair: src/ops/streams.ts

use super::basic::{poll_word, timespec};
use super::fields::{count, Fd};
use crate::cqe::IORING_CQE_F_BUFFER;
use crate::error::Result;
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::group::{BufferGroup, Lent};
use crate::input::Input;
use crate::slot::{Held, Key};
use crate::sqe::*;
use crate::stream::{Shot, Step, Stream};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// A shot whose results are numbers.
pub struct Numbers<T> {
  sqe: Sqe,
  syscall: &'static str,
  read: fn(i32) -> T,
}

impl<T> Shot for Numbers<T> {
  type Item = T;

  fn arm(&mut self) -> (Sqe, Option<Input>) {
    (self.sqe, None)
  }

  fn step(&mut self, res: i32, _lent: Option<Lent>) -> Step<T> {
    Step::Item((self.read)(res))
  }

  fn syscall(&self) -> &'static str {
    self.syscall
  }
}

// PAIR: acceptMultishot
/// Every connection that comes to a listening socket, as a descriptor, the caller's to close (I3).
/// Always SOCK_CLOEXEC.
///
/// Man: io_uring_prep_multishot_accept(3), accept4(2). Kernel: 5.19.
pub fn accept_multishot(fd: impl Into<Fd>) -> Stream<Numbers<i32>> {
  let (ioprio, op_flags) = (IORING_ACCEPT_MULTISHOT as u16, libc::SOCK_CLOEXEC as u32);
  let sqe = Sqe { ioprio, op_flags, ..fd.into().on(IORING_OP_ACCEPT) };
  Stream::new(Numbers { sqe, syscall: "accept", read: |fd| fd })
}

// PAIR: pollMultishot
/// Each time that one of `events` (POLLIN, POLLOUT ...) becomes true of `fd`: those that are.
///
/// Man: io_uring_prep_poll_multishot(3), poll(2). Kernel: 5.13.
pub fn poll_multishot(fd: impl Into<Fd>, events: u32) -> Stream<Numbers<u32>> {
  let op_flags = poll_word(events);
  let sqe = Sqe { op_flags, len: IORING_POLL_ADD_MULTI, ..fd.into().on(IORING_OP_POLL_ADD) };
  Stream::new(Numbers { sqe, syscall: "poll", read: |events| events as u32 })
}

/// The shot of `timeout_multishot`.
pub struct Ticks {
  period: Duration,
  /// 0: endless.
  count: u32,
  ticks: u32,
}

impl Shot for Ticks {
  type Item = u32;

  fn arm(&mut self) -> (Sqe, Option<Input>) {
    // A shot that ended early goes on with the ticks that are left.
    let off = if self.count == 0 { 0 } else { (self.count - self.ticks) as u64 };
    let (opcode, op_flags) = (IORING_OP_TIMEOUT as u8, IORING_TIMEOUT_MULTISHOT);
    let sqe = Sqe { opcode, fd: -1, off, len: 1, op_flags, ..Sqe::default() };
    (sqe, Some(Input::time(timespec(self.period.as_secs(), self.period.subsec_nanos()))))
  }

  fn step(&mut self, _res: i32, _lent: Option<Lent>) -> Step<u32> {
    self.ticks = self.ticks.wrapping_add(1);
    let last = self.count != 0 && self.ticks >= self.count;
    if last {
      Step::Last(self.ticks)
    } else {
      Step::Item(self.ticks)
    }
  }

  fn succeeds(&self, res: i32) -> bool {
    res == -libc::ETIME
  }

  fn syscall(&self) -> &'static str {
    "timeout"
  }
}

// PAIR: timeoutMultishot
/// The kernel's timer, again and again: 1 after `period`, 2 after twice of it ..., `count` times
/// (0: for ever), never early.
///
/// Man: io_uring_prep_timeout(3). Kernel: 6.4.
pub fn timeout_multishot(period: Duration, count: u32) -> Stream<Ticks> {
  Stream::new(Ticks { period, count, ticks: 0 })
}

/// The shot of `recv_multishot`.
pub struct Chunks {
  sqe: Sqe,
  group: BufferGroup,
}

impl Shot for Chunks {
  type Item = Lent;

  fn arm(&mut self) -> (Sqe, Option<Input>) {
    (self.sqe, None)
  }

  fn step(&mut self, _res: i32, lent: Option<Lent>) -> Step<Lent> {
    lent.map_or(Step::End, Step::Item)
  }

  fn syscall(&self) -> &'static str {
    "recv"
  }

  fn group(&self) -> Option<&BufferGroup> {
    Some(&self.group)
  }
}

/// A receive into whichever buffer of the group is free.
fn select(fd: Fd, group: &BufferGroup, ioprio: u32) -> Sqe {
  let sqe = fd.on(IORING_OP_RECV);
  let flags = sqe.flags | IOSQE_BUFFER_SELECT as u8;
  Sqe { flags, ioprio: ioprio as u16, buf_index: group.id(), ..sqe }
}

// PAIR: recvMultishot
/// What a socket receives, piece by piece, each in a buffer of the group that is returned when the
/// piece is dropped. While nobody takes them the pieces stay in their buffers; without a free one
/// the bytes stay in the socket. Ends when the peer has ended (or with an empty datagram).
///
/// Man: io_uring_prep_recv_multishot(3), recv(2). Kernel: 6.0.
pub fn recv_multishot(fd: impl Into<Fd>, group: &BufferGroup) -> Stream<Chunks> {
  let sqe = select(fd.into(), group, IORING_RECV_MULTISHOT);
  Stream::new(Chunks { sqe, group: group.clone() })
}

// PAIR: recvBuffer
/// Receives once, into a buffer of the group; `None`: the peer has ended. ENOBUFS: no buffer is
/// free.
///
/// Man: io_uring_prep_recv(3), recv(2). Kernel: 5.19.
pub fn recv_buffer(fd: impl Into<Fd>, group: &BufferGroup) -> RecvBuffer {
  RecvBuffer { sqe: select(fd.into(), group, 0), group: group.clone(), running: None }
}

/// The future of `recv_buffer`.
pub struct RecvBuffer {
  sqe: Sqe,
  group: BufferGroup,
  running: Option<(Rc<Executor>, Key)>,
}

impl Future for RecvBuffer {
  type Output = Result<Option<Lent>>;

  fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
    if self.running.is_none() {
      let executor = current()?;
      self.group.check(&executor)?;
      let key = executor.reactor.borrow_mut().start(self.sqe, None);
      self.running = Some((executor, key));
    }
    let (executor, key) = self.running.as_ref().expect("set above");
    let polled = executor.reactor.borrow_mut().poll(*key, cx);
    let Poll::Ready((res, flags)) = polled else {
      return Poll::Pending;
    };
    self.running = None;
    let length = count(res, "recv")?;
    let named = flags & IORING_CQE_F_BUFFER != 0;
    Poll::Ready(Ok(named.then(|| self.group.lent((flags >> 16) as u16, length))))
  }
}

impl Drop for RecvBuffer {
  fn drop(&mut self) {
    if let Some((executor, key)) = self.running.take() {
      executor.reactor.borrow_mut().abandon(key, Held::Nothing);
    }
  }
}
