//! What the mock kernel knows: operations that run, descriptors that are open, faults; and what it
//! answers to each operation of the table.
//! Pair: src/world.ts
//!
//! Paths and vectors are read when an entry is taken, memory is touched when it completes.
#![allow(unsafe_code)]

use crate::cqe::{Cqe, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF};
use crate::fs::cached::Cached;
use crate::fs::larger::Filled;
use crate::fs::mounts::StatxBytes;
use crate::fs::stat::Told;
use crate::mock::{Faults, Random};
use crate::ops::poll_word;
use crate::sqe::*;
use crate::table::Memory;
use std::collections::{HashSet, VecDeque};
use std::mem::MaybeUninit;

// PAIR: CACHED_PATTERN
/// What every byte of a file is that a look finds whole.
pub const CACHED_PATTERN: u8 = 0xca;

// PAIR: World
/// What the mock kernel knows; the test keeps a second handle on it.
pub struct World {
  pub random: Random,
  pub faults: Faults,
  pub(crate) sq_entries: usize,
  pub(crate) cq_entries: usize,
  pub(crate) sq: VecDeque<Sqe>,
  pub(crate) cq: VecDeque<Cqe>,
  /// Completions that found no room in the CQ.
  pub overflow: VecDeque<Cqe>,
  /// Taken, not completed.
  pub running: Vec<Sqe>,
  /// Descriptors given out and not closed.
  pub open: HashSet<i32>,
  /// Closes of something that was not open: a double close, or a wrong number.
  pub bad_closes: u32,
  /// The descriptor that it gave out last.
  pub next_fd: i32,
  /// Buffer groups that are registered.
  pub groups: HashSet<u16>,
  /// Notifications are wanted (the eventfd is enabled).
  pub notify: bool,
  /// Signals that the eventfd got.
  pub signals: u32,
  /// The errno of the next enters, tried first.
  pub enters: VecDeque<i32>,
}

impl World {
  /// Posts a completion; into the overflow list when the CQ is full.
  pub fn post(&mut self, user_data: u64, res: i32) {
    self.post_flags(user_data, res, 0);
  }

  /// The same with IORING_CQE_F_*, for tests that play a multishot kernel themselves.
  pub fn post_flags(&mut self, user_data: u64, res: i32, flags: u32) {
    let cqe = Cqe { user_data, res, flags };
    if self.cq.len() < self.cq_entries && self.overflow.is_empty() {
      self.cq.push_back(cqe);
    } else {
      self.overflow.push_back(cqe);
    }
    if std::mem::take(&mut self.notify) {
      self.signals += 1;
    }
  }

  pub(crate) fn flush_overflow(&mut self) {
    while self.cq.len() < self.cq_entries {
      let Some(cqe) = self.overflow.pop_front() else {
        break;
      };
      self.cq.push_back(cqe);
    }
  }

  // PAIR: World.take
  /// An entry is taken: inputs are read now, the operation completes now or later.
  pub(crate) fn take(&mut self, mut sqe: Sqe) {
    read_inputs(&mut sqe);
    match sqe.opcode as u32 {
      IORING_OP_CLOSE => {
        let known = self.open.remove(&sqe.fd);
        self.bad_closes += !known as u32;
        self.post(sqe.user_data, if known { 0 } else { -libc::EBADF });
      }
      IORING_OP_ASYNC_CANCEL | IORING_OP_POLL_REMOVE | IORING_OP_TIMEOUT_REMOVE => {
        let res = self.aim(&sqe);
        self.post(sqe.user_data, res);
      }
      opcode => {
        let late = self.faults.late;
        if opcode != IORING_OP_NOP && self.random.chance(late) {
          self.running.push(sqe);
        } else {
          self.finish(sqe);
        }
      }
    }
  }

