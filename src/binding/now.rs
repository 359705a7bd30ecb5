//! Reads of the page cache on this thread, straight into JavaScript's memory.
//!
//! They are no operations of the ring: a plain preadv2(2) with RWF_NOWAIT, which gives what is in
//! memory already and never waits. No JavaScript runs meanwhile, so that nobody can transfer,
//! shrink or collect the bytes, and the kernel knows them no longer when the call returns: I1 is
//! about what is in flight. Whatever such a call cannot do, the ring does.

use napi::bindgen_prelude::Unknown;
use napi::{Env, JsValue, sys};
use napi_derive::napi;
use ringcore::fs::cached::{known, preadv_now};
use ringcore::fs::stat::is_local_file;
use std::ptr::null_mut;

/// The cursor, as a position.
const CURSOR: i64 = -1;

/// Fills `length` bytes of a Uint8Array from `from` on; `position` -1 is the cursor. Fewer: the
/// file has ended. A negative errno: nothing has happened, the ring is to be asked. So it is when
/// a part is not in memory (EAGAIN), or for what is no regular file, or is past the page cache.
#[napi(catch_unwind)]
pub fn read_now(
  env: &Env,
  fd: i32,
  #[napi(ts_arg_type = "Uint8Array")] bytes: Unknown<'_>,
  from: u32,
  length: u32,
  position: f64,
) -> i32 {
  let Some((base, size)) = bytes_of(env.raw(), bytes.raw()) else {
    return -libc::EFAULT;
  };
  let (from, length) = (from as usize, length as usize);
  if from.checked_add(length).is_none_or(|end| end > size) {
    return -libc::EFAULT;
  }
  if size_of_cached(fd) < 0 {
    return -libc::EOPNOTSUPP;
  }
  fill(fd, base.wrapping_add(from), length, position as i64)
}

/// Bytes behind the cursor of a regular file that is read through the page cache; -1: it is none,
/// or has 2 GiB, which no result has.
#[napi(catch_unwind)]
pub fn size_now(fd: i32) -> f64 {
  let size = size_of_cached(fd);
  if !(0..=i64::from(i32::MAX)).contains(&size) {
    return -1.0;
  }
  // SAFETY: I1: no memory is named.
  let cursor = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
  (size - cursor).max(0) as f64
}

/// What is open (`S_IFMT` of its mode), without a question to a server; -1: that is not known.
#[napi(catch_unwind)]
pub fn kind_now(fd: i32) -> i32 {
  known(fd).map_or(-1, |(kind, _)| kind as i32)
}

/// Whether what is written to it ends in this machine's memory: a regular file on a file system of
/// its own, not opened to wait for the disk.
#[napi(catch_unwind)]
pub fn local_now(fd: i32) -> bool {
  // O_SYNC has the bit of O_DSYNC.
  flags_of(fd).is_some_and(|flags| flags & (libc::O_DIRECT | libc::O_DSYNC) == 0)
    && is_local_file(fd)
}

fn flags_of(fd: i32) -> Option<i32> {
  // SAFETY: I3: a number of the caller's; no memory is named.
  let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
  (flags >= 0).then_some(flags)
}

fn size_of_cached(fd: i32) -> i64 {
  let cached = flags_of(fd).is_some_and(|flags| flags & libc::O_DIRECT == 0);
  match known(fd).filter(|_| cached) {
    Some((libc::S_IFREG, size)) => i64::try_from(size).unwrap_or(-1),
    _ => -1,
  }
}

/// Reads until it is full or nothing comes any more.
fn fill(fd: i32, base: *mut u8, length: usize, position: i64) -> i32 {
  let mut done = 0;
  while done < length {
    let part = libc::iovec { iov_base: base.wrapping_add(done).cast(), iov_len: length - done };
    let at = if position == CURSOR { CURSOR } else { position + done as i64 };
    // SAFETY: I1: in the view's bytes by the check of the caller; they stay where they are until
    // JavaScript runs again, which is after this call, and the kernel keeps nothing of it.
    let count = unsafe { preadv_now(fd, &[part], at) };
    if count == 0 {
      break;
    }
    if count < 0 {
      let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
      if position == CURSOR && done > 0 {
        // SAFETY: I1: no memory is named. What was read will be read again.
        unsafe { libc::lseek(fd, -(done as i64), libc::SEEK_CUR) };
      }
      return -errno;
    }
    done += count as usize;
  }
  done as i32
}

/// The bytes of a Uint8Array.
pub(super) fn bytes_of(env: sys::napi_env, value: sys::napi_value) -> Option<(*mut u8, usize)> {
  let (mut kind, mut length, mut data) = (0, 0, null_mut());
  // SAFETY: I6: `env` and `value` are of the running call.
  let status = unsafe {
    sys::napi_get_typedarray_info(
      env,
      value,
      &mut kind,
      &mut length,
      &mut data,
      null_mut(),
      null_mut(),
    )
  };
  let bytes = kind == sys::TypedarrayType::uint8_array;
  (status == sys::Status::napi_ok && bytes && !data.is_null()).then_some((data.cast(), length))
}
