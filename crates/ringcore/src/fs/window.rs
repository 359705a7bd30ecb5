// PAIR: only-rust window.rs -- a part of a buffer is a view of its own in TypeScript
//! A part of a buffer: what is left of a transfer that was short.
#![allow(unsafe_code)]

use crate::buffer::IoBuf;

/// The bytes `from..to` of a buffer, which comes back whole.
#[derive(Default)]
pub(crate) struct Window<B> {
  pub buffer: B,
  pub from: usize,
  pub to: usize,
}

impl<B: IoBuf> Window<B> {
  /// All of it.
  pub fn whole(buffer: B) -> Window<B> {
    let to = buffer.length();
    Window { buffer, from: 0, to }
  }

  /// Bytes that are left.
  pub fn left(&self) -> usize {
    self.to - self.from
  }
}

// SAFETY: I2: the bytes of the buffer inside do not move, and these are some of them: nobody but
// this module's user sets the ends, and `address` looks whether they are within.
unsafe impl<B: IoBuf> IoBuf for Window<B> {
  fn address(&mut self) -> *mut u8 {
    assert!(self.from <= self.to && self.to <= self.buffer.length(), "a part of the buffer");
    self.buffer.address().wrapping_add(self.from)
  }

  fn length(&self) -> usize {
    self.to - self.from
  }

  fn longest(&self) -> usize {
    self.buffer.longest()
  }
}
