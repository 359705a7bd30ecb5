//! Transfers of an open file: one that may be short, and those that go on until all is done.
//! Pair: src/fs/transfer.ts
//!
//! `None` as an offset is the cursor. A descriptor that must not wait answers EAGAIN: it is polled
//! until it is ready, and the flags of its description stay what they are.

use super::handle::Lease;
use super::window::Window;
use crate::buffer::IoBuf;
use crate::error::{errno_error, Error, Result};
use crate::op::{self, BufResult};
use crate::sqe::{INLINE_READ, MAX_TRANSFER};
use std::rc::Rc;

fn not_ready<T>(result: &Result<T>) -> bool {
  matches!(result, Err(Error::Os { errno: libc::EAGAIN, .. }))
}

/// Waits until the descriptor is ready.
async fn ready(lease: &Rc<Lease>, events: i16) -> Result<()> {
  lease.step(op::poll_add(lease.fd(), events as u32)).await.map(drop)
}

/// An operation whose buffer goes in and comes back, again whenever the descriptor was not ready.
macro_rules! when_ready {
  ($lease:expr, $events:expr, $buffer:ident, $op:expr) => {{
    let mut $buffer = $buffer;
    loop {
      let (result, back) = $lease.step($op).await;
      $buffer = back;
      if !not_ready(&result) {
        return (result, $buffer);
      }
      if let Err(error) = ready($lease, $events).await {
        return (Err(error), $buffer);
      }
    }
  }};
}

// PAIR: read
/// Reads once.
pub async fn read<B: IoBuf>(
  lease: &Rc<Lease>,
  buffer: B,
  offset: Option<u64>,
) -> BufResult<usize, B> {
  when_ready!(lease, libc::POLLIN, buffer, op::read(lease.fd(), buffer, offset))
}

// PAIR: only-rust readv -- in TypeScript FileVector of moves.ts
/// Reads once, into several buffers.
pub async fn readv<B: IoBuf>(
  lease: &Rc<Lease>,
  buffers: Vec<B>,
  offset: Option<u64>,
) -> BufResult<usize, Vec<B>> {
  when_ready!(lease, libc::POLLIN, buffers, op::readv(lease.fd(), buffers, offset))
}

// PAIR: write
/// Writes once; `flags` is RWF_*.
pub async fn write<B: IoBuf>(
  lease: &Rc<Lease>,
  buffer: B,
  offset: Option<u64>,
  flags: i32,
) -> BufResult<usize, B> {
  let write = |buffer| op::write(lease.fd(), buffer, offset).rw_flags(flags);
  when_ready!(lease, libc::POLLOUT, buffer, write(buffer))
}

// PAIR: only-rust writev -- in TypeScript FileVector of moves.ts
/// Writes several buffers once.
pub async fn writev<B: IoBuf>(
  lease: &Rc<Lease>,
  buffers: Vec<B>,
  offset: Option<u64>,
) -> BufResult<usize, Vec<B>> {
  when_ready!(lease, libc::POLLOUT, buffers, op::writev(lease.fd(), buffers, offset))
}

/// The place behind so many bytes. One beyond all files is the next operation's error.
fn behind(offset: Option<u64>, count: usize) -> Option<u64> {
  offset.map(|offset| offset.saturating_add(count as u64))
}

// PAIR: readExact
/// Fills the buffer. An end before that is `Error::UnexpectedEnd`.
pub async fn read_exact<B: IoBuf>(
  lease: &Rc<Lease>,
  buffer: B,
  offset: Option<u64>,
) -> BufResult<(), B> {
  let mut window = Window::whole(buffer);
  while window.left() > 0 {
    let place = behind(offset, window.from);
    let (result, back) = read(lease, window, place).await;
    window = back;
    match result {
      Ok(0) => return (Err(Error::UnexpectedEnd { read: window.from }), window.buffer),
      Ok(count) => window.from += count,
      Err(error) => return (Err(error), window.buffer),
    }
  }
  (Ok(()), window.buffer)
}

// PAIR: readToEnd
/// Reads until nothing comes: no size is asked for, a size may be a lie (/proc says 0).
pub async fn read_to_end(lease: &Rc<Lease>) -> Result<Vec<u8>> {
  let mut bytes = Vec::new();
  loop {
    let from = bytes.len();
    // Room for what has come once more, up to what one read moves on the calling thread.
    let room = from.clamp(FIRST_BYTES, INLINE_READ as usize);
    bytes.resize(from + room, 0);
    let window = Window { buffer: bytes, from, to: from + room };
    let (result, window) = read(lease, window, None).await;
    bytes = window.buffer;
    let count = result?;
    bytes.truncate(from + count);
    if count == 0 {
      return Ok(bytes);
    }
  }
}

/// A file of 64 KiB still ends in a short read.
const FIRST_BYTES: usize = 68 << 10;

/// What a write of some bytes says that moved none: it would be called for ever.
fn moved(result: Result<usize>) -> Result<usize> {
  match result {
    Ok(0) => Err(errno_error(libc::EIO, "write")),
    other => other,
  }
}

// PAIR: writeAll
/// Writes all of the buffer.
pub async fn write_all<B: IoBuf>(
  lease: &Rc<Lease>,
  buffer: B,
  offset: Option<u64>,
  flags: i32,
) -> BufResult<(), B> {
  let mut window = Window::whole(buffer);
  while window.left() > 0 {
    let place = behind(offset, window.from);
    let (result, back) = write(lease, window, place, flags).await;
    window = back;
    match moved(result) {
      Ok(count) => window.from += count,
      Err(error) => return (Err(error), window.buffer),
    }
  }
  (Ok(()), window.buffer)
}

// PAIR: appendDurable
/// Writes all of the buffer at the end of the file and brings it to the disk: the last write and
/// its fdatasync are one submission. A write that is short or fails cuts the chain, and the sync
/// does not run: what is left goes on in a chain of its own.
pub async fn append_durable<B: IoBuf>(lease: &Rc<Lease>, buffer: B) -> BufResult<(), B> {
  let mut window = Window::whole(buffer);
  loop {
    let most = window.longest().min(MAX_TRANSFER as usize);
    if window.left() > most {
      // Not the last one: nothing is promised before the end.
      let (result, back) = write(lease, window, None, libc::RWF_APPEND).await;
      window = back;
      match moved(result) {
        Ok(count) => window.from += count,
        Err(error) => return (Err(error), window.buffer),
      }
      continue;
    }
    let left = window.left();
    let written = op::write(lease.fd(), window, None).rw_flags(libc::RWF_APPEND);
    let chain = op::link((written, op::fdatasync(lease.fd())));
    let ((result, back), synced) = lease.step(chain).await;
    window = back;
    if not_ready(&result) {
      match ready(lease, libc::POLLOUT).await {
        Ok(()) => continue,
        Err(error) => return (Err(error), window.buffer),
      }
    }
    match result {
      Ok(count) if count == left => return (synced, window.buffer),
      result => match moved(result) {
        Ok(count) => window.from += count,
        Err(error) => return (Err(error), window.buffer),
      },
    }
  }
}
