// PAIR: only-rust settle.rs -- TypeScript sees the ends of operations as completions, not as CQEs
//! How operations end: by their CQE, without the kernel, with the ring.

use crate::cqe::{Cqe, IORING_CQE_F_BUFFER, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF};
use crate::decode::received;
use crate::driver::Wait;
use crate::ring::{Entry, Event, Ring, OWN, OWNER_CLOSE, OWNER_DIRECT, OWN_WAKE};
use crate::slot::{Held, Key, Lifecycle, Owner, Shot};
use crate::sqe::{Sqe, IORING_OP_ASYNC_CANCEL, IORING_OP_CLOSE};
use std::collections::HashSet;
use std::time::{Duration, Instant};

impl Ring {
  /// Nobody can receive the result any more: cancelled, its memory kept until the last CQE (I2), a
  /// descriptor that comes all the same is closed (I3).
  pub fn abandon(&mut self, key: Key) {
    let Some(slot) = self.slots.get(key) else {
      return;
    };
    let (opens, group, flying) = (slot.opens, slot.group, slot.flying);
    let shot = slot.shot.take();
    match std::mem::replace(&mut slot.lifecycle, Lifecycle::Abandoned) {
      Lifecycle::Completed(res, flags) if !flying => {
        self.slots.remove(key);
        // The result of a shot is the last one of its queue.
        if shot.is_none() {
          self.drop_result(opens, group, res, flags);
        }
      }
      _ => {
        self.cancel(key);
      }
    }
    for (res, flags) in shot.map(|shot: Box<Shot>| shot.queue).unwrap_or_default() {
      self.drop_result(opens, group, res, flags);
    }
  }

  /// Frees a completed slot and gives back what it held. Where the ring has ended without its CQE
  /// it stays for that: a descriptor may still come (I3).
  pub fn take(&mut self, key: Key) -> Option<Held> {
    if let Some(slot) = self.slots.get(key).filter(|slot| slot.flying) {
      slot.lifecycle = Lifecycle::Abandoned;
      return None;
    }
    self.slots.remove(key)
  }

