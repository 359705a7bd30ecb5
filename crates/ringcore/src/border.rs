//! The border: descriptors in, completions out, everything from TypeScript checked.
//! Pair: src/border.ts
//!
//! ```text
//! one slab of shared memory, touched by the JavaScript thread only
//! 0        header          32 words H_*
//! 4096     descriptors     1024 x 64 bytes   TypeScript ──> Rust, emptied by every turn
//! 69632    completions     4096 x 16 bytes   Rust ──> TypeScript, emptied by delivery
//! 135168   inputs          64 KiB of paths   TypeScript ──> Rust, free after every turn
//! ```
//! No address crosses. Any bytes at all in a descriptor end as EINVAL for its ticket, or as an
//! operation that the kernel judges; never as undefined behaviour.
#![allow(unsafe_code)]

use crate::buffer::{Growth, Slab};
use crate::cqe::*;
use crate::error::Result;
use crate::op::{poll_word, timespec};
use crate::ring::{close_now, Event, Input, Inputs, Ring, Wait};
use crate::slot::{Held, Key, Owner};
use crate::sqe::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tickets are small indexes; a larger one is nonsense, not a reason to allocate.
const MAX_TICKET: u32 = 1 << 24;

/// One descriptor, copied out of shared memory before it is looked at.
type Descriptor = [u32; DESCRIPTOR_WORDS as usize];

/// One completion, as it lies in shared memory.
type Completion = [u32; COMPLETION_WORDS as usize];

// PAIR: Border
/// A ring and the memory through which TypeScript drives it.
pub struct Border {
  pub ring: Ring,
  memory: Arc<Slab>,
  /// Ticket to key, for cancel. A free ticket has generation 0, which no slot ever has.
  tickets: Vec<Key>,
  events: Vec<Event>,
  /// What close brought and the list could not hold.
  leftover: VecDeque<Event>,
  born: Instant,
  /// Descriptors of ours that user code must not close: the eventfd.
  protected: i32,
  /// Opcodes that this kernel lacks. Usually empty.
  missing: Vec<u8>,
}

const FREE: Key = Key { slot: 0, generation: 0 };

impl Border {
  /// Shared memory for a ring. `protected` is a descriptor that close refuses.
  pub fn new(ring: Ring, protected: i32) -> Result<Border> {
    let memory = Slab::new(BORDER_BYTES as usize)?;
    let (tickets, events) = (Vec::new(), Vec::with_capacity(TURN_COMPLETIONS as usize));
    let (leftover, born) = (VecDeque::new(), Instant::now());
    Ok(Border { ring, memory, tickets, events, leftover, born, protected, missing: Vec::new() })
  }

  /// The shared memory. Whoever shows it keeps a count of its own.
  pub fn memory(&self) -> &Arc<Slab> {
    &self.memory
  }

  /// Opcodes that this kernel lacks: they end with ERRNO_UNSUPPORTED_OP and never reach it.
  pub fn set_missing(&mut self, opcodes: Vec<u8>) {
    self.missing = opcodes;
  }

  /// More regions of a class.
  pub fn grow(&mut self, class: usize) -> Result<Growth> {
    let growth = self.ring.regions.grow(class)?;
    self.set(H_REGION_KIB, (self.ring.regions.bytes() >> 10) as u32);
    Ok(growth)
  }

  // PAIR: Border.turn
  /// 2 submit, 3 reap, 4 park: takes the descriptors in, enters, writes completions. Afterwards
  /// either H_MORE is 1 and TypeScript comes again, or the ring is parked and a wake-up will come.
  pub fn turn(&mut self) {
    let mode = self.get(H_MODE);
    self.ring.stats.turns = self.ring.stats.turns.wrapping_add(1);
    if mode & TURN_ENTER != 0 && self.get(H_CLOSED) == 0 {
      self.ring.unpark();
    }
    self.take_descriptors();
    let mut more = true;
    if self.get(H_CLOSED) == 1 {
      self.ring.reap(&mut self.events, TURN_COMPLETIONS as usize);
      self.leftover.extend(self.events.drain(..));
      more = self.deliver_leftover() || self.ring.more();
    } else if mode & TURN_ENTER != 0 {
      more = self.submit_and_reap();
      if mode & TURN_PARK != 0 && !more {
        // Where looking again finds something, TypeScript takes another turn (I8: not us).
        more = !self.ring.park();
      }
    }
    self.set(H_MORE, more as u32);
    self.publish();
  }

