//! Operations: one constructor and one shape per opcode.
//! Pair: src/ops.ts
//!
//! A shape is the fields that an opcode owns, the SQE it writes, and how it reads its CQE.

use crate::error::{errno_error, Error, Result};
use crate::executor::{current, Executor};
use crate::future::{Context, Future, Poll};
use crate::op::{BufResult, Op, Operation};
use crate::slot::{Held, Key};
use crate::sqe::*;
use std::any::Any;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// res as a count or an errno.
fn count(res: i32, syscall: &'static str) -> Result<usize> {
  match res {
    -125 => Err(Error::Abort),
    _ if res < 0 => Err(errno_error(-res, syscall)),
    _ => Ok(res as usize),
  }
}

const _: () = assert!(libc::ECANCELED == 125);

/// The offset of a read or write: `None` is the file position, or a stream.
fn offset_word(offset: Option<u64>) -> Result<u64> {
  match offset {
    None => Ok(u64::MAX),
    Some(offset) if offset <= i64::MAX as u64 => Ok(offset),
    Some(offset) => Err(Error::Invalid(format!("offset {offset} is beyond 2^63 - 1"))),
  }
}

/// The bytes of a transfer, cut to what one SQE moves; long reads go to io-wq (I8).
fn transfer(opcode: u32, fd: i32, offset: Option<u64>, addr: u64, len: usize) -> Result<Sqe> {
  let len = len.min(MAX_TRANSFER as usize) as u32;
  let large = opcode == IORING_OP_READ && len > INLINE_READ;
  let flags = if large { IOSQE_ASYNC as u8 } else { 0 };
  let off = offset_word(offset)?;
  Ok(Sqe { opcode: opcode as u8, flags, fd, off, addr, len, ..Sqe::default() })
}

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

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
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

// PAIR: read
/// Reads at most `buffer.len()` bytes (and at most 1 MiB) at `offset`; 0 is the end of the file.
///
/// Man: io_uring_prep_read(3), pread(2). Kernel: 5.6.
pub fn read(fd: i32, buffer: Vec<u8>, offset: Option<u64>) -> Op<Read> {
  Op::new(Read { fd, buffer, offset })
}

pub struct Read {
  fd: i32,
  buffer: Vec<u8>,
  offset: Option<u64>,
}

impl Operation for Read {
  type Output = BufResult<usize>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    let address = self.buffer.as_mut_ptr() as u64;
    Ok((transfer(IORING_OP_READ, self.fd, self.offset, address, self.buffer.len())?, None))
  }

  fn finish(self, res: i32) -> BufResult<usize> {
    (count(res, "read"), self.buffer)
  }

  fn fail(self, error: Error) -> BufResult<usize> {
    (Err(error), self.buffer)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.buffer)))
  }
}

// PAIR: write
/// Writes at most 1 MiB of `buffer` at `offset`. The count may be short.
///
/// Man: io_uring_prep_write(3), pwrite(2). Kernel: 5.6.
pub fn write(fd: i32, buffer: Vec<u8>, offset: Option<u64>) -> Op<Write> {
  Op::new(Write { fd, buffer, offset })
}

pub struct Write {
  fd: i32,
  buffer: Vec<u8>,
  offset: Option<u64>,
}

impl Operation for Write {
  type Output = BufResult<usize>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    let address = self.buffer.as_ptr() as u64;
    Ok((transfer(IORING_OP_WRITE, self.fd, self.offset, address, self.buffer.len())?, None))
  }

  fn finish(self, res: i32) -> BufResult<usize> {
    (count(res, "write"), self.buffer)
  }

  fn fail(self, error: Error) -> BufResult<usize> {
    (Err(error), self.buffer)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.buffer)))
  }
}

// PAIR: openat
/// Opens `path` relative to `dirfd` (`libc::AT_FDCWD`: the current directory). Always O_CLOEXEC.
/// The descriptor is the caller's to close (I3).
///
/// Man: io_uring_prep_openat(3), openat(2). Kernel: 5.6.
pub fn openat(dirfd: i32, path: impl AsRef<Path>, flags: i32, mode: u32) -> Op<Openat> {
  Op::new(Openat { dirfd, path: path.as_ref().into(), flags, mode })
}

pub struct Openat {
  dirfd: i32,
  path: PathBuf,
  flags: i32,
  mode: u32,
}

impl Operation for Openat {
  type Output = Result<i32>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    let path = CString::new(self.path.as_os_str().as_bytes())
      .map_err(|_| Error::Invalid("a path must not contain NUL bytes".into()))?;
    let sqe = Sqe {
      opcode: IORING_OP_OPENAT as u8,
      fd: self.dirfd,
      len: self.mode,
      op_flags: (self.flags | libc::O_CLOEXEC) as u32,
      ..Sqe::default()
    };
    Ok((sqe, Some(path.into_bytes_with_nul())))
  }

  fn finish(self, res: i32) -> Result<i32> {
    match count(res, "open") {
      Ok(fd) => Ok(fd as i32),
      Err(error) => Err(error.with_path(&self.path)),
    }
  }

  fn fail(self, error: Error) -> Result<i32> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

// PAIR: close
/// Closes a descriptor. Whatever the result, the number is no longer the caller's.
///
/// Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
pub fn close(fd: i32) -> Op<Close> {
  Op::new(Close { fd })
}

pub struct Close {
  fd: i32,
}

impl Operation for Close {
  type Output = Result<()>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    Ok((Sqe { opcode: IORING_OP_CLOSE as u8, fd: self.fd, ..Sqe::default() }, None))
  }

  fn finish(self, res: i32) -> Result<()> {
    count(res, "close").map(|_| ())
  }

  fn fail(self, error: Error) -> Result<()> {
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
  Op::new(Timeout { duration })
}

pub struct Timeout {
  duration: Duration,
}

impl Operation for Timeout {
  type Output = Result<()>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    let sqe = Sqe { opcode: IORING_OP_TIMEOUT as u8, fd: -1, len: 1, ..Sqe::default() };
    Ok((sqe, Some(timespec(self.duration.as_secs(), self.duration.subsec_nanos()).to_vec())))
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

// PAIR: pollAdd
/// Waits until one of `events` (POLLIN, POLLOUT ...) is true of `fd`; resolves to those that are.
///
/// Man: io_uring_prep_poll_add(3), poll(2). Kernel: 5.1.
pub fn poll_add(fd: i32, events: u32) -> Op<PollAdd> {
  Op::new(PollAdd { fd, events })
}

pub struct PollAdd {
  fd: i32,
  events: u32,
}

impl Operation for PollAdd {
  type Output = Result<u32>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Vec<u8>>)> {
    let opcode = IORING_OP_POLL_ADD as u8;
    Ok((Sqe { opcode, fd: self.fd, op_flags: poll_word(self.events), ..Sqe::default() }, None))
  }

  fn finish(self, res: i32) -> Result<u32> {
    count(res, "poll").map(|events| events as u32)
  }

  fn fail(self, error: Error) -> Result<u32> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

/// The kernel reads poll32_events with its halves swapped on big-endian machines.
pub fn poll_word(events: u32) -> u32 {
  if cfg!(target_endian = "big") {
    events.rotate_left(16)
  } else {
    events
  }
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
