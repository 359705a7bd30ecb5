//! Direct descriptors: slots of the ring's own table of files. No process has them, a chain can
//! open one, use it and close it in a single submission.
//! Pair: src/direct.ts
//!
//! ```text
//! free ── direct() ──> owned ── close, or nobody has it ──> closing ──> free
//!                        `─ opened, read, written ...           `─ the close's own CQE, and
//!                                                                  nobody uses the slot
//! ```
//! A linked operation, and one in io-wq, looks its slot up when it starts: a slot that is free
//! before its last operation has ended would give that one the slot's next file.

use crate::error::{errno_error, Error, Result};
use crate::executor::current;
use crate::ring::{Ring, OWNER_DIRECT};
use crate::slot::Key;
use crate::sqe::*;
use std::cell::RefCell;
use std::rc::Rc;

/// A slot at one time of its life, as operations carry it: what was closed is EBADF for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectId {
  slot: u32,
  generation: u32,
  ring: u32,
}

impl DirectId {
  /// The slot, as the kernel counts.
  pub(crate) fn slot(self) -> u32 {
    self.slot
  }

  /// The entry knows whose slot its `fd` is, until the ring has looked.
  pub(crate) fn claim(self, sqe: Sqe) -> Sqe {
    Sqe { resv: (sqe.resv & !0xffff_ffff) | self.generation as u64, ..sqe }.for_ring(self.ring)
  }

  /// The same of the slot in `file_index`; an entry may name two. No operation here uses `addr3`.
  pub(crate) fn claim_index(self, sqe: Sqe) -> Sqe {
    Sqe { addr3: self.generation as u64, ..sqe }.for_ring(self.ring)
  }

  /// The entry opens into this slot, or closes it.
  pub(crate) fn fill(self, sqe: Sqe) -> Sqe {
    self.claim_index(Sqe { file_index: self.slot + 1, ..sqe })
  }
}

// PAIR: Direct
/// A slot of the ring's table, empty until something is opened into it. Dropped, it is closed.
#[derive(Debug)]
pub struct Direct {
  id: DirectId,
  forgotten: Rc<RefCell<Vec<DirectId>>>,
}

impl Direct {
  /// What operations carry.
  pub fn id(&self) -> DirectId {
    self.id
  }
}

impl Drop for Direct {
  fn drop(&mut self) {
    // Whoever drops it may have borrowed the ring, which closes it with the next submission.
    self.forgotten.borrow_mut().push(self.id);
  }
}

// PAIR: direct
/// A slot of the table of the runtime that polls the caller; the table is made at the first one.
/// EMFILE: all of them are in use.
///
/// Man: io_uring_prep_openat_direct(3). Kernel: 5.19.
pub fn direct() -> Result<Direct> {
  current()?.reactor.borrow_mut().ring.direct()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
  Free,
  Owned,
  Closing,
}

struct Place {
  generation: u32,
  state: State,
  /// Operations in flight that name it, closes among them.
  users: u32,
  /// The close that was asked for may have come before an open, or not at all.
  again: bool,
}

// PAIR: Directs
/// All slots of a ring. None before the first is asked for.
#[derive(Default)]
pub struct Directs {
  places: Vec<Place>,
  free: Vec<u32>,
  forgotten: Rc<RefCell<Vec<DirectId>>>,
}

impl Directs {
  /// Slots that are not free.
  pub fn used(&self) -> usize {
    self.places.len() - self.free.len()
  }

  /// Slots that nobody has any more and that were not closed yet.
  pub(crate) fn waiting(&self) -> bool {
    !self.forgotten.borrow().is_empty()
  }

  fn knows(&self, slot: u32, generation: u32) -> bool {
    let place = self.places.get(slot as usize);
    place.is_some_and(|place| place.generation == generation && place.state == State::Owned)
  }

  /// Whether every slot that an entry claims still is what it means.
  pub(crate) fn owns(&self, sqe: &Sqe) -> bool {
    let index = slots_of(sqe)[1].wrapping_sub(1);
    let claims = [(sqe.fd as u32, sqe.resv as u32), (index, sqe.addr3 as u32)];
    claims.iter().all(|(slot, generation)| *generation == 0 || self.knows(*slot, *generation))
  }
}

/// The slots that an entry names, plus 1: the file it works on, and the one in `file_index`, which
/// it opens or closes, or out of which it splices.
fn slots_of(sqe: &Sqe) -> [u32; 2] {
  let fixed = sqe.flags as u32 & IOSQE_FIXED_FILE != 0;
  let index = match sqe.opcode as u32 {
    IORING_OP_SPLICE | IORING_OP_TEE if sqe.op_flags & SPLICE_F_FD_IN_FIXED == 0 => 0,
    IORING_OP_SPLICE | IORING_OP_TEE => sqe.file_index.wrapping_add(1),
    IORING_OP_CLOSE => sqe.file_index,
    opcode if crate::table::info(opcode).is_some_and(|info| info.opens) => sqe.file_index,
    _ => 0,
  };
  [if fixed { (sqe.fd as u32).wrapping_add(1) } else { 0 }, index]
}

