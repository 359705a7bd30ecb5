//! Errors: one enum, each with a stable code.
//! Pair: src/error.ts
//!
//! Codes of our own start with ERR_RINGCORE_; everything the kernel says keeps its errno name.

use crate::address::Address;
use crate::sqe::{ERRNO_NOT_ALLOWED, ERRNO_UNSUPPORTED_OP};
use crate::table::{info, OpInfo, OPS};
use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that can go wrong. `code()` is the stable name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
  /// The kernel's answer to one operation.
  Os {
    errno: i32,
    syscall: &'static str,
    path: Option<PathBuf>,
    /// Of operations on two paths the second.
    dest: Option<PathBuf>,
  },
  /// The kernel's answer to an operation on a socket.
  Net { errno: i32, syscall: &'static str, address: Option<Address> },
  /// The operation or task was aborted, and its result reached nobody.
  Abort,
  /// A timeout passed first.
  Timeout,
  /// io_uring is refused here.
  Unavailable { reason: String, advice: String },
  /// This kernel lacks one operation.
  UnsupportedOp { name: &'static str, kernel: &'static str },
  /// The runtime was made with an allow list that lacks this operation.
  NotAllowed { name: &'static str, allowed: Vec<&'static str> },
  /// A future, memory or handle of another runtime.
  WrongRuntime,
  /// The ring belongs to another thread (I6).
  WrongThread,
  /// The runtime is closed.
  Closed,
  /// No memory for a region, or `memory_limit` reached.
  Memory { wanted: usize, limit: usize },
  /// Memory that is registered counts against RLIMIT_MEMLOCK, whose value is `limit`.
  Locked { wanted: usize, limit: u64 },
  /// The file ended before the buffer was full.
  UnexpectedEnd { read: usize },
  /// Bytes that are no UTF-8, from this one on.
  NotUtf8 { at: usize },
  /// An argument out of its range; nothing was submitted.
  Invalid(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
  // PAIR: only-rust Error.code -- a TypeScript error carries its code as a property
  /// The stable code: an errno name for the kernel's answers, otherwise as in the TypeScript twin.
  pub fn code(&self) -> &'static str {
    match self {
      Error::Os { errno, .. } | Error::Net { errno, .. } => errno_name(*errno),
      Error::Abort => "ABORT_ERR",
      Error::Timeout => "ETIMEDOUT",
      Error::Unavailable { .. } => "ERR_RINGCORE_UNAVAILABLE",
      Error::UnsupportedOp { .. } => "ERR_RINGCORE_UNSUPPORTED_OP",
      Error::NotAllowed { .. } => "EACCES",
      Error::WrongRuntime => "ERR_RINGCORE_WRONG_RUNTIME",
      Error::WrongThread => "ERR_RINGCORE_WRONG_THREAD",
      Error::Closed => "ERR_RINGCORE_CLOSED",
      Error::Memory { .. } | Error::Locked { .. } => "ERR_RINGCORE_MEMORY",
      Error::UnexpectedEnd { .. } => "ERR_RINGCORE_UNEXPECTED_END",
      Error::NotUtf8 { .. } => "ERR_ENCODING_INVALID_ENCODED_DATA",
      Error::Invalid(_) => "ERR_OUT_OF_RANGE",
    }
  }

  /// The same error with the path it was about.
  pub fn with_path(self, about: &Path) -> Error {
    match self {
      Error::Os { errno, syscall, dest, .. } => {
        Error::Os { errno, syscall, path: Some(about.into()), dest }
      }
      other => other,
    }
  }

  /// The same error with the second path it was about.
  pub fn with_dest(self, about: &Path) -> Error {
    match self {
      Error::Os { errno, syscall, path, .. } => {
        Error::Os { errno, syscall, path, dest: Some(about.into()) }
      }
      other => other,
    }
  }
}

// PAIR: errnoError
/// The error of a negative result.
pub fn errno_error(errno: i32, syscall: &'static str) -> Error {
  if errno >= ERRNO_NOT_ALLOWED as i32 {
    return not_allowed_error(errno as u32 - ERRNO_NOT_ALLOWED);
  }
  if errno == ERRNO_UNSUPPORTED_OP as i32 {
    let info = OPS.iter().find(|op| op.syscall == syscall);
    let (name, kernel) = info.map_or((syscall, "a newer version"), |op| (op.name, op.kernel));
    return Error::UnsupportedOp { name, kernel };
  }
  Error::Os { errno, syscall, path: None, dest: None }
}

// PAIR: hostError
/// The error of a negative result of a socket, with the address it was about.
pub fn host_error(errno: i32, syscall: &'static str, address: Option<&Address>) -> Error {
  Error::Net { errno, syscall, address: address.cloned() }
}

// PAIR: notAllowedError
/// An operation that the runtime's allow list lacks. Made while the runtime polls, which knows it.
pub fn not_allowed_error(opcode: u32) -> Error {
  let ring = crate::executor::current().ok();
  let allow = ring.and_then(|executor| executor.reactor.try_borrow().ok()?.ring.allow);
  let has = |op: &&OpInfo| allow.is_some_and(|allow| allow.has(op.opcode));
  let allowed = OPS.iter().filter(has).map(|op| op.name).collect();
  Error::NotAllowed { name: info(opcode).map_or("this operation", |op| op.name), allowed }
}

