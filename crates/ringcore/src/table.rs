//! The operation table: probe, docs, constants and the reading of descriptors come from here.
//! Pair: src/table.ts
//!
//! The TypeScript twin is generated from this file (`npm run constants`), and so is the table in
//! docs/kernel.md.

use crate::sqe::*;

/// What `addr` and `off` of an entry point to. Rust makes every address itself (I1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
  /// Nothing: `addr` and `off` are numbers.
  Nothing,
  /// addr: `len` bytes of a region.
  Bytes,
  /// addr: one iovec over bytes of a region; they are copied, so that one is enough.
  Vector,
  /// addr: `len` bytes of a region; off: the receiver's address, an input.
  BytesTo,
  /// addr: a path, an input.
  Path,
  /// addr and off: two paths.
  TwoPaths,
  /// addr: a path; off: a struct open_how, which comes before it in the input.
  PathHow,
  /// addr: a path; off: a struct statx in a region, which the kernel writes.
  PathStat,
  /// addr: a timespec made of words.
  Time,
  /// addr: the target's user_data; off: a timespec made of words.
  TargetTime,
  /// addr: the target's user_data.
  Target,
  /// addr: a socket address, an input; off: its length.
  Address,
  /// addr: room for a socket address in a region; off: its length, there as well.
  AddressOut,
  /// addr: a msghdr over a region: name, control data, payload.
  Message,
  /// The same; its lengths and flags are copied into the region when it has completed.
  MessageOut,
}

/// Bits of `OpInfo::takes`: fields of the entry that a descriptor sets as they are. The kernel
/// judges them; none of them can be an address.
pub mod takes {
  /// `off`, a number.
  pub const OFF: u8 = 1;
  /// `len`.
  pub const LEN: u8 = 2;
  /// `op_flags`: rw_flags and its siblings.
  pub const FLAGS: u8 = 4;
  /// `addr`, a number.
  pub const ADDR: u8 = 8;
  /// `ioprio`.
  pub const IOPRIO: u8 = 16;
  /// `buf_index`: a registered buffer, or with IOSQE_BUFFER_SELECT a group.
  pub const BUF: u8 = 32;
  /// `file_index`: a direct slot, or the source of a splice.
  pub const FILE: u8 = 64;
}
use takes::*;

/// What the table knows of one operation.
#[derive(Clone, Copy, Debug)]
pub struct OpInfo {
  /// Name in `op.*`, in `probe().ops` and in the docs.
  pub name: &'static str,
  pub opcode: u32,
  /// First kernel that has it.
  pub kernel: &'static str,
  /// An opcode of the same kernel or the next one: a variant of an older opcode is there when this
  /// one is, and so is an operation of the lane.
  pub witness: u32,
  /// Its result is a new file descriptor, which somebody must close (I3).
  pub opens: bool,
  /// Node's name of the system call in error messages.
  pub syscall: &'static str,
  /// The man page beside io_uring_prep_*(3).
  pub man: &'static str,
  pub memory: Memory,
  pub takes: u8,
}

/// An operation that moves no bytes and is named like its system call.
const fn row(name: &'static str, opcode: u32, kernel: &'static str, man: &'static str) -> OpInfo {
  let opens =
    matches!(opcode, IORING_OP_OPENAT | IORING_OP_OPENAT2 | IORING_OP_SOCKET | IORING_OP_ACCEPT);
  let (memory, takes, witness) = (Memory::Nothing, 0, opcode);
  OpInfo { name, opcode, kernel, witness, opens, syscall: name, man, memory, takes }
}

impl OpInfo {
  const fn moves(self, memory: Memory, takes: u8) -> OpInfo {
    OpInfo { memory, takes, ..self }
  }

  const fn takes(self, takes: u8) -> OpInfo {
    OpInfo { takes, ..self }
  }

  const fn call(self, syscall: &'static str) -> OpInfo {
    OpInfo { syscall, ..self }
  }
}

/// A variant of an opcode that came later than the opcode.
const fn variant(
  name: &'static str,
  of: OpInfo,
  kernel: &'static str,
  witness: u32,
  syscall: &'static str,
) -> OpInfo {
  OpInfo { name, kernel, witness, syscall, ..of }
}

#[rustfmt::skip]
const POLL: OpInfo = row("pollAdd", IORING_OP_POLL_ADD, "5.1", "poll(2)")
    .call("poll").takes(FLAGS | LEN);
