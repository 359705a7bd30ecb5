//! Operations on open files.
//! Pair: src/ops/files.ts

use super::fields::{count, nothing, Fd, Fields};
use crate::buffer::IoBuf;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::op::{BufResult, Op, Operation};
use crate::sqe::*;
use std::any::Any;

/// The offset of a read or write: `None` is the file position, or a stream.
fn offset_word(offset: Option<u64>) -> Result<u64> {
  match offset {
    None => Ok(u64::MAX),
    Some(offset) if offset <= i64::MAX as u64 => Ok(offset),
    Some(offset) => Err(Error::Invalid(format!("offset {offset} is beyond 2^63 - 1"))),
  }
}

// PAIR: TransferOp
/// Moves the bytes of one buffer.
pub struct TransferOp<B: IoBuf> {
  sqe: Sqe,
  offset: Result<u64>,
  buffer: B,
  syscall: &'static str,
}

impl<B: IoBuf> TransferOp<B> {
  pub(crate) fn op(sqe: Sqe, offset: Option<u64>, buffer: B, syscall: &'static str) -> Op<Self> {
    Op::new(TransferOp { sqe, offset: offset_word(offset), buffer, syscall })
  }
}

impl<B: IoBuf> Operation for TransferOp<B> {
  type Output = BufResult<usize, B>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let len = self.buffer.length().min(MAX_TRANSFER as usize) as u32;
    // A cached read runs on the calling thread: long ones go to io-wq (I8).
    let reads = matches!(self.sqe.opcode as u32, IORING_OP_READ | IORING_OP_READ_FIXED);
    let large = if reads && len > INLINE_READ { IOSQE_ASYNC as u8 } else { 0 };
    let (off, flags) = (std::mem::replace(&mut self.offset, Ok(0))?, self.sqe.flags | large);
    Ok((Sqe { addr: self.buffer.address() as u64, len, off, flags, ..self.sqe }, None))
  }

  fn finish(self, res: i32) -> BufResult<usize, B> {
    (count(res, self.syscall), self.buffer)
  }

  fn fail(self, error: Error) -> BufResult<usize, B> {
    (Err(error), self.buffer)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.buffer)))
  }
}

// PAIR: read
/// Reads at most `buffer.len()` bytes (and at most 1 MiB) at `offset`; 0 is the end of the file.
///
/// Man: io_uring_prep_read(3), pread(2). Kernel: 5.6.
pub fn read<B: IoBuf>(fd: impl Into<Fd>, buffer: B, offset: Option<u64>) -> Op<TransferOp<B>> {
  TransferOp::op(fd.into().on(IORING_OP_READ), offset, buffer, "read")
}

// PAIR: write
/// Writes at most 1 MiB of `buffer` at `offset`. The count may be short.
///
/// Man: io_uring_prep_write(3), pwrite(2). Kernel: 5.6.
pub fn write<B: IoBuf>(fd: impl Into<Fd>, buffer: B, offset: Option<u64>) -> Op<TransferOp<B>> {
  TransferOp::op(fd.into().on(IORING_OP_WRITE), offset, buffer, "write")
}

// PAIR: close
/// Closes a descriptor. Whatever the result, the number is no longer the caller's.
///
/// Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
pub fn close(fd: i32) -> Op<Fields<()>> {
  Fields::op(Fd::Raw(fd).on(IORING_OP_CLOSE), "close", nothing)
}
