//! The ring: push, submit, reap, park over a driver; full queues are its own work (I5).
//! Pair: src/ring.ts
//!
//! ```text
//!            push                     fill                    submit (io_uring_enter)
//! executor ───────> SQ has room ───────────────────────────> kernel
//!              \                       ^
//!               `─> backlog (FIFO) ────┤  at most 1 MiB of inline bytes an enter (I8)
//!      cancel ────> own queue ─────────┘  always emptied first
//!            reap: CQEs, generation checked (I4) <─────────── kernel
//! ```

use crate::alloc::BufferTable;
use crate::backlog::Owed;
use crate::buffer::{Arena, Regions};
use crate::cqe::Cqe;
use crate::direct::Directs;
use crate::driver::Closed;
pub use crate::driver::{Driver, Wait};
use crate::error::Result;
use crate::group::Groups;
pub use crate::input::{Input, Patch};
pub(crate) use crate::settle::cancel_sqe;
pub use crate::settle::close_now;
use crate::setup::Allow;
use crate::slot::{Held, Key, Lifecycle, Owner, Slots, OWNER_RING};
use crate::sqe::{Sqe, ERRNO_NOT_ALLOWED};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A completion whose slot was found: who learns of it, and what the kernel said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
  pub key: Key,
  pub owner: Owner,
  pub res: i32,
  pub flags: u32,
  /// A result of 0 or more is a new descriptor (I3).
  pub opens: bool,
  /// A message was received into this region; descriptors may have come with it (I3).
  pub message: Option<u32>,
}

/// Counters since the ring was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
  pub turns: u32,
  pub enters: u32,
  pub submitted: u32,
  pub completed: u32,
  pub inline: u32,
  pub overflows: u32,
  pub stale: u32,
  pub looks: u32,
}

/// An operation on its way in: the entry, what it points to, and who learns of its end.
pub struct Entry {
  pub sqe: Sqe,
  pub input: Option<Input>,
  pub held: Held,
  pub owner: Owner,
}

impl Entry {
  pub(crate) fn inline_bytes(&self) -> usize {
    self.sqe.inline_bytes(self.input.as_ref().map(Input::bytes))
  }
}

/// user_data of a cancel that the ring sent itself.
pub(crate) const OWN: u64 = OWNER_RING;
/// user_data of a close that the ring sent itself, with its descriptor.
pub(crate) const OWNER_CLOSE: u64 = OWNER_RING | 1 << 61;
/// The same of a direct descriptor, with its slot.
pub(crate) const OWNER_DIRECT: u64 = OWNER_RING | 1 << 62;
/// user_data of the read that a wake-up from another thread completes.
pub(crate) const OWN_WAKE: u64 = OWNER_RING | 1;

// PAIR: Ring
/// One ring, for one thread (I6: it is neither Send nor Sync, by its boxed driver).
pub struct Ring {
  pub(crate) driver: Box<dyn Driver>,
  pub(crate) slots: Slots,
  pub(crate) backlog: VecDeque<Sqe>,
  /// The ring's own entries: cancels and closes. Emptied first.
  pub(crate) own: VecDeque<Sqe>,
  /// Closes on their way through the SQ.
  pub(crate) owed: Owed,
  /// Events that never went to the kernel.
  pub(crate) local: VecDeque<Event>,
  pub(crate) arena: Arena,
  pub regions: Regions,
  pub groups: Groups,
  pub(crate) buffers: BufferTable,
  pub(crate) directs: Directs,
  /// Tells what belongs to this ring from what belongs to others.
  pub(crate) serial: u32,
  pub stats: Stats,
  /// Inline bytes in the SQ since the kernel last emptied it.
  pub(crate) enter_bytes: usize,
  /// What the last submit moved of them.
  pub(crate) entered_bytes: usize,
  /// Operations between push and last CQE.
  pub(crate) in_flight: usize,
  /// Own entries between push and CQE, the wake-up read among them.
  pub(crate) own_in_flight: usize,
  /// The last enter answered EAGAIN or EBUSY: reap, then try again.
  pub(crate) stalled: bool,
  /// Looks in a row that brought nothing.
  pub(crate) barren: u8,
  /// The errno that ended the ring.
  pub(crate) fatal: Option<i32>,
  /// The wake-up read's CQE came: it must be armed again.
  pub(crate) woken: bool,
  pub(crate) closed: bool,
  pub(crate) late: crate::late::Late,
  /// The kernel's thread takes entries when it likes (SQPOLL): inputs stay in their slots.
  pub(crate) polled: bool,
  /// The only opcodes that may run; `None`: all. Refused here before the kernel refuses them.
  pub allow: Option<Allow>,
}

