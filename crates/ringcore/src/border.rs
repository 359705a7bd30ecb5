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
use crate::group::Provided;
use crate::ring::{close_now, Event, Ring, Wait};
use crate::slot::{Key, Owner};
use crate::sqe::*;
use crate::start::Member;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tickets are small indexes; a larger one is nonsense, not a reason to allocate.
pub(crate) const MAX_TICKET: u32 = 1 << 24;

/// One descriptor, copied out of shared memory before it is looked at.
pub(crate) type Descriptor = [u32; DESCRIPTOR_WORDS as usize];

/// Words that only some operations have.
const RARE: [u32; 5] = [D_IOPRIO, D_WORD2, D_INPUT, D_INPUT_LENGTH, D_FILE_INDEX];

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
  pub(crate) protected: i32,
  /// Opcodes that this kernel lacks. Usually empty.
  pub(crate) missing: Vec<u8>,
  /// The chain whose members are being read, until its last one.
  pub(crate) chain: Vec<Member>,
  /// Regions that its members hold.
  pub(crate) chain_regions: Vec<u32>,
}

const FREE: Key = Key { slot: 0, generation: 0 };

impl Border {
  /// Shared memory for a ring. `protected` is a descriptor that close refuses.
  pub fn new(ring: Ring, protected: i32) -> Result<Border> {
    let memory = Slab::new(BORDER_BYTES as usize)?;
    let (tickets, events) = (Vec::new(), Vec::with_capacity(TURN_COMPLETIONS as usize));
    let (leftover, born) = (VecDeque::new(), Instant::now());
    Ok(Border {
      ring,
      memory,
      tickets,
      events,
      leftover,
      born,
      protected,
      missing: Vec::new(),
      chain: Vec::new(),
      chain_regions: Vec::new(),
    })
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
    self.publish_memory();
    Ok(growth)
  }

  /// A new buffer group.
  pub fn provide(&mut self, count: u32, size: u32) -> Result<Provided> {
    let provided = self.ring.provide(count, size)?;
    self.set(H_GROUP_KIB, (self.ring.groups.bytes() >> 10) as u32);
    Ok(provided)
  }

  /// Gives a slab of regions back; how many bytes (`Regions::shrink`).
  pub fn shrink(&mut self, first: u32) -> usize {
    let bytes = self.ring.regions.shrink(first);
    self.publish_memory();
    bytes
  }

  /// Memory for `buffer.alloc`: its id, and the slab to be shown.
  pub fn allocate(&mut self, len: u32, align: usize, registered: bool) -> Result<(u32, Arc<Slab>)> {
    let allocated = self.ring.allocate(len, align, registered);
    self.publish_memory();
    allocated
  }

