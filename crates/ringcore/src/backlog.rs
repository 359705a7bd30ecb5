// PAIR: only-rust backlog.rs -- TypeScript sees a list of descriptors, not the SQ and what waits
//! The way into the SQ: at once, or in order when there is room. Chains go whole (I5).
//!
//! ```text
//! backlog  [a]  [b|LINK c|LINK d]  [e]        LINK: the next entry belongs to the same chain
//!           ^    ^ goes in when the SQ has room for three
//! ```

use crate::cqe::ENTER_BYTES;
use crate::input::patch;
use crate::ring::{Entry, Ring};
use crate::slot::{Held, Key, Lifecycle, Owner};
use crate::sqe::{
  Sqe, ERRNO_WRONG_RUNTIME, IORING_OP_CLOSE, IORING_OP_SEND_ZC, IOSQE_BUFFER_SELECT,
  IOSQE_FIXED_FILE, IOSQE_IO_HARDLINK, IOSQE_IO_LINK,
};
use crate::table::opens;
use std::collections::VecDeque;

const LINKS: u8 = (IOSQE_IO_LINK | IOSQE_IO_HARDLINK) as u8;

/// The next entry belongs to the same chain.
pub(crate) fn linked(sqe: &Sqe) -> bool {
  sqe.flags & LINKS != 0
}

/// Closes in the SQ that must happen even if the ring ends before the kernel takes them (I3).
#[derive(Default)]
pub(crate) struct Owed {
  /// Entries that ever went into the SQ.
  handed: u64,
  /// Each with its place among them.
  closes: VecDeque<(u64, Sqe)>,
}

/// Looks that may bring nothing in a row. A kernel thread adds task work and then sets SQ_TASKRUN:
/// a look in between runs the work, and the flag stays set with nothing behind it.
const BARREN: u8 = 8;

impl Ring {
  /// Something to submit, to run or to reap right now, as far as one can tell.
  pub fn ready(&mut self) -> bool {
    self.more() || (self.fatal.is_none() && self.barren < BARREN && self.driver.pending())
  }

  /// The last enter could not take everything; spinning on it would not help.
  pub fn stalled(&self) -> bool {
    self.stalled
  }

  /// Inline bytes of the last submit (I8).
  pub fn entered_bytes(&self) -> usize {
    self.entered_bytes
  }

  /// Most members that a chain may have.
  pub fn longest_chain(&self) -> usize {
    self.driver.capacity()
  }

  /// Gives an operation its slot and finishes its entry; true: the caller puts it into the SQ.
  pub(crate) fn accept(&mut self, entry: &mut Entry, direct: bool) -> (Key, bool) {
    let inline_bytes = entry.inline_bytes();
    let Entry { sqe, input, held, owner } = entry;
    (sqe.resv, sqe.addr3) = (0, 0); // The caller has looked at them.
    let (held, input) = (std::mem::take(held), input.take());
    let key = self.slots.insert(*owner, held, opens(sqe));
    sqe.user_data = key.user_data();
    self.in_flight += 1;
    if sqe.flags as u32 & IOSQE_BUFFER_SELECT != 0 {
      // I2: the group stays until this operation's last CQE.
      self.groups.hold(sqe.buf_index);
      self.slots.get(key).expect("the slot was just made").group = Some(sqe.buf_index);
    }
    self.begin_direct(key, sqe);
    if let Some(errno) = self.fatal.or(self.closed.then_some(libc::ECANCELED)) {
      self.finish_locally(key, -errno);
      return (key, false);
    }
    let turn = self.stats.turns;
    let slot = self.slots.get(key).expect("the slot was just made");
    slot.turn = turn;
    slot.queued = !direct;
    let closed = if sqe.file_index == 0 { sqe.fd } else { -1 };
    slot.closes = (sqe.opcode as u32 == IORING_OP_CLOSE).then_some(closed);
    slot.zero_copy = sqe.opcode as u32 == IORING_OP_SEND_ZC;
    if let Some(input) = input {
      let patches = input.patches();
      let arena = direct && !input.outlives() && !self.polled;
      match arena.then(|| self.arena.place(input.bytes())).flatten() {
        Some((address, bytes)) => patch(patches, address, bytes, sqe),
        None => {
          let bytes = slot.inputs.insert(input.into_boxed());
          patch(patches, bytes.as_ptr() as u64, bytes, sqe);
        }
      }
    }
    if direct {
      self.count_inline(inline_bytes);
    } else {
      self.backlog.push_back(*sqe);
    }
    (key, direct)
  }

