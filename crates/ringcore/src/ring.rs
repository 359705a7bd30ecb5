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

use crate::buffer::{Arena, Regions};
use crate::cqe::{Cqe, ENTER_BYTES};
use crate::driver::Closed;
pub use crate::driver::{Driver, Wait};
use crate::error::Result;
use crate::slot::{Held, Key, Lifecycle, Owner, Slots, OWNER_RING};
use crate::sqe::{opens, Sqe, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
use std::collections::VecDeque;
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
}

/// Inputs of an operation: bytes that the kernel reads when it takes the SQE.
#[derive(Clone, Copy, Default)]
pub struct Input<'a>(pub Option<&'a [u8]>);

/// The same, owned: what a descriptor said.
pub(crate) enum Inputs {
  None,
  Path(Vec<u8>),
  Time([u8; 16]),
}

impl Inputs {
  pub(crate) fn bytes(&self) -> Option<&[u8]> {
    match self {
      Inputs::None => None,
      Inputs::Path(path) => Some(path),
      Inputs::Time(time) => Some(time),
    }
  }
}

/// user_data of a cancel or a close that the ring sent itself.
pub(crate) const OWN: u64 = OWNER_RING;
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
  /// Events that never went to the kernel.
  pub(crate) local: VecDeque<Event>,
  pub(crate) arena: Arena,
  pub regions: Regions,
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
  /// The errno that ended the ring.
  pub(crate) fatal: Option<i32>,
  /// The wake-up read's CQE came: it must be armed again.
  pub(crate) woken: bool,
  pub(crate) closed: bool,
}

impl Ring {
  /// A ring over a driver; regions take at most `memory_limit` bytes.
  pub fn new(driver: Box<dyn Driver>, memory_limit: usize) -> Result<Ring> {
    Ok(Ring {
      driver,
      slots: Slots::default(),
      backlog: VecDeque::new(),
      own: VecDeque::new(),
      local: VecDeque::new(),
      arena: Arena::new()?,
      regions: Regions::new(memory_limit),
      stats: Stats::default(),
      enter_bytes: 0,
      entered_bytes: 0,
      in_flight: 0,
      own_in_flight: 0,
      stalled: false,
      fatal: None,
      woken: false,
      closed: false,
    })
  }

  // PAIR: Ring.push
  /// Takes an operation: into the SQ, or into the backlog when the SQ is full. Never refused (I5).
  pub fn push(&mut self, mut sqe: Sqe, input: Input, held: Held, owner: Owner) -> Key {
    let key = self.slots.insert(owner, held, opens(sqe.opcode));
    sqe.user_data = key.user_data();
    self.in_flight += 1;
    if let Some(errno) = self.fatal.or(self.closed.then_some(libc::ECANCELED)) {
      self.finish_locally(key, -errno);
      return key;
    }
    let direct = self.own.is_empty() && self.backlog.is_empty() && self.fits(&sqe);
    // Inputs of an entry in the SQ live in the arena, which is reset when the kernel has taken the
    // SQ (I2). An entry that waits keeps its own copy in the slot.
    let placed = match input.0 {
      None => Some(0),
      Some(bytes) if direct => self.arena.place(bytes),
      Some(_) => None,
    };
    let turn = self.stats.turns;
    let slot = self.slots.get(key).expect("the slot was just made");
    match (placed, input.0) {
      (Some(address), Some(_)) => sqe.addr = address,
      (None, Some(bytes)) => sqe.addr = slot.inputs.insert(bytes.into()).as_ptr() as u64,
      _ => {}
    }
    slot.turn = turn;
    slot.queued = !direct;
    slot.closes = sqe.opcode as u32 == IORING_OP_CLOSE;
    if direct {
      self.enter_bytes += sqe.inline_bytes();
      self.driver.push(&sqe);
    } else {
      self.backlog.push_back(sqe);
    }
    key
  }