  // PAIR: World.finish
  /// A running operation completes: buffers are touched now.
  pub fn finish(&mut self, sqe: Sqe) {
    let res = match sqe.opcode as u32 {
      IORING_OP_NOP if sqe.op_flags & IORING_NOP_INJECT_RESULT != 0 => sqe.len as i32,
      IORING_OP_NOP => 0,
      IORING_OP_TIMEOUT => -libc::ETIME,
      IORING_OP_LINK_TIMEOUT => -libc::ETIME,
      _ if self.random.chance(self.faults.error) => -libc::EIO,
      IORING_OP_POLL_ADD => (poll_word(sqe.op_flags) & 0xffff) as i32,
      IORING_OP_SPLICE | IORING_OP_TEE => self.count(sqe.len),
      IORING_OP_SEND_ZC => {
        let count = self.transfer(&sqe);
        self.post_flags(sqe.user_data, count, IORING_CQE_F_MORE);
        return self.post_flags(sqe.user_data, 0, IORING_CQE_F_NOTIF);
      }
      opcode if moves(opcode) => self.transfer(&sqe),
      opcode => self.answer(opcode, &sqe),
    };
    self.post(sqe.user_data, res);
  }

  /// What a call that moves no bytes answers.
  fn answer(&mut self, opcode: u32, sqe: &Sqe) -> i32 {
    match opcode {
      IORING_OP_STATX if sqe.off != 0 => {
        // SAFETY: I2: the operation has no CQE yet, so the ring still holds its memory.
        unsafe { std::ptr::write_bytes(sqe.off as *mut u8, 0, STATX_BYTES as usize) };
      }
      IORING_OP_ACCEPT if sqe.off != 0 => {
        // SAFETY: I2: as above; an address without a name has a family only.
        unsafe { (sqe.off as *mut u32).write_unaligned(2) };
      }
      _ => {}
    }
    if !crate::table::opens(sqe) {
      return if crate::table::info(opcode).is_some() { 0 } else { -libc::EINVAL };
    }
    self.next_fd += 1;
    self.open.insert(self.next_fd);
    self.next_fd
  }

  /// What works on another operation that runs.
  fn aim(&mut self, sqe: &Sqe) -> i32 {
    let opcode = sqe.opcode as u32;
    let kind = match opcode {
      IORING_OP_POLL_REMOVE => Some(IORING_OP_POLL_ADD),
      IORING_OP_TIMEOUT_REMOVE => Some(IORING_OP_TIMEOUT),
      _ => None,
    };
    let is_it = |entry: &Sqe| {
      entry.user_data == sqe.addr && kind.is_none_or(|kind| kind == entry.opcode as u32)
    };
    let Some(place) = self.running.iter().position(is_it) else {
      return -libc::ENOENT;
    };
    if opcode == IORING_OP_TIMEOUT_REMOVE || (opcode == IORING_OP_POLL_REMOVE && sqe.len != 0) {
      return 0; // It goes on, by what it was told anew.
    }
    if opcode == IORING_OP_ASYNC_CANCEL && self.random.chance(20) {
      return -libc::EALREADY;
    }
    let target = self.running.swap_remove(place);
    self.post(target.user_data, -libc::ECANCELED);
    0
  }

  /// A count that may be short.
  fn count(&mut self, len: u32) -> i32 {
    let len = len.min(LONGEST_TRANSFER);
    let short = self.random.chance(self.faults.short);
    (if short { self.random.below(len + 1) } else { len }) as i32
  }

  fn transfer(&mut self, sqe: &Sqe) -> i32 {
    let count = self.count(sqe.len);
    if sqe.opcode as u32 == IORING_OP_RECVMSG && sqe.off != 0 {
      // SAFETY: I2: the msghdr outlives the entry: it is read back when the message is there.
      unsafe {
        (sqe.off as *mut u32).byte_add(8).write_unaligned(0);
        (sqe.off as *mut u64).byte_add(40).write_unaligned(0);
        (sqe.off as *mut u32).byte_add(48).write_unaligned(0);
      }
    }
    if count == 0 || sqe.addr == 0 {
      return 0; // It may be without a region, that is without an address.
    }
    if fills(sqe.opcode as u32) {
      let pattern = sqe.user_data as u8;
      // SAFETY: I2: the operation has no CQE yet, so the ring still holds its memory.
      unsafe { std::ptr::write_bytes(sqe.addr as *mut u8, pattern, count as usize) };
    } else {
      // SAFETY: I2: as above.
      let bytes = unsafe { std::slice::from_raw_parts(sqe.addr as *const u8, count as usize) };
      std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
    }
    count
  }