#[rustfmt::skip]
const TIMEOUT: OpInfo = row("timeout", IORING_OP_TIMEOUT, "5.4", "io_uring_prep_timeout(3)")
    .moves(Memory::Time, FLAGS);
#[rustfmt::skip]
const CANCEL: OpInfo = row("cancel", IORING_OP_ASYNC_CANCEL, "5.5", "io_uring_prep_cancel(3)")
    .moves(Memory::Target, FLAGS);
#[rustfmt::skip]
const FSYNC: OpInfo = row("fsync", IORING_OP_FSYNC, "5.1", "fsync(2)")
    .takes(FLAGS);
#[rustfmt::skip]
const ACCEPT: OpInfo = row("accept", IORING_OP_ACCEPT, "5.5", "accept4(2)")
    .moves(Memory::AddressOut, FLAGS | IOPRIO | FILE);
#[rustfmt::skip]
const RECV: OpInfo = row("recv", IORING_OP_RECV, "5.6", "recv(2)")
    .moves(Memory::Bytes, FLAGS | IOPRIO | BUF);

// PAIR: OPS
/// Every operation that has a constructor, oldest first. The first row of an opcode says how its
/// descriptors are read.
#[rustfmt::skip]
pub const OPS: &[OpInfo] = &[
  row("nop", IORING_OP_NOP, "5.1", "io_uring_prep_nop(3)")
    .takes(LEN | FLAGS),
  row("readv", IORING_OP_READV, "5.1", "preadv2(2)")
    .call("read").moves(Memory::Vector, OFF | FLAGS),
  row("writev", IORING_OP_WRITEV, "5.1", "pwritev2(2)")
    .call("write").moves(Memory::Vector, OFF | FLAGS),
  FSYNC,
  variant("fdatasync", FSYNC, "5.1", IORING_OP_FSYNC, "fdatasync"),
  row("readFixed", IORING_OP_READ_FIXED, "5.1", "pread(2)")
    .call("read").moves(Memory::Bytes, OFF | FLAGS | BUF),
  row("writeFixed", IORING_OP_WRITE_FIXED, "5.1", "pwrite(2)")
    .call("write").moves(Memory::Bytes, OFF | FLAGS | BUF),
  POLL,
  row("pollRemove", IORING_OP_POLL_REMOVE, "5.1", "poll(2)")
    .call("poll").moves(Memory::Target, FLAGS | LEN),
  row("sendmsg", IORING_OP_SENDMSG, "5.3", "sendmsg(2)")
    .moves(Memory::Message, FLAGS | IOPRIO),
  row("recvmsg", IORING_OP_RECVMSG, "5.3", "recvmsg(2)")
    .moves(Memory::MessageOut, FLAGS | IOPRIO),
  TIMEOUT,
  ACCEPT,
  CANCEL,
  row("withTimeout", IORING_OP_LINK_TIMEOUT, "5.5", "io_uring_prep_link_timeout(3)")
    .call("timeout").moves(Memory::Time, FLAGS),
  row("connect", IORING_OP_CONNECT, "5.5", "connect(2)")
    .moves(Memory::Address, 0),
  row("fallocate", IORING_OP_FALLOCATE, "5.6", "fallocate(2)")
    .takes(OFF | ADDR | LEN),
  row("openat", IORING_OP_OPENAT, "5.6", "openat(2)")
    .call("open").moves(Memory::Path, FLAGS | LEN | FILE),
  row("close", IORING_OP_CLOSE, "5.6", "close(2)")
    .takes(FILE),
  row("statx", IORING_OP_STATX, "5.6", "statx(2)")
    .call("stat").moves(Memory::PathStat, FLAGS | LEN),
  row("read", IORING_OP_READ, "5.6", "pread(2)")
    .moves(Memory::Bytes, OFF | FLAGS | BUF),
  row("write", IORING_OP_WRITE, "5.6", "pwrite(2)")
    .moves(Memory::Bytes, OFF | FLAGS),
  row("fadvise", IORING_OP_FADVISE, "5.6", "posix_fadvise(2)")
    .takes(OFF | ADDR | LEN | FLAGS),
  row("send", IORING_OP_SEND, "5.6", "send(2)")
    .moves(Memory::BytesTo, FLAGS | IOPRIO),
  RECV,
  row("openat2", IORING_OP_OPENAT2, "5.6", "openat2(2)")
    .call("open").moves(Memory::PathHow, FILE),
  row("splice", IORING_OP_SPLICE, "5.7", "splice(2)")
    .takes(OFF | ADDR | LEN | FLAGS | FILE),
  row("tee", IORING_OP_TEE, "5.8", "tee(2)")
    .takes(LEN | FLAGS | FILE),
  row("shutdown", IORING_OP_SHUTDOWN, "5.11", "shutdown(2)")
    .takes(LEN),
  row("renameat", IORING_OP_RENAMEAT, "5.11", "renameat2(2)")
    .call("rename").moves(Memory::TwoPaths, LEN | FLAGS),
  row("unlinkat", IORING_OP_UNLINKAT, "5.11", "unlinkat(2)")
    .call("unlink").moves(Memory::Path, FLAGS),
  OpInfo {
    takes: FLAGS,
    memory: Memory::TargetTime,
    opcode: IORING_OP_TIMEOUT_REMOVE,
    ..variant("timeoutUpdate", TIMEOUT, "5.11", IORING_OP_UNLINKAT, "timeout")
  },
  variant("pollMultishot", POLL, "5.13", IORING_OP_MKDIRAT, "poll"),
  row("mkdirat", IORING_OP_MKDIRAT, "5.15", "mkdirat(2)")
    .call("mkdir").moves(Memory::Path, LEN),
  row("symlinkat", IORING_OP_SYMLINKAT, "5.15", "symlinkat(2)")
    .call("symlink").moves(Memory::TwoPaths, 0),
  row("linkat", IORING_OP_LINKAT, "5.15", "linkat(2)")
    .call("link").moves(Memory::TwoPaths, LEN | FLAGS),
  OpInfo {
    witness: IORING_OP_MSG_RING,
    ..row("copyFile", LANE_OP_COPY_FILE, "5.18", "copy_file_range(2)")
      .call("copyfile").moves(Memory::TwoPaths, FLAGS)
  },
  OpInfo {
    witness: IORING_OP_MSG_RING,
    ..row("copyTree", LANE_OP_COPY_TREE, "5.18", "copy_file_range(2)")
      .call("cp").moves(Memory::TwoPaths, FLAGS)
  },
  OpInfo {
    witness: IORING_OP_MSG_RING,
    ..row("removeTree", LANE_OP_REMOVE_TREE, "5.18", "unlinkat(2)")
      .call("rm").moves(Memory::Path, 0)
  },
  row("socket", IORING_OP_SOCKET, "5.19", "socket(2)")
    .takes(OFF | LEN | FLAGS | FILE),
  variant("acceptMultishot", ACCEPT, "5.19", IORING_OP_SOCKET, "accept"),
  variant("cancelFd", CANCEL, "5.19", IORING_OP_SOCKET, "cancel"),
  row("sendZc", IORING_OP_SEND_ZC, "6.0", "send(2)")
    .call("send").moves(Memory::BytesTo, FLAGS | IOPRIO | BUF),
  variant("recvMultishot", RECV, "6.0", IORING_OP_SEND_ZC, "recv"),
  variant("timeoutMultishot", TIMEOUT, "6.4", IORING_OP_FUTEX_WAIT, "timeout"),
  row("ftruncate", IORING_OP_FTRUNCATE, "6.9", "ftruncate(2)")
    .takes(OFF),
  row("bind", IORING_OP_BIND, "6.11", "bind(2)")
    .moves(Memory::Address, 0),
  row("listen", IORING_OP_LISTEN, "6.11", "listen(2)")
    .takes(LEN),
];

/// The first row of every opcode, by opcode.
const BY_OPCODE: [Option<OpInfo>; 128] = {
  let mut by_opcode = [None; 128];
  let mut index = OPS.len();
  while index > 0 {
    index -= 1;
    by_opcode[OPS[index].opcode as usize] = Some(OPS[index]);
  }
  by_opcode
};

static INFO: [Option<OpInfo>; 128] = BY_OPCODE;

/// What the table knows of an opcode.
pub fn info(opcode: u32) -> Option<&'static OpInfo> {
  INFO.get(opcode as usize)?.as_ref()
}

/// Whether a successful result of this entry is a file descriptor (I3); a direct one is not.
pub fn opens(sqe: &Sqe) -> bool {
  sqe.file_index == 0 && info(sqe.opcode as u32).is_some_and(|info| info.opens)
}
