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
use crate::cqe::{Cqe, ENTER_BYTES, IORING_CQE_F_MORE};
use crate::error::Result;
use crate::slot::{Held, Key, Lifecycle, Owner, Slots, OWNER_RING};
use crate::sqe::{opens, Sqe, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long an enter may block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
  /// Not at all: task work is run, CQEs are posted.
  No,
  /// Until at least one CQE.
  Forever,
  /// The same with a limit.
  For(Duration),
}

// PAIR: Driver
/// What stands below the ring: the kernel, or the seeded mock of the tests.
pub trait Driver {
  // PAIR: Driver.push
  /// Puts one entry into the SQ. The caller has seen that there is room.
  fn push(&mut self, sqe: &Sqe);
  // PAIR: Driver.submit
  /// One io_uring_enter(2) with GETEVENTS. `Err` is the errno.
  fn submit(&mut self, wait: Wait) -> std::result::Result<usize, i32>;
  // PAIR: Driver.reap
  /// Copies CQEs out, oldest first; how many.
  fn reap(&mut self, out: &mut [Cqe]) -> usize;
  // PAIR: Driver.park
  /// Asks for a wake-up, then looks once more. False: something is there, do not sleep.
  fn park(&mut self) -> bool;
  // PAIR: only-rust Driver.unpark -- TypeScript's turn function does it before its first enter
  /// Wake-ups are not wanted any more.
  fn unpark(&mut self);
  // PAIR: only-rust Driver.room -- TypeScript sees a list of descriptors instead of the SQ
  /// Free SQ entries.
  fn room(&self) -> usize;
  /// SQ entries that the kernel has not taken.
  fn queued(&self) -> usize;
  /// CQEs, task work or overflow wait for an enter or a reap.
  fn pending(&mut self) -> bool;
  /// The CQ has overflowed; entries come with the next enters.
  fn overflowed(&self) -> bool;
  /// IORING_REGISTER_SYNC_CANCEL of everything. Its return is no barrier (I7). False: this kernel
  /// has no such call (it came with 6.0).
  fn cancel_all(&mut self) -> bool;
}

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

/// user_data of a cancel or a close that the ring sent itself.
const OWN: u64 = OWNER_RING;
/// user_data of the read that a wake-up from another thread completes.
const OWN_WAKE: u64 = OWNER_RING | 1;

// PAIR: Ring
/// One ring, for one thread (I6: it is neither Send nor Sync, by its boxed driver).
pub struct Ring {
  driver: Box<dyn Driver>,
  slots: Slots,
  backlog: VecDeque<Sqe>,
  /// The ring's own entries: cancels and closes. Emptied first.
  own: VecDeque<Sqe>,
  /// Events that never went to the kernel.
  local: VecDeque<Event>,
  arena: Arena,
  pub regions: Regions,
  pub stats: Stats,
  /// Inline bytes in the SQ since the kernel last emptied it.
  enter_bytes: usize,
  /// What the last submit moved of them.
  entered_bytes: usize,
  /// Operations between push and last CQE.
  in_flight: usize,
  /// Own entries between push and CQE, the wake-up read among them.
  own_in_flight: usize,
  /// The last enter answered EAGAIN or EBUSY: reap, then try again.
  stalled: bool,
  /// The errno that ended the ring.
  fatal: Option<i32>,
  /// The wake-up read's CQE came: it must be armed again.
  woken: bool,
  closed: bool,
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

  /// Nobody can receive the result any more: cancelled, its memory kept until the last CQE (I2), a
  /// descriptor that comes all the same is closed (I3).
  pub fn abandon(&mut self, key: Key) {
    let Some(slot) = self.slots.get(key) else {
      return;
    };
    let opens = slot.opens;
    match std::mem::replace(&mut slot.lifecycle, Lifecycle::Abandoned) {
      Lifecycle::Completed(res, _) => {
        self.slots.remove(key);
        if opens && res >= 0 {
          self.close_fd(res);
        }
      }
      _ => {
        self.cancel(key);
      }
    }
  }

