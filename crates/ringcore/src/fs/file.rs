//! File: an open file, its cursor and its end.
//! Pair: src/fs/file.ts
//!
//! Buffers go in and come back with the result. A method without `at` in its name works at the
//! cursor, one after the other in the order of their first polls; those with an offset leave the
//! cursor alone and run at once. Futures do not borrow the file: it is closed when it and all of
//! them are gone, or by `close`. One that was begun at the cursor is to be polled or dropped: until
//! then those behind it wait, as for the guard of a mutex.

use super::chunks::{Chunks, ChunksOptions};
use super::handle::Handle;
use super::lines::Lines;
use super::options::OpenOptions;
use super::stat;
use super::transfer;
use crate::buffer::IoBuf;
use crate::error::{Error, Result};
use crate::op::{self, BufResult};
use crate::statx::Statx;
use std::future::Future;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

// PAIR: File
/// An open file. Dropped, it is closed through the ring, never by a blocking call (I3).
pub struct File {
  handle: Rc<Handle>,
}

/// Begins an operation, or ends the caller's future with its buffer.
macro_rules! enter {
  ($handle:expr, $cursor:expr, $syscall:expr, $buffer:ident) => {
    match $handle.enter($cursor, $syscall).await {
      Ok(lease) => lease,
      Err(error) => return (Err(error), $buffer),
    }
  };
}

impl File {
  /// A handle as a file.
  pub(crate) fn new(handle: Rc<Handle>) -> File {
    File { handle }
  }

  // PAIR: File.open
  /// Opens a file that exists, to be read.
  pub fn open(path: impl AsRef<Path>) -> impl Future<Output = Result<File>> {
    File::options().read(true).open(path)
  }

  // PAIR: File.create
  /// Opens a file to be written: empty, or made.
  pub fn create(path: impl AsRef<Path>) -> impl Future<Output = Result<File>> {
    File::options().write(true).create(true).truncate(true).open(path)
  }

  // PAIR: File.options
  /// All ways to open a file.
  pub fn options() -> OpenOptions {
    OpenOptions::new()
  }

  // PAIR: File.fromFd
  /// Takes a descriptor over, for the runtime that polls the caller. One that is non-blocking is
  /// waited for by polling; its flags stay as they are.
  pub fn from_fd(fd: OwnedFd) -> Result<File> {
    let handle = Handle::new(fd.as_raw_fd())?;
    let _ = fd.into_raw_fd(); // The handle's, from here on.
    Ok(File { handle })
  }

  // PAIR: File.fd
  /// The descriptor; `None` once it is closed. It stays the file's.
  pub fn fd(&self) -> Option<i32> {
    self.handle.fd()
  }