  /// Rounds of enter and reap, until nothing is left or the turn has done its share (I8).
  fn submit_and_reap(&mut self) -> bool {
    let (mut completed, mut entered) = (0, 0);
    loop {
      let room = (MAX_COMPLETIONS - self.get(H_COMPLETIONS)) as usize;
      if completed >= TURN_COMPLETIONS as usize || room == 0 || entered >= ENTER_BYTES as usize {
        return true;
      }
      if !self.ring.ready() {
        return false;
      }
      self.ring.submit(Wait::No);
      entered += self.ring.entered_bytes();
      let reaped = self.ring.reap(&mut self.events, room.min(TURN_COMPLETIONS as usize));
      completed += reaped;
      self.deliver();
      if reaped == 0 && self.ring.stalled() {
        return true; // Only other work, or time, gets the kernel out of this.
      }
    }
  }

  /// Copies the list out of shared memory and starts each.
  fn take_descriptors(&mut self) {
    let count = self.get(H_DESCRIPTORS).min(MAX_DESCRIPTORS);
    for index in 0..count {
      let at = (BORDER_DESCRIPTORS + index * DESCRIPTOR_WORDS * 4) as usize;
      // SAFETY: I6: in the slab, since `count` is at most MAX_DESCRIPTORS, and aligned; only the
      // JavaScript thread writes there, and it is in this call, so that one plain copy is enough.
      let descriptor = unsafe { self.memory.base().wrapping_add(at).cast::<Descriptor>().read() };
      let ticket = descriptor[D_TICKET as usize];
      if let Err(errno) = self.start(&descriptor) {
        // Through the ring's local events: the list may be full just now.
        self.ring.reject(Owner::Ticket(ticket), errno);
      }
    }
    self.set(H_DESCRIPTORS, 0);
  }

  // PAIR: Border.start
  /// One descriptor becomes an operation, or an errno for its ticket.
  fn start(&mut self, d: &Descriptor) -> std::result::Result<(), i32> {
    let word = |index: u32| d[index as usize];
    let ticket = word(D_TICKET);
    let reserved = word(D_FLAGS) | word(D_WORD2) | d[13] | d[14] | d[15];
    if reserved != 0 || word(D_SQE_FLAGS) & !IOSQE_ASYNC != 0 {
      return Err(libc::EINVAL);
    }
    let waits = ticket != NO_TICKET;
    if waits && (ticket >= MAX_TICKET || self.in_use(ticket)) {
      return Err(libc::EINVAL);
    }
    if !self.missing.is_empty() && self.missing.contains(&(word(D_OPCODE) as u8)) {
      return Err(ERRNO_UNSUPPORTED_OP as i32);
    }
    match word(D_OPCODE) {
      IORING_OP_ASYNC_CANCEL => {
        self.cancel(waits.then_some(ticket), self.key_of(word(D_WORD0)));
        return Ok(());
      }
      // What the ring owes goes out before the backlog, and on a closed ring at once (I3).
      IORING_OP_CLOSE if !waits && word(D_FD) as i32 != self.protected => {
        self.ring.close_fd(word(D_FD) as i32);
        return Ok(());
      }
      _ => {}
    }
    let (sqe, held, input) = self.decode(d)?;
    let key = self.ring.push(sqe, Input(input.bytes()), held, Owner::Ticket(ticket));
    if waits {
      self.remember(ticket, key);
    } else {
      self.ring.disown(key);
    }
    Ok(())
  }

