//! Slots: one per operation that the kernel has or will have, found again by generation (I4).
//! Pair: src/slot.ts
//!
//! ```text
//! user_data   63      62 .. 32       31 .. 0
//!            owner   generation     slot index
//! owner 0: a slot. owner 1: the ring's own business (cancels, closes, the wake-up read).
//! ```

use std::any::Any;
use std::collections::VecDeque;
use std::ptr::NonNull;
use std::task::Waker;

// PAIR: Lifecycle
/// Where an operation stands. A slot exists from Submitted to its last CQE, whatever happens to
/// those who wait; Fresh is an operation without a slot.
#[derive(Debug)]
pub enum Lifecycle {
  /// Described, not started.
  Fresh,
  /// On its way; nobody asked for the result yet.
  Submitted,
  /// A task waits.
  Waiting(Waker),
  /// Nobody can receive the result: bytes are dropped, a descriptor is closed (I3).
  Abandoned,
  /// The last CQE is in, its result not yet taken.
  Completed(i32, u32),
}

/// Memory that stays put until the last CQE (I2).
#[derive(Default)]
pub enum Held {
  #[default]
  Nothing,
  /// A region by id.
  Region(u32),
  /// A buffer that a Rust caller gave away, or inputs that had to wait outside the arena.
  Owned(Box<dyn Any>),
}

/// Who learns of the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
  /// A Rust future, through the slot's lifecycle.
  Future,
  /// A TypeScript future, through its ticket.
  Ticket(u32),
}

/// What a multishot operation of a future has brought and nobody has taken.
#[derive(Debug, Default)]
pub struct Shot {
  /// Results and flags, oldest first.
  pub queue: VecDeque<(i32, u32)>,
  /// It was cancelled because too many wait: its end is no error.
  pub paused: bool,
}

pub struct Slot {
  pub generation: u32,
  pub lifecycle: Lifecycle,
  pub owner: Owner,
  pub held: Held,
  /// Inputs outside the arena; separate from `held`, since an operation may have both.
  pub inputs: Option<Box<[u8]>>,
  /// A successful result is a descriptor (I3).
  pub opens: bool,
  /// Still in the backlog: the kernel never saw it.
  pub queued: bool,
  /// Its last CQE has not come, whatever those who wait were told when the ring ended.
  pub flying: bool,
  /// It closes this descriptor, which must happen whoever stops waiting (I3); -1: a direct one.
  pub closes: Option<i32>,
  /// Member of a chain.
  pub chained: bool,
  /// A receive of a message: lengths and flags go from the msghdr in `inputs` into the region.
  pub message: Option<NonNull<u8>>,
  /// Its end was asked for: a shot that goes on all the same is asked again.
  pub cancelled: bool,
  /// It may get a buffer of this group.
  pub group: Option<u16>,
  /// A multishot operation of a future. One of a ticket is queued by TypeScript.
  pub shot: Option<Box<Shot>>,
  /// A cancel by descriptor: how many it ended that the kernel never saw.
  pub ended: u32,
  /// A send_zc: what the network reads is free at its notification, which follows the result.
  pub zero_copy: bool,
  /// The result of a send_zc whose notification has not come.
  pub sent: Option<i32>,
  /// Direct slots that it names, plus 1.
  pub direct: [u32; 2],
  /// The turn that handed it to the kernel, for the inline statistic.
  pub turn: u32,
  occupied: bool,
}

impl Slot {
  /// Its bytes are a copy in a region, which nobody else sees.
  pub(crate) fn copied(&self) -> bool {
    let region = matches!(self.held, Held::Region(id) if id < crate::sqe::FIRST_ALLOCATED);
    region && matches!(self.owner, Owner::Ticket(_))
  }
}

/// A slot and its generation at one time, as user_data carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
  pub slot: u32,
  pub generation: u32,
}

/// The owner bit: user_data of the ring itself.
pub const OWNER_RING: u64 = 1 << 63;
/// The largest generation: the owner bit stands above it.
const GENERATION_MASK: u32 = 0x7fff_ffff;

impl Key {
  // PAIR: only-rust Key.userData -- the kernel's word never reaches TypeScript, which has tickets
  /// The word that the kernel carries.
  pub fn user_data(self) -> u64 {
    ((self.generation as u64) << 32) | self.slot as u64
  }

  /// The key in a word; `None` when it is the ring's own.
  pub fn of(user_data: u64) -> Option<Key> {
    if user_data & OWNER_RING != 0 {
      return None;
    }
    Some(Key { slot: user_data as u32, generation: (user_data >> 32) as u32 })
  }
}

// PAIR: Slots
/// All slots of a ring: a vector with a stack of free places, last freed, first used.
#[derive(Default)]
pub struct Slots {
  slots: Vec<Slot>,
  free: Vec<u32>,
}

impl Slots {
  // PAIR: Slots.insert
  /// Takes a place.
  pub fn insert(&mut self, owner: Owner, held: Held, opens: bool) -> Key {
    let fresh = |generation| Slot {
      generation,
      lifecycle: Lifecycle::Submitted,
      owner,
      held,
      inputs: None,
      opens,
      queued: false,
      flying: true,
      closes: None,
      chained: false,
      message: None,
      cancelled: false,
      group: None,
      shot: None,
      ended: 0,
      zero_copy: false,
      sent: None,
      direct: [0, 0],
      turn: 0,
      occupied: true,
    };
    match self.free.pop() {
      Some(slot) => {
        let place = &mut self.slots[slot as usize];
        let generation = place.generation;
        *place = fresh(generation);
        Key { slot, generation }
      }
      None => {
        let slot = self.slots.len() as u32;
        self.slots.push(fresh(1));
        Key { slot, generation: 1 }
      }
    }
  }

  // PAIR: Slots.get
  /// The slot of a key; `None` when it is free or serves another operation by now (I4).
  pub fn get(&mut self, key: Key) -> Option<&mut Slot> {
    self
      .slots
      .get_mut(key.slot as usize)
      .filter(|slot| slot.occupied && slot.generation == key.generation)
  }

  // PAIR: Slots.remove
  /// Frees the place. The generation moves on, so that a late CQE finds nothing (I4).
  pub fn remove(&mut self, key: Key) -> Option<Held> {
    let slot = self.get(key)?;
    let held = std::mem::take(&mut slot.held);
    slot.inputs = None;
    slot.shot = None;
    slot.lifecycle = Lifecycle::Fresh;
    // From its top back to 1: generation 0 is a key that names nothing.
    slot.generation = slot.generation % GENERATION_MASK + 1;
    slot.occupied = false;
    self.free.push(key.slot);
    Some(held)
  }

  /// Places taken.
  pub fn len(&self) -> usize {
    self.slots.len() - self.free.len()
  }

  pub fn is_empty(&self) -> bool {
    self.len() == 0
  }

  /// Every taken place, for teardown.
  pub fn keys(&self) -> Vec<Key> {
    let taken = self.slots.iter().enumerate().filter(|(_, slot)| slot.occupied);
    taken.map(|(i, slot)| Key { slot: i as u32, generation: slot.generation }).collect()
  }
}