  // PAIR: File.read
  /// Reads at most `buffer.len()` bytes (and at most 1 MiB) at the cursor; 0 is the end.
  pub fn read<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<usize, B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "read", buffer);
      transfer::read(&lease, buffer, None).await
    }
  }

  // PAIR: File.readAt
  /// The same at an offset.
  pub fn read_at<B: IoBuf>(
    &self,
    buffer: B,
    offset: u64,
  ) -> impl Future<Output = BufResult<usize, B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "read", buffer);
      transfer::read(&lease, buffer, Some(offset)).await
    }
  }

  // PAIR: File.readExact
  /// Fills the buffer from the cursor. `Error::UnexpectedEnd`: the file ended before.
  pub fn read_exact<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "read", buffer);
      transfer::read_exact(&lease, buffer, None).await
    }
  }

  // PAIR: File.readExactAt
  /// The same from an offset.
  pub fn read_exact_at<B: IoBuf>(
    &self,
    buffer: B,
    offset: u64,
  ) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "read", buffer);
      transfer::read_exact(&lease, buffer, Some(offset)).await
    }
  }

  // PAIR: File.readToEnd
  /// Everything from the cursor to the end, also of what has no size.
  pub fn read_to_end(&self) -> impl Future<Output = Result<Vec<u8>>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(true, "read").await?;
      transfer::read_to_end(&lease).await
    }
  }

  // PAIR: File.readToString
  /// The same as text. `Error::NotUtf8`: it is none. (In TypeScript what is wrong becomes U+FFFD,
  /// as in Node.)
  pub fn read_to_string(&self) -> impl Future<Output = Result<String>> {
    let bytes = self.read_to_end();
    async move { text(bytes.await?) }
  }

  // PAIR: File.readv
  /// Reads into several buffers, one after the other, at the cursor.
  pub fn readv<B: IoBuf>(&self, buffers: Vec<B>) -> impl Future<Output = BufResult<usize, Vec<B>>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "read", buffers);
      transfer::readv(&lease, buffers, None).await
    }
  }

  // PAIR: File.readvAt
  /// The same at an offset.
  pub fn readv_at<B: IoBuf>(
    &self,
    buffers: Vec<B>,
    offset: u64,
  ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "read", buffers);
      transfer::readv(&lease, buffers, Some(offset)).await
    }
  }

  // PAIR: File.write
  /// Writes at most 1 MiB of the buffer at the cursor. The count may be short.
  pub fn write<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<usize, B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "write", buffer);
      transfer::write(&lease, buffer, None, 0).await
    }
  }

  // PAIR: File.writeAt
  /// The same at an offset.
  pub fn write_at<B: IoBuf>(
    &self,
    buffer: B,
    offset: u64,
  ) -> impl Future<Output = BufResult<usize, B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "write", buffer);
      transfer::write(&lease, buffer, Some(offset), 0).await
    }
  }

  // PAIR: File.writeAll
  /// Writes all of the buffer at the cursor.
  pub fn write_all<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "write", buffer);
      transfer::write_all(&lease, buffer, None, 0).await
    }
  }

  // PAIR: File.writeAllAt
  /// The same at an offset.
  pub fn write_all_at<B: IoBuf>(
    &self,
    buffer: B,
    offset: u64,
  ) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "write", buffer);
      transfer::write_all(&lease, buffer, Some(offset), 0).await
    }
  }

  // PAIR: File.writev
  /// Writes several buffers at the cursor, in their order. The count may be short.
  pub fn writev<B: IoBuf>(
    &self,
    buffers: Vec<B>,
  ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "write", buffers);
      transfer::writev(&lease, buffers, None).await
    }
  }

  // PAIR: File.writevAt
  /// The same at an offset.
  pub fn writev_at<B: IoBuf>(
    &self,
    buffers: Vec<B>,
    offset: u64,
  ) -> impl Future<Output = BufResult<usize, Vec<B>>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, false, "write", buffers);
      transfer::writev(&lease, buffers, Some(offset)).await
    }
  }

  // PAIR: File.append
  /// Writes all of the buffer at the end of the file, and moves the cursor there.
  pub fn append<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "write", buffer);
      transfer::write_all(&lease, buffer, None, libc::RWF_APPEND).await
    }
  }

  // PAIR: only-rust File.appendDurable -- TypeScript passes { durable: true } to append
  /// The same, and the bytes are on the disk when it ends: the write is linked to its fdatasync.
  /// Abandoned, it is carried out all the same.
  pub fn append_durable<B: IoBuf>(&self, buffer: B) -> impl Future<Output = BufResult<(), B>> {
    let handle = self.handle.clone();
    async move {
      let lease = enter!(handle, true, "write", buffer);
      transfer::append_durable(&lease, buffer).await
    }
  }

  // PAIR: File.sync
  /// Brings data and metadata of what was written before to the disk.
  pub fn sync(&self) -> impl Future<Output = Result<()>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(false, "fsync").await?;
      lease.step(op::fsync(lease.fd())).await
    }
  }

  // PAIR: File.datasync
  /// The same for the data, and what metadata is needed to find it again.
  pub fn datasync(&self) -> impl Future<Output = Result<()>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(false, "fdatasync").await?;
      lease.step(op::fdatasync(lease.fd())).await
    }
  }

  // PAIR: File.stat
  /// What is known of the file.
  pub fn stat(&self) -> impl Future<Output = Result<Statx>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(false, "fstat").await?;
      match stat::of_open(lease.fd()).await {
        Some(found) => Ok(found),
        None => lease.step(op::statx(lease.fd(), "", libc::AT_EMPTY_PATH, stat::MASK)).await,
      }
    }
  }

  // PAIR: File.truncate
  /// Sets the length in bytes; what is new are zeros.
  pub fn truncate(&self, len: u64) -> impl Future<Output = Result<()>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(false, "ftruncate").await?;
      lease.step(op::ftruncate(lease.fd(), len)).await
    }
  }

  // PAIR: File.allocate
  /// Reserves room for `len` bytes at `offset`; the file is extended if it ends before.
  pub fn allocate(&self, offset: u64, len: u64) -> impl Future<Output = Result<()>> {
    let handle = self.handle.clone();
    async move {
      let lease = handle.enter(false, "fallocate").await?;
      lease.step(op::fallocate(lease.fd(), 0, offset, len)).await
    }
  }

  // PAIR: File.chunks
  /// The bytes in pieces.
  pub fn chunks(&self, options: ChunksOptions) -> Chunks {
    Chunks::new(self.handle.clone(), options)
  }

  // PAIR: File.lines
  /// The text of these chunks, line by line.
  pub fn lines(&self, options: ChunksOptions) -> Lines {
    Lines::new(self.chunks(options))
  }

  // PAIR: File.close
  /// Waits for what is in flight, then closes. What comes later is EBADF; a second close is Ok.
  pub fn close(&self) -> impl Future<Output = Result<()>> {
    self.handle.clone().close()
  }
}

/// Bytes as text.
pub(crate) fn text(bytes: Vec<u8>) -> Result<String> {
  String::from_utf8(bytes).map_err(|error| {
    let at = error.utf8_error().valid_up_to();
    Error::NotUtf8 { at }
  })
}
