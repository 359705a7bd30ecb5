//! The polling thread (SQPOLL): few system calls, no lost wake-up, no CPU when idle.
//! Pair: __test__/polling.spec.ts

mod support;

use ringcore::cqe::Cqe;
use ringcore::kernel::Kernel;
use ringcore::mock::Random;
use ringcore::ring::{close_now, Driver, Entry, Event, Input, Ring, Wait};
use ringcore::slot::{Held, Owner};
use ringcore::sqe::*;
use ringcore::{all, op, Options, Runtime, Sqpoll};
use std::time::{Duration, Instant};
use support::{many, polled, pollers, runtime_with, until};

/// Submits and reaps until nothing is in flight.
fn drain(ring: &mut Ring) -> Vec<Event> {
  let mut events = Vec::new();
  let start = Instant::now();
  while ring.in_flight() > 0 || ring.more() {
    ring.submit(Wait::No);
    ring.reap(&mut events, 64);
    assert!(start.elapsed() < Duration::from_secs(30), "{} do not end", ring.in_flight());
  }
  events
}

fn entry(opcode: u32) -> Sqe {
  Sqe { opcode: opcode as u8, fd: -1, ..Sqe::default() }
}

fn nop(result: i32) -> Sqe {
  Sqe { op_flags: IORING_NOP_INJECT_RESULT, len: result as u32, ..entry(IORING_OP_NOP) }
}

fn push(ring: &mut Ring, sqe: Sqe, ticket: u32) {
  ring.push(Entry { sqe, input: None, held: Held::Nothing, owner: Owner::Ticket(ticket) });
}

fn ring(options: &Options) -> Ring {
  Ring::new(Box::new(Kernel::open(options).unwrap()), usize::MAX).unwrap()
}

#[allow(unsafe_code)]
fn pipe() -> [i32; 2] {
  let mut fds = [0; 2];
  // SAFETY: I3: two new descriptors, this test's to close.
  assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
  fds
}

#[allow(unsafe_code)]
fn write_byte(fd: i32) {
  // SAFETY: I1: one byte of static memory.
  assert_eq!(unsafe { libc::write(fd, b"x".as_ptr().cast(), 1) }, 1);
}

#[allow(unsafe_code)]
fn poll_in(fd: i32, limit_ms: i32) -> bool {
  let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
  // SAFETY: I1: one struct of this function's own, alive for the whole call.
  unsafe { libc::poll(&mut poll, 1, limit_ms) == 1 }
}

#[test]
fn a_thousand_operations_in_batches_need_few_system_calls_under_sqpoll() {
  // Longer than any pause of a loaded machine: the thread never sleeps while this runs.
  let sqpoll = Some(Sqpoll { idle_ms: 10_000, cpu: None });
  let mut ring = ring(&Options { sqpoll, ..Options::default() });
  // It begins asleep; until it has a processor, each submit wakes it.
  push(&mut ring, nop(0), 0);
  drain(&mut ring);
  let before = ring.stats;
  let mut batches = 0;
  for batch in 0..many(10) as i32 {
    for i in 0..100 {
      push(&mut ring, nop(i), i as u32);
    }
    let events = drain(&mut ring);
    assert!(events.iter().enumerate().all(|(i, event)| event.res == i as i32), "batch {batch}");
    batches += 1;
  }
  assert_eq!(ring.stats.submitted - before.submitted, batches * 100);
  let enters = ring.stats.enters - before.enters;
  assert!(enters <= 2, "{enters} enters for {batches} batches");
  assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
}

#[test]
fn a_submission_queue_of_one_entry_serves_a_thousand_operations_under_sqpoll() {
  for (entries, cq_entries) in [(1, 0), (1, 2), (2, 0)] {
    let mut ring = ring(&polled(entries, cq_entries));
    for i in 0..1000 {
      push(&mut ring, nop(i), i as u32);
    }
    let events = drain(&mut ring);
    let results: Vec<i32> = events.iter().map(|event| event.res).collect();
    assert_eq!(results, (0..1000).collect::<Vec<_>>());
    assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
  }
  // The same with tasks, whose thread blocks in between.
  let rt = runtime_with(polled(1, 2));
  for _ in 0..many(5) {
    rt.run(async { all((0..100).map(op::nop_with).collect()).await })
      .into_iter()
      .enumerate()
      .for_each(|(i, result)| assert_eq!(result, Ok(i)));
  }
}

