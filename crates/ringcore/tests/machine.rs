//! The ring as a state machine: any steps, on any mock kernel, shrunk to the shortest that fail.
// PAIR: only-rust machine.rs -- what is in flight is Rust's, TypeScript has the mock's seeds
//!
//! tests/mock.rs runs long seeded lives that end in peace. Here they end in any way: drained,
//! closed with everything in flight, or poisoned by an errno of enter, and are short enough to
//! read.

mod support;

use proptest::prelude::*;
use ringcore::mock::{Faults, Mock, World};
use ringcore::ring::{Entry, Event, Input, Ring, Wait};
use ringcore::slot::{Held, Key, Owner};
use ringcore::sqe::*;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;
use support::{threads, until};

#[derive(Clone, Copy, Debug)]
enum Step {
  /// A read or write of so many bytes.
  Transfer(bool, u32),
  /// With a path of so many bytes, which may not fit into the arena.
  Open(usize),
  /// A close of the n-th descriptor that the test has.
  Close(usize),
  Nop(u32),
  Timeout,
  /// Of the n-th operation in flight; a second one of the same is allowed.
  Cancel(usize),
  Abandon(usize),
  Submit,
  Reap(usize),
  Park,
  /// The next enter answers this.
  Enter(i32),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
  Drained,
  Closed,
  Poisoned,
}

fn step() -> impl Strategy<Value = Step> {
  let errno = prop::sample::select(vec![libc::EINTR, libc::EAGAIN, libc::EBUSY]);
  prop_oneof![
    6 => (any::<bool>(), 0..=4096u32).prop_map(|(read, len)| Step::Transfer(read, len)),
    4 => (1..6000usize).prop_map(Step::Open),
    2 => any::<usize>().prop_map(Step::Close),
    2 => any::<u32>().prop_map(Step::Nop),
    1 => Just(Step::Timeout),
    2 => any::<usize>().prop_map(Step::Cancel),
    2 => any::<usize>().prop_map(Step::Abandon),
    4 => Just(Step::Submit),
    4 => (0..20usize).prop_map(Step::Reap),
    1 => Just(Step::Park),
    1 => errno.prop_map(Step::Enter),
  ]
}

fn faults() -> impl Strategy<Value = Faults> {
  (0..20u32, 0..=100u32, 0..30u32, 0..60u32).prop_map(|(enter, late, error, short)| Faults {
    enter,
    late,
    error,
    short,
  })
}

/// Descriptors by the numbers that the mock gives out. What the ring closes by itself, after its
/// own end, is closed by the real close(2): so there is something to close.
struct Real(std::ops::Range<i32>);

const FIRST_FD: i32 = 300;

#[allow(unsafe_code)]
impl Real {
  fn new(count: usize) -> Real {
    let range = FIRST_FD..FIRST_FD + count as i32;
    for fd in range.clone() {
      // SAFETY: I3: the numbers from FIRST_FD up are this test's; it opens nothing else there.
      let made = unsafe { libc::fcntl(2, libc::F_DUPFD_CLOEXEC, fd) };
      assert_eq!(made, fd, "a number of this test is taken");
    }
    Real(range)
  }

  fn is_open(fd: i32) -> bool {
    // SAFETY: I3: asks about a number and changes nothing.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
  }
}

impl Drop for Real {
  fn drop(&mut self) {
    self.0.clone().for_each(ringcore::ring::close_now);
  }
}

struct Machine {
  ring: Ring,
  world: Rc<RefCell<World>>,
  /// Whom the test waits for: the region of each.
  waiting: HashMap<Key, Option<u32>>,
  order: Vec<Key>,
  settled: HashSet<Key>,
  /// Regions that the test may use, and those that an operation has.
  free: Vec<u32>,
  regions: u32,
  owned: Vec<i32>,
  events: Vec<Event>,
  started: usize,
  dropped: usize,
}

impl Machine {
  fn new(seed: u32, sq: usize, cq: usize, faults: Faults) -> Machine {
    let (mock, world) = Mock::new(seed, sq, cq, faults);
    world.borrow_mut().next_fd = FIRST_FD - 1;
    let mut ring = Ring::new(Box::new(mock), usize::MAX).unwrap();
    let growth = ring.regions.grow(2).unwrap();
    assert_eq!(growth.first, 0);
    Machine {
      ring,
      world,
      waiting: HashMap::new(),
      order: Vec::new(),
      settled: HashSet::new(),
      free: (0..growth.count).collect(),
      regions: growth.count,
      owned: Vec::new(),
      events: Vec::new(),
      started: 0,
      dropped: 0,
    }
  }

