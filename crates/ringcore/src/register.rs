// PAIR: only-rust register.rs -- io_uring_register(2) is called by Rust only
//! Tables that the kernel keeps for a ring: registered buffers, direct descriptors.
#![allow(unsafe_code)]

use crate::buffer::Slab;
use io_uring::IoUring;
use std::io;

fn errno(error: io::Error) -> i32 {
  error.raw_os_error().unwrap_or(libc::EIO)
}

/// IORING_REGISTER_BUFFERS2 with nothing in it.
pub(crate) fn buffers(ring: &IoUring, count: u32) -> Result<(), i32> {
  ring.submitter().register_buffers_sparse(count).map_err(errno)
}

/// IORING_REGISTER_FILES2 with nothing in it.
pub(crate) fn files(ring: &IoUring, count: u32) -> Result<(), i32> {
  ring.submitter().register_files_sparse(count).map_err(errno)
}

/// IORING_REGISTER_BUFFERS_UPDATE of one place.
pub(crate) fn buffer(ring: &IoUring, index: u32, slab: Option<&Slab>) -> Result<(), i32> {
  let iov_base = slab.map_or(std::ptr::null_mut(), |slab| slab.base().cast());
  let iov = libc::iovec { iov_base, iov_len: slab.map_or(0, Slab::len) };
  // SAFETY: I1, I2: a whole slab, or nothing. The kernel pins its pages until the place is emptied
  // and the last operation with it has ended, whether or not they are mapped here by then.
  unsafe { ring.submitter().register_buffers_update(index, &[iov], None) }.map_err(errno)
}