  /// The entry that a descriptor asks for. Everything is checked here, or judged by the kernel.
  fn decode(&mut self, d: &Descriptor) -> std::result::Result<(Sqe, Held, Inputs), i32> {
    let word = |index: u32| d[index as usize];
    let (opcode, fd, flags) = (word(D_OPCODE), word(D_FD) as i32, word(D_SQE_FLAGS) as u8);
    let offset = ((word(D_OFFSET_HI) as u64) << 32) | word(D_OFFSET_LO) as u64;
    let mut sqe = Sqe { opcode: opcode as u8, flags, fd, ..Sqe::default() };
    let (mut held, mut input) = (Held::Nothing, Inputs::None);
    match opcode {
      IORING_OP_NOP => {
        (sqe.op_flags, sqe.len) = (word(D_WORD0), word(D_LENGTH));
        if sqe.op_flags & !(IORING_NOP_INJECT_RESULT | IORING_NOP_TW) != 0 {
          return Err(libc::EINVAL);
        }
      }
      IORING_OP_READ | IORING_OP_WRITE => {
        (sqe.off, sqe.len, sqe.op_flags) = (offset, word(D_LENGTH), word(D_WORD0));
        let (id, from) = (word(D_REGION), word(D_REGION_OFFSET));
        if sqe.len > MAX_TRANSFER || (id == NO_REGION && sqe.len > 0) {
          return Err(libc::EINVAL);
        }
        if id != NO_REGION {
          let address = self.ring.regions.hold(id, from, sqe.len).ok_or(libc::EINVAL)?;
          sqe.addr = address as u64;
          held = Held::Region(id);
        }
      }
      IORING_OP_OPENAT => {
        let path = self.input(word(D_REGION_OFFSET), word(D_LENGTH)).ok_or(libc::EINVAL)?;
        input = Inputs::Path(path);
        sqe.op_flags = word(D_WORD0) | libc::O_CLOEXEC as u32;
        sqe.len = word(D_WORD1);
      }
      IORING_OP_CLOSE if fd == self.protected => return Err(libc::EBADF),
      IORING_OP_CLOSE => {}
      IORING_OP_TIMEOUT => {
        if offset > i64::MAX as u64 || word(D_WORD1) > 999_999_999 {
          return Err(libc::EINVAL);
        }
        input = Inputs::Time(timespec(offset, word(D_WORD1)));
        (sqe.len, sqe.fd) = (1, -1);
      }
      IORING_OP_POLL_ADD => sqe.op_flags = poll_word(word(D_WORD0)),
      _ => return Err(libc::EINVAL),
    }
    Ok((sqe, held, input))
  }

  /// A cancel of the runtime's own, or `op.cancel` with a ticket.
  fn cancel(&mut self, reporter: Option<u32>, target: Option<Key>) {
    match (reporter, target) {
      (Some(ticket), target) => {
        let key = self.ring.cancel_op(target, Owner::Ticket(ticket));
        self.remember(ticket, key);
      }
      (None, Some(target)) => drop(self.ring.cancel(target)),
      (None, None) => {}
    }
  }

  /// A path in the inputs area, copied, with its NUL and no other.
  fn input(&self, from: u32, len: u32) -> Option<Vec<u8>> {
    let end = from.checked_add(len)?;
    if end > INPUTS_BYTES || len == 0 {
      return None;
    }
    let start = self.memory.base().wrapping_add((BORDER_INPUTS + from) as usize);
    // SAFETY: I6: in the slab by the check above; only the JavaScript thread writes there, and it
    // is in this call.
    let bytes = unsafe { std::slice::from_raw_parts(start, len as usize) }.to_vec();
    let nul = bytes.iter().position(|byte| *byte == 0)?;
    (nul == len as usize - 1).then_some(bytes)
  }

  // PAIR: Border.deliver
  /// Events become completions in shared memory. The caller has seen that there is room.
  fn deliver(&mut self) {
    let mut events = std::mem::take(&mut self.events);
    for event in events.drain(..) {
      let Owner::Ticket(ticket) = event.owner else {
        continue;
      };
      if ticket != NO_TICKET {
        if event.flags & IORING_CQE_F_MORE == 0 && self.key_of(ticket) == Some(event.key) {
          self.tickets[ticket as usize] = FREE;
        }
        self.write_completion(ticket, &event);
      }
    }
    self.events = events;
  }

  // PAIR: Border.close
  /// I7: the end of the ring. What came is in the list, what does not fit comes with further
  /// turns, as long as H_MORE is 1. False: memory was leaked.
  pub fn close(&mut self, bound: Duration) -> bool {
    if self.get(H_CLOSED) == 1 {
      return true;
    }
    self.take_descriptors();
    let mut events = std::mem::take(&mut self.events);
    let drained = self.ring.close(bound, &mut events);
    self.leftover.extend(events);
    self.set(H_CLOSED, 1);
    if !drained {
      std::mem::forget(self.memory.clone());
    }
    self.turn();
    drained
  }