  fn push(&mut self, sqe: Sqe, input: Option<&[u8]>, region: Option<u32>) -> Key {
    let held = region.map_or(Held::Nothing, Held::Region);
    let owner = Owner::Ticket(self.started as u32);
    let input = input.map(|bytes| Input::at_addr(bytes.to_vec()));
    let key = self.ring.push(Entry { sqe, input, held, owner });
    self.started += 1;
    assert!(self.waiting.insert(key, region).is_none(), "two operations with one key");
    self.order.push(key);
    key
  }

  fn transfer(&mut self, read: bool, len: u32) {
    let Some(id) = self.free.pop() else { return };
    let address = self.ring.regions.hold(id, 0, len).expect("a free region can be held");
    assert!(self.ring.regions.hold(id, 0, len).is_none(), "held twice");
    let opcode = if read { IORING_OP_READ } else { IORING_OP_WRITE } as u8;
    self.push(Sqe { opcode, fd: 3, addr: address as u64, len, ..Sqe::default() }, None, Some(id));
  }

  /// An operation that the ring still knows; one that ended in the backlog has its event out.
  fn alive(&mut self, place: usize) -> Option<Key> {
    self.order.retain(|key| self.waiting.contains_key(key));
    let key = *self.order.get(place % self.order.len().max(1))?;
    self.ring.slot(key).is_some().then_some(key)
  }

  fn step(&mut self, step: Step) {
    match step {
      Step::Transfer(read, len) => self.transfer(read, len),
      Step::Open(len) => {
        let path = [vec![b'p'; len], vec![0]].concat();
        let opcode = IORING_OP_OPENAT as u8;
        self.push(Sqe { opcode, fd: -100, ..Sqe::default() }, Some(&path), None);
      }
      Step::Close(place) if !self.owned.is_empty() => {
        let fd = self.owned.swap_remove(place % self.owned.len());
        self.push(Sqe { opcode: IORING_OP_CLOSE as u8, fd, ..Sqe::default() }, None, None);
      }
      Step::Nop(len) => {
        let op_flags = IORING_NOP_INJECT_RESULT;
        let opcode = IORING_OP_NOP as u8;
        self.push(Sqe { opcode, op_flags, len, ..Sqe::default() }, None, None);
      }
      Step::Timeout => {
        self.push(Sqe { opcode: IORING_OP_TIMEOUT as u8, ..Sqe::default() }, Some(&[1; 16]), None);
      }
      Step::Cancel(place) => {
        if let Some(key) = self.alive(place) {
          assert!(self.ring.cancel(key));
        }
      }
      Step::Abandon(place) => {
        if let Some(key) = self.alive(place) {
          self.ring.abandon(key);
          self.waiting.remove(&key);
          self.dropped += 1;
        }
      }
      Step::Submit => self.ring.submit(Wait::No),
      Step::Reap(max) => self.reap(max),
      Step::Park => {
        self.ring.park();
        self.ring.unpark();
      }
      Step::Enter(errno) => self.world.borrow_mut().enters.push_back(errno),
      Step::Close(_) => {}
    }
  }

  fn reap(&mut self, max: usize) {
    self.ring.reap(&mut self.events, max);
    self.settle();
  }

  /// Each event belongs to somebody who waits, and to nobody a second time.
  fn settle(&mut self) {
    for event in std::mem::take(&mut self.events) {
      let region = self.waiting.remove(&event.key);
      let region = region.unwrap_or_else(|| panic!("nobody waits for {event:?}"));
      assert!(self.settled.insert(event.key), "{:?} ended twice", event.key);
      if event.opens && event.res >= 0 {
        self.owned.push(event.res);
      }
      if self.ring.fatal().is_none() {
        self.free.extend(region);
      }
    }
  }

  fn all_settled(&self) {
    assert!(self.waiting.is_empty(), "without an end: {:?}", self.waiting);
    assert_eq!(self.settled.len() + self.dropped, self.started);
    assert_eq!(self.ring.stats.stale, 0, "a completion that found no operation");
  }

  /// Every descriptor that the kernel gave out is the test's, or closed, and was closed once.
  fn descriptors_are_accounted_for(&self, lost: &HashSet<i32>) {
    let world = self.world.borrow();
    let owned: HashSet<i32> = self.owned.iter().copied().collect();
    assert_eq!(owned.len(), self.owned.len(), "one descriptor for two");
    assert!(world.open.is_superset(&owned), "{owned:?} and the kernel's {:?}", world.open);
    for fd in world.open.difference(&owned).filter(|fd| !lost.contains(fd)) {
      until(&format!("nobody has {fd}, and somebody closes it"), || !Real::is_open(*fd));
    }
    until("the thread that does it ends", || threads("ringcore-close").is_empty());
    assert!(owned.iter().all(|fd| Real::is_open(*fd)), "closed under its owner");
    assert_eq!(world.bad_closes, 0);
  }