impl Ring {
  /// A ring over a driver; regions take at most `memory_limit` bytes.
  pub fn new(driver: Box<dyn Driver>, memory_limit: usize) -> Result<Ring> {
    static RINGS: AtomicU32 = AtomicU32::new(1);
    let polled = driver.polled();
    Ok(Ring {
      driver,
      slots: Slots::default(),
      backlog: VecDeque::new(),
      own: VecDeque::new(),
      owed: Owed::default(),
      local: VecDeque::new(),
      arena: Arena::new()?,
      regions: Regions::new(memory_limit),
      groups: Groups::default(),
      buffers: BufferTable::default(),
      directs: Directs::default(),
      serial: RINGS.fetch_add(1, Ordering::Relaxed),
      stats: Stats::default(),
      enter_bytes: 0,
      entered_bytes: 0,
      in_flight: 0,
      own_in_flight: 0,
      stalled: false,
      barren: 0,
      fatal: None,
      woken: false,
      closed: false,
      late: Default::default(),
      polled,
      allow: None,
    })
  }

  // PAIR: Ring.push
  /// Takes an operation: into the SQ, or into the backlog when the SQ is full. Never refused (I5).
  pub fn push(&mut self, mut entry: Entry) -> Key {
    let opcode = entry.sqe.opcode as u32;
    if !self.allows(opcode) {
      return self.refuse(entry, (ERRNO_NOT_ALLOWED + opcode) as i32);
    }
    if let Some(errno) = self.refuses(&entry.sqe).or_else(|| self.closes_here(&entry.sqe)) {
      return self.refuse(entry, errno);
    }
    let direct = self.own.is_empty() && self.backlog.is_empty() && self.fits(entry.inline_bytes());
    let (key, goes) = self.accept(&mut entry, direct);
    if goes {
      self.hand(std::slice::from_ref(&entry.sqe));
    }
    key
  }

  // PAIR: Ring.pushChain
  /// Takes a chain: into the SQ in one piece, or into the backlog. All but the last are linked.
  pub fn push_chain(&mut self, entries: Vec<Entry>) -> Vec<Key> {
    if entries.iter().any(|entry| self.refuses_member(&entry.sqe).is_some()) {
      return self.refuse_chain(entries);
    }
    let idle = self.own.is_empty() && self.backlog.is_empty();
    let bytes = entries.iter().map(Entry::inline_bytes).sum();
    let direct = idle && self.driver.room() >= entries.len() && self.affords(bytes);
    let (mut keys, mut sqes) = (Vec::new(), Vec::new());
    for mut entry in entries {
      let (key, goes) = self.accept(&mut entry, direct);
      if let Some(slot) = self.slots.get(key) {
        slot.chained = true;
      }
      keys.push(key);
      if goes {
        sqes.push(entry.sqe);
      }
    }
    self.hand(&sqes);
    keys
  }

  // PAIR: Ring.cancel
  /// Asks for the end of an operation; its CQE decides how it ends. One in the backlog ends here.
  /// False: there is no such operation in flight.
  pub fn cancel(&mut self, key: Key) -> bool {
    let Some(slot) = self.slots.get(key) else {
      return false;
    };
    if !slot.flying || matches!(slot.lifecycle, Lifecycle::Completed(..)) {
      return false;
    }
    if slot.closes.is_some() {
      return true; // The number is the caller's no longer: a close that did not run would leak it.
    }
    if slot.queued {
      self.cancel_queued(key);
    } else {
      slot.cancelled = true;
      self.own.push_back(cancel_sqe(key.user_data(), OWN));
    }
    true
  }

  // PAIR: only-rust Ring.cancelOp -- in TypeScript op.cancel is a descriptor like any other
  /// `op.cancel`: the same, with a completion of its own (0, ENOENT or EALREADY).
  pub fn cancel_op(&mut self, target: Option<Key>, owner: Owner) -> Key {
    let key = self.slots.insert(owner, Held::Nothing, false);
    self.in_flight += 1;
    let slot = target.and_then(|target| self.slots.get(target));
    match (target, slot.map(|slot| slot.queued)) {
      (Some(target), Some(false)) if self.fatal.is_none() && !self.closed => {
        let turn = self.stats.turns;
        self.slots.get(key).expect("the slot was just made").turn = turn;
        self.own.push_back(cancel_sqe(target.user_data(), key.user_data()));
      }
      (Some(target), Some(true)) => {
        self.cancel_queued(target);
        self.finish_locally(key, 0);
      }
      _ => self.finish_locally(key, -libc::ENOENT),
    }
    key
  }

