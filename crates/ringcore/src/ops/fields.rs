//! Operations as plain fields: most opcodes move no bytes and differ in numbers only.
//! Pair: src/ops/fields.ts

use crate::direct::{Direct, DirectId};
use crate::error::{errno_error, Error, Result};
use crate::input::Input;
use crate::op::{Op, Operation};
use crate::sqe::*;
use std::any::Any;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// res as a count or an errno.
pub(crate) fn count(res: i32, syscall: &'static str) -> Result<usize> {
  match res {
    -125 => Err(Error::Abort),
    _ if res == -(ERRNO_WRONG_RUNTIME as i32) => Err(Error::WrongRuntime),
    _ if res < 0 => Err(errno_error(-res, syscall)),
    _ => Ok(res as usize),
  }
}

const _: () = assert!(libc::ECANCELED == 125);

/// A file descriptor of the process, or a slot of the ring's table of direct descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fd {
  Raw(i32),
  Direct(DirectId),
}

impl From<i32> for Fd {
  fn from(fd: i32) -> Fd {
    Fd::Raw(fd)
  }
}

impl From<&Direct> for Fd {
  fn from(direct: &Direct) -> Fd {
    Fd::Direct(direct.id())
  }
}

impl Fd {
  /// An entry on this descriptor.
  pub(crate) fn on(self, opcode: u32) -> Sqe {
    let opcode = opcode as u8;
    match self {
      Fd::Raw(fd) => Sqe { opcode, fd, ..Sqe::default() },
      Fd::Direct(id) => {
        let (flags, fd) = (IOSQE_FIXED_FILE as u8, id.slot() as i32);
        id.claim(Sqe { opcode, flags, fd, ..Sqe::default() })
      }
    }
  }
}

impl Fd {
  /// An entry that closes it.
  pub(crate) fn closed(self) -> Sqe {
    match self {
      Fd::Raw(_) => self.on(IORING_OP_CLOSE),
      Fd::Direct(id) => id.fill(Fd::Raw(0).on(IORING_OP_CLOSE)),
    }
  }

  /// The cancel of everything on it. Its `fd` is a descriptor or, by a flag, a slot.
  pub(crate) fn cancelled(self) -> Sqe {
    let all = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
    match self {
      Fd::Raw(_) => Sqe { op_flags: all, ..self.on(IORING_OP_ASYNC_CANCEL) },
      Fd::Direct(id) => {
        let (fd, op_flags) = (id.slot() as i32, all | IORING_ASYNC_CANCEL_FD_FIXED);
        id.claim(Sqe { op_flags, ..Fd::Raw(fd).on(IORING_OP_ASYNC_CANCEL) })
      }
    }
  }
}

/// An operation that moves no bytes: its entry, its inputs, and how its result is read.
pub struct Fields<T> {
  sqe: Sqe,
  input: Result<Option<Input>>,
  syscall: &'static str,
  /// For errors: the path, and of two the second.
  paths: (Option<PathBuf>, Option<PathBuf>),
  read: fn(i32) -> T,
}

impl<T> Fields<T> {
  pub(crate) fn op(sqe: Sqe, syscall: &'static str, read: fn(i32) -> T) -> Op<Fields<T>> {
    Fields::with(sqe, Ok(None), syscall, (None, None), read)
  }

  /// The same with inputs, and the paths that its errors name.
  pub(crate) fn with(
    sqe: Sqe,
    input: Result<Option<Input>>,
    syscall: &'static str,
    paths: (Option<PathBuf>, Option<PathBuf>),
    read: fn(i32) -> T,
  ) -> Op<Fields<T>> {
    Op::new(Fields { sqe, input, syscall, paths, read })
  }
}

impl<T> Operation for Fields<T> {
  type Output = Result<T>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    Ok((self.sqe, std::mem::replace(&mut self.input, Ok(None))?))
  }

  fn finish(self, res: i32) -> Result<T> {
    match count(res, self.syscall) {
      Ok(_) => Ok((self.read)(res)),
      Err(error) => Err(match self.paths {
        (Some(path), Some(dest)) => error.with_path(&path).with_dest(&dest),
        (Some(path), None) => error.with_path(&path),
        _ => error,
      }),
    }
  }

  fn fail(self, error: Error) -> Result<T> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    None
  }
}

/// The result of an operation that has none.
pub(crate) fn nothing(_: i32) {}

/// A path with its NUL, or the error of one that has a NUL inside.
pub(crate) fn c_path(path: &Path) -> Result<Vec<u8>> {
  CString::new(path.as_os_str().as_bytes())
    .map(CString::into_bytes_with_nul)
    .map_err(|_| Error::Invalid("a path must not contain NUL bytes".into()))
}
