//! The mock driver: a seeded kernel that reorders, overflows, fails and is late.
//! Pair: src/mock.ts
//!
//! The same ring and executor code runs on it as on the kernel. A failing run is its seed. It does
//! to memory what the kernel does, at the same moments: paths and timespecs are read when an entry
//! is taken, buffers are written or read when it completes.

use crate::cqe::Cqe;
use crate::fs::cached::Cached;
use crate::fs::larger::Filled;
use crate::fs::mounts::StatxBytes;
use crate::fs::stat::{Place, Told};
use crate::ring::{Driver, Wait};
use crate::sqe::*;
pub use crate::world::World;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::rc::Rc;

// PAIR: Random
/// A small seeded generator (xorshift), the same numbers in both languages.
#[derive(Clone, Debug)]
pub struct Random {
  state: u32,
}

impl Random {
  pub fn new(seed: u32) -> Random {
    Random { state: seed.wrapping_mul(2_654_435_761).max(1) }
  }

  // PAIR: Random.next
  /// The next 32 bits.
  #[allow(clippy::should_implement_trait)]
  pub fn next(&mut self) -> u32 {
    self.state ^= self.state << 13;
    self.state ^= self.state >> 17;
    self.state ^= self.state << 5;
    self.state
  }

  // PAIR: Random.below
  /// A number below `bound`.
  pub fn below(&mut self, bound: u32) -> u32 {
    self.next() % bound.max(1)
  }

  // PAIR: Random.chance
  /// True `percent` times in a hundred.
  pub fn chance(&mut self, percent: u32) -> bool {
    self.below(100) < percent
  }
}

// PAIR: Faults
/// How bad a kernel it is, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
  /// Enters that answer EINTR, EAGAIN or EBUSY.
  pub enter: u32,
  /// Operations that do not complete inline.
  pub late: u32,
  /// Operations that fail with an errno.
  pub error: u32,
  /// Transfers that are short.
  pub short: u32,
}

impl Default for Faults {
  fn default() -> Faults {
    Faults { enter: 5, late: 60, error: 10, short: 30 }
  }
}

// PAIR: Mock
/// A driver on a world.
pub struct Mock {
  world: Rc<RefCell<World>>,
}

impl Mock {
  // PAIR: Mock.new
  /// A kernel with `sq` and `cq` entries and a seed.
  pub fn new(seed: u32, sq: usize, cq: usize, faults: Faults) -> (Mock, Rc<RefCell<World>>) {
    let world = World {
      random: Random::new(seed),
      faults,
      sq_entries: sq,
      cq_entries: cq,
      sq: VecDeque::new(),
      cq: VecDeque::new(),
      overflow: VecDeque::new(),
      running: Vec::new(),
      open: HashSet::new(),
      bad_closes: 0,
      next_fd: 1_000_000,
      groups: HashSet::new(),
      notify: false,
      signals: 0,
      enters: VecDeque::new(),
    };
    let world = Rc::new(RefCell::new(world));
    (Mock { world: world.clone() }, world)
  }
}

impl Driver for Mock {
  // PAIR: Mock.push
  fn push(&mut self, sqes: &[Sqe]) -> usize {
    let mut world = self.world.borrow_mut();
    assert!(world.sq.len() + sqes.len() <= world.sq_entries, "pushed into a full SQ");
    world.sq.extend(sqes);
    sqes.len()
  }

  // PAIR: Mock.submit
  fn submit(&mut self, wait: Wait) -> Result<usize, i32> {
    let world = &mut *self.world.borrow_mut();
    if let Some(errno) = world.enters.pop_front() {
      return Err(errno);
    }
    if world.random.chance(world.faults.enter) {
      let errnos = [libc::EINTR, libc::EAGAIN, libc::EBUSY];
      return Err(errnos[world.random.below(3) as usize]);
    }
    world.flush_overflow();
    let mut taken = 0;
    while let Some(sqe) = world.sq.pop_front() {
      world.take(sqe);
      taken += 1;
    }
    let idle = wait != Wait::No && world.cq.is_empty();
    assert!(
      wait != Wait::Forever || !idle || !world.running.is_empty(),
      "the executor sleeps for ever: nothing runs that could wake it"
    );
    world.advance(idle as usize);
    Ok(taken)
  }

  // PAIR: Mock.reap
  fn reap(&mut self, out: &mut [Cqe]) -> usize {
    let mut world = self.world.borrow_mut();
    let count = out.len().min(world.cq.len());
    for place in &mut out[..count] {
      *place = world.cq.pop_front().expect("counted above");
    }
    count
  }

  // PAIR: Mock.park
  fn park(&mut self) -> bool {
    let mut world = self.world.borrow_mut();
    world.notify = world.cq.is_empty() && world.overflow.is_empty();
    world.notify
  }

  fn unpark(&mut self) {
    self.world.borrow_mut().notify = false;
  }

  fn room(&self) -> usize {
    let world = self.world.borrow();
    world.sq_entries - world.sq.len()
  }

  fn capacity(&self) -> usize {
    self.world.borrow().sq_entries
  }

  fn queued(&self) -> usize {
    self.world.borrow().sq.len()
  }

  fn pending(&mut self) -> bool {
    let world = self.world.borrow();
    !world.cq.is_empty() || !world.overflow.is_empty()
  }

  fn overflowed(&self) -> bool {
    !self.world.borrow().overflow.is_empty()
  }

  // PAIR: Mock.look
  fn look(&mut self, path: &CStr, into: &mut [u8]) -> Cached {
    assert!(!path.is_empty(), "a look at nothing");
    self.world.borrow_mut().look(into)
  }

  // PAIR: Mock.fill
  fn fill(&mut self, fd: i32, into: &mut [MaybeUninit<u8>]) -> Filled {
    self.world.borrow_mut().fill(fd, into)
  }

  // PAIR: Mock.stat
  fn stat(&mut self, place: Place<'_>, into: &mut StatxBytes) -> Told {
    if let Place::Path(path) | Place::Link(path) | Place::Name(path) = place {
      assert!(!path.is_empty(), "a look at nothing");
    }
    self.world.borrow_mut().stat(into)
  }

  fn register_group(&mut self, id: u16, _address: u64, _entries: u16) -> Result<(), i32> {
    // Tests post completions that name buffers; the ring of entries is not read.
    let fresh = self.world.borrow_mut().groups.insert(id);
    if fresh {
      Ok(())
    } else {
      Err(libc::EEXIST)
    }
  }

  fn unregister_group(&mut self, id: u16) {
    self.world.borrow_mut().groups.remove(&id);
  }

  fn cancel_all(&mut self) -> bool {
    let world = &mut *self.world.borrow_mut();
    for sqe in std::mem::take(&mut world.running) {
      // A running io-wq transfer cannot be cancelled: it ends by itself, later.
      if world.random.chance(20) {
        world.running.push(sqe);
      } else {
        world.post(sqe.user_data, -libc::ECANCELED);
      }
    }
    true
  }
}