  // PAIR: Ring.submit
  /// Hands everything that fits to the kernel: own entries first, then the backlog in order.
  pub fn submit(&mut self, mut wait: Wait) {
    if self.fatal.is_some() {
      return;
    }
    self.unregister();
    self.reclaim();
    self.fill();
    if self.polled && self.waits() {
      match self.driver.make_room() {
        Ok(entered) => self.stats.enters += entered as u32,
        Err(libc::EINTR) => {}
        Err(errno) => return self.poison(errno),
      }
      self.fill();
      // What waits here must get in before this thread may sleep: no enter takes it along.
      if self.waits() {
        wait = Wait::No;
      }
    }
    if self.driver.overflowed() {
      self.stats.overflows += 1;
    }
    self.stalled = false;
    loop {
      let result = self.driver.submit(wait);
      self.stats.enters += self.driver.entered() as u32;
      match result {
        Ok(taken) => {
          self.stats.submitted += taken as u32;
          break;
        }
        // A signal came before anything was done: call again. While waiting it is a reason to look.
        Err(libc::EINTR) if wait == Wait::No => continue,
        Err(libc::EINTR | libc::ETIME) => break,
        // The kernel is short of memory, or wants the CQ emptied first: the entries stay in the SQ.
        Err(libc::EAGAIN | libc::EBUSY) => {
          self.stalled = true;
          break;
        }
        // EBADR: the kernel dropped completions. That, and whatever else, ends the ring.
        Err(errno) => {
          self.poison(errno);
          return;
        }
      }
    }
    self.entered_bytes = 0;
    if self.driver.queued() == 0 {
      self.arena.reset();
      self.entered_bytes = std::mem::take(&mut self.enter_bytes);
    }
  }

  // PAIR: Ring.reap
  /// Moves at most about `max` completions out, each with its slot found and its memory let go.
  pub fn reap(&mut self, events: &mut Vec<Event>, max: usize) -> usize {
    let before = events.len();
    while events.len() - before < max {
      let Some(event) = self.local.pop_front() else {
        break;
      };
      events.push(event);
    }
    let mut cqes = [Cqe::default(); 64];
    while events.len() - before < max {
      let wanted = (max - (events.len() - before)).min(cqes.len());
      let count = self.driver.reap(&mut cqes[..wanted]);
      for cqe in &cqes[..count] {
        self.complete(cqe, events);
      }
      if count == 0 {
        break;
      }
    }
    let reaped = events.len() - before;
    self.barren = if reaped == 0 { self.barren.saturating_add(1) } else { 0 };
    self.stats.completed += reaped as u32;
    reaped
  }

  // PAIR: Ring.park
  /// Prepares to sleep. False: there is work, take another turn.
  pub fn park(&mut self) -> bool {
    let parked = !self.more() && self.driver.park();
    self.barren = 0;
    parked
  }

  /// Wake-ups are not wanted until the next park. Call before the first enter of a turn.
  pub fn unpark(&mut self) {
    self.driver.unpark();
  }

  /// Work that needs another submit or reap.
  pub fn more(&self) -> bool {
    let waiting = self.waits() || self.driver.queued() > 0;
    let waiting = waiting || (!self.closed && self.directs.waiting());
    !self.local.is_empty() || (self.fatal.is_none() && waiting)
  }

  /// Whether the allow list has an opcode.
  pub(crate) fn allows(&self, opcode: u32) -> bool {
    self.allow.is_none_or(|allow| allow.has(opcode))
  }

  /// Something is not in the SQ yet.
  pub(crate) fn waits(&self) -> bool {
    !self.backlog.is_empty() || !self.own.is_empty()
  }

  /// The errno that ended the ring.
  pub fn fatal(&self) -> Option<i32> {
    self.fatal
  }

  /// Operations between push and last CQE.
  pub fn in_flight(&self) -> usize {
    self.in_flight
  }

  /// The slot of a key that is still its own (I4).
  pub fn slot(&mut self, key: Key) -> Option<&mut crate::slot::Slot> {
    self.slots.get(key)
  }

  /// Bytes of the arena.
  pub fn arena_bytes(&self) -> usize {
    self.arena.bytes()
  }

  // PAIR: Ring.close
  /// I7: cancels everything, waits for every CQE up to `bound`, gives the events that came. False:
  /// something has not ended; its memory is leaked on purpose, never freed.
  pub fn close(&mut self, bound: Duration, events: &mut Vec<Event>) -> bool {
    (self.closed, self.late.ending) = (true, true);
    let drained = self.drain(Instant::now() + bound, events);
    self.unclosed().iter().for_each(|sqe| self.close_fd(sqe.fd));
    if !drained {
      self.leak();
    }
    // The kernel's descriptors go now; memory goes with those who hold it.
    self.driver = Box::new(Closed);
    self.late.close();
    drained
  }
}

impl Drop for Ring {
  fn drop(&mut self) {
    // Whoever owns a ring closes it first. A ring that is dropped in flight all the same keeps I2.
    if (self.in_flight > 0 || self.own_in_flight > 0) && !self.closed {
      self.close(Duration::from_millis(500), &mut Vec::new());
    }
  }
}
