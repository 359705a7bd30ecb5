//! Submission queue entries, the operation table, and the descriptor that TypeScript writes.
//! Pair: src/sqe.ts
//!
//! The TypeScript twin is generated from this file (`npm run constants`): numbers have one home.
//!
//! ```text
//! struct io_uring_sqe, 64 bytes (io_uring_enter(2)); names are the kernel's
//! offset size field        read by
//!  0      1   opcode       everything
//!  1      1   flags        IOSQE_*
//!  2      2   ioprio       accept, recv, send; otherwise 0
//!  4      4   fd           the file, or the directory of a path
//!  8      8   off          file offset; -1 is the file position; target of some
//! 16      8   addr         buffer, path, timespec; user_data of a cancel's target
//! 24      4   len          bytes, mode, count
//! 28      4   op_flags     rw_flags, open_flags, timeout_flags, cancel_flags, poll events
//! 32      8   user_data    ours: owner bit, generation, slot (I4)
//! 40      2   buf_index    registered buffer or buffer group
//! 42      2   personality
//! 44      4   file_index   direct descriptor slot, splice_fd_in
//! 48      8   addr3
//! 56      8   resv
//! ```

use io_uring::squeue;

/// One submission queue entry with the kernel's field names.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Sqe {
  pub opcode: u8,
  pub flags: u8,
  pub ioprio: u16,
  pub fd: i32,
  pub off: u64,
  pub addr: u64,
  pub len: u32,
  pub op_flags: u32,
  pub user_data: u64,
  pub buf_index: u16,
  pub personality: u16,
  pub file_index: u32,
  pub addr3: u64,
  pub resv: u64,
}

const _: () = assert!(std::mem::size_of::<Sqe>() == 64);
const _: () = assert!(std::mem::size_of::<Sqe>() == std::mem::size_of::<squeue::Entry>());
const _: () = assert!(std::mem::align_of::<Sqe>() == std::mem::align_of::<squeue::Entry>());
const _: () = assert!(std::mem::offset_of!(Sqe, off) == 8);
const _: () = assert!(std::mem::offset_of!(Sqe, addr) == 16);
const _: () = assert!(std::mem::offset_of!(Sqe, user_data) == 32);
const _: () = assert!(std::mem::offset_of!(Sqe, file_index) == 44);

impl Sqe {
  /// The same 64 bytes as the `io-uring` crate's opaque entry.
  #[allow(unsafe_code)]
  pub(crate) fn entry(&self) -> &squeue::Entry {
    // SAFETY: I1 is not touched, no address is read. Both types are `repr(C)` views of the 64 byte
    // `struct io_uring_sqe`; size and alignment are asserted above, and every bit pattern is valid.
    unsafe { &*(self as *const Sqe).cast::<squeue::Entry>() }
  }

  /// Bytes that the kernel would move on the calling thread if this completes inline. One enter
  /// cannot be interrupted, so the ring caps their sum (I8).
  pub fn inline_bytes(&self) -> usize {
    let moves = matches!(self.opcode as u32, IORING_OP_READ | IORING_OP_WRITE);
    if moves && self.flags as u32 & IOSQE_ASYNC == 0 {
      self.len as usize
    } else {
      0
    }
  }
}

/// A named number as the generator of the TypeScript twin prints it.
pub struct Constant {
  pub name: &'static str,
  pub value: u32,
  pub doc: &'static str,
}

