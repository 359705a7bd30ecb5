//! Operations: one constructor per opcode, in files by what they work on.
//! Pair: src/ops/index.ts
//!
//! A shape is the fields that an opcode owns, the SQE it writes, and how it reads its CQE.

pub mod basic;
pub mod fields;
pub mod files;
pub mod messages;
pub mod paths;
pub mod sockets;
pub mod streams;
pub mod vectors;

pub use crate::direct::direct;
pub use basic::*;
pub use fields::{Fd, Fields};
pub use files::*;
pub use messages::*;
pub use paths::*;
pub use sockets::*;
pub use streams::*;
pub use vectors::*;

use crate::chain::{Chain, Limited, Members};
use crate::op::{Op, Operation};
use std::time::Duration;

// PAIR: link
/// Runs a tuple of operations one after the other in one submission. One that fails, or moves fewer
/// bytes than it was asked for, ends the chain: those behind it never run and end with
/// `Error::Abort`. Every operation gives its own result.
///
/// Linux goes on behind a failed fsync, ftruncate, fallocate, statx, unlinkat, renameat, mkdirat,
/// symlinkat or linkat. Await these before a step that depends on them.
///
/// Man: io_uring_linked_requests(7). Kernel: 5.3.
pub fn link<M: Members>(operations: M) -> Chain<M> {
  Chain::new(operations, false)
}

// PAIR: hardlink
/// The same, but each starts when the one before it has ended, however it ended.
///
/// Man: io_uring_linked_requests(7). Kernel: 5.5.
pub fn hardlink<M: Members>(operations: M) -> Chain<M> {
  Chain::new(operations, true)
}

// PAIR: withTimeout
/// The operation with a limit that the kernel keeps: it is cancelled then and ends with
/// `Error::Timeout`. What was faster than its limit counts.
///
/// Man: io_uring_prep_link_timeout(3). Kernel: 5.5.
pub fn with_timeout<K: Operation>(operation: Op<K>, limit: Duration) -> Limited<K> {
  Limited::new(operation, limit)
}
