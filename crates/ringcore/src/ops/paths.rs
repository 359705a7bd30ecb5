//! Operations on paths.
//! Pair: src/ops/paths.ts

use super::fields::{c_path, count, nothing, Fd, Fields};
use crate::direct::Direct;
use crate::error::{Error, Result};
use crate::input::{Input, Patch};
use crate::op::{Op, Operation};
use crate::sqe::*;
use crate::statx::{decode, Statx};
use std::any::Any;
use std::path::{Path, PathBuf};

/// One path as the input of an entry.
fn path_input(path: &Path) -> Result<Option<Input>> {
  Ok(Some(Input::at_addr(c_path(path)?)))
}

/// Two paths, for `addr` and `off`.
fn two_paths(first: &Path, second: &Path) -> Result<Option<Input>> {
  let mut bytes = c_path(first)?;
  let place = bytes.len() as u32;
  bytes.extend(c_path(second)?);
  Ok(Some(Input::new(bytes, [Patch::Addr(0), Patch::Off(place)])))
}

// PAIR: OpenHow
/// struct open_how: how `openat2` opens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
  /// O_*; unknown bits are EINVAL.
  pub flags: u64,
  /// Permissions of a new file; 0 where none can come to be.
  pub mode: u64,
  /// RESOLVE_*.
  pub resolve: u64,
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

// PAIR: openat2
/// Opens `path` relative to `dirfd` under the rules of `how.resolve`: RESOLVE_BENEATH fails with
/// EXDEV where the path leaves the directory. Always O_CLOEXEC. The descriptor is the caller's to
/// close (I3).
///
/// Man: io_uring_prep_openat2(3), openat2(2). Kernel: 5.6.
pub fn openat2(dirfd: i32, path: impl AsRef<Path>, how: OpenHow) -> Op<Fields<i32>> {
  let path = path.as_ref();
  let how = OpenHow { flags: how.flags | libc::O_CLOEXEC as u64, ..how };
  let sqe = Sqe { len: HOW_BYTES, ..Fd::Raw(dirfd).on(IORING_OP_OPENAT2) };
  Fields::with(sqe, how_input(how, path), "open", (Some(path.into()), None), |fd| fd)
}

/// Bytes of struct open_how.
const HOW_BYTES: u32 = 24;

/// A struct open_how and the path behind it.
fn how_input(how: OpenHow, path: &Path) -> Result<Option<Input>> {
  let words = [how.flags, how.mode, how.resolve].map(u64::to_ne_bytes).concat();
  let bytes = [words, c_path(path)?].concat();
  Ok(Some(Input::new(bytes, [Patch::Addr(HOW_BYTES), Patch::Off(0)])))
}

// PAIR: statx
/// Asks for the metadata of `path`, relative to `dirfd`; `mask` is STATX_*, `flags` is AT_*.
/// With AT_EMPTY_PATH and an empty path it is about `dirfd` itself, whatever it is.
///
/// Man: io_uring_prep_statx(3), statx(2). Kernel: 5.6.
pub fn statx(dirfd: i32, path: impl AsRef<Path>, flags: i32, mask: u32) -> Op<StatxOp> {
  let path = path.as_ref();
  let whole = path.as_os_str().is_empty() && flags & libc::AT_EMPTY_PATH != 0;
  let syscall = match flags & libc::AT_SYMLINK_NOFOLLOW {
    _ if whole => "fstat",
    0 => "stat",
    _ => "lstat",
  };
  let sqe = Sqe { len: mask, op_flags: flags as u32, ..Fd::Raw(dirfd).on(IORING_OP_STATX) };
  let (path, bytes) = ((!whole).then(|| path.into()), vec![0; STATX_BYTES as usize]);
  let input = path_input(path.as_deref().unwrap_or(Path::new("")));
  Op::new(StatxOp { sqe, input, syscall, path, bytes })
}

// PAIR: only-rust StatxOp -- in TypeScript the output of every operation is a region
/// The operation of `statx`; the kernel writes into its bytes.
pub struct StatxOp {
  sqe: Sqe,
  input: Result<Option<Input>>,
  syscall: &'static str,
  path: Option<PathBuf>,
  bytes: Vec<u8>,
}

impl Operation for StatxOp {
  type Output = Result<Statx>;