  /// Nobody ever asked for the result: its completion is dropped, a descriptor closed.
  pub fn disown(&mut self, key: Key) {
    if let Some(slot) = self.slots.get(key) {
      slot.lifecycle = Lifecycle::Abandoned;
    }
  }

  /// An operation that could not be understood ends here, without a slot.
  pub fn reject(&mut self, owner: Owner, errno: i32) {
    let key = Key { slot: u32::MAX, generation: 0 };
    self.local.push_back(Event { key, owner, res: -errno, flags: 0, opens: false });
  }

  /// Closes a descriptor that nobody received, without blocking this thread.
  pub fn close_fd(&mut self, fd: i32) {
    if self.closed || self.fatal.is_some() {
      close_now(fd);
      return;
    }
    let opcode = IORING_OP_CLOSE as u8;
    self.own.push_back(Sqe { opcode, fd, user_data: OWN, ..Sqe::default() });
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

  // PAIR: only-rust Ring.armWake -- TypeScript is woken by the reactor thread
  /// Reads 8 bytes from an eventfd, so that another thread can end a blocking park. `buffer` must
  /// outlive the ring's close.
  pub fn arm_wake(&mut self, eventfd: i32, buffer: *mut u8) {
    let sqe = Sqe {
      opcode: crate::sqe::IORING_OP_READ as u8,
      fd: eventfd,
      off: u64::MAX,
      addr: buffer as u64,
      len: 8,
      user_data: OWN_WAKE,
      ..Sqe::default()
    };
    self.woken = false;
    self.own.push_back(sqe);
  }

  /// The wake-up read has completed and is no longer armed.
  pub fn woken(&self) -> bool {
    self.woken
  }

  // PAIR: Ring.close
  /// I7: cancels everything, waits for every CQE up to `bound`, gives the events that came. False:
  /// something has not ended; its memory is leaked on purpose, never freed.
  pub fn close(&mut self, bound: Duration, events: &mut Vec<Event>) -> bool {
    let deadline = Instant::now() + bound;
    self.closed = true;
    // What the kernel never saw ends here. Closes still go out, the ring's own and the callers'.
    for sqe in std::mem::take(&mut self.backlog) {
      if sqe.opcode as u32 == IORING_OP_CLOSE {
        self.backlog.push_back(sqe);
        continue;
      }
      let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
      if self.slots.get(key).is_some_and(|slot| slot.queued) {
        self.finish_locally(key, -libc::ECANCELED);
      }
    }
    loop {
      self.submit(Wait::No);
      self.reap(events, usize::MAX);
      let waiting = !self.own.is_empty() || !self.backlog.is_empty();
      let queued = waiting || self.driver.queued() > 0;
      if self.fatal.is_some() || !queued || Instant::now() >= deadline {
        break;
      }
    }
    while (self.in_flight > 0 || self.own_in_flight > 0) && self.fatal.is_none() {
      if Instant::now() >= deadline {
        break;
      }
      if !self.driver.cancel_all() {
        let keys = self.slots.keys().into_iter();
        self.own.extend(keys.map(|key| cancel_sqe(key.user_data(), OWN)));
        self.own.push_back(cancel_sqe(OWN_WAKE, OWN));
      }
      self.submit(Wait::For(Duration::from_millis(20)));
      self.reap(events, usize::MAX);
    }
    self.reap(events, usize::MAX);
    let drained = self.in_flight == 0 && self.own_in_flight == 0;
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
  fn fill(&mut self) {
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

  /// One CQE: the ring's own, a stale one (I4), an abandoned one (I3), or an event.
  fn complete(&mut self, cqe: &Cqe, events: &mut Vec<Event>) {
    let last = cqe.flags & IORING_CQE_F_MORE == 0;
    let Some(key) = Key::of(cqe.user_data) else {
      self.own_in_flight -= last as usize;
      self.woken |= cqe.user_data == OWN_WAKE;
      return;
    };
    let turn = self.stats.turns;
    let Some(slot) = self.slots.get(key) else {
      self.stats.stale += 1;
      return;
    };
    let (owner, opens, inline) = (slot.owner, slot.opens, slot.turn == turn);
    let abandoned = matches!(slot.lifecycle, Lifecycle::Abandoned);
    if last {
      self.let_go(key, abandoned || matches!(owner, Owner::Ticket(_)));
    }
    if abandoned {
      if opens && cqe.res >= 0 {
        self.close_fd(cqe.res);
      }
      return;
    }
    self.stats.inline += inline as u32;
    events.push(Event { key, owner, res: cqe.res, flags: cqe.flags, opens });
  }

  /// The last CQE is in: the memory is the ring's again (I2). A future's slot stays until its
  /// result is taken, a ticket's is free at once.
  fn let_go(&mut self, key: Key, remove: bool) {
    self.in_flight -= 1;
    let slot = self.slots.get(key).expect("the caller found it");
    slot.inputs = None;
    slot.queued = false;
    if let Held::Region(id) = slot.held {
      slot.held = Held::Nothing;
      self.regions.release(id);
    }
    if remove {
      self.slots.remove(key);
    }
  }

  /// An operation that never reached the kernel ends with `res`.
  fn finish_locally(&mut self, key: Key, res: i32) {
    let slot = self.slots.get(key).expect("the caller found it");
    let (owner, abandoned) = (slot.owner, matches!(slot.lifecycle, Lifecycle::Abandoned));
    self.let_go(key, abandoned || matches!(owner, Owner::Ticket(_)));
    if !abandoned {
      self.local.push_back(Event { key, owner, res, flags: 0, opens: false });
    }
  }

  /// The ring is beyond use: every operation fails, all memory stays, since the kernel may still
  /// write to it and no CQE will say when it is done (I2).
  fn poison(&mut self, errno: i32) {
    self.fatal = Some(errno);
    self.backlog.clear();
    // What the ring owes is done without it (I3).
    for sqe in std::mem::take(&mut self.own) {
      if sqe.opcode as u32 == IORING_OP_CLOSE {
        close_now(sqe.fd);
      }
    }
    for key in self.slots.keys() {
      let slot = self.slots.get(key).expect("listed just now");
      let waits = !matches!(slot.lifecycle, Lifecycle::Completed(..) | Lifecycle::Abandoned);
      if waits {
        let owner = slot.owner;
        if let Owner::Ticket(_) = owner {
          slot.lifecycle = Lifecycle::Abandoned;
        }
        self.local.push_back(Event { key, owner, res: -errno, flags: 0, opens: false });
      }
    }
  }

  /// Forgets all memory that the kernel might still write to.
  fn leak(&mut self) {
    self.regions.leak();
    self.arena.leak();
    std::mem::forget(std::mem::take(&mut self.slots));
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

/// The driver of a closed ring: nothing goes in, nothing comes out.
struct Closed;

impl Driver for Closed {
  fn push(&mut self, _sqe: &Sqe) {}

  fn submit(&mut self, _wait: Wait) -> std::result::Result<usize, i32> {
    Ok(0)
  }

  fn reap(&mut self, _out: &mut [Cqe]) -> usize {
    0
  }

  fn park(&mut self) -> bool {
    true
  }

  fn unpark(&mut self) {}

  fn room(&self) -> usize {
    0
  }

  fn queued(&self) -> usize {
    0
  }

  fn pending(&mut self) -> bool {
    false
  }

  fn overflowed(&self) -> bool {
    false
  }

  fn cancel_all(&mut self) -> bool {
    true
  }
}

/// The entry that cancels a target by its user_data.
fn cancel_sqe(target: u64, user_data: u64) -> Sqe {
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