  /// A result that nobody receives: a descriptor is closed (I3), a buffer is the kernel's again.
  fn drop_result(&mut self, opens: bool, group: Option<u16>, res: i32, flags: u32) {
    if opens && res >= 0 {
      self.close_fd(res);
    }
    if let Some(group) = group.filter(|_| flags & IORING_CQE_F_BUFFER != 0) {
      let returned = self.return_buffer(group, (flags >> 16) as u16);
      debug_assert!(returned.is_ok(), "nobody else could return it");
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
    let res = -errno;
    self.local.push_back(Event { key, owner, res, flags: 0, opens: false, message: None });
  }

  /// An operation that may not go to the kernel.
  pub(crate) fn refuse(&mut self, entry: Entry, errno: i32) -> Key {
    let key = self.slots.insert(entry.owner, entry.held, false);
    self.in_flight += 1;
    self.finish_locally(key, -errno);
    key
  }

  /// A chain with one of those: its own errno, and ECANCELED beside it.
  pub(crate) fn refuse_chain(&mut self, entries: Vec<Entry>) -> Vec<Key> {
    let refuse = |entry: Entry| {
      let errno = self.refuses_member(&entry.sqe).unwrap_or(libc::ECANCELED);
      self.refuse(entry, errno)
    };
    entries.into_iter().map(refuse).collect()
  }

  /// Closes a descriptor that nobody received, without blocking this thread while the ring lasts.
  pub fn close_fd(&mut self, fd: i32) {
    if self.late.ending {
      self.late.came(fd);
      return;
    }
    if self.closed || self.fatal.is_some() {
      close_now(fd);
      return;
    }
    let opcode = IORING_OP_CLOSE as u8;
    let user_data = OWNER_CLOSE | fd as u32 as u64;
    self.own.push_back(Sqe { opcode, fd, user_data, ..Sqe::default() });
  }

  /// A close that comes when the ring has ended is made without it: its number is the ring's.
  pub(crate) fn closes_here(&mut self, sqe: &Sqe) -> Option<i32> {
    let ended = self.closed || self.fatal.is_some();
    let closes = ended && sqe.opcode as u32 == IORING_OP_CLOSE && sqe.file_index == 0;
    closes.then(|| self.close_fd(sqe.fd)).map(|_| 0)
  }

  /// One CQE: the ring's own, a stale one (I4), an abandoned one (I3), or an event.
  pub(crate) fn complete(&mut self, cqe: &Cqe, events: &mut Vec<Event>) {
    let last = cqe.flags & IORING_CQE_F_MORE == 0;
    let Some(key) = Key::of(cqe.user_data) else {
      self.end_own(cqe, last);
      return;
    };
    let turn = self.stats.turns;
    let Some(slot) = self.slots.get(key) else {
      self.stats.stale += 1;
      return;
    };
    if slot.zero_copy && !last {
      // The network still reads the memory: the notification ends it, with this result (I2).
      slot.sent = Some(cqe.res);
      return;
    }
    let (owner, opens, inline) = (slot.owner, slot.opens, slot.turn == turn);
    let told = self.fatal.is_some() && matches!(owner, Owner::Future);
    let abandoned = matches!(slot.lifecycle, Lifecycle::Abandoned);
    // One that waited in io-wq (NFS, FUSE) when everything was cancelled never ran. Members of a
    // chain may not have, and are their caller's then.
    let unrun = self.late.swept && cqe.res == -libc::ECANCELED && !slot.chained;
    let unclosed = slot.closes.filter(|fd| unrun && *fd >= 0);
    let res = match slot.ended {
      0 if unclosed.is_some() => 0,
      0 if slot.zero_copy && cqe.flags & IORING_CQE_F_NOTIF != 0 => slot.sent.unwrap_or(cqe.res),
      0 => cqe.res,
      // A cancel by descriptor that ended some in the backlog, whatever the kernel found.
      ended if cqe.res == -libc::ENOENT => ended as i32,
      ended => cqe.res.saturating_add(ended as i32 * (cqe.res >= 0) as i32),
    };
    let message = slot.publish_message(cqe.res);
    if !last && slot.cancelled {
      // A repeating timer that fires just now is not found by its cancel, and goes on.
      let again = cancel_sqe(cqe.user_data, OWN);
      if self.own.back() != Some(&again) {
        self.own.push_back(again);
      }
    }
    let mut flags = cqe.flags;
    let group = slot.group.filter(|_| flags & IORING_CQE_F_BUFFER != 0);
    unclosed.into_iter().for_each(|fd| self.late.cancelled(fd));
    if let Some(group) = group {
      self.groups.took(group, (flags >> 16) as u16);
    }
    if abandoned || told {
      // While its region is still held.
      message.into_iter().for_each(|region| self.close_received(region));
    }
    if last {
      self.end_direct(key, cqe.res);
      self.let_go(key, abandoned || matches!(owner, Owner::Ticket(_)));
    }
    // A future was told of the ring's end before, and has its slot until it has heard of that.
    if abandoned || told {
      self.drop_result(opens, group, cqe.res, flags);
      return;
    }
    if group.is_some() && res <= 0 {
      // An id may come with an error, or without a byte: nobody would return it.
      self.drop_result(false, group, res, flags);
      flags &= 0xffff & !IORING_CQE_F_BUFFER;
    }
    self.stats.inline += inline as u32;
    events.push(Event { key, owner, res, flags, opens, message });
  }

  fn end_own(&mut self, cqe: &Cqe, last: bool) {
    self.own_in_flight -= last as usize;
    self.woken |= cqe.user_data == OWN_WAKE;
    if cqe.user_data & OWNER_DIRECT == OWNER_DIRECT {
      self.free_direct(cqe.user_data as u32);
    } else if self.late.swept && cqe.user_data & OWNER_CLOSE == OWNER_CLOSE {
      let unrun = (cqe.res == -libc::ECANCELED).then_some(cqe.user_data as i32); // As above.
      unrun.into_iter().for_each(|fd| self.late.cancelled(fd));
    }
  }

  /// Descriptors that came with a message which nobody received (I3).
  pub(crate) fn close_received(&mut self, region: u32) {
    for fd in self.regions.message(region).map(|head| received(&head)).unwrap_or_default() {
      self.close_fd(fd);
    }
  }

  /// The last CQE is in: the memory is the ring's again (I2). A future's slot stays until its
  /// result is taken, a ticket's is free at once.
  pub(crate) fn let_go(&mut self, key: Key, remove: bool) {
    self.in_flight -= 1;
    if let Some(group) = self.slots.get(key).and_then(|slot| slot.group) {
      self.leave_group(group);
    }
    if remove {
      if let Held::Region(id) = self.slots.remove(key).expect("the caller found it") {
        self.regions.release(id);
      }
      return;
    }
    let slot = self.slots.get(key).expect("the caller found it");
    slot.inputs = None;
    slot.queued = false;
    slot.flying = false;
    if let Held::Region(id) = slot.held {
      slot.held = Held::Nothing;
      self.regions.release(id);
    }
  }

  /// An operation that never reached the kernel ends with `res`.
  pub(crate) fn finish_locally(&mut self, key: Key, res: i32) {
    let slot = self.slots.get(key).expect("the caller found it");
    let (owner, abandoned) = (slot.owner, matches!(slot.lifecycle, Lifecycle::Abandoned));
    self.end_direct(key, res);
    self.let_go(key, abandoned || matches!(owner, Owner::Ticket(_)));
    if !abandoned {
      self.local.push_back(Event { key, owner, res, flags: 0, opens: false, message: None });
    }
  }

  /// The ring is beyond use: every operation fails, all memory stays, since the kernel may still
  /// write to it and no CQE will say when it is done (I2).
  pub(crate) fn poison(&mut self, errno: i32) {
    self.fatal = Some(errno);
    // What the ring owes is done without it (I3).
    let unclosed = self.unclosed();
    unclosed.iter().for_each(|sqe| self.close_fd(sqe.fd));
    let closed: HashSet<u64> = unclosed.iter().map(|sqe| sqe.user_data).collect();
    for key in self.slots.keys() {
      let slot = self.slots.get(key).expect("listed just now");
      let waits = !matches!(slot.lifecycle, Lifecycle::Completed(..) | Lifecycle::Abandoned);
      if waits && slot.flying {
        let owner = slot.owner;
        if let Owner::Ticket(_) = owner {
          slot.lifecycle = Lifecycle::Abandoned;
        }
        let res = if closed.contains(&key.user_data()) { 0 } else { -errno };
        self.local.push_back(Event { key, owner, res, flags: 0, opens: false, message: None });
      }
    }
  }

  /// Forgets all memory that the kernel might still write to.
  pub(crate) fn leak(&mut self) {
    self.regions.leak();
    self.groups.leak();
    self.arena.leak();
    for key in self.slots.keys() {
      // The others have their results, which somebody may still take, or a descriptor to close.
      if let Some(slot) = self.slots.get(key).filter(|slot| slot.flying) {
        crate::buffer::leak((slot.inputs.take(), std::mem::take(&mut slot.held)));
        self.slots.remove(key);
      }
    }
  }

  /// I7: waits for every CQE until the deadline. False: something has not ended.
  pub(crate) fn drain(&mut self, deadline: Instant, events: &mut Vec<Event>) -> bool {
    self.empty_backlog();
    loop {
      self.submit(Wait::No);
      self.reap(events, usize::MAX);
      let waiting = !self.own.is_empty() || !self.backlog.is_empty();
      let queued = waiting || self.driver.queued() > 0;
      if self.fatal.is_some() || !queued || Instant::now() >= deadline {
        break;
      }
    }
    let mut stuck = true;
    while (self.in_flight > 0 || self.own_in_flight > 0) && self.fatal.is_none() {
      if self.only_sent(false) || Instant::now() >= deadline {
        break;
      }
      self.late.swept |= stuck;
      // One pass looks at everything: for each few completions of thousands it took too long.
      if stuck && !self.driver.cancel_all() {
        let keys = self.slots.keys().into_iter();
        self.own.extend(keys.map(|key| cancel_sqe(key.user_data(), OWN)));
        self.own.push_back(cancel_sqe(OWN_WAKE, OWN));
      }
      let before = self.in_flight + self.own_in_flight;
      self.submit(Wait::For(Duration::from_millis(20)));
      self.reap(events, usize::MAX);
      stuck = self.in_flight + self.own_in_flight >= before;
    }
    self.reap(events, usize::MAX);
    // An ended ring takes nothing, but may have more to say: a descriptor that came is closed (I3).
    while self.fatal.is_some() {
      self.driver.collect();
      let mut cqes = [Cqe::default(); 64];
      let count = self.driver.reap(&mut cqes);
      cqes[..count].iter().for_each(|cqe| self.complete(cqe, events));
      // Nothing is cancelled: a timer without a pause would go on for ever.
      if count == 0 || Instant::now() >= deadline {
        break;
      }
    }
    (self.in_flight == 0 && self.own_in_flight == 0) || self.end_sent(events)
  }

  /// Whether nothing is in flight but sends whose bytes the network has: a peer that never reads
  /// keeps them for ever. `all`: not only from copies in regions.
  fn only_sent(&mut self, all: bool) -> bool {
    let keys = if self.own_in_flight == 0 { self.slots.keys() } else { return false };
    keys.into_iter().all(|key| {
      let slot = self.slots.get(key).expect("listed just now");
      !slot.flying || (slot.sent.is_some() && (all || slot.copied()))
    })
  }

  /// They end with the ring, with their results where the bytes were copied. The pages of regions
  /// may be unmapped: the network has them until it has done with them, and they are nobody else's
  /// before. Those of a Rust caller's memory would be: it is leaked.
  fn end_sent(&mut self, events: &mut Vec<Event>) -> bool {
    if self.fatal.is_some() || !self.only_sent(true) {
      return false;
    }
    for key in self.slots.keys() {
      if let Some(slot) = self.slots.get(key).filter(|slot| slot.flying) {
        let (owner, copied, res) = (slot.owner, slot.copied(), slot.sent.unwrap_or(0));
        let abandoned = matches!(slot.lifecycle, Lifecycle::Abandoned);
        crate::buffer::leak((slot.inputs.take(), std::mem::take(&mut slot.held)));
        self.slots.remove(key);
        self.in_flight -= 1;
        if copied && !abandoned {
          events.push(Event { key, owner, res, flags: 0, opens: false, message: None });
        }
      }
    }
    true
  }
}

/// The wake-up of a blocking park, which only the pure Rust runtime needs.
impl Ring {
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