  // PAIR: World.look
  /// A look at a small file: whole, absent, open, or nobody knows.
  pub(crate) fn look(&mut self, into: &mut [u8]) -> Cached {
    let Faults { late, error, short, .. } = self.faults;
    if self.random.chance(late) {
      Cached::Unknown
    } else if self.random.chance(error) {
      Cached::Absent
    } else if self.random.chance(short) {
      self.next_fd += 1;
      self.open.insert(self.next_fd);
      if self.random.chance(50) {
        return Cached::Open(self.next_fd);
      }
      let more = self.random.below(4 * into.len() as u32) as usize;
      Cached::Larger(self.next_fd, into.len() + more)
    } else {
      let length = self.random.below(into.len() as u32) as usize;
      into[..length].fill(CACHED_PATTERN);
      Cached::Whole(length)
    }
  }

  // PAIR: World.fill
  /// The rest of such a look: all of it, or nothing.
  pub(crate) fn fill(&mut self, fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
    if self.random.chance(self.faults.late) {
      return Filled::NOTHING;
    }
    into.fill(MaybeUninit::new(CACHED_PATTERN));
    self.bad_closes += !self.open.remove(&fd) as u32;
    Filled { count: into.len(), ended: true }
  }

  // PAIR: World.stat
  /// A look at a file's metadata: all zeros as from the ring, absent, or nobody knows.
  pub(crate) fn stat(&mut self, into: &mut StatxBytes) -> Told {
    if self.random.chance(self.faults.late) {
      Told::Unknown
    } else if self.random.chance(self.faults.error) {
      Told::Absent
    } else {
      into.fill(0);
      Told::Known
    }
  }

  // PAIR: World.advance
  /// Some of what runs completes, in any order.
  pub(crate) fn advance(&mut self, at_least: usize) {
    let count = self.random.below(self.running.len() as u32 / 2 + 1) as usize;
    for _ in 0..count.max(at_least).min(self.running.len()) {
      let place = self.random.below(self.running.len() as u32) as usize;
      let sqe = self.running.swap_remove(place);
      self.finish(sqe);
    }
  }
}

/// Whether the kernel writes the bytes.
fn fills(opcode: u32) -> bool {
  matches!(
    opcode,
    IORING_OP_READ | IORING_OP_READV | IORING_OP_READ_FIXED | IORING_OP_RECV | IORING_OP_RECVMSG
  )
}

/// Whether it moves bytes.
fn moves(opcode: u32) -> bool {
  use Memory::*;
  let memory = crate::table::info(opcode).map_or(Nothing, |info| info.memory);
  matches!(memory, Bytes | BytesTo | Vector | Message | MessageOut)
}

/// Paths are read when an entry is taken, and so is where the bytes of a vector or message lie:
/// this memory is the ring's again afterwards.
fn read_inputs(sqe: &mut Sqe) {
  // SAFETY: I2: the ring keeps inputs until the entry is taken, which is now.
  let word = |address: u64| unsafe { (address as *const u64).read_unaligned() };
  let memory = crate::table::info(sqe.opcode as u32).map(|info| info.memory);
  match memory {
    _ if sqe.addr == 0 => {}
    Some(Memory::Path | Memory::PathHow | Memory::PathStat) => intact(sqe.addr),
    Some(Memory::TwoPaths) => {
      intact(sqe.addr);
      intact(sqe.off);
    }
    Some(Memory::Vector) => (sqe.addr, sqe.len) = (word(sqe.addr), word(sqe.addr + 8) as u32),
    Some(Memory::Message | Memory::MessageOut) => {
      let (msghdr, iovec) = (sqe.addr, word(sqe.addr + 16));
      (sqe.off, sqe.addr, sqe.len) = (msghdr, word(iovec), word(iovec + 8) as u32);
    }
    _ => {}
  }
}

fn intact(path: u64) {
  // SAFETY: I2: as in `read_inputs`.
  let path = unsafe { std::ffi::CStr::from_ptr(path as *const libc::c_char) };
  assert!(path.to_bytes().iter().all(|byte| *byte != 0xaa), "a path was overwritten");
}
