//! The mock driver: a seeded kernel that reorders, overflows, fails and is late.
//! Pair: src/mock.ts
//!
//! The same ring and executor code runs on it as on the kernel. A failing run is its seed. It does
//! to memory what the kernel does, at the same moments: paths and timespecs are read when an entry
//! is taken, buffers are written or read when it completes.
#![allow(unsafe_code)]

use crate::cqe::Cqe;
use crate::ring::{Driver, Wait};
use crate::sqe::*;
use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
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

/// What the mock kernel knows; the test keeps a second handle on it.
pub struct World {
  pub random: Random,
  pub faults: Faults,
  sq_entries: usize,
  cq_entries: usize,
  sq: VecDeque<Sqe>,
  cq: VecDeque<Cqe>,
  /// Completions that found no room in the CQ.
  pub overflow: VecDeque<Cqe>,
  /// Taken, not completed.
  pub running: Vec<Sqe>,
  /// Descriptors given out and not closed.
  pub open: HashSet<i32>,
  /// Closes of something that was not open: a double close, or a wrong number.
  pub bad_closes: u32,
  /// The descriptor that it gave out last.
  pub next_fd: i32,
  /// Buffer groups that are registered.
  pub groups: HashSet<u16>,
  /// Notifications are wanted (the eventfd is enabled).
  pub notify: bool,
  /// Signals that the eventfd got.
  pub signals: u32,
  /// The errno of the next enters, tried first.
  pub enters: VecDeque<i32>,
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

impl World {
  /// Posts a completion; into the overflow list when the CQ is full.
  pub fn post(&mut self, user_data: u64, res: i32) {
    self.post_flags(user_data, res, 0);
  }

  /// The same with IORING_CQE_F_*, for tests that play a multishot kernel themselves.
  pub fn post_flags(&mut self, user_data: u64, res: i32, flags: u32) {
    let cqe = Cqe { user_data, res, flags };
    if self.cq.len() < self.cq_entries && self.overflow.is_empty() {
      self.cq.push_back(cqe);
    } else {
      self.overflow.push_back(cqe);
    }
    if std::mem::take(&mut self.notify) {
      self.signals += 1;
    }
  }

  fn flush_overflow(&mut self) {
    while self.cq.len() < self.cq_entries {
      let Some(cqe) = self.overflow.pop_front() else {
        break;
      };
      self.cq.push_back(cqe);
    }
  }

  /// An entry is taken: inputs are read now, the operation completes now or later.
  fn take(&mut self, sqe: Sqe) {
    match sqe.opcode as u32 {
      IORING_OP_CLOSE => {
        let known = self.open.remove(&sqe.fd);
        self.bad_closes += !known as u32;
        self.post(sqe.user_data, if known { 0 } else { -libc::EBADF });
      }
      IORING_OP_ASYNC_CANCEL => {
        let target = self.running.iter().position(|entry| entry.user_data == sqe.addr);
        let res = match target {
          None => -libc::ENOENT,
          Some(_) if self.random.chance(20) => -libc::EALREADY,
          Some(place) => {
            let target = self.running.swap_remove(place);
            self.post(target.user_data, -libc::ECANCELED);
            0
          }
        };
        self.post(sqe.user_data, res);
      }
      opcode => {
        if opcode == IORING_OP_OPENAT {
          // SAFETY: I2: the ring keeps the path until the entry is taken, which is now.
          let path = unsafe { std::ffi::CStr::from_ptr(sqe.addr as *const libc::c_char) };
          assert!(path.to_bytes().iter().all(|byte| *byte != 0xaa), "a path was overwritten");
        }
        let late = self.faults.late;
        if opcode != IORING_OP_NOP && self.random.chance(late) {
          self.running.push(sqe);
        } else {
          self.finish(sqe);
        }
      }
    }
  }

  /// A running operation completes: buffers are touched now.
  pub fn finish(&mut self, sqe: Sqe) {
    let res = match sqe.opcode as u32 {
      IORING_OP_NOP if sqe.op_flags & IORING_NOP_INJECT_RESULT != 0 => sqe.len as i32,
      IORING_OP_NOP => 0,
      IORING_OP_TIMEOUT => -libc::ETIME,
      _ if self.random.chance(self.faults.error) => -libc::EIO,
      IORING_OP_READ | IORING_OP_WRITE => {
        let short = self.random.chance(self.faults.short);
        let len = if short { self.random.below(sqe.len + 1) } else { sqe.len } as usize;
        self.transfer(&sqe, len);
        len as i32
      }
      _ if crate::table::opens(&sqe) => {
        self.next_fd += 1;
        self.open.insert(self.next_fd);
        self.next_fd
      }
      _ => 1,
    };
    self.post(sqe.user_data, res);
  }

  fn transfer(&mut self, sqe: &Sqe, len: usize) {
    if len == 0 {
      return; // It may be without a region, that is without an address.
    }
    if sqe.opcode as u32 == IORING_OP_READ {
      let pattern = sqe.user_data as u8;
      // SAFETY: I2: the operation has no CQE yet, so the ring still holds its memory.
      unsafe { std::ptr::write_bytes(sqe.addr as *mut u8, pattern, len) };
    } else {
      // SAFETY: I2: as above.
      let bytes = unsafe { std::slice::from_raw_parts(sqe.addr as *const u8, len) };
      std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
    }
  }

  /// Some of what runs completes, in any order.
  fn advance(&mut self, at_least: usize) {
    let count = self.random.below(self.running.len() as u32 / 2 + 1) as usize;
    for _ in 0..count.max(at_least).min(self.running.len()) {
      let place = self.random.below(self.running.len() as u32) as usize;
      let sqe = self.running.swap_remove(place);
      self.finish(sqe);
    }
  }
}

impl Driver for Mock {
  // PAIR: Mock.push
  fn push(&mut self, sqes: &[Sqe]) {
    let mut world = self.world.borrow_mut();
    assert!(world.sq.len() + sqes.len() <= world.sq_entries, "pushed into a full SQ");
    world.sq.extend(sqes);
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