/// Declares constants once; their names, values and docs also go into a table for the generator.
macro_rules! constants {
  ($table:ident; $($(#[doc = $doc:literal])+ $name:ident = $value:expr;)*) => {
    $($(#[doc = $doc])+ pub const $name: u32 = $value;)*
    /// The constants above, for the generator of the TypeScript twin.
    pub const $table: &[$crate::sqe::Constant] = &[
      $($crate::sqe::Constant { name: stringify!($name), value: $name, doc: concat!($($doc),+) },)*
    ];
  };
}
pub(crate) use constants;

constants! { SQE_CONSTANTS;
  /// No operation.
  IORING_OP_NOP = 0;
  /// Waits for events on a file.
  IORING_OP_POLL_ADD = 6;
  /// A timer.
  IORING_OP_TIMEOUT = 11;
  /// Cancels an operation in flight.
  IORING_OP_ASYNC_CANCEL = 14;
  /// Opens a path.
  IORING_OP_OPENAT = 18;
  /// Closes a descriptor.
  IORING_OP_CLOSE = 19;
  /// Reads into one buffer.
  IORING_OP_READ = 22;
  /// Writes from one buffer.
  IORING_OP_WRITE = 23;
  /// IOSQE flag: always hand the operation to an io-wq worker thread.
  IOSQE_ASYNC = 1 << 4;
  /// nop_flags: complete with the result in `len`. Kernel 6.11.
  IORING_NOP_INJECT_RESULT = 1 << 0;
  /// nop_flags: complete through task work instead of inline. Kernel 6.16.
  IORING_NOP_TW = 1 << 4;
  /// One SQE moves at most this many copied bytes: a running io-wq transfer cannot be cancelled, so
  /// its length bounds how long teardown waits (I7).
  MAX_TRANSFER = 1 << 20;
  /// Reads longer than this go to io-wq: a cached read runs on the calling thread (I8).
  INLINE_READ = 256 << 10;
  /// Words (u32) in a descriptor.
  DESCRIPTOR_WORDS = 16;
  /// Descriptor word: the opcode.
  D_OPCODE = 0;
  /// Descriptor word: reserved flags, 0.
  D_FLAGS = 1;
  /// Descriptor word: file descriptor, or directory of a path.
  D_FD = 2;
  /// Descriptor word: region id, or `NO_REGION`.
  D_REGION = 3;
  /// Descriptor word: first byte in the region, or of a path in the inputs area.
  D_REGION_OFFSET = 4;
  /// Descriptor word: bytes; for openat the path with its NUL.
  D_LENGTH = 5;
  /// Descriptor word: low half of the file offset (timeout: seconds).
  D_OFFSET_LO = 6;
  /// Descriptor word: high half of the file offset (timeout: seconds).
  D_OFFSET_HI = 7;
  /// Descriptor word: rw_flags, open_flags, nop_flags, poll events; cancel: the target's ticket.
  D_WORD0 = 8;
  /// Descriptor word: openat: mode; timeout: nanoseconds.
  D_WORD1 = 9;
  /// Descriptor word: reserved, 0.
  D_WORD2 = 10;
  /// Descriptor word: IOSQE_* flags of the entry; only `IOSQE_ASYNC` is allowed.
  D_SQE_FLAGS = 11;
  /// Descriptor word: the ticket that the completion carries, or `NO_TICKET`.
  D_TICKET = 12;
  /// As a negative result: this kernel lacks the opcode. No errno of Linux is that large.
  ERRNO_UNSUPPORTED_OP = 4000;
  /// In `D_REGION`: the operation moves no bytes.
  NO_REGION = 0xffff_ffff;
  /// In `D_TICKET`: nobody waits for the completion.
  NO_TICKET = 0xffff_ffff;
}

/// What the table knows of one operation.
pub struct OpInfo {
  /// Name in `op.*`, in `probe().ops` and in the docs.
  pub name: &'static str,
  pub opcode: u32,
  /// First kernel that has it.
  pub kernel: &'static str,
  /// Its result is a new file descriptor, which somebody must close (I3).
  pub opens: bool,
  /// Node's name of the system call in error messages.
  pub syscall: &'static str,
}

// PAIR: OPS
/// Every operation that has a constructor. The probe, the constants and the docs come from here.
pub const OPS: &[OpInfo] = &[
  op_info("nop", IORING_OP_NOP, "5.1", false, "nop"),
  op_info("pollAdd", IORING_OP_POLL_ADD, "5.1", false, "poll"),
  op_info("timeout", IORING_OP_TIMEOUT, "5.4", false, "timeout"),
  op_info("cancel", IORING_OP_ASYNC_CANCEL, "5.5", false, "cancel"),
  op_info("openat", IORING_OP_OPENAT, "5.6", true, "open"),
  op_info("close", IORING_OP_CLOSE, "5.6", false, "close"),
  op_info("read", IORING_OP_READ, "5.6", false, "read"),
  op_info("write", IORING_OP_WRITE, "5.6", false, "write"),
];

const fn op_info(
  name: &'static str,
  opcode: u32,
  kernel: &'static str,
  opens: bool,
  syscall: &'static str,
) -> OpInfo {
  OpInfo { name, opcode, kernel, opens, syscall }
}

/// Whether a successful result of this opcode is a file descriptor (I3).
pub fn opens(opcode: u8) -> bool {
  OPS.iter().any(|info| info.opcode == opcode as u32 && info.opens)
}