  /// Why an entry may not go to the kernel: what it names by an index is not this ring's.
  pub(crate) fn refuses(&mut self, sqe: &Sqe) -> Option<i32> {
    if sqe.flags != 0 && crate::lane::serves(sqe.opcode as u32) {
      return Some(libc::EINVAL);
    }
    if sqe.resv == 0 {
      return None;
    }
    self.reclaim();
    if (sqe.resv >> 32) as u32 != self.serial {
      return Some(ERRNO_WRONG_RUNTIME as i32);
    }
    (!self.directs.owns(sqe)).then_some(libc::EBADF)
  }

  /// The same of a member of a chain: the kernel does not know when one of the lane's has ended.
  pub(crate) fn refuses_member(&mut self, sqe: &Sqe) -> Option<i32> {
    let lane = crate::lane::serves(sqe.opcode as u32).then_some(libc::EINVAL);
    lane.or_else(|| self.refuses(sqe))
  }

  /// Whether an entry of so many inline bytes may go straight into the SQ.
  pub(crate) fn fits(&self, inline_bytes: usize) -> bool {
    self.driver.room() > 0 && self.affords(inline_bytes)
  }

  /// Whether the next enter may move so many bytes more (I8). One operation or chain always may.
  pub(crate) fn affords(&self, bytes: usize) -> bool {
    bytes == 0 || self.enter_bytes == 0 || self.enter_bytes + bytes <= ENTER_BYTES as usize
  }

  /// Puts entries into the SQ in one piece.
  pub(crate) fn hand(&mut self, sqes: &[Sqe]) {
    for (place, sqe) in (self.owed.handed..).zip(sqes) {
      if self.must_close(sqe) {
        let taken = self.owed.handed - self.driver.untaken() as u64;
        while self.owed.closes.front().is_some_and(|(place, _)| *place < taken) {
          self.owed.closes.pop_front();
        }
        self.owed.closes.push_back((place, *sqe));
      }
    }
    self.owed.handed += self.driver.push(sqes) as u64;
  }

  /// A close whose descriptor is nobody's but the ring's: that of a chain is the caller's as long
  /// as the chain has not run, that of a slot goes with the table.
  fn must_close(&mut self, sqe: &Sqe) -> bool {
    let member = |key| self.slots.get(key).is_some_and(|slot| slot.chained);
    let closes = sqe.opcode as u32 == IORING_OP_CLOSE && sqe.file_index == 0;
    closes && !linked(sqe) && !Key::of(sqe.user_data).is_some_and(member)
  }