impl fmt::Display for Error {
  fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match self {
      Error::Os { errno, syscall, path, dest } => {
        write!(f, "{}: {}, {}", errno_name(*errno), errno_text(*errno), syscall)?;
        if let Some(path) = path {
          write!(f, " '{}'", path.display())?;
        }
        match dest {
          Some(dest) => write!(f, " -> '{}'", dest.display()),
          None => Ok(()),
        }
      }
      Error::Net { errno, syscall, address } => {
        write!(f, "{syscall} {}", errno_name(*errno))?;
        address.as_ref().map_or(Ok(()), |address| write!(f, " {address}"))
      }
      Error::Abort => write!(f, "The operation was aborted"),
      Error::Timeout => write!(f, "The operation timed out"),
      Error::Unavailable { reason, advice } => {
        write!(f, "io_uring is not available: {reason}. {advice}")
      }
      Error::UnsupportedOp { name, kernel } => {
        write!(f, "this kernel has no {name}: it came with Linux {kernel}")
      }
      Error::NotAllowed { name, allowed } => {
        let list = allowed.join(", ");
        write!(f, "EACCES: permission denied, {name} is not in the runtime's allow list ({list})")
      }
      Error::WrongRuntime => write!(f, "this belongs to another runtime"),
      Error::WrongThread => write!(f, "a ring may be used only by the thread that made it"),
      Error::Closed => write!(f, "the runtime is closed"),
      Error::Memory { wanted, limit } => {
        write!(f, "no memory for {wanted} more bytes of regions (limit {limit})")
      }
      Error::Locked { wanted, limit } => write!(
        f,
        "{wanted} bytes cannot be registered: ENOMEM, RLIMIT_MEMLOCK is {limit} bytes. Raise \
         `ulimit -l`, or use memory that is not registered"
      ),
      Error::UnexpectedEnd { read } => write!(f, "the file ended after {read} bytes"),
      Error::NotUtf8 { at } => write!(f, "byte {at} is no UTF-8"),
      Error::Invalid(what) => write!(f, "{what}"),
    }
  }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
  fn from(error: Error) -> std::io::Error {
    match error {
      Error::Os { errno, path: None, .. } | Error::Net { errno, address: None, .. } => {
        std::io::Error::from_raw_os_error(errno)
      }
      other => std::io::Error::other(other.to_string()),
    }
  }
}

/// The errno names that ring set-up and the operations here can answer with.
const ERRNO_NAMES: &[(i32, &str)] = &[
  (libc::EPERM, "EPERM"),
  (libc::ENOENT, "ENOENT"),
  (libc::EINTR, "EINTR"),
  (libc::EIO, "EIO"),
  (libc::ENXIO, "ENXIO"),
  (libc::EBADF, "EBADF"),
  (libc::EAGAIN, "EAGAIN"),
  (libc::ENOMEM, "ENOMEM"),
  (libc::EACCES, "EACCES"),
  (libc::EFAULT, "EFAULT"),
  (libc::EBUSY, "EBUSY"),
  (libc::EEXIST, "EEXIST"),
  (libc::EXDEV, "EXDEV"),
  (libc::ENODEV, "ENODEV"),
  (libc::ENOTDIR, "ENOTDIR"),
  (libc::EISDIR, "EISDIR"),
  (libc::EINVAL, "EINVAL"),
  (libc::ENFILE, "ENFILE"),
  (libc::EMFILE, "EMFILE"),
  (libc::ETXTBSY, "ETXTBSY"),
  (libc::EFBIG, "EFBIG"),
  (libc::ENOSPC, "ENOSPC"),
  (libc::ESPIPE, "ESPIPE"),
  (libc::EROFS, "EROFS"),
  (libc::EMLINK, "EMLINK"),
  (libc::EPIPE, "EPIPE"),
  (libc::ENAMETOOLONG, "ENAMETOOLONG"),
  (libc::ENOSYS, "ENOSYS"),
  (libc::ENOTEMPTY, "ENOTEMPTY"),
  (libc::ELOOP, "ELOOP"),
  (libc::ETIME, "ETIME"),
  (libc::EOVERFLOW, "EOVERFLOW"),
  (libc::EILSEQ, "EILSEQ"),
  (libc::EBADR, "EBADR"),
  (libc::EOPNOTSUPP, "EOPNOTSUPP"),
  (libc::ENOBUFS, "ENOBUFS"),
  (libc::ETIMEDOUT, "ETIMEDOUT"),
  (libc::EALREADY, "EALREADY"),
  (libc::ECANCELED, "ECANCELED"),
  (libc::EDQUOT, "EDQUOT"),
  (libc::ENOTSOCK, "ENOTSOCK"),
  (libc::EDESTADDRREQ, "EDESTADDRREQ"),
  (libc::EMSGSIZE, "EMSGSIZE"),
  (libc::EPROTOTYPE, "EPROTOTYPE"),
  (libc::ENOPROTOOPT, "ENOPROTOOPT"),
  (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
  (libc::ESOCKTNOSUPPORT, "ESOCKTNOSUPPORT"),
  (libc::EAFNOSUPPORT, "EAFNOSUPPORT"),
  (libc::EADDRINUSE, "EADDRINUSE"),
  (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
  (libc::ENETDOWN, "ENETDOWN"),
  (libc::ENETUNREACH, "ENETUNREACH"),
  (libc::ECONNABORTED, "ECONNABORTED"),
  (libc::ECONNRESET, "ECONNRESET"),
  (libc::EISCONN, "EISCONN"),
  (libc::ENOTCONN, "ENOTCONN"),
  (libc::ECONNREFUSED, "ECONNREFUSED"),
  (libc::EHOSTUNREACH, "EHOSTUNREACH"),
  (libc::EINPROGRESS, "EINPROGRESS"),
];

/// The name of an errno, `UNKNOWN` where the table has none.
pub fn errno_name(errno: i32) -> &'static str {
  ERRNO_NAMES.iter().find(|(number, _)| *number == errno).map_or("UNKNOWN", |(_, name)| name)
}

/// The C library's text of an errno.
fn errno_text(errno: i32) -> String {
  let text = std::io::Error::from_raw_os_error(errno).to_string();
  text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