  fn prepare(&mut self) -> Result<(Sqe, Option<Input>)> {
    let input = std::mem::replace(&mut self.input, Ok(None))?;
    Ok((Sqe { off: self.bytes.as_mut_ptr() as u64, ..self.sqe }, input))
  }

  fn finish(self, res: i32) -> Result<Statx> {
    match (count(res, self.syscall), self.path) {
      (Ok(_), _) => Ok(decode(&self.bytes)),
      (Err(error), Some(path)) => Err(error.with_path(&path)),
      (Err(error), None) => Err(error),
    }
  }

  fn fail(self, error: Error) -> Result<Statx> {
    Err(error)
  }

  fn hold(&mut self) -> Option<Box<dyn Any>> {
    Some(Box::new(std::mem::take(&mut self.bytes)))
  }
}

// PAIR: unlinkat
/// Removes a file, or with AT_REMOVEDIR an empty directory.
///
/// Man: io_uring_prep_unlinkat(3), unlinkat(2). Kernel: 5.11.
pub fn unlinkat(dirfd: i32, path: impl AsRef<Path>, flags: i32) -> Op<Fields<()>> {
  let path = path.as_ref();
  let syscall = if flags & libc::AT_REMOVEDIR != 0 { "rmdir" } else { "unlink" };
  let sqe = Sqe { op_flags: flags as u32, ..Fd::Raw(dirfd).on(IORING_OP_UNLINKAT) };
  Fields::with(sqe, path_input(path), syscall, (Some(path.into()), None), nothing)
}

// PAIR: renameat
/// Renames `from` to `to`, each relative to its directory; `flags` is RENAME_*.
///
/// Man: io_uring_prep_renameat(3), renameat2(2). Kernel: 5.11.
pub fn renameat(
  from_dirfd: i32,
  from: impl AsRef<Path>,
  to_dirfd: i32,
  to: impl AsRef<Path>,
  flags: u32,
) -> Op<Fields<()>> {
  let (from, to) = (from.as_ref(), to.as_ref());
  let entry = Fd::Raw(from_dirfd).on(IORING_OP_RENAMEAT);
  let sqe = Sqe { len: to_dirfd as u32, op_flags: flags, ..entry };
  let paths = (Some(from.into()), Some(to.into()));
  Fields::with(sqe, two_paths(from, to), "rename", paths, nothing)
}

// PAIR: mkdirat
/// Makes a directory with `mode`, less the process's umask.
///
/// Man: io_uring_prep_mkdirat(3), mkdirat(2). Kernel: 5.15.
pub fn mkdirat(dirfd: i32, path: impl AsRef<Path>, mode: u32) -> Op<Fields<()>> {
  let path = path.as_ref();
  let sqe = Sqe { len: mode, ..Fd::Raw(dirfd).on(IORING_OP_MKDIRAT) };
  Fields::with(sqe, path_input(path), "mkdir", (Some(path.into()), None), nothing)
}

// PAIR: symlinkat
/// Makes `path`, relative to `dirfd`, a symbolic link that holds `target` as it is.
///
/// Man: io_uring_prep_symlinkat(3), symlinkat(2). Kernel: 5.15.
pub fn symlinkat(target: impl AsRef<Path>, dirfd: i32, path: impl AsRef<Path>) -> Op<Fields<()>> {
  let (target, path) = (target.as_ref(), path.as_ref());
  let sqe = Fd::Raw(dirfd).on(IORING_OP_SYMLINKAT);
  let paths = (Some(target.into()), Some(path.into()));
  Fields::with(sqe, two_paths(target, path), "symlink", paths, nothing)
}

// PAIR: linkat
/// Makes `to` a further name of the file `from`. AT_SYMLINK_FOLLOW: of the file that a symbolic
/// link names. AT_EMPTY_PATH with an empty `from`: of the open file `from_dirfd`.
///
/// Man: io_uring_prep_linkat(3), linkat(2). Kernel: 5.15.
pub fn linkat(
  from_dirfd: i32,
  from: impl AsRef<Path>,
  to_dirfd: i32,
  to: impl AsRef<Path>,
  flags: i32,
) -> Op<Fields<()>> {
  let (from, to) = (from.as_ref(), to.as_ref());
  let entry = Fd::Raw(from_dirfd).on(IORING_OP_LINKAT);
  let sqe = Sqe { len: to_dirfd as u32, op_flags: flags as u32, ..entry };
  let paths = (Some(from.into()), Some(to.into()));
  Fields::with(sqe, two_paths(from, to), "link", paths, nothing)
}