  /// The closes that the kernel has not taken and never will: the ring has ended. Those that it has
  /// taken are its own, whatever became of them: a second close would hit another's file.
  pub(crate) fn unclosed(&mut self) -> Vec<Sqe> {
    let untaken = self.driver.end() as u64;
    let Owed { handed, closes } = std::mem::take(&mut self.owed);
    let left = closes.into_iter().filter(|(place, _)| place + untaken >= handed);
    let mut left: Vec<Sqe> = left.map(|(_, sqe)| sqe).collect();
    let waiting = std::mem::take(&mut self.own).into_iter();
    for sqe in waiting.chain(std::mem::take(&mut self.backlog)) {
      let live = Key::of(sqe.user_data).is_none() || self.is_live(&sqe);
      if live && self.must_close(&sqe) {
        left.push(sqe);
      }
    }
    left
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
      self.hand(&[sqe]);
    }
    while let Some(sqe) = self.backlog.front().copied() {
      if linked(&sqe) {
        if !self.fill_chain() {
          break;
        }
        continue;
      }
      let live = self.is_live(&sqe);
      let bytes = self.waiting_bytes(&sqe);
      if live && !self.fits(bytes) {
        break;
      }
      self.backlog.pop_front();
      if live {
        self.leave(&sqe);
        self.hand(&[sqe]);
      }
    }
  }

  /// The chain at the backlog's front, in one piece. False: there is no room for it yet.
  fn fill_chain(&mut self) -> bool {
    let len = self.backlog.iter().take_while(|sqe| linked(sqe)).count() + 1;
    // A member that was cancelled while it waited ended everything behind it.
    let mut live = 0;
    while live < len && self.is_live(&{ self.backlog[live] }) {
      live += 1;
    }
    let bytes = (0..live).map(|member| self.waiting_bytes(&{ self.backlog[member] })).sum();
    if live > 0 && (self.driver.room() < live || !self.affords(bytes)) {
      return false;
    }
    let mut chain: Vec<Sqe> = self.backlog.drain(..len).take(live).collect();
    if let Some(last) = chain.last_mut() {
      last.flags &= !LINKS;
    }
    chain.iter().for_each(|sqe| self.leave(sqe));
    self.hand(&chain);
    true
  }

  /// Still to be submitted: not cancelled while it waited.
  fn is_live(&mut self, sqe: &Sqe) -> bool {
    let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
    self.slots.get(key).is_some_and(|slot| slot.queued)
  }

  /// Goes from the backlog to the kernel.
  fn leave(&mut self, sqe: &Sqe) {
    let turn = self.stats.turns;
    let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
    let slot = self.slots.get(key).expect("it is live");
    slot.queued = false;
    slot.turn = turn;
    let bytes = self.waiting_bytes(sqe);
    self.count_inline(bytes);
  }

  /// What the next enter moves on this thread; a polling thread moves it on its own.
  fn count_inline(&mut self, bytes: usize) {
    if !self.polled {
      self.enter_bytes += bytes;
    }
  }

  /// Inline bytes of an entry in the backlog, whose input is in its slot.
  fn waiting_bytes(&mut self, sqe: &Sqe) -> usize {
    let slot = Key::of(sqe.user_data).and_then(|key| self.slots.get(key));
    sqe.inline_bytes(slot.and_then(|slot| slot.inputs.as_deref()))
  }

  /// An operation in the backlog ends without the kernel, and so does everything that is linked
  /// behind it.
  pub(crate) fn cancel_queued(&mut self, key: Key) {
    let chained = self.slots.get(key).is_some_and(|slot| slot.chained);
    self.finish_locally(key, -libc::ECANCELED);
    if !chained {
      return;
    }
    let place = self.backlog.iter().position(|sqe| sqe.user_data == key.user_data());
    let mut next = place.filter(|place| linked(&self.backlog[*place])).map(|place| place + 1);
    while let Some(place) = next {
      let Some(sqe) = self.backlog.get(place).copied() else {
        break;
      };
      if self.is_live(&sqe) {
        let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
        self.finish_locally(key, -libc::ECANCELED);
      }
      next = linked(&sqe).then_some(place + 1);
    }
  }

  /// At close: what the kernel never saw ends here. Closes still go out, the callers' as well,
  /// except those of a chain: their descriptor is the caller's as long as the chain has not run.
  pub(crate) fn empty_backlog(&mut self) {
    let mut in_chain = false;
    for sqe in std::mem::take(&mut self.backlog) {
      let member = in_chain || linked(&sqe);
      in_chain = linked(&sqe);
      if sqe.opcode as u32 == IORING_OP_CLOSE && !member {
        self.backlog.push_back(sqe);
      } else if self.is_live(&sqe) {
        let key = Key::of(sqe.user_data).expect("only operations wait in the backlog");
        self.finish_locally(key, -libc::ECANCELED);
      }
    }
  }

  /// `op.cancel` by descriptor: everything on `fd` that the kernel knows, and what waits here.
  pub fn cancel_fd(&mut self, mut sqe: Sqe, owner: Owner) -> Key {
    let key = self.slots.insert(owner, Held::Nothing, false);
    self.in_flight += 1;
    let ended = self.fatal.or(self.closed.then_some(libc::ENOENT));
    if let Some(errno) = ended.or_else(|| self.refuses(&sqe)) {
      self.finish_locally(key, -errno);
      return key;
    }
    sqe.resv = 0; // The slot is its caller's: a close of it goes out behind this.
    let fixed = |sqe: &Sqe| sqe.flags as u32 & IOSQE_FIXED_FILE != 0;
    let direct = sqe.op_flags & crate::sqe::IORING_ASYNC_CANCEL_FD_FIXED != 0;
    let mut ended = 0;
    for index in 0..self.backlog.len() {
      let waiting = self.backlog[index];
      let same = waiting.fd == sqe.fd && fixed(&waiting) == direct && self.is_live(&waiting);
      let closes = waiting.opcode as u32 == IORING_OP_CLOSE;
      if same && !closes {
        self.cancel_queued(Key::of(waiting.user_data).expect("only operations wait here"));
        ended += 1;
      }
    }
    sqe.user_data = key.user_data();
    let turn = self.stats.turns;
    let slot = self.slots.get(key).expect("the slot was just made");
    (slot.turn, slot.ended) = (turn, ended);
    debug_assert!(matches!(slot.lifecycle, Lifecycle::Submitted));
    self.own.push_back(sqe);
    key
  }
}
