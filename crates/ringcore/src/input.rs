// PAIR: only-rust input.rs -- TypeScript writes inputs as bytes, their addresses exist only here
//! Inputs: bytes that the kernel reads when it takes an SQE, and the pointers into them.
//!
//! ```text
//! rename: bytes  "from\0to\0"          patches  addr -> 0, off -> 5
//! message: bytes  msghdr | iovec       patches  addr -> 0, byte 16 (msg_iov) -> 56
//! ```
//! The bytes lie in the arena, which is reset when the kernel has taken the SQ; an entry that waits
//! in the backlog keeps them in its slot (I2).

#![allow(unsafe_code)]

use crate::buffer::{leak, Slab};
use crate::error::Result;
use std::sync::Arc;

/// A pointer to be filled in when the bytes have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patch {
  Nothing,
  /// The entry's `addr` points to this byte.
  Addr(u32),
  /// The entry's `off` points to this byte.
  Off(u32),
  /// The 8 bytes at the first place point to the second place.
  Inner(u32, u32),
}

#[derive(Clone, Debug)]
enum Bytes {
  Time([u8; 16]),
  Block(Vec<u8>),
}

/// Bytes that the kernel reads when it takes the entry, and what points to them. Boxed: most
/// entries have none, and entries are moved several times on their way.
#[derive(Clone, Debug)]
pub struct Input(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
  bytes: Bytes,
  patches: [Patch; 2],
  outlives: bool,
}

impl Input {
  /// A timespec at `addr`.
  pub fn time(time: [u8; 16]) -> Input {
    Input::of(Bytes::Time(time), [Patch::Addr(0), Patch::Nothing])
  }

  /// Bytes with `addr` pointing to the first.
  pub fn at_addr(bytes: Vec<u8>) -> Input {
    Input::new(bytes, [Patch::Addr(0), Patch::Nothing])
  }

  /// Bytes with pointers of any kind.
  pub fn new(bytes: Vec<u8>, patches: [Patch; 2]) -> Input {
    Input::of(Bytes::Block(bytes), patches)
  }

  fn of(bytes: Bytes, patches: [Patch; 2]) -> Input {
    Input(Box::new(Parts { bytes, patches, outlives: false }))
  }

  /// The same, kept until the last CQE: the kernel writes to it, too (I2).
  pub fn outliving(mut self) -> Input {
    self.0.outlives = true;
    self
  }

  /// Pointers other than the usual ones.
  pub fn with_patches(mut self, patches: [Patch; 2]) -> Input {
    self.0.patches = patches;
    self
  }

  pub fn bytes(&self) -> &[u8] {
    match &self.0.bytes {
      Bytes::Time(time) => time,
      Bytes::Block(block) => block,
    }
  }

  pub(crate) fn outlives(&self) -> bool {
    self.0.outlives
  }

  pub(crate) fn into_boxed(self) -> Box<[u8]> {
    match self.0.bytes {
      Bytes::Time(time) => time.into(),
      Bytes::Block(block) => block.into(),
    }
  }

  pub(crate) fn patches(&self) -> [Patch; 2] {
    self.0.patches
  }
}

/// Fills in the pointers: the bytes lie at `address`.
pub(crate) fn patch(
  patches: [Patch; 2],
  address: u64,
  bytes: &mut [u8],
  sqe: &mut crate::sqe::Sqe,
) {
  for patch in patches {
    match patch {
      Patch::Nothing => {}
      Patch::Addr(to) => sqe.addr = address + to as u64,
      Patch::Off(to) => sqe.off = address + to as u64,
      Patch::Inner(at, to) => {
        let pointer = (address + to as u64).to_ne_bytes();
        bytes[at as usize..at as usize + 8].copy_from_slice(&pointer);
      }
    }
  }
}

/// Inputs that the kernel reads while it takes an SQE: paths, timespecs. A bump allocator that is
/// reset when the SQ is empty, that is when the kernel's head has passed the last SQE (I2).
pub struct Arena {
  slab: Arc<Slab>,
  top: usize,
}

impl Arena {
  /// 64 KiB, enough for a full SQ of short paths; what does not fit is boxed into its slot.
  pub fn new() -> Result<Arena> {
    Ok(Arena { slab: Slab::new(64 << 10)?, top: 0 })
  }

  /// Copies the bytes in, 8 byte aligned, and gives them to be finished with their own address.
  /// `None` when the arena is full.
  pub fn place(&mut self, bytes: &[u8]) -> Option<(u64, &mut [u8])> {
    let start = self.top;
    let end = start.checked_add(bytes.len().next_multiple_of(8))?;
    if end > self.slab.len() {
      return None;
    }
    let to = self.slab.base().wrapping_add(start);
    // SAFETY: I1, I2: `start..end` lies in the slab and above everything placed since the last
    // reset, so no SQE that the kernel has yet to take points there. Only this thread writes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    self.top = end;
    // SAFETY: I1, I2: the bytes were written just now, and nobody else knows them before the
    // returned borrow of the arena ends.
    Some((to as u64, unsafe { std::slice::from_raw_parts_mut(to, bytes.len()) }))
  }

  /// Starts over. The caller has checked that the kernel took every SQE that was pushed.
  pub fn reset(&mut self) {
    self.top = 0;
  }

  /// Bytes in use.
  pub fn used(&self) -> usize {
    self.top
  }

  /// Bytes mapped.
  pub fn bytes(&self) -> usize {
    self.slab.len()
  }

  /// Gives the memory up without unmapping it, for a ring that did not drain (I7).
  pub fn leak(&mut self) {
    leak(self.slab.clone());
  }
}
