//! Operations on open files.
//! Pair: src/ops/files.ts

use super::fields::{count, nothing, Fd, Fields};
use super::vectors::{large, VectorOp};
use crate::alloc::FixedBuf;
use crate::buffer::IoBuf;
use crate::error::{Error, Result};
use crate::input::Input;
use crate::op::{BufResult, Op, Operation};
use crate::sqe::*;
use std::any::Any;

/// The offset of a read or write: `None` is the file position, or a stream.
pub(crate) fn offset_word(offset: Option<u64>) -> Result<u64> {
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

impl<B: IoBuf> Op<TransferOp<B>> {
  // PAIR: only-rust TransferOp.rwFlags -- TypeScript passes { rwFlags } to the constructor
  /// The same with RWF_* flags, see preadv2(2). The kernel judges them.
  pub fn rw_flags(mut self, flags: i32) -> Self {
    if let Some(kind) = self.fresh() {
      kind.sqe.op_flags = flags as u32;
    }
    self
  }
}

impl<B: IoBuf> Operation for TransferOp<B> {
  type Output = BufResult<usize, B>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let len = self.buffer.length().min(self.buffer.longest()) as u32;
    let flags = self.sqe.flags | large(&self.sqe, len);
    let off = std::mem::replace(&mut self.offset, Ok(0))?;
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

// PAIR: readv
/// Reads into several buffers, one after the other: at most 1 MiB in at most 1024 buffers. None at
/// all is 0 bytes.
///
/// Man: io_uring_prep_readv(3), preadv2(2). Kernel: 5.1.
pub fn readv<B: IoBuf>(fd: impl Into<Fd>, buffers: Vec<B>, offset: Option<u64>) -> Op<VectorOp<B>> {
  VectorOp::op(fd.into().on(IORING_OP_READV), offset, buffers, "read")
}

// PAIR: writev
/// Writes several buffers, one after the other: at most 1 MiB of at most 1024 buffers. The count
/// may be short.
///
/// Man: io_uring_prep_writev(3), pwritev2(2). Kernel: 5.1.
pub fn writev<B: IoBuf>(
  fd: impl Into<Fd>,
  buffers: Vec<B>,
  offset: Option<u64>,
) -> Op<VectorOp<B>> {
  VectorOp::op(fd.into().on(IORING_OP_WRITEV), offset, buffers, "write")
}

// PAIR: fsync
/// Brings a file's data and metadata to the disk.
///
/// Man: io_uring_prep_fsync(3), fsync(2). Kernel: 5.1.
pub fn fsync(fd: impl Into<Fd>) -> Op<Fields<()>> {
  Fields::op(fd.into().on(IORING_OP_FSYNC), "fsync", nothing)
}

// PAIR: fdatasync
/// Brings a file's data to the disk, and what metadata is needed to find it again.
///
/// Man: io_uring_prep_fsync(3), fdatasync(2). Kernel: 5.1.
pub fn fdatasync(fd: impl Into<Fd>) -> Op<Fields<()>> {
  let sqe = Sqe { op_flags: IORING_FSYNC_DATASYNC, ..fd.into().on(IORING_OP_FSYNC) };
  Fields::op(sqe, "fdatasync", nothing)
}

// PAIR: ftruncate
/// Sets the length of a file in bytes; what is new are zeros.
///
/// Man: io_uring_prep_ftruncate(3), ftruncate(2). Kernel: 6.9.
pub fn ftruncate(fd: impl Into<Fd>, len: u64) -> Op<Fields<()>> {
  let sqe = Sqe { off: len, ..fd.into().on(IORING_OP_FTRUNCATE) };
  Fields::with(sqe, lengths([len]), "ftruncate", (None, None), nothing)
}

// PAIR: fallocate
/// Reserves, frees, zeroes or moves `len` bytes of a file at `offset`; `mode` is FALLOC_FL_*.
///
/// Man: io_uring_prep_fallocate(3), fallocate(2). Kernel: 5.6.
pub fn fallocate(fd: impl Into<Fd>, mode: i32, offset: u64, len: u64) -> Op<Fields<()>> {
  let entry = fd.into().on(IORING_OP_FALLOCATE);
  let sqe = Sqe { off: offset, addr: len, len: mode as u32, ..entry };
  Fields::with(sqe, lengths([offset, len]), "fallocate", (None, None), nothing)
}

// PAIR: fadvise
/// Says how `len` bytes at `offset` will be used (0: all up to the end); `advice` is POSIX_FADV_*.
/// A length of 4 GiB or more needs Linux 6.11.
///
/// Man: io_uring_prep_fadvise(3), posix_fadvise(2). Kernel: 5.6.
pub fn fadvise(fd: impl Into<Fd>, offset: u64, len: u64, advice: i32) -> Op<Fields<()>> {
  // The long length has a field of its own, which older kernels want to be 0.
  let (long, short) = u32::try_from(len).map_or((len, 0), |short| (0, short));
  let entry = fd.into().on(IORING_OP_FADVISE);
  let sqe = Sqe { off: offset, addr: long, len: short, op_flags: advice as u32, ..entry };
  Fields::with(sqe, lengths([offset, len]), "fadvise", (None, None), nothing)
}

// PAIR: splice
/// Moves `len` bytes between two files, one of which is a pipe, on a worker thread. `None` is the
/// file position, and what a pipe must have. `flags` is SPLICE_F_*. The count may be short; 0 is
/// the end.
///
/// Man: io_uring_prep_splice(3), splice(2). Kernel: 5.7.
pub fn splice(
  from: impl Into<Fd>,
  from_offset: Option<u64>,
  to: impl Into<Fd>,
  to_offset: Option<u64>,
  len: u32,
  flags: u32,
) -> Op<Fields<usize>> {
  let words = source_flags(flags).and_then(|()| offset_word(from_offset));
  let words = words.and_then(|from| Ok((from, offset_word(to_offset)?)));
  let (addr, off) = words.clone().unwrap_or_default();
  let entry = through(from.into(), flags, to.into().on(IORING_OP_SPLICE));
  let sqe = Sqe { addr, off, len, ..entry };
  Fields::with(sqe, words.map(|_| None), "splice", (None, None), |res| res as usize)
}

// PAIR: tee
/// Copies at most `len` bytes from one pipe to another, on a worker thread; the first pipe keeps
/// them. `flags` is SPLICE_F_*.
///
/// Man: io_uring_prep_tee(3), tee(2). Kernel: 5.8.
pub fn tee(from: impl Into<Fd>, to: impl Into<Fd>, len: u32, flags: u32) -> Op<Fields<usize>> {
  let entry = through(from.into(), flags, to.into().on(IORING_OP_TEE));
  let input = source_flags(flags).map(|()| None);
  Fields::with(Sqe { len, ..entry }, input, "tee", (None, None), |res| res as usize)
}

/// The bit by which the source is a slot comes from its type alone.
fn source_flags(flags: u32) -> Result<()> {
  if flags & SPLICE_F_FD_IN_FIXED == 0 {
    return Ok(());
  }
  Err(Error::Invalid("SPLICE_F_FD_IN_FIXED: pass a direct descriptor instead".into()))
}

/// The source of a splice or tee, which has a field and a flag of its own.
fn through(from: Fd, flags: u32, entry: Sqe) -> Sqe {
  match from {
    Fd::Raw(fd) => Sqe { file_index: fd as u32, op_flags: flags, ..entry },
    Fd::Direct(id) => {
      let op_flags = flags | SPLICE_F_FD_IN_FIXED;
      id.claim_index(Sqe { file_index: id.slot(), op_flags, ..entry })
    }
  }
}

/// Offsets and lengths that have 63 bits.
fn lengths<const N: usize>(words: [u64; N]) -> Result<Option<Input>> {
  words.iter().try_for_each(|word| offset_word(Some(*word)).map(|_| ()))?;
  Ok(None)
}

// PAIR: readFixed
/// The same into registered memory, which the kernel need not look up.
///
/// Man: io_uring_prep_read_fixed(3), pread(2). Kernel: 5.19 with this table.
pub fn read_fixed(
  fd: impl Into<Fd>,
  buffer: FixedBuf,
  offset: Option<u64>,
) -> Op<TransferOp<FixedBuf>> {
  let sqe = of(&buffer, fd.into().on(IORING_OP_READ_FIXED));
  TransferOp::op(sqe, offset, buffer, "read")
}

// PAIR: writeFixed
/// Writes registered memory at `offset`. The count may be short.
///
/// Man: io_uring_prep_write_fixed(3), pwrite(2). Kernel: 5.19 with this table.
pub fn write_fixed(
  fd: impl Into<Fd>,
  buffer: FixedBuf,
  offset: Option<u64>,
) -> Op<TransferOp<FixedBuf>> {
  let sqe = of(&buffer, fd.into().on(IORING_OP_WRITE_FIXED));
  TransferOp::op(sqe, offset, buffer, "write")
}

/// The entry with the buffer's index, and the ring that knows it.
fn of(buffer: &FixedBuf, sqe: Sqe) -> Sqe {
  let Some((index, ring)) = buffer.index() else {
    return sqe;
  };
  Sqe { buf_index: index, ..sqe.for_ring(ring) }
}

// PAIR: close
/// Closes a descriptor, or a direct one. Whatever the result, it is no longer the caller's.
///
/// Man: io_uring_prep_close(3), close(2). Kernel: 5.6.
pub fn close(fd: impl Into<Fd>) -> Op<Fields<()>> {
  Fields::op(fd.into().closed(), "close", nothing)
}
