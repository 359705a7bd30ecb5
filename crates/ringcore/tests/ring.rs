//! The ring over a driver that does what the test says, over the mock, and over the kernel.
//! Pair: __test__/ring.spec.ts

mod support;

use ringcore::border::Border;
use ringcore::cqe::{Cqe, ENTER_BYTES, H_COMPLETIONS, H_MODE, H_MORE, TURN_ENTER, TURN_PARK};
use ringcore::kernel::{Kernel, Options};
use ringcore::mock::{Faults, Mock};
use ringcore::ring::{Entry, Event, Input, Ring, Wait};
use ringcore::slot::{Held, Key, Owner};
use ringcore::sqe::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;
use support::drivers::{Script, Scripted};

fn scripted(entries: usize) -> (Ring, Rc<RefCell<Script>>) {
  let script = Rc::new(RefCell::new(Script::default()));
  let driver = Scripted { script: script.clone(), entries };
  (Ring::new(Box::new(driver), usize::MAX).unwrap(), script)
}

fn kernel(entries: u32, cq_entries: u32) -> Ring {
  let options = Options { entries, cq_entries, ..Options::default() };
  Ring::new(Box::new(Kernel::open(&options).unwrap()), usize::MAX).unwrap()
}

fn entry(opcode: u32) -> Sqe {
  Sqe { opcode: opcode as u8, fd: -1, ..Sqe::default() }
}

fn nop(result: i32) -> Sqe {
  Sqe { op_flags: IORING_NOP_INJECT_RESULT, len: result as u32, ..entry(IORING_OP_NOP) }
}

fn push(ring: &mut Ring, sqe: Sqe, ticket: u32) -> Key {
  ring.push(Entry { sqe, input: None, held: Held::Nothing, owner: Owner::Ticket(ticket) })
}

/// Submits and reaps until nothing is in flight. Results by the order of arrival.
fn drain(ring: &mut Ring) -> Vec<Event> {
  let mut events = Vec::new();
  for _ in 0..100_000 {
    if ring.in_flight() == 0 && !ring.more() {
      return events;
    }
    ring.submit(Wait::No);
    ring.reap(&mut events, 64);
  }
  panic!("{} operations do not end", ring.in_flight());
}

fn tickets(events: &[Event]) -> Vec<u32> {
  let ticket = |event: &Event| match event.owner {
    Owner::Ticket(ticket) => ticket,
    Owner::Future => panic!("only tickets here"),
  };
  events.iter().map(ticket).collect()
}

#[test]
fn a_submission_queue_of_one_entry_serves_a_thousand_operations() {
  let (mock, _world) = Mock::new(1, 1, 2, Faults::default());
  let mocked = Ring::new(Box::new(mock), usize::MAX).unwrap();
  for mut ring in [kernel(1, 0), mocked] {
    for i in 0..1000 {
      push(&mut ring, nop(i), i as u32);
    }
    let events = drain(&mut ring);
    assert_eq!(tickets(&events), (0..1000).collect::<Vec<_>>());
    assert!(events.iter().enumerate().all(|(i, event)| event.res == i as i32));
    assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
  }
}