  /// What showed an allocation was collected.
  pub fn forget(&mut self, id: u32) {
    self.ring.forget(id);
    self.publish_memory();
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
    self.ring.unregister();
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
      let place = self.memory.base().wrapping_add(at).cast::<Descriptor>();
      // SAFETY: I6: in the slab, since `count` is at most MAX_DESCRIPTORS, and aligned; only the
      // JavaScript thread writes there, and it is in this call, so that one plain copy is enough.
      let descriptor = unsafe { place.read() };
      if RARE.iter().any(|word| descriptor[*word as usize] != 0) {
        // TypeScript writes them when it needs them only: they are 0 for the next one.
        RARE.iter().for_each(|word| self.set_word(at as u32 / 4 + word, 0));
      }
      self.start(&descriptor);
    }
    // A chain without its end: nothing of it runs.
    self.end_chain(false);
    self.set(H_DESCRIPTORS, 0);
  }

  // PAIR: Border.start
  /// One descriptor becomes an operation, or an errno for its ticket, or a member of a chain.
  fn start(&mut self, d: &Descriptor) {
    let ticket = d[D_TICKET as usize];
    let link = d[D_SQE_FLAGS as usize] & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) != 0;
    if link || !self.chain.is_empty() {
      let decoded = self.check(d).and_then(|()| self.member(d));
      self.chain.push(Member { ticket, decoded });
      if !link {
        self.end_chain(true);
      }
      return;
    }
    if let Err(errno) = self.check(d).and_then(|()| self.single(d)) {
      // Through the ring's local events: the list may be full just now.
      self.ring.reject(Owner::Ticket(ticket), errno);
    }
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
      match self.word(at + C_AUX) {
        1 if res >= 0 => close_now(res),
        aux @ 2.. => self.ring.close_received(aux - 2),
        _ => {}
      }
    }
    for event in std::mem::take(&mut self.leftover) {
      if event.res >= 0 && event.opens {
        close_now(event.res);
      }
      event.message.into_iter().for_each(|region| self.ring.close_received(region));
    }
    self.set(H_TAKEN, self.get(H_COMPLETIONS));
    // Streams had taken these, and nobody has taken them from the streams. What `look` has opened
    // may be one of them already.
    let looked = self.get(H_CACHED_FD);
    let mut left = vec![looked];
    for index in BORDER_KEPT / 4..BORDER_KEPT / 4 + MAX_KEPT {
      let kept = self.word(index);
      if kept != 0 && kept != looked {
        left.push(kept);
      }
      self.set_word(index, 0);
    }
    self.set(H_CACHED_FD, 0);
    for fd in left.into_iter().map(|word| word.wrapping_sub(1) as i32) {
      if fd >= 0 && fd != self.protected {
        close_now(fd);
      }
    }
  }

  pub(crate) fn in_use(&self, ticket: u32) -> bool {
    self.tickets.get(ticket as usize).is_some_and(|key| *key != FREE)
  }

  pub(crate) fn key_of(&self, ticket: u32) -> Option<Key> {
    self.tickets.get(ticket as usize).copied().filter(|key| *key != FREE)
  }

  pub(crate) fn remember(&mut self, ticket: u32, key: Key) {
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
    completion[C_AUX as usize] = event.message.map_or(event.opens as u32, |region| region + 2);
    let at = (BORDER_COMPLETIONS + index * COMPLETION_WORDS * 4) as usize;
    // SAFETY: I6: in the slab by the check above, aligned, touched by this thread only, which is in
    // this call until the completion is read.
    unsafe { self.memory.base().wrapping_add(at).cast::<Completion>().write(completion) };
    self.set(H_COMPLETIONS, index + 1);
  }

  /// How much memory there is, as words that TypeScript reads.
  fn publish_memory(&mut self) {
    self.set(H_REGION_KIB, (self.ring.regions.bytes() >> 10) as u32);
    self.set(H_ALLOC_KIB, (self.ring.regions.allocations.bytes() >> 10) as u32);
    self.set(H_REGISTERED_KIB, (self.ring.buffers.bytes() >> 10) as u32);
    self.set(H_ARENA_KIB, (self.ring.arena_bytes() >> 10) as u32);
    self.set(H_GROUP_KIB, (self.ring.groups.bytes() >> 10) as u32);
  }

  /// The clock, as a word.
  pub(crate) fn tick(&mut self) {
    self.set(H_CLOCK, self.born.elapsed().as_micros() as u32);
  }

  /// Counters and the clock, as words that TypeScript reads without a call.
  fn publish(&mut self) {
    let stats = self.ring.stats;
    self.set(H_FATAL, self.ring.fatal().unwrap_or(0) as u32);
    self.tick();
    self.set(H_TURNS, stats.turns);
    self.set(H_ENTERS, stats.enters);
    self.set(H_SUBMITTED, stats.submitted);
    self.set(H_COMPLETED, stats.completed);
    self.set(H_INLINE, stats.inline);
    self.set(H_OVERFLOWS, stats.overflows);
    self.set(H_STALE, stats.stale);
    self.set(H_IN_FLIGHT, self.ring.in_flight() as u32);
    self.publish_memory();
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