  /// After close: the next part of what the drain brought.
  fn deliver_leftover(&mut self) -> bool {
    let room = (MAX_COMPLETIONS - self.get(H_COMPLETIONS)) as usize;
    let count = room.min(self.leftover.len());
    self.events.extend(self.leftover.drain(..count));
    self.deliver();
    !self.leftover.is_empty()
  }

  /// I3: the environment dies with completions that nobody has taken. Descriptors among them are
  /// closed.
  pub fn abandon_completions(&mut self) {
    for index in self.get(H_TAKEN)..self.get(H_COMPLETIONS).min(MAX_COMPLETIONS) {
      let at = BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS;
      let res = self.word(at + C_RES) as i32;
      if res >= 0 && self.word(at + C_AUX) == 1 {
        close_now(res);
      }
    }
    for event in self.leftover.drain(..) {
      if event.res >= 0 && event.opens {
        close_now(event.res);
      }
    }
    self.set(H_TAKEN, self.get(H_COMPLETIONS));
  }

  fn in_use(&self, ticket: u32) -> bool {
    self.tickets.get(ticket as usize).is_some_and(|key| *key != FREE)
  }

  fn key_of(&self, ticket: u32) -> Option<Key> {
    self.tickets.get(ticket as usize).copied().filter(|key| *key != FREE)
  }

  fn remember(&mut self, ticket: u32, key: Key) {
    let place = ticket as usize;
    if place >= self.tickets.len() {
      self.tickets.resize((place + 1).next_power_of_two(), FREE);
    }
    self.tickets[place] = key;
  }

  fn write_completion(&mut self, ticket: u32, event: &Event) {
    let index = self.get(H_COMPLETIONS);
    assert!(index < MAX_COMPLETIONS, "reap and close look for room");
    let mut completion = [0; COMPLETION_WORDS as usize];
    completion[C_TICKET as usize] = ticket;
    completion[C_RES as usize] = event.res as u32;
    completion[C_FLAGS as usize] = event.flags;
    completion[C_AUX as usize] = event.opens as u32;
    let at = (BORDER_COMPLETIONS + index * COMPLETION_WORDS * 4) as usize;
    // SAFETY: I6: in the slab by the check above, aligned, touched by this thread only, which is in
    // this call until the completion is read.
    unsafe { self.memory.base().wrapping_add(at).cast::<Completion>().write(completion) };
    self.set(H_COMPLETIONS, index + 1);
  }

  /// Counters and the clock, as words that TypeScript reads without a call.
  fn publish(&mut self) {
    let stats = self.ring.stats;
    self.set(H_FATAL, self.ring.fatal().unwrap_or(0) as u32);
    self.set(H_CLOCK, self.born.elapsed().as_micros() as u32);
    self.set(H_TURNS, stats.turns);
    self.set(H_ENTERS, stats.enters);
    self.set(H_SUBMITTED, stats.submitted);
    self.set(H_COMPLETED, stats.completed);
    self.set(H_INLINE, stats.inline);
    self.set(H_OVERFLOWS, stats.overflows);
    self.set(H_STALE, stats.stale);
    self.set(H_IN_FLIGHT, self.ring.in_flight() as u32);
    self.set(H_ARENA_KIB, (self.ring.arena_bytes() >> 10) as u32);
  }

  /// A header word.
  pub fn get(&self, word: u32) -> u32 {
    self.word(BORDER_HEADER / 4 + word)
  }

  /// Sets a header word.
  pub fn set(&mut self, word: u32, value: u32) {
    self.set_word(BORDER_HEADER / 4 + word, value);
  }

  /// Any word of the border's memory; tests write descriptors through it.
  pub fn set_word(&mut self, index: u32, value: u32) {
    assert!(index < BORDER_BYTES / 4);
    // SAFETY: I6: in the slab by the check above, aligned, touched by this thread only.
    unsafe { self.memory.base().cast::<u32>().add(index as usize).write_volatile(value) };
  }

  /// Any word of the border's memory.
  pub fn word(&self, index: u32) -> u32 {
    assert!(index < BORDER_BYTES / 4);
    // SAFETY: I6: as in `set_word`.
    unsafe { self.memory.base().cast::<u32>().add(index as usize).read_volatile() }
  }
}