  // PAIR: Ring.cancel
  /// Asks for the end of an operation; its CQE decides how it ends. One in the backlog ends here.
  /// False: there is no such operation in flight.
  pub fn cancel(&mut self, key: Key) -> bool {
    let Some(slot) = self.slots.get(key) else {
      return false;
    };
    if matches!(slot.lifecycle, Lifecycle::Completed(..)) {
      return false;
    }
    if slot.closes {
      return true; // The number is the caller's no longer: a close that did not run would leak it.
    }
    if slot.queued {
      self.finish_locally(key, -libc::ECANCELED);
    } else {
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
        self.finish_locally(target, -libc::ECANCELED);
        self.finish_locally(key, 0);
      }
      _ => self.finish_locally(key, -libc::ENOENT),
    }
    key
  }

  // PAIR: Ring.submit
  /// Hands everything that fits to the kernel: own entries first, then the backlog in order.
  pub fn submit(&mut self, wait: Wait) {
    if self.fatal.is_some() {
      return;
    }
    self.fill();
    if self.driver.overflowed() {
      self.stats.overflows += 1;
    }
    self.stalled = false;
    loop {
      self.stats.enters += 1;
      match self.driver.submit(wait) {
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
    self.stats.completed += reaped as u32;
    reaped
  }

  // PAIR: Ring.park
  /// Prepares to sleep. False: there is work, take another turn.
  pub fn park(&mut self) -> bool {
    !self.more() && self.driver.park()
  }

  /// Wake-ups are not wanted until the next park. Call before the first enter of a turn.
  pub fn unpark(&mut self) {
    self.driver.unpark();
  }

  /// Work that needs another submit or reap.
  pub fn more(&self) -> bool {
    let waiting = !self.backlog.is_empty() || !self.own.is_empty() || self.driver.queued() > 0;
    !self.local.is_empty() || (self.fatal.is_none() && waiting)
  }

  /// Something to submit, to run or to reap right now.
  pub fn ready(&mut self) -> bool {
    self.more() || (self.fatal.is_none() && self.driver.pending())
  }

  /// The last enter could not take everything; spinning on it would not help.
  pub fn stalled(&self) -> bool {
    self.stalled
  }

  /// Inline bytes of the last submit (I8).
  pub fn entered_bytes(&self) -> usize {
    self.entered_bytes
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

  /// Frees a completed slot and gives back what it held.
  pub fn take(&mut self, key: Key) -> Option<Held> {
    self.slots.remove(key)
  }

  /// Bytes of the arena.
  pub fn arena_bytes(&self) -> usize {
    self.arena.bytes()
  }

  // PAIR: Ring.close
  /// I7: cancels everything, waits for every CQE up to `bound`, gives the events that came. False:
  /// something has not ended; its memory is leaked on purpose, never freed.
  pub fn close(&mut self, bound: Duration, events: &mut Vec<Event>) -> bool {
    self.closed = true;
    let drained = self.drain(Instant::now() + bound, events);
    if !drained {
      self.leak();
    }
    // The kernel's descriptors go now; memory goes with those who hold it.
    self.driver = Box::new(Closed);
    drained
  }

  /// Whether an entry may go straight into the SQ.
  fn fits(&self, sqe: &Sqe) -> bool {
    let bytes = sqe.inline_bytes();
    let capped = self.enter_bytes > 0 && self.enter_bytes + bytes > ENTER_BYTES as usize;
    self.driver.room() > 0 && (bytes == 0 || !capped)
  }

  /// Moves own entries, then the backlog, into the SQ while there is room.
  pub(crate) fn fill(&mut self) {
    while self.driver.room() > 0 {
      let Some(sqe) = self.own.pop_front() else {
        break;
      };
      if Key::of(sqe.user_data).is_none() {
        self.own_in_flight += 1;
      }
      self.driver.push(&sqe);
    }
    while let Some(sqe) = self.backlog.front() {
      let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
      let live = self.slots.get(key).is_some_and(|slot| slot.queued);
      if live && !self.fits(sqe) {
        break;
      }
      let sqe = self.backlog.pop_front().expect("its front was just seen");
      if !live {
        continue; // Cancelled while it waited; its event is out already.
      }
      let turn = self.stats.turns;
      let slot = self.slots.get(key).expect("it is live");
      slot.queued = false;
      slot.turn = turn;
      self.enter_bytes += sqe.inline_bytes();
      self.driver.push(&sqe);
    }
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

/// The entry that cancels a target by its user_data.
pub(crate) fn cancel_sqe(target: u64, user_data: u64) -> Sqe {
  let opcode = IORING_OP_ASYNC_CANCEL as u8;
  Sqe { opcode, fd: -1, addr: target, user_data, ..Sqe::default() }
}

/// close(2) on this thread, for the moments when the ring cannot.
#[allow(unsafe_code)]
pub fn close_now(fd: i32) {
  // SAFETY: I3: the descriptor came as the result of an operation that nobody can receive, so
  // nobody else knows its number.
  unsafe { libc::close(fd) };
}