#[test]
fn completions_beyond_the_queue_are_not_lost_under_sqpoll() {
  let mut ring = ring(&polled(2, 2));
  let pipe = pipe();
  for i in 0..50 {
    push(&mut ring, Sqe { fd: pipe[0], op_flags: 1, ..entry(IORING_OP_POLL_ADD) }, i);
  }
  let start = Instant::now();
  while ring.more() && start.elapsed() < Duration::from_secs(30) {
    ring.submit(Wait::No);
  }
  write_byte(pipe[1]);
  let events = drain(&mut ring);
  assert_eq!(events.len(), 50);
  assert!(events.iter().all(|event| event.res == 1));
  assert!(ring.stats.overflows > 0, "it never overflowed");
  assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
  pipe.into_iter().for_each(close_now);
}

#[test]
fn no_wake_up_is_lost_however_the_polling_thread_races_the_park() {
  // A thread that sleeps again and again, and one that never does.
  for idle_ms in [1, 10_000] {
    let sqpoll = Some(Sqpoll { idle_ms, cpu: None });
    let mut kernel = Kernel::open(&Options { sqpoll, ..Options::default() }).unwrap();
    let mut random = Random::new(7);
    let (mut blocked, mut in_flight, parks) = (0, 0, many(3000));
    let mut times = [[0u64; 2]; 4096];
    for round in 0..parks {
      kernel.unpark();
      let wanted = 1 + random.below(3) as usize;
      while in_flight < wanted {
        let place = (round * 4 + in_flight) % times.len();
        times[place] =
          [0, 1000 + random.below(if idle_ms == 1 { 3_000_000 } else { 30_000 }) as u64];
        let addr = times[place].as_ptr() as u64;
        let timer = Sqe { addr, len: 1, ..entry(IORING_OP_TIMEOUT) };
        kernel.push(&[if random.chance(50) { timer } else { nop(0) }]);
        in_flight += 1;
      }
      kernel.submit(Wait::No).unwrap();
      let mut cqes = [Cqe::default(); 64];
      in_flight -= kernel.reap(&mut cqes);
      for i in 0..random.below(2000) {
        std::hint::black_box(i);
      }
      if in_flight > 0 && kernel.park() {
        blocked += 1;
        let woken = poll_in(kernel.eventfd(), 5000);
        assert!(woken, "park {round} of {parks} got no wake-up, idle {idle_ms}");
        assert!(ringcore::kernel::wait_eventfd(kernel.eventfd()));
      }
    }
    assert!(blocked > parks / 20, "it hardly ever slept: {blocked}");
    let start = Instant::now();
    while in_flight > 0 {
      assert!(start.elapsed() < Duration::from_secs(30));
      kernel.submit(Wait::For(Duration::from_secs(5))).unwrap();
      in_flight -= kernel.reap(&mut [Cqe::default(); 64]);
    }
  }
}