  fn every_region_came_back_once(&mut self) {
    for id in 0..self.regions {
      assert!(self.ring.regions.hold(id, 0, 1).is_some(), "region {id} is still held");
      assert!(self.ring.regions.hold(id, 0, 1).is_none(), "region {id} is held by two");
    }
  }

  fn drain(&mut self) {
    let mut rounds = 0;
    while self.ring.in_flight() > 0 || self.ring.more() || self.ring.ready() {
      self.ring.submit(Wait::For(Duration::ZERO));
      self.reap(usize::MAX);
      rounds += 1;
      assert!(rounds < 100_000, "it does not come to an end");
    }
    self.all_settled();
    self.every_region_came_back_once();
    self.descriptors_are_accounted_for(&HashSet::new());
  }

  fn close(&mut self) {
    assert!(self.ring.close(Duration::from_secs(10), &mut self.events), "it did not drain");
    self.settle();
    self.all_settled();
    self.every_region_came_back_once();
    self.descriptors_are_accounted_for(&HashSet::new());
    // A closed ring answers, and takes nothing.
    let key = self.push(Sqe::default(), None, None);
    self.ring.submit(Wait::No);
    self.ring.reap(&mut self.events, 10);
    let ends: Vec<_> = self.events.iter().map(|event| (event.key, event.res)).collect();
    assert_eq!(ends, [(key, -libc::ECANCELED)]);
  }

  fn poison(&mut self) {
    let busy: Vec<u32> = (0..self.regions).filter(|id| !self.free.contains(id)).collect();
    self.world.borrow_mut().enters = [libc::EBADR].into();
    self.ring.submit(Wait::No);
    assert_eq!(self.ring.fatal(), Some(libc::EBADR));
    self.reap(usize::MAX);
    self.all_settled();
    // Nobody can say when the kernel is done with them: used by nobody again, unless the ends were
    // in the CQ already.
    let running: HashSet<u64> = self.world.borrow().running.iter().map(|sqe| sqe.addr).collect();
    for id in busy {
      if let Some(address) = self.ring.regions.hold(id, 0, 1) {
        assert!(!running.contains(&(address as u64)), "region {id} is the kernel's");
      }
    }
    let key = self.push(Sqe::default(), None, None);
    self.ring.reap(&mut self.events, 10);
    let ends: Vec<_> = self.events.drain(..).map(|event| (event.key, event.res)).collect();
    assert_eq!(ends, [(key, -libc::EBADR)]);
    assert!(!self.ring.close(Duration::from_millis(1), &mut self.events) || running.is_empty());
    assert!(self.events.is_empty(), "ended a second time by the close");
    // What the kernel has dropped nobody knows of.
    let dropped = self.world.borrow().overflow.iter().map(|cqe| cqe.res).collect();
    self.descriptors_are_accounted_for(&dropped);
    // The mock's kernel closes nothing that is real: so a second close by the ring can be told.
    let world = self.world.borrow();
    for fd in (FIRST_FD..=world.next_fd).filter(|fd| !world.open.contains(fd)) {
      assert!(Real::is_open(fd), "{fd} was closed by the kernel and by the ring");
    }
  }
}

fn cases() -> u32 {
  let stress = std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1");
  if stress {
    5000
  } else {
    500
  }
}

proptest! {
  #![proptest_config(ProptestConfig {
    failure_persistence: None, ..ProptestConfig::with_cases(cases())
  })]

  #[test]
  fn everything_ends_once_however_the_ring_ends(
    seed in any::<u32>(),
    sq in prop::sample::select(vec![1usize, 2, 4, 64]),
    cq in 2..32usize,
    faults in faults(),
    steps in prop::collection::vec(step(), 0..200),
    end in prop::sample::select(vec![End::Drained, End::Closed, End::Poisoned]),
  ) {
    let opens = steps.iter().filter(|step| matches!(step, Step::Open(_))).count();
    let _real = Real::new(opens);
    let mut machine = Machine::new(seed, sq, cq, faults);
    for step in steps {
      machine.step(step);
    }
    match end {
      End::Drained => machine.drain(),
      End::Closed => machine.close(),
      End::Poisoned => machine.poison(),
    }
  }
}
