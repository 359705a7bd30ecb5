//! Submission queue entries, and the descriptor that TypeScript writes.
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

  /// Says which ring knows what it names by an index: `resv` carries that until the ring has looked
  /// and cleared it. Two rings at once are none.
  pub(crate) fn for_ring(self, ring: u32) -> Sqe {
    let before = (self.resv >> 32) as u32;
    let named = if before == 0 || before == ring { ring } else { u32::MAX };
    Sqe { resv: ((named as u64) << 32) | (self.resv & 0xffff_ffff), ..self }
  }

  /// Bytes that the kernel would move on the calling thread if this completes inline. One enter
  /// cannot be interrupted, so the ring caps their sum (I8). A vector's lengths are in its input, a
  /// message's iovec is the end of its.
  pub fn inline_bytes(&self, input: Option<&[u8]>) -> usize {
    if self.flags as u32 & IOSQE_ASYNC != 0 {
      return 0;
    }
    let length = |iovec: &[u8]| u64::from_ne_bytes(iovec[8..].try_into().expect("16")) as usize;
    match self.opcode as u32 {
      IORING_OP_READ
      | IORING_OP_WRITE
      | IORING_OP_READ_FIXED
      | IORING_OP_WRITE_FIXED
      | IORING_OP_SEND
      | IORING_OP_RECV
      | IORING_OP_SEND_ZC => self.len as usize,
      IORING_OP_READV | IORING_OP_WRITEV => {
        input.map_or(0, |iovecs| iovecs.chunks_exact(16).map(length).sum())
      }
      IORING_OP_SENDMSG | IORING_OP_RECVMSG => {
        input.and_then(|bytes| bytes.last_chunk::<16>()).map_or(0, |iovec| length(iovec))
      }
      _ => 0,
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
  /// Reads into several buffers.
  IORING_OP_READV = 1;
  /// Writes from several buffers.
  IORING_OP_WRITEV = 2;
  /// Brings a file to the disk.
  IORING_OP_FSYNC = 3;
  /// Reads into a registered buffer.
  IORING_OP_READ_FIXED = 4;
  /// Writes from a registered buffer.
  IORING_OP_WRITE_FIXED = 5;
  /// Waits for events on a file.
  IORING_OP_POLL_ADD = 6;
  /// Ends or changes a poll in flight.
  IORING_OP_POLL_REMOVE = 7;
  /// Sends with an address and control messages.
  IORING_OP_SENDMSG = 9;
  /// Receives with an address and control messages.
  IORING_OP_RECVMSG = 10;
  /// A timer.
  IORING_OP_TIMEOUT = 11;
  /// Ends or changes a timer in flight.
  IORING_OP_TIMEOUT_REMOVE = 12;
  /// Takes a connection.
  IORING_OP_ACCEPT = 13;
  /// Cancels an operation in flight.
  IORING_OP_ASYNC_CANCEL = 14;
  /// A time limit on the operation before it in a chain.
  IORING_OP_LINK_TIMEOUT = 15;
  /// Connects a socket.
  IORING_OP_CONNECT = 16;
  /// Reserves or frees space in a file.
  IORING_OP_FALLOCATE = 17;
  /// Opens a path.
  IORING_OP_OPENAT = 18;
  /// Closes a descriptor.
  IORING_OP_CLOSE = 19;
  /// Asks for the metadata of a path or a descriptor.
  IORING_OP_STATX = 21;
  /// Reads into one buffer.
  IORING_OP_READ = 22;
  /// Writes from one buffer.
  IORING_OP_WRITE = 23;
  /// Says how a file will be used.
  IORING_OP_FADVISE = 24;
  /// Sends on a socket.
  IORING_OP_SEND = 26;
  /// Receives from a socket.
  IORING_OP_RECV = 27;
  /// Opens a path under RESOLVE_* rules.
  IORING_OP_OPENAT2 = 28;
  /// Moves bytes between a pipe and a file.
  IORING_OP_SPLICE = 30;
  /// Copies bytes between two pipes.
  IORING_OP_TEE = 33;
  /// Shuts one or both directions of a socket.
  IORING_OP_SHUTDOWN = 34;
  /// Renames a path.
  IORING_OP_RENAMEAT = 35;
  /// Removes a file or an empty directory.
  IORING_OP_UNLINKAT = 36;
  /// Makes a directory.
  IORING_OP_MKDIRAT = 37;
  /// Makes a symbolic link.
  IORING_OP_SYMLINKAT = 38;
  /// Makes a hard link.
  IORING_OP_LINKAT = 39;
  /// Posts a completion into another ring.
  IORING_OP_MSG_RING = 40;
  /// Makes a socket.
  IORING_OP_SOCKET = 45;
  /// Sends on a socket from memory that the network card reads.
  IORING_OP_SEND_ZC = 47;
  /// Waits on a futex; here only the witness of Linux 6.7.
  IORING_OP_FUTEX_WAIT = 51;
  /// Sets the length of a file.
  IORING_OP_FTRUNCATE = 55;
  /// Binds a socket to an address.
  IORING_OP_BIND = 56;
  /// Listens on a socket.
  IORING_OP_LISTEN = 57;
  /// IOSQE flag: the fd is a slot of the table of direct descriptors.
  IOSQE_FIXED_FILE = 1 << 0;
  /// IOSQE flag: the next entry starts when this one has succeeded in full.
  IOSQE_IO_LINK = 1 << 2;
  /// IOSQE flag: the next entry starts when this one has ended, however it ended.
  IOSQE_IO_HARDLINK = 1 << 3;
  /// IOSQE flag: always hand the operation to an io-wq worker thread.
  IOSQE_ASYNC = 1 << 4;
  /// IOSQE flag: the kernel takes a buffer of the group `buf_index`.
  IOSQE_BUFFER_SELECT = 1 << 5;
  /// nop_flags: complete with the result in `len`. Kernel 6.11.
  IORING_NOP_INJECT_RESULT = 1 << 0;
  /// nop_flags: complete through task work instead of inline. Kernel 6.16.
  IORING_NOP_TW = 1 << 4;
  /// fsync_flags: the data, and only what is needed to find it again.
  IORING_FSYNC_DATASYNC = 1 << 0;
  /// timeout_flags: the time is absolute.
  IORING_TIMEOUT_ABS = 1 << 0;
  /// timeout_flags of TIMEOUT_REMOVE: change it instead.
  IORING_TIMEOUT_UPDATE = 1 << 1;
  /// timeout_flags: by CLOCK_REALTIME.
  IORING_TIMEOUT_REALTIME = 1 << 3;
  /// timeout_flags of TIMEOUT_REMOVE: the target is a link timeout.
  IORING_LINK_TIMEOUT_UPDATE = 1 << 4;
  /// timeout_flags: ETIME counts as success, so that a chain goes on.
  IORING_TIMEOUT_ETIME_SUCCESS = 1 << 5;
  /// timeout_flags: repeats. Kernel 6.4.
  IORING_TIMEOUT_MULTISHOT = 1 << 6;
  /// len of POLL_ADD: repeats. Kernel 5.13.
  IORING_POLL_ADD_MULTI = 1 << 0;
  /// len of POLL_REMOVE: change the events instead. Kernel 5.13.
  IORING_POLL_UPDATE_EVENTS = 1 << 1;
  /// ioprio of send and recv: poll first, do not try at once. Kernel 5.19.
  IORING_RECVSEND_POLL_FIRST = 1 << 0;
  /// ioprio of recv: repeats. Kernel 6.0.
  IORING_RECV_MULTISHOT = 1 << 1;
  /// ioprio of accept: repeats. Kernel 5.19.
  IORING_ACCEPT_MULTISHOT = 1 << 0;
  /// cancel_flags: everything that matches.
  IORING_ASYNC_CANCEL_ALL = 1 << 0;
  /// cancel_flags: match by descriptor.
  IORING_ASYNC_CANCEL_FD = 1 << 1;
  /// cancel_flags: the descriptor is a direct one.
  IORING_ASYNC_CANCEL_FD_FIXED = 1 << 3;
  /// splice_flags: the source is a direct slot.
  SPLICE_F_FD_IN_FIXED = 1 << 31;
  /// One SQE moves at most this many copied bytes: a running io-wq transfer cannot be cancelled, so
  /// its length bounds how long teardown waits (I7).
  MAX_TRANSFER = 1 << 20;
  /// Most bytes that one system call of Linux moves; memory of `buffer.alloc` may be as long.
  LONGEST_TRANSFER = 0x7fff_f000;
  /// Reads longer than this go to io-wq: a cached read runs on the calling thread (I8).
  INLINE_READ = 256 << 10;
  /// Words (u32) in a descriptor.
  DESCRIPTOR_WORDS = 16;
  /// Descriptor word: the opcode.
  D_OPCODE = 0;
  /// Descriptor word: ioprio in the low half, buf_index in the high half.
  D_IOPRIO = 1;
  /// Descriptor word: file descriptor or direct slot; the directory of a path; a socket's domain.
  D_FD = 2;
  /// Descriptor word: region id, or `NO_REGION`; of poll_remove, cancel and timeout_update the
  /// ticket of the target.
  D_REGION = 3;
  /// Descriptor word: first byte in the region.
  D_REGION_OFFSET = 4;
  /// Descriptor word: bytes, mode, count: the entry's `len`.
  D_LENGTH = 5;
  /// Descriptor word: low half of the entry's `off` (timers: seconds).
  D_OFFSET_LO = 6;
  /// Descriptor word: high half of the entry's `off` (timers: seconds).
  D_OFFSET_HI = 7;
  /// Descriptor word: rw_flags, open_flags, msg_flags ..., poll events.
  D_WORD0 = 8;
  /// Descriptor word: low half of an `addr` that is a number; timers: nanoseconds; messages: bytes
  /// of the name.
  D_WORD1 = 9;
  /// Descriptor word: high half of an `addr` that is a number; messages: bytes of control data.
  D_WORD2 = 10;
  /// Descriptor word: IOSQE_* flags of the entry.
  D_SQE_FLAGS = 11;
  /// Descriptor word: the ticket that the completion carries, or `NO_TICKET`.
  D_TICKET = 12;
  /// Descriptor word: first byte in the inputs area (paths, addresses).
  D_INPUT = 13;
  /// Descriptor word: bytes in the inputs area.
  D_INPUT_LENGTH = 14;
  /// Descriptor word: direct slot + 1 that is opened or closed; splice and tee: the source's fd.
  D_FILE_INDEX = 15;
  /// Bytes of struct statx, at the start of its region.
  STATX_BYTES = 256;
  /// Region of accept and of messages: the address's length is at 0, the address here.
  MSG_NAME = 16;
  /// Bytes of struct sockaddr_storage.
  MSG_NAME_BYTES = 128;
  /// Region of messages: control data.
  MSG_CONTROL = 144;
  /// Room for control data.
  MSG_CONTROL_BYTES = 368;
  /// Region of messages: the payload.
  MSG_PAYLOAD = 512;
  /// Region of messages, after a receive: bytes of control data.
  MSG_CONTROL_LENGTH = 4;
  /// Region of messages, after a receive: MSG_* flags.
  MSG_FLAGS = 8;
  /// Border operation, never seen by the kernel: a lent buffer, `length`, of the group `region` is
  /// the kernel's again.
  BORDER_RETURN = 0x110;
  /// Border operation: nobody wants the buffer group `region` any more.
  BORDER_CLOSE_GROUP = 0x111;
  /// Copies a file. An opcode of our own, which the kernel never sees: the lane's.
  LANE_OP_COPY_FILE = 120;
  /// Copies a folder tree. The lane's, as the one before.
  LANE_OP_COPY_TREE = 121;
  /// Removes a folder tree. The lane's, as the one before.
  LANE_OP_REMOVE_TREE = 122;
  /// Flag of `copyFile`: fails where there is something at the destination.
  COPYFILE_EXCL = 1 << 0;
  /// Flag of `copyFile`: shares the content where the file system can.
  COPYFILE_FICLONE = 1 << 1;
  /// Flag of `copyFile`: shares the content, or fails.
  COPYFILE_FICLONE_FORCE = 1 << 2;
  /// Flag of `copyFile`: the copy has the owner of the source, where that is permitted.
  COPYFILE_OWNER = 1 << 3;
  /// Flag of `copyTree`: links that are relative are made absolute. The source has to be absolute.
  COPYTREE_ABSOLUTE = 1 << 4;
  /// Flag of `copyTree`: those that end in a slash or in dots keep a slash at their end.
  COPYTREE_SLASH = 1 << 5;
  /// As a negative result: this kernel lacks the opcode. No errno of Linux is that large.
  ERRNO_UNSUPPORTED_OP = 4000;
  /// With the opcode added, as a negative result: the operation is not in the ring's allow list.
  ERRNO_NOT_ALLOWED = 4096;
  /// Region ids from here on are memory of `buffer.alloc`, which several operations may name.
  FIRST_ALLOCATED = 1 << 29;
  /// Places in the ring's table of registered buffers.
  BUFFER_SLOTS = 1024;
  /// Slots in the ring's table of direct descriptors, or as many as RLIMIT_NOFILE allows.
  DIRECT_SLOTS = 1024;
  /// As a negative result: memory or a handle of another runtime.
  ERRNO_WRONG_RUNTIME = 4001;
  /// In `D_REGION`: the operation moves no bytes.
  NO_REGION = 0xffff_ffff;
  /// In `D_TICKET`: nobody waits for the completion.
  NO_TICKET = 0xffff_ffff;
}