impl Ring {
  /// Takes a slot. EMFILE: there is none.
  pub fn direct(&mut self) -> Result<Direct> {
    self.reclaim();
    if self.directs.places.is_empty() {
      let most = self.make_files().map_err(|errno| match errno {
        libc::EINVAL => {
          Error::UnsupportedOp { name: "sparse table of direct descriptors", kernel: "5.19" }
        }
        _ => errno_error(errno, "direct"),
      })?;
      let place = || Place { generation: 1, state: State::Free, users: 0, again: false };
      self.directs.places = (0..most).map(|_| place()).collect();
      self.directs.free = (0..most).rev().collect();
    }
    let slot = self.directs.free.pop().ok_or_else(|| errno_error(libc::EMFILE, "direct"))?;
    let place = &mut self.directs.places[slot as usize];
    place.state = State::Owned;
    let id = DirectId { slot, generation: place.generation, ring: self.serial };
    Ok(Direct { id, forgotten: self.directs.forgotten.clone() })
  }

  /// Makes the kernel's table, empty; how many slots. `Err` is the errno.
  pub fn make_files(&mut self) -> std::result::Result<u32, i32> {
    let most = crate::probe::Surroundings::read().nofile.min(DIRECT_SLOTS as u64) as u32;
    self.driver.register_files(most).map(|()| most)
  }

  /// Slots that are not free.
  pub fn directs(&self) -> usize {
    self.directs.used()
  }

  // PAIR: Ring.beginDirect
  /// An operation is on its way.
  pub(crate) fn begin_direct(&mut self, key: Key, sqe: &Sqe) {
    if self.directs.places.is_empty() {
      return; // The runtime above keeps its own count, or there are none.
    }
    let slots = slots_of(sqe);
    for slot in slots.into_iter().filter(|slot| *slot != 0) {
      if let Some(place) = self.directs.places.get_mut(slot as usize - 1) {
        place.users += 1;
        if sqe.opcode as u32 == IORING_OP_CLOSE {
          place.state = State::Closing;
        }
      }
    }
    if let Some(slot) = self.slots.get(key) {
      slot.direct = slots;
    }
  }

  // PAIR: Ring.endDirect
  /// Its last CQE is in.
  pub(crate) fn end_direct(&mut self, key: Key, res: i32) {
    let Some(slot) = self.slots.get(key).filter(|slot| slot.direct != [0, 0]) else {
      return;
    };
    let (slots, closes) = (std::mem::take(&mut slot.direct), slot.closes.is_some());
    for slot in slots.into_iter().filter(|slot| *slot != 0) {
      let Some(place) = self.directs.places.get_mut(slot as usize - 1) else {
        continue;
      };
      place.users -= 1;
      // EBADF: there was nothing to close. Others in flight may open it after this close.
      place.again |= closes && (place.users > 0 || (res < 0 && res != -libc::EBADF));
      self.settle_direct(slot - 1);
    }
  }

  /// A slot that is to be closed, when nobody uses it any more.
  fn settle_direct(&mut self, slot: u32) {
    let place = &mut self.directs.places[slot as usize];
    if place.state != State::Closing || place.users > 0 {
      return;
    }
    if !std::mem::take(&mut place.again) {
      self.free_direct(slot);
    } else if !self.closed && self.fatal.is_none() {
      place.users = 1;
      let user_data = OWNER_DIRECT | slot as u64;
      let opcode = IORING_OP_CLOSE as u8;
      self.own.push_back(Sqe { opcode, file_index: slot + 1, user_data, ..Sqe::default() });
    }
  }

  /// The slot is empty and nobody uses it.
  pub(crate) fn free_direct(&mut self, slot: u32) {
    let Some(place) = self.directs.places.get_mut(slot as usize) else {
      return;
    };
    let generation = place.generation.wrapping_add(1).max(1);
    *place = Place { generation, state: State::Free, users: 0, again: false };
    self.directs.free.push(slot);
  }

  /// Closes what was dropped.
  pub(crate) fn reclaim(&mut self) {
    if !self.directs.waiting() {
      return;
    }
    for DirectId { slot, generation, .. } in self.directs.forgotten.take() {
      if self.directs.knows(slot, generation) {
        let place = &mut self.directs.places[slot as usize];
        (place.state, place.again) = (State::Closing, true);
        self.settle_direct(slot);
      }
    }
  }
}
