//! Operations on paths.
//! Pair: src/ops/paths.ts

use super::fields::{c_path, Fd, Fields};
use crate::error::Result;
use crate::input::Input;
use crate::op::Op;
use crate::sqe::*;
use std::path::Path;

/// One path as the input of an entry.
fn path_input(path: &Path) -> Result<Option<Input>> {
  Ok(Some(Input::at_addr(c_path(path)?)))
}

// PAIR: openat
/// Opens `path` relative to `dirfd` (`libc::AT_FDCWD`: the current directory). Always O_CLOEXEC.
/// The descriptor is the caller's to close (I3).
///
/// Man: io_uring_prep_openat(3), openat(2). Kernel: 5.6.
pub fn openat(dirfd: i32, path: impl AsRef<Path>, flags: i32, mode: u32) -> Op<Fields<i32>> {
  let path = path.as_ref();
  let op_flags = (flags | libc::O_CLOEXEC) as u32;
  let sqe = Sqe { len: mode, op_flags, ..Fd::Raw(dirfd).on(IORING_OP_OPENAT) };
  Fields::with(sqe, path_input(path), "open", (Some(path.into()), None), |fd| fd)
}