#[test]
fn fifty_completions_in_a_completion_queue_of_two_arrive_in_order() {
  let (mock, _world) = Mock::new(1, 64, 2, Faults::default());
  let mocked = Ring::new(Box::new(mock), usize::MAX).unwrap();
  for mut ring in [kernel(2, 2), mocked] {
    for i in 0..50 {
      push(&mut ring, nop(i), i as u32);
    }
    // Nothing is reaped until all are submitted, so that the CQ overflows.
    for _ in 0..200 {
      ring.submit(Wait::No);
    }
    let events = drain(&mut ring);
    assert_eq!(tickets(&events), (0..50).collect::<Vec<_>>());
    assert!(ring.stats.overflows > 0, "it never overflowed");
    assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
  }
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn eintr_eagain_and_ebusy_of_enter_lose_nothing() {
  for errnos in [
    vec![libc::EINTR; 5],
    vec![libc::EAGAIN; 5],
    vec![libc::EBUSY; 5],
    vec![libc::EBUSY, libc::EINTR, libc::EAGAIN, libc::EINTR],
  ] {
    let (mut ring, script) = scripted(4);
    script.borrow_mut().enters.extend(&errnos);
    let keys: Vec<Key> = (0..10).map(|i| push(&mut ring, nop(0), i)).collect();
    for _ in 0..20 {
      ring.submit(Wait::No);
    }
    let taken = script.borrow().taken(IORING_OP_NOP);
    let expected: Vec<u64> = keys.iter().map(|key| key.user_data()).collect();
    let got: Vec<u64> = taken.iter().map(|sqe| sqe.user_data).collect();
    assert_eq!(got, expected, "after {errnos:?}");
    expected.iter().for_each(|key| script.borrow_mut().complete(*key, 0));
    assert_eq!(drain(&mut ring).len(), 10);
  }
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn ebadr_fails_every_operation_once_and_ends_the_ring() {
  let (mut ring, script) = scripted(4);
  let growth = ring.regions.grow(2).unwrap();
  let id = growth.first;
  let address = ring.regions.hold(id, 0, 10).unwrap();
  let read = Sqe { addr: address as u64, len: 10, ..entry(IORING_OP_READ) };
  let (held, owner) = (Held::Region(id), Owner::Ticket(0));
  ring.push(Entry { sqe: read, input: None, held, owner });
  for i in 1..10 {
    push(&mut ring, nop(0), i);
  }
  script.borrow_mut().enters.push_back(libc::EBADR);
  ring.submit(Wait::No);
  let mut events = Vec::new();
  ring.reap(&mut events, 1000);
  ring.submit(Wait::No);
  ring.reap(&mut events, 1000);
  let mut got = tickets(&events);
  got.sort_unstable();
  assert_eq!(got, (0..10).collect::<Vec<_>>());
  assert!(events.iter().all(|event| event.res == -libc::EBADR));
  assert_eq!(ring.fatal(), Some(libc::EBADR));
  // I2: no CQE will say when the kernel is done with it.
  assert!(ring.regions.hold(id, 0, 1).is_none());
  push(&mut ring, nop(0), 10);
  events.clear();
  ring.reap(&mut events, 1000);
  assert_eq!((tickets(&events), events[0].res), (vec![10], -libc::EBADR));
  assert!(script.borrow().taken.is_empty(), "nothing goes out");
  assert!(!ring.close(Duration::from_secs(5), &mut events));
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn closes_that_the_kernel_never_took_happen_all_the_same_and_the_others_not_twice() {
  let close = |fd| Sqe { fd, ..entry(IORING_OP_CLOSE) };
  let link = |sqe| Sqe { flags: IOSQE_IO_LINK as u8, ..sqe };
  for waits in [0, 3] {
    let (mut ring, script) = scripted(8);
    let [taken, own_taken] = numbers();
    push(&mut ring, close(taken), 0);
    ring.close_fd(own_taken);
    ring.submit(Wait::No);
    assert_eq!(script.borrow().taken(IORING_OP_CLOSE).len(), 2);
    // In the SQ: the ring's own, a caller's, one that nobody waits for, and that of a chain, whose
    // descriptor is the caller's as long as the chain has not run.
    let ([own, mine], [dropped, chained]) = (numbers(), numbers());
    push(&mut ring, close(mine), 1);
    let key = push(&mut ring, close(dropped), 2);
    ring.abandon(key);
    let owner = |ticket| Owner::Ticket(ticket);
    let member =
      |sqe, ticket| Entry { sqe, input: None, held: Held::Nothing, owner: owner(ticket) };
    ring.push_chain(vec![member(link(nop(0)), 3), member(close(chained), 4)]);
    ring.close_fd(own);
    // And in the backlog, one of them cancelled there.
    let ([late, ended], [late_chained, other]) = (numbers(), numbers());
    for ticket in 0..waits {
      push(&mut ring, nop(0), 10 + ticket);
    }
    push(&mut ring, close(late), 5);
    let cancelled = push(&mut ring, close(ended), 6);
    ring.cancel_op(Some(cancelled), Owner::Ticket(7));
    ring.push_chain(vec![member(link(close(late_chained)), 8), member(nop(0), 9)]);
    script.borrow_mut().enters.push_back(libc::EBADR);
    ring.submit(Wait::No);
    assert_eq!(ring.fatal(), Some(libc::EBADR));
    for fd in [own, mine, dropped, late] {
      assert!(!open(fd), "{fd} was left open");
    }
    for fd in [taken, own_taken, chained, late_chained, ended] {
      assert!(open(fd), "{fd} is the kernel's to close, or the caller's");
    }
    let mut events = Vec::new();
    ring.reap(&mut events, 1000);
    let end = |ticket| {
      let event = events.iter().find(|event| event.owner == Owner::Ticket(ticket));
      event.map(|event| event.res)
    };
    assert_eq!([1, 5, 7].map(end), [Some(0); 3], "they are closed");
    assert_eq!([0, 3, 4, 8, 9].map(end), [Some(-libc::EBADR); 5]);
    assert_eq!((end(2), end(6)), (None, Some(-libc::ECANCELED)));
    ring.close_fd(taken);
    assert!(!open(taken), "on a ring that has ended it is done at once");
    ring.close(Duration::ZERO, &mut Vec::new());
    assert!(open(own_taken), "nobody closes it a second time");
    [own_taken, chained, late_chained, ended, other]
      .into_iter()
      .for_each(ringcore::ring::close_now);
  }
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn a_close_that_the_kernel_does_not_take_until_the_end_happens_without_it() {
  let (mut ring, script) = scripted(2);
  script.borrow_mut().enters.extend(std::iter::repeat_n(libc::EAGAIN, 100_000));
  let ([own, mine], [late, other]) = (numbers(), numbers());
  push(&mut ring, Sqe { fd: mine, ..entry(IORING_OP_CLOSE) }, 1);
  ring.close_fd(own);
  ring.submit(Wait::No);
  push(&mut ring, Sqe { fd: late, ..entry(IORING_OP_CLOSE) }, 2);
  assert!(!ring.close(Duration::from_millis(5), &mut Vec::new()));
  for fd in [own, mine, late] {
    support::until(&format!("{fd} is closed"), || !open(fd));
  }
  assert!(open(other));
  ringcore::ring::close_now(other);
}

// PAIR: only-rust -- only Rust sees the SQ and its order
#[test]
fn a_cancel_gets_through_a_full_queue_and_before_the_backlog() {
  let (mut ring, script) = scripted(2);
  let target = push(&mut ring, entry(IORING_OP_POLL_ADD), 0);
  ring.submit(Wait::No);
  for i in 1..20 {
    push(&mut ring, nop(0), i);
  }
  assert!(ring.cancel(target));
  for _ in 0..3 {
    ring.submit(Wait::No);
  }
  let script = script.borrow();
  let opcodes: Vec<u32> = script.taken.iter().map(|(s, _)| s.opcode as u32).collect();
  // The poll, the two that were in the SQ already, then the cancel before all that waited.
  let place = opcodes.iter().position(|op| *op == IORING_OP_ASYNC_CANCEL);
  assert_eq!(place, Some(3), "{opcodes:?}");
  assert_eq!(script.taken[3].0.addr, target.user_data());
}

// PAIR: only-rust -- only Rust sees the SQ and its order
#[test]
fn a_cancelled_operation_of_the_backlog_never_reaches_the_kernel() {
  let (mut ring, script) = scripted(1);
  push(&mut ring, nop(0), 0);
  let waiting = push(&mut ring, entry(IORING_OP_POLL_ADD), 1);
  push(&mut ring, nop(0), 2);
  assert!(ring.cancel(waiting));
  let mut events = Vec::new();
  ring.reap(&mut events, 10);
  assert_eq!((tickets(&events), events[0].res), (vec![1], -libc::ECANCELED));
  assert!(!ring.cancel(waiting), "it has ended");
  for _ in 0..5 {
    ring.submit(Wait::No);
  }
  let script = script.borrow();
  assert_eq!(script.taken.len(), 2);
  assert_eq!(script.taken(IORING_OP_NOP).len(), 2);
}

// PAIR: only-rust -- generations are kept in Rust
#[test]
fn a_stale_completion_is_dropped_and_counted() {
  let (mut ring, script) = scripted(4);
  let first = push(&mut ring, nop(0), 1);
  ring.submit(Wait::No);
  script.borrow_mut().complete(first.user_data(), 5);
  let mut events = Vec::new();
  ring.reap(&mut events, 10);
  let second = push(&mut ring, nop(0), 2);
  assert_eq!(second.slot, first.slot, "the place is used again");
  assert_ne!(second.generation, first.generation);
  ring.submit(Wait::No);
  // The same slot with the old generation, and a slot that never was.
  script.borrow_mut().complete(first.user_data(), 6);
  script.borrow_mut().complete((7 << 32) | 1000, 7);
  ring.reap(&mut events, 10);
  assert_eq!((events.len(), ring.stats.stale), (1, 2));
  assert_eq!(ring.in_flight(), 1, "the second is in flight");
  script.borrow_mut().complete(second.user_data(), 8);
  ring.reap(&mut events, 10);
  assert_eq!((tickets(&events), events[1].res), (vec![1, 2], 8));
}

// PAIR: only-rust -- the arena is in Rust
#[test]
fn paths_are_intact_when_the_kernel_takes_them_however_long_they_wait() {
  let (mut ring, script) = scripted(3);
  let mut wanted = Vec::new();
  for round in 0..60 {
    // EAGAIN keeps entries in the SQ over several submits: the arena must not start over.
    if round % 3 == 0 {
      script.borrow_mut().enters.push_back(libc::EAGAIN);
    }
    for i in 0..round % 5 {
      let path = format!("{round}-{i}-{}", "x".repeat((round * 37 + i) % 4000));
      let bytes = [path.as_bytes(), &[0]].concat();
      let open = entry(IORING_OP_OPENAT);
      let (input, owner) = (Some(Input::at_addr(bytes)), Owner::Ticket(0));
      ring.push(Entry { sqe: open, input, held: Held::Nothing, owner });
      wanted.push(path);
    }
    ring.submit(Wait::No);
  }
  for _ in 0..200 {
    ring.submit(Wait::No);
  }
  let script = script.borrow();
  let got: Vec<&str> = script.taken.iter().filter_map(|t| t.1.as_deref()).collect();
  assert_eq!(got, wanted);
}

#[test]
fn one_enter_moves_at_most_a_mebibyte_on_the_calling_thread() {
  const BYTES: usize = 400 << 10;
  let messages = [IORING_OP_SENDMSG, IORING_OP_RECVMSG];
  let others = [IORING_OP_READ, IORING_OP_READV, IORING_OP_WRITEV];
  for opcode in others.into_iter().chain(messages) {
    let (mut ring, script) = scripted(64);
    let growth = ring.regions.grow(10).unwrap();
    let vector = opcode != IORING_OP_READ;
    let half = [growth.slab.base() as u64, BYTES as u64 / 2].map(u64::to_ne_bytes).concat();
    let message = [[0; 56].to_vec(), [0, BYTES as u64].map(u64::to_ne_bytes).concat()].concat();
    let lengths = if messages.contains(&opcode) { message } else { [&half[..], &half].concat() };
    let len = if vector { 2 } else { BYTES as u32 };
    let long = Sqe { len, addr: growth.slab.base() as u64, ..entry(opcode) };
    let away = Sqe { flags: IOSQE_ASYNC as u8, ..long };
    for i in 0..20 {
      // A vector's lengths are in its input, wherever that waits.
      let input = vector.then(|| Input::at_addr(lengths.clone()));
      let (sqe, owner) = (if i < 10 { long } else { away }, Owner::Ticket(i));
      ring.push(Entry { sqe, input, held: Held::Nothing, owner });
    }
    let mut enters = Vec::new();
    while ring.more() {
      let before = script.borrow().taken.len();
      ring.submit(Wait::No);
      let script = script.borrow();
      let inline = |sqe: &Sqe| sqe.flags as u32 & IOSQE_ASYNC == 0;
      let bytes = script.taken[before..].iter().filter(|(sqe, _)| inline(sqe)).count() * BYTES;
      assert!(bytes <= ENTER_BYTES as usize, "{bytes} in one enter");
      enters.push(bytes);
    }
    assert_eq!(script.borrow().taken.len(), 20);
    assert_eq!(enters.iter().sum::<usize>(), 10 * BYTES);
    assert!(enters.len() >= 5, "two at most fit into one: {enters:?}");
  }
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn the_descriptor_of_an_abandoned_open_is_closed() {
  // Twice: abandoned while the kernel has it, and after its completion was seen.
  for late in [false, true] {
    let (mut ring, script) = scripted(4);
    let open = entry(IORING_OP_OPENAT);
    let key = ring.push(Entry {
      sqe: open,
      input: Some(Input::at_addr(b"a\0".to_vec())),
      held: Held::Nothing,
      owner: Owner::Future,
    });
    ring.submit(Wait::No);
    let mut events = Vec::new();
    if late {
      script.borrow_mut().complete(key.user_data(), 1_000_001);
      ring.reap(&mut events, 10);
      assert_eq!(events.len(), 1);
      let slot = ring.slot(key).expect("a future takes its result later");
      slot.lifecycle = ringcore::slot::Lifecycle::Completed(1_000_001, 0);
      ring.abandon(key);
    } else {
      ring.abandon(key);
      script.borrow_mut().complete(key.user_data(), 1_000_001);
      ring.reap(&mut events, 10);
      assert!(events.is_empty(), "nobody is there to be told");
    }
    ring.submit(Wait::No);
    let closes = script.borrow().taken(IORING_OP_CLOSE);
    assert_eq!(closes.len(), 1);
    assert_eq!(closes[0].fd, 1_000_001);
    assert!(ring.slot(key).is_none());
  }
}

#[test]
fn a_ring_that_closes_waits_for_what_is_in_flight() {
  let mut ring = kernel(4, 0);
  let pipe = pipe();
  let growth = ring.regions.grow(2).unwrap();
  for i in 0..20 {
    let address = ring.regions.hold(growth.first + i, 0, 100).unwrap();
    let read =
      Sqe { fd: pipe[0], off: u64::MAX, addr: address as u64, len: 100, ..entry(IORING_OP_READ) };
    let held = Held::Region(growth.first + i);
    ring.push(Entry { sqe: read, input: None, held, owner: Owner::Ticket(i) });
  }
  (0..3).for_each(|_| ring.submit(Wait::No));
  let mut events = Vec::new();
  assert!(ring.close(Duration::from_secs(5), &mut events));
  let mut got = tickets(&events);
  got.sort_unstable();
  assert_eq!(got, (0..20).collect::<Vec<_>>());
  assert!(events.iter().all(|event| event.res == -libc::ECANCELED));
  pipe.into_iter().for_each(ringcore::ring::close_now);
}

// PAIR: only-rust -- TypeScript has no driver that does what a script says
#[test]
fn a_driver_that_never_completes_is_left_after_the_bound_and_its_memory_stays() {
  let (mut ring, _script) = scripted(4);
  let growth = ring.regions.grow(2).unwrap();
  let address = ring.regions.hold(growth.first, 0, 4096).unwrap();
  fill(address, 0x5a);
  let read = Sqe { addr: address as u64, len: 4096, ..entry(IORING_OP_READ) };
  let held = Held::Region(growth.first);
  ring.push(Entry { sqe: read, input: None, held, owner: Owner::Ticket(0) });
  ring.submit(Wait::No);
  let mut events = Vec::new();
  assert!(!ring.close(Duration::from_millis(50), &mut events));
  assert!(events.is_empty());
  drop(growth);
  drop(ring);
  // Leaked, not freed: a late write of the kernel would hit nobody else's memory.
  assert!(readable(address, 0x5a));
}

#[allow(unsafe_code)]
fn pipe() -> [i32; 2] {
  let mut fds = [0; 2];
  // SAFETY: I3: two new descriptors, this test's to close.
  assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
  fds
}

/// Two open descriptors with numbers that no other test is given while this one looks.
#[allow(unsafe_code)]
fn numbers() -> [i32; 2] {
  static NEXT: AtomicI32 = AtomicI32::new(500);
  [(); 2].map(|()| {
    let fd = NEXT.fetch_add(1, Ordering::Relaxed);
    // SAFETY: I3: a new descriptor, this test's to close.
    assert_eq!(unsafe { libc::fcntl(2, libc::F_DUPFD_CLOEXEC, fd) }, fd);
    fd
  })
}

#[allow(unsafe_code)]
fn open(fd: i32) -> bool {
  // SAFETY: I3: asks about a number and changes nothing.
  unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

#[allow(unsafe_code)]
fn fill(address: *mut u8, byte: u8) {
  // SAFETY: I2: a held region of 4096 bytes that no kernel writes to.
  unsafe { std::ptr::write_bytes(address, byte, 4096) };
}

/// Whether the page is mapped and still has its bytes; asked of the kernel, so that a missing one
/// is an answer and no crash.
#[allow(unsafe_code)]
fn readable(address: *mut u8, byte: u8) -> bool {
  let fds = pipe();
  // SAFETY: I1: write(2) answers EFAULT for memory that is not mapped.
  let written = unsafe { libc::write(fds[1], address.cast(), 4096) };
  let mut copy = [0u8; 4096];
  let read = match written {
    // SAFETY: I1: the buffer is this function's own.
    4096 => unsafe { libc::read(fds[0], copy.as_mut_ptr().cast(), 4096) },
    _ => -1,
  };
  fds.into_iter().for_each(ringcore::ring::close_now);
  read == 4096 && copy.iter().all(|got| *got == byte)
}

// PAIR: only-rust -- TypeScript's turns end in Rust
#[test]
fn a_flag_of_the_kernel_with_nothing_behind_it_ends_no_turn() {
  let (ring, script) = scripted(4);
  let mut border = Border::new(ring, -1).unwrap();
  script.borrow_mut().stale = true;
  border.set(H_MODE, TURN_ENTER | TURN_PARK);
  for _ in 0..3 {
    // It would not come back.
    border.turn();
    assert_eq!(border.get(H_MORE), 0, "parked");
  }
  // What comes for a ring that has looked in vain is seen all the same.
  let ring = &mut border.ring;
  let key = push(ring, entry(IORING_OP_POLL_ADD), 7);
  border.turn();
  script.borrow_mut().cq.push_back(Cqe { user_data: key.user_data(), res: 5, flags: 0 });
  border.turn();
  border.turn();
  assert_eq!(border.get(H_COMPLETIONS), 1);
}