/// utime and stime of a thread of this process, in ticks of 10 ms.
fn ticks(thread: i32) -> u64 {
  let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("it runs");
  let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
  fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn an_idle_polling_thread_uses_no_cpu_after_its_time() {
  let used = |idle_ms| {
    let sqpoll = Some(Sqpoll { idle_ms, cpu: None });
    let rt = runtime_with(Options { sqpoll, ..Options::default() });
    assert_eq!(rt.run(op::nop()), Ok(0));
    let before = pollers();
    let thread = *before.last().expect("it has a polling thread");
    std::thread::sleep(Duration::from_millis(200));
    let start = ticks(thread);
    std::thread::sleep(Duration::from_millis(500));
    let used = ticks(thread) - start;
    // Asleep, it still serves whoever comes.
    assert_eq!(rt.run(op::nop()), Ok(0));
    drop(rt);
    until("the polling thread ends", || pollers().is_empty());
    used
  };
  let (idle, busy) = (used(20), used(60_000));
  assert!(busy > 5, "the measure sees a busy one: {busy} ticks");
  assert!(idle <= 2, "{idle} ticks of 50 while it had nothing to do");
}

#[test]
fn paths_are_intact_when_the_polling_thread_takes_them_late() {
  let mut ring = ring(&polled(64, 0));
  let count = 1000;
  for i in 0..count {
    let slashes = "/".repeat(i % 200 + 1);
    let name = if i % 7 == 0 { "null" } else { "no such file" };
    let bytes = format!("/dev{slashes}{name}\0").into_bytes();
    let sqe = Sqe { fd: libc::AT_FDCWD, ..entry(IORING_OP_OPENAT) };
    let (input, owner) = (Some(Input::at_addr(bytes)), Owner::Ticket(i as u32));
    ring.push(Entry { sqe, input, held: Held::Nothing, owner });
    // Handed over, and not yet read: the thread may still have to wake up.
    ring.submit(Wait::No);
  }
  let events = drain(&mut ring);
  assert_eq!(events.len(), count);
  for event in events {
    let Owner::Ticket(ticket) = event.owner else { panic!("only tickets here") };
    match event.res {
      fd if fd >= 0 => {
        assert_eq!(ticket % 7, 0, "path {ticket}");
        close_now(fd);
      }
      errno => {
        assert_eq!(errno, -libc::ENOENT);
        assert_ne!(ticket % 7, 0, "path {ticket}");
      }
    }
  }
  assert!(ring.close(Duration::from_secs(5), &mut Vec::new()));
}

#[test]
fn a_ring_that_closes_waits_for_what_is_in_flight_under_sqpoll() {
  let mut ring = ring(&polled(4, 0));
  let pipe = pipe();
  let growth = ring.regions.grow(2).unwrap();
  for i in 0..20 {
    let address = ring.regions.hold(growth.first + i, 0, 100).unwrap();
    let flags = if i % 2 == 0 { IOSQE_ASYNC as u8 } else { 0 };
    let (off, addr) = (u64::MAX, address as u64);
    let read = Sqe { fd: pipe[0], off, addr, len: 100, flags, ..entry(IORING_OP_READ) };
    let held = Held::Region(growth.first + i);
    ring.push(Entry { sqe: read, input: None, held, owner: Owner::Ticket(i) });
  }
  ring.submit(Wait::No);
  let mut events = Vec::new();
  assert!(ring.close(Duration::from_secs(5), &mut events));
  assert_eq!(events.len(), 20);
  for event in events {
    assert!([-libc::ECANCELED, -libc::EINTR].contains(&event.res), "{}", event.res);
  }
  pipe.into_iter().for_each(close_now);
}

#[test]
fn attached_runtimes_share_one_polling_thread() {
  let first = runtime_with(polled(8, 0));
  let attach = first.ring_fd();
  assert!(attach.is_some());
  let others: Vec<Runtime> =
    (0..8).map(|_| runtime_with(Options { attach, ..polled(8, 0) })).collect();
  for rt in &others {
    assert_eq!(rt.run(op::nop_with(3)), Ok(3));
  }
  assert_eq!(pollers().len(), 1);
  // From another thread of this process as well.
  let moved = attach.unwrap();
  std::thread::spawn(move || {
    let rt = runtime_with(Options { attach: Some(moved), ..polled(8, 0) });
    assert_eq!(rt.run(op::nop_with(4)), Ok(4));
    assert!(pollers().is_empty(), "it has none of its own");
  })
  .join()
  .unwrap();
  assert!(first.close());
  assert_eq!(first.ring_fd(), None, "nobody attaches to a closed ring");
  for rt in &others {
    assert_eq!(rt.run(op::nop_with(5)), Ok(5), "it outlives the one it is attached to");
  }
  drop(others);
  drop(first);
  until("the polling thread ends", || pollers().is_empty());
}