// PAIR: copyFile
/// Copies a file with its permissions, over one that exists; `flags` is COPYFILE_* of
/// `ringcore::sqe`. Done where both are the same file, which stays as it is. A copy that fails, or
/// is cancelled, removes a destination that it has written to. Runs on the lane, not in a chain.
///
/// Man: copy_file_range(2), ioctl_ficlonerange(2). Kernel: 5.18.
pub fn copy_file(from: impl AsRef<Path>, to: impl AsRef<Path>, flags: u32) -> Op<Fields<()>> {
  let (from, to) = (from.as_ref(), to.as_ref());
  let sqe = Sqe { op_flags: flags, ..Fd::Raw(-1).on(LANE_OP_COPY_FILE) };
  let paths = (Some(from.into()), Some(to.into()));
  Fields::with(sqe, two_paths(from, to), "copyfile", paths, nothing)
}

// PAIR: copyTree
/// Copies a folder and everything in it to where nothing is: folders, files and symbolic links,
/// with their permissions. `flags` is COPYFILE_OWNER and COPYTREE_* of `ringcore::sqe`. What is
/// none of these in it is EOPNOTSUPP, a name that is no UTF-8 EILSEQ. A copy that fails removes
/// what it has made; one that is cancelled leaves it. Runs on the lane, not in a chain.
///
/// Man: copy_file_range(2), openat2(2). Kernel: 5.18.
pub fn copy_tree(from: impl AsRef<Path>, to: impl AsRef<Path>, flags: u32) -> Op<Fields<()>> {
  let (from, to) = (from.as_ref(), to.as_ref());
  let sqe = Sqe { op_flags: flags, ..Fd::Raw(-1).on(LANE_OP_COPY_TREE) };
  let paths = (Some(from.into()), Some(to.into()));
  Fields::with(sqe, two_paths(from, to), "cp", paths, nothing)
}

// PAIR: removeTree
/// Removes a folder and everything in it. Links are removed, never followed; one as the path
/// itself is an error. What others remove meanwhile is none, a name that is no UTF-8 is EILSEQ.
/// What fails or is cancelled leaves the rest. Runs on the lane, not in a chain.
///
/// Man: unlinkat(2), openat2(2). Kernel: 5.18.
pub fn remove_tree(path: impl AsRef<Path>) -> Op<Fields<()>> {
  let path = path.as_ref();
  let sqe = Fd::Raw(-1).on(LANE_OP_REMOVE_TREE);
  Fields::with(sqe, path_input(path), "rm", (Some(path.into()), None), nothing)
}

// PAIR: only-rust openatDirect -- TypeScript passes { direct } to op.openat
/// The same into a slot of the ring's table, without a descriptor of the process and without
/// O_CLOEXEC. What fails leaves the slot as it was.
///
/// Man: io_uring_prep_openat_direct(3), openat(2). Kernel: 5.19.
pub fn openat_direct(
  dirfd: i32,
  path: impl AsRef<Path>,
  flags: i32,
  mode: u32,
  direct: &Direct,
) -> Op<Fields<()>> {
  let path = path.as_ref();
  let op_flags = (flags & !libc::O_CLOEXEC) as u32;
  let sqe = Sqe { len: mode, op_flags, ..Fd::Raw(dirfd).on(IORING_OP_OPENAT) };
  let sqe = direct.id().fill(sqe);
  Fields::with(sqe, path_input(path), "open", (Some(path.into()), None), nothing)
}

// PAIR: only-rust openat2Direct -- TypeScript passes { direct } to op.openat2
/// `openat2` into a slot of the ring's table, as `openat_direct`.
///
/// Man: io_uring_prep_openat2_direct(3), openat2(2). Kernel: 5.19.
pub fn openat2_direct(
  dirfd: i32,
  path: impl AsRef<Path>,
  how: OpenHow,
  direct: &Direct,
) -> Op<Fields<()>> {
  let path = path.as_ref();
  let how = OpenHow { flags: how.flags & !(libc::O_CLOEXEC as u64), ..how };
  let sqe = Sqe { len: HOW_BYTES, ..Fd::Raw(dirfd).on(IORING_OP_OPENAT2) };
  let sqe = direct.id().fill(sqe);
  Fields::with(sqe, how_input(how, path), "open", (Some(path.into()), None), nothing)
}
