//! Operations on several buffers at once.
//! Pair: src/ops/vectors.ts

use super::fields::count;
use super::files::offset_word;
use crate::buffer::IoBuf;
use crate::decode::iovec;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::op::{BufResult, Op, Operation};
use crate::sqe::*;
use std::any::Any;

/// The kernel refuses more buffers than this (UIO_MAXIOV).
const IOV_MAX: usize = 1024;

/// A cached read runs on the calling thread, and so may a write beyond what is copied: long ones go
/// to io-wq (I8), which would wait where RWF_NOWAIT forbids it.
pub(crate) fn large(sqe: &Sqe, bytes: u32) -> u8 {
  let opcode = sqe.opcode as u32;
  let reads = matches!(opcode, IORING_OP_READ | IORING_OP_READ_FIXED | IORING_OP_READV);
  let writes = matches!(opcode, IORING_OP_WRITE | IORING_OP_WRITE_FIXED | IORING_OP_WRITEV);
  let waits = sqe.op_flags & libc::RWF_NOWAIT as u32 == 0;
  if waits && (reads && bytes > INLINE_READ || writes && bytes > MAX_TRANSFER) {
    IOSQE_ASYNC as u8
  } else {
    0
  }
}

// PAIR: VectorOp
/// Moves the bytes of several buffers, in their order.
pub struct VectorOp<B: IoBuf> {
  sqe: Sqe,
  offset: Result<u64>,
  buffers: Vec<B>,
  syscall: &'static str,
}

impl<B: IoBuf> VectorOp<B> {
  pub(crate) fn op(
    sqe: Sqe,
    offset: Option<u64>,
    buffers: Vec<B>,
    syscall: &'static str,
  ) -> Op<Self> {
    Op::new(VectorOp { sqe, offset: offset_word(offset), buffers, syscall })
  }
}

impl<B: IoBuf> Op<VectorOp<B>> {
  // PAIR: only-rust VectorOp.rwFlags -- TypeScript passes { rwFlags } to the constructor
  /// The same with RWF_* flags, see preadv2(2).
  pub fn rw_flags(mut self, flags: i32) -> Self {
    if let Some(kind) = self.fresh() {
      kind.sqe.op_flags = flags as u32;
    }
    self
  }
}

impl<B: IoBuf> Operation for VectorOp<B> {
  type Output = BufResult<usize, Vec<B>>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let off = std::mem::replace(&mut self.offset, Ok(0))?;
    let mut left = MAX_TRANSFER as usize;
    let mut iovecs = Vec::new();
    for buffer in self.buffers.iter_mut().take(IOV_MAX) {
      let len = buffer.length().min(left);
      left -= len;
      iovecs.extend(iovec(buffer.address() as u64, len as u64));
    }
    let bytes = MAX_TRANSFER - left as u32;
    let (len, flags) = ((iovecs.len() / 16) as u32, self.sqe.flags | large(&self.sqe, bytes));
    let input = (len > 0).then(|| Input::at_addr(iovecs));
    Ok((Sqe { len, off, flags, ..self.sqe }, input))
  }

  fn finish(self, res: i32) -> BufResult<usize, Vec<B>> {
    (count(res, self.syscall), self.buffers)
  }

  fn fail(self, error: Error) -> BufResult<usize, Vec<B>> {
    (Err(error), self.buffers)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.buffers)))
  }
}

#[cfg(test)]
mod tests {
  use super::*;

  #[test]
  fn long_reads_leave_the_thread_unless_they_must_not_wait() {
    let nowait = libc::RWF_NOWAIT as u32;
    for (opcode, op_flags, bytes, leaves) in [
      (IORING_OP_READ, 0, INLINE_READ + 1, true),
      (IORING_OP_READV, 0, INLINE_READ + 1, true),
      (IORING_OP_READV, 0, INLINE_READ, false),
      (IORING_OP_READ, nowait, INLINE_READ + 1, false),
      (IORING_OP_READV, nowait | 1, INLINE_READ + 1, false),
      (IORING_OP_WRITEV, 0, INLINE_READ + 1, false),
    ] {
      let sqe = Sqe { opcode: opcode as u8, op_flags, ..Sqe::default() };
      assert_eq!(large(&sqe, bytes) as u32 == IOSQE_ASYNC, leaves, "{opcode} {op_flags} {bytes}");
    }
  }
}
