//! Completion queue entries, and the words of the border through which TypeScript sees them.
//! Pair: src/cqe.ts
//!
//! The TypeScript twin is generated from this file (`npm run constants`).
//!
//! ```text
//! struct io_uring_cqe, 16 bytes           a completion at the border, 4 words of u32
//! offset size field                       word
//!  0      8   user_data (I4)              0  ticket
//!  8      4   res: result or -errno       1  res
//! 12      4   flags: IORING_CQE_F_*       2  flags
//!                                         3  aux: 1 when res is a new descriptor,
//!                                            2 + region of a received message
//! ```

use crate::sqe::constants;

/// One completion queue entry with the kernel's field names.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Cqe {
  pub user_data: u64,
  pub res: i32,
  pub flags: u32,
}

const _: () = assert!(std::mem::size_of::<Cqe>() == 16);

constants! { CQE_CONSTANTS;
  /// CQE flag: a provided buffer was used, its id is in the high half of the flags.
  IORING_CQE_F_BUFFER = 1 << 0;
  /// CQE flag: more completions of the same operation follow (multishot).
  IORING_CQE_F_MORE = 1 << 1;
  /// CQE flag: the notification of a send_zc; the network has done with its memory.
  IORING_CQE_F_NOTIF = 1 << 3;
  /// Words (u32) in a completion.
  COMPLETION_WORDS = 4;
  /// Completion word: the descriptor's ticket.
  C_TICKET = 0;
  /// Completion word: result, or a negative errno.
  C_RES = 1;
  /// Completion word: IORING_CQE_F_*.
  C_FLAGS = 2;
  /// Completion word: 1 when a result of 0 or more is a new descriptor (I3); of a received message
  /// 2 + its region, which may hold descriptors; else 0.
  C_AUX = 3;
  /// Words (u32) in the header of the border.
  HEADER_WORDS = 32;
  /// Header word, written by TypeScript: descriptors that wait in the list.
  H_DESCRIPTORS = 0;
  /// Header word, written by Rust: completions in the list. TypeScript sets it back to 0.
  H_COMPLETIONS = 1;
  /// Header word, written by TypeScript: what the next turn does, `TURN_*`.
  H_MODE = 2;
  /// Header word, written by Rust: 1 when work is left and another turn is needed.
  H_MORE = 3;
  /// Header word, written by Rust: errno that ended the ring, or 0.
  H_FATAL = 4;
  /// Header word, written by TypeScript: completions already taken (I3: the rest of the
  /// descriptors among them are closed at teardown).
  H_TAKEN = 5;
  /// Header word, written by TypeScript: 1 when a referenced operation is in flight.
  H_REFERENCED = 6;
  /// Header word, written by Rust: 1 when the ring is closed.
  H_CLOSED = 7;
  /// Header word, written by Rust: monotonic clock at the end of the turn, microseconds, wraps.
  H_CLOCK = 8;
  /// Header word: calls of the turn function.
  H_TURNS = 9;
  /// Header word: io_uring_enter calls.
  H_ENTERS = 10;
  /// Header word: SQEs that the kernel took.
  H_SUBMITTED = 11;
  /// Header word: completions delivered.
  H_COMPLETED = 12;
  /// Header word: completions that came in the turn that submitted them.
  H_INLINE = 13;
  /// Header word, counted by TypeScript: wake-ups by the reactor thread.
  H_WAKES = 14;
  /// Header word: turns that found the CQ overflowed.
  H_OVERFLOWS = 15;
  /// Header word: stale completions dropped (I4).
  H_STALE = 16;
  /// Header word: operations in flight.
  H_IN_FLIGHT = 17;
  /// Header word: bytes of regions, in KiB.
  H_REGION_KIB = 18;
  /// Header word: bytes of the arena, in KiB.
  H_ARENA_KIB = 19;
  /// Header word: bytes of buffer groups, in KiB.
  H_GROUP_KIB = 24;
  /// Header word: bytes of `buffer.alloc`, in KiB.
  H_ALLOC_KIB = 20;
  /// Header word: bytes of registered buffers, in KiB.
  H_REGISTERED_KIB = 21;
  /// Header word of `readCached`: where in the inputs area the path is; afterwards how many bytes
  /// the file has, or a negative errno.
  H_CACHED = 22;
  /// Header word of `readCached`: bytes of the path, its NUL among them.
  H_CACHED_PATH = 23;
  /// Header word, written by Rust: a descriptor that `readCached` has opened, plus 1. TypeScript
  /// sets it back to 0 when it has it; teardown closes it (I3).
  H_CACHED_FD = 25;
  /// Header word: looks that found something, or that there is nothing.
  H_LOOKS = 26;
  /// Header word of `statCached`: where in the inputs area the path is, or a descriptor; afterwards
  /// 0, or a negative errno. What it has found lies where `readCached` reads to.
  H_STAT = 27;
  /// Header word of `statCached`: bytes of the path, its NUL among them; 0: it is a descriptor.
  H_STAT_PATH = 28;
  /// Header word of `statCached`: what is asked, `STAT_*`.
  H_STAT_KIND = 29;
  /// What the path leads to.
  STAT_FILE = 0;
  /// A symbolic link itself.
  STAT_LINK = 1;
  /// Only whether there is something, as access(2) sees it.
  STAT_NAME = 2;
  /// Mode bit: enter the kernel and reap. Without it descriptors are only taken in.
  TURN_ENTER = 1;
  /// Mode bit: park at the end if nothing is left to do.
  TURN_PARK = 2;
  /// Byte offset of the header in the border's memory.
  BORDER_HEADER = 0;
  /// Byte offset of the descriptors.
  BORDER_DESCRIPTORS = 4096;
  /// Descriptors that fit.
  MAX_DESCRIPTORS = 1024;
  /// Byte offset of the completions.
  BORDER_COMPLETIONS = 4096 + 1024 * 64;
  /// Completions that fit.
  MAX_COMPLETIONS = 4096;
  /// Byte offset of the inputs area (paths).
  BORDER_INPUTS = 4096 + 1024 * 64 + 4096 * 16;
  /// Bytes of the inputs area.
  INPUTS_BYTES = 64 << 10;
  /// Byte offset of the descriptors (plus 1; 0: none) that streams keep until somebody takes them.
  /// TypeScript writes them; teardown closes them (I3).
  BORDER_KEPT = 4096 + 1024 * 64 + 4096 * 16 + (64 << 10);
  /// Words there.
  MAX_KEPT = 4096;
  /// Byte offset of what `readCached` has read.
  BORDER_CACHED = 4096 + 1024 * 64 + 4096 * 16 + (64 << 10) + 4096 * 4;
  /// Bytes there; a file has fewer.
  CACHED_BYTES = 16 << 10;
  /// Bytes of the border in all.
  BORDER_BYTES = 4096 + 1024 * 64 + 4096 * 16 + (64 << 10) + 4096 * 4 + (16 << 10);
  /// A turn reaps at most about this many completions (I8).
  TURN_COMPLETIONS = 256;
  /// One enter moves at most about this many bytes on the calling thread (I8).
  ENTER_BYTES = 1 << 20;
}
