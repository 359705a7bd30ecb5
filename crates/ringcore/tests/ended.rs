// PAIR: only-rust ended.rs -- TypeScript cannot make an enter of the kernel's ring fail
//! Rings that have ended without their kernel's word: what the ring owes is done, what it started
//! elsewhere is stopped.

mod support;

use ringcore::cqe::Cqe;
use ringcore::kernel::Kernel;
use ringcore::ring::{close_now, Driver, Entry, Event, Input, Patch, Ring, Wait};
use ringcore::slot::{Held, Owner};
use ringcore::sqe::*;
use ringcore::{op, Options, Runtime, Sqpoll};
use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;
use support::drivers::{Between, Passing, Script, Scripted};
use support::{
  alone, folder, many, polled, runtime, start, threads, turns, until, Folder, Watched,
};

/// Enters fail with this errno, unless it is 0.
struct Failing(Rc<Cell<i32>>);

impl Between for Failing {
  fn submit(&mut self, kernel: &mut Kernel, wait: Wait) -> Result<usize, i32> {
    match self.0.get() {
      0 => kernel.submit(wait),
      errno => Err(errno),
    }
  }
}

fn failing(options: &Options) -> (Ring, Rc<Cell<i32>>) {
  let errno = Rc::new(Cell::new(0));
  let kernel = Kernel::open(options).unwrap();
  let driver = Passing { kernel, between: Failing(errno.clone()) };
  (Ring::new(Box::new(driver), usize::MAX).unwrap(), errno)
}

fn entry(opcode: u32) -> Sqe {
  Sqe { opcode: opcode as u8, fd: -1, ..Sqe::default() }
}

fn push(ring: &mut Ring, sqe: Sqe, input: Option<Input>, ticket: u32) {
  ring.push(Entry { sqe, input, held: Held::Nothing, owner: Owner::Ticket(ticket) });
}

fn push_close(ring: &mut Ring, fd: i32, ticket: u32) {
  push(ring, Sqe { fd, ..entry(IORING_OP_CLOSE) }, None, ticket);
}

fn push_copy(ring: &mut Ring, from: &Path, to: &Path, ticket: u32) {
  let path = |path: &Path| [path.as_os_str().as_encoded_bytes(), b"\0"].concat();
  let (from, to) = (path(from), path(to));
  let patches = [Patch::Addr(0), Patch::Off(from.len() as u32)];
  let input = Input::new([from, to].concat(), patches);
  push(ring, entry(LANE_OP_COPY_FILE), Some(input), ticket);
}

/// A descriptor of a file that no other part of the process opens.
fn descriptor(place: &Folder, name: &str) -> (i32, PathBuf) {
  let path = place.0.join(name);
  (File::create(&path).unwrap().into_raw_fd(), path)
}

fn is_open(fd: i32, path: &Path) -> bool {
  fs::read_link(format!("/proc/self/fd/{fd}")).is_ok_and(|found| found == path)
}

/// Descriptors of rings in this process.
fn rings() -> Vec<i32> {
  let all = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
  let ring =
    |path: PathBuf| fs::read_link(&path).is_ok_and(|to| to.ends_with("anon_inode:[io_uring]"));
  let rings = all.filter(|entry| ring(entry.path()));
  rings.map(|entry| entry.file_name().to_string_lossy().parse().expect("a number")).collect()
}

/// Takes the ring's number away from it: every enter fails, as on a ring that is broken.
#[allow(unsafe_code)]
fn break_ring(before: &[i32]) {
  let made: Vec<i32> = rings().into_iter().filter(|fd| !before.contains(fd)).collect();
  let [fd] = made[..] else { panic!("one ring was made: {made:?}") };
  let null = File::open("/dev/null").unwrap();
  // SAFETY: I3: the number stays the ring's, which closes it at its end.
  assert_eq!(unsafe { libc::dup3(null.as_raw_fd(), fd, libc::O_CLOEXEC) }, fd);
}

/// A file that takes seconds to copy and none to make: its blocks are there, never written.
fn endless(place: &Folder) -> PathBuf {
  let path = place.0.join("endless");
  let file = File::create(&path).unwrap();
  runtime().run(op::fallocate(file.as_raw_fd(), 0, 0, 6 << 30)).unwrap();
  path
}

fn results(ring: &mut Ring) -> Vec<(u32, i32)> {
  let mut events: Vec<Event> = Vec::new();
  ring.reap(&mut events, 1000);
  let ticket = |event: &Event| match event.owner {
    Owner::Ticket(ticket) => ticket,
    Owner::Future => panic!("only tickets here"),
  };
  let mut results: Vec<_> = events.iter().map(|event| (ticket(event), event.res)).collect();
  results.sort_unstable();
  results
}

#[test]
fn a_close_that_the_polling_thread_has_not_taken_happens_once_when_the_ring_ends() {
  let _alone = alone();
  let place = folder();
  for round in 0..many(10) {
    // Asleep, or about to be.
    let sqpoll = Some(Sqpoll { idle_ms: 1, cpu: None });
    let (mut ring, errno) = failing(&Options { sqpoll, ..polled(8, 0) });
    std::thread::sleep(Duration::from_millis(round as u64 % 3 * 20));
    let [mine, own, late] = ["mine", "own", "late"].map(|name| descriptor(&place, name));
    push_close(&mut ring, mine.0, 1);
    errno.set(libc::EBADR);
    ring.close_fd(own.0);
    ring.submit(Wait::No);
    assert_eq!(ring.fatal(), Some(libc::EBADR));
    until("the polling thread closes them", || {
      !is_open(mine.0, &mine.1) && !is_open(own.0, &own.1)
    });
    ring.close_fd(late.0);
    assert!(!is_open(late.0, &late.1));
    // Nothing closes their numbers again.
    let again: Vec<_> = ["a", "b", "c"].iter().map(|name| descriptor(&place, name)).collect();
    ring.close(Duration::ZERO, &mut Vec::new());
    drop(ring);
    until("the polling thread ends", || support::pollers().is_empty());
    for (fd, path) in &again {
      assert!(is_open(*fd, path), "{fd} was closed twice");
      close_now(*fd);
    }
  }
}

#[test]
fn closes_before_and_behind_the_lanes_entries_happen_when_the_ring_ends() {
  let _alone = alone();
  let place = folder();
  let from = place.0.join("from");
  fs::write(&from, b"text").unwrap();
  for copies in [1, 3] {
    let before = rings();
    let kernel = Kernel::open(&Options { entries: 8, ..Options::default() }).unwrap();
    let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
    let [taken, mine, behind] = ["taken", "mine", "behind"].map(|name| descriptor(&place, name));
    push_close(&mut ring, taken.0, 0);
    ring.submit(Wait::No);
    assert_eq!(results(&mut ring), [(0, 0)]);
    assert!(!is_open(taken.0, &taken.1));
    let again = descriptor(&place, "again");
    assert_eq!(again.0, taken.0, "the number is another file's now");
    break_ring(&before);
    push_close(&mut ring, mine.0, 1);
    for i in 0..copies {
      push_copy(&mut ring, &from, &place.0.join(format!("to{i}")), 10 + i);
    }
    push_close(&mut ring, behind.0, 2);
    ring.submit(Wait::No);
    assert!(ring.fatal().is_some());
    assert!(!is_open(mine.0, &mine.1), "it was in the SQ, the lane's entries were not");
    assert!(!is_open(behind.0, &behind.1));
    assert!(is_open(again.0, &again.1), "what the kernel has closed is not closed again");
    assert!(results(&mut ring).starts_with(&[(1, 0), (2, 0)]));
    close_now(again.0);
    ring.close(Duration::ZERO, &mut Vec::new());
  }
  until("threads without work end", || threads("ringcore-lane").is_empty());
}

#[test]
fn a_ring_that_has_ended_stops_its_copies() {
  let _alone = alone();
  let place = folder();
  let endless = endless(&place);
  let before = rings();
  let kernel = Kernel::open(&Options::default()).unwrap();
  let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  let to: Vec<PathBuf> = (0..4).map(|i| place.0.join(format!("to{i}"))).collect();
  // The lane's threads have rings as well.
  break_ring(&before);
  for (i, to) in to.iter().enumerate() {
    push_copy(&mut ring, &endless, to, i as u32);
  }
  push(&mut ring, entry(IORING_OP_NOP), None, 4);
  ring.submit(Wait::No);
  let fatal = ring.fatal().expect("the enter has failed");
  assert_eq!(results(&mut ring), (0..5).map(|i| (i, -fatal)).collect::<Vec<_>>());
  // The ring is still there.
  until("threads without work end", || threads("ringcore-lane").is_empty());
  assert!(to.iter().all(|to| !to.exists()), "what they have written is removed");
  ring.close(Duration::ZERO, &mut Vec::new());
}

#[test]
fn nothing_keeps_a_closed_ring_while_its_copies_end() {
  let _alone = alone();
  let place = folder();
  let endless = endless(&place);
  for _ in 0..many(20) {
    let kernel = Kernel::open(&Options::default()).unwrap();
    let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
    let to: Vec<PathBuf> = (0..2).map(|i| place.0.join(format!("to{i}"))).collect();
    for (i, to) in to.iter().enumerate() {
      push_copy(&mut ring, &endless, to, i as u32);
    }
    ring.submit(Wait::No);
    until("both are copied", || to.iter().all(|to| fs::metadata(to).is_ok_and(|to| to.len() > 0)));
    // No time is left to wait for them: their pieces end later.
    let before = rings().len();
    assert!(!ring.close(Duration::ZERO, &mut Vec::new()));
    assert_eq!(rings().len(), before - 2, "the ring's descriptor and the lane's own of it");
    until("they are removed", || to.iter().all(|to| !to.exists()));
  }
  until("threads without work end", || threads("ringcore-lane").is_empty());
}

/// A FIFO, whose open waits in a thread of the kernel (O_CREAT) until somebody writes.
fn fifo(place: &Folder) -> PathBuf {
  let path = place.0.join("fifo");
  assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
  path
}

/// How many descriptors of this process are of a file.
fn opened(path: &Path) -> usize {
  let all = fs::read_dir("/proc/self/fd").expect("/proc").flatten();
  all.filter(|entry| fs::read_link(entry.path()).is_ok_and(|found| found == path)).count()
}

fn write_to(fifo: &Path) -> File {
  let writer = File::options().write(true).open(fifo).unwrap();
  until("the open has its descriptor", || opened(fifo) == 2);
  std::thread::sleep(Duration::from_millis(20)); // It is installed before its completion.
  writer
}

fn failing_runtime() -> (Runtime, Rc<Cell<i32>>) {
  let errno = Rc::new(Cell::new(0));
  let kernel = Kernel::open(&Options::default()).unwrap();
  let driver = Passing { kernel, between: Failing(errno.clone()) };
  (Runtime::with_driver(Box::new(driver), Options::default()).unwrap(), errno)
}

const WAITS: i32 = libc::O_RDONLY | libc::O_CREAT;

#[test]
fn a_descriptor_that_comes_when_the_ring_has_ended_is_closed() {
  let _alone = alone();
  let place = folder();
  let path = fifo(&place);
  for kept in [false, true] {
    let (rt, errno) = failing_runtime();
    let path = path.clone();
    let opening = path.clone();
    let left = rt.run(async move {
      let open = start(op::openat(libc::AT_FDCWD, opening, WAITS, 0)).await;
      turns(3).await;
      errno.set(libc::EBADR);
      // Its end is that of all; the open's own is heard of, or never asked for.
      assert!(op::nop().await.is_err());
      if kept {
        return Some(open);
      }
      assert!(open.await.is_err());
      None
    });
    let writer = write_to(&path);
    assert!(!rt.close(), "nobody knows what else may come");
    drop(left);
    until("it is closed", || opened(&path) == 1);
    drop(writer);
  }
}

#[test]
fn connections_that_come_when_the_ring_has_ended_are_closed() {
  let _alone = alone();
  for ended in [true, false] {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (rt, errno) = failing_runtime();
    let fd = listener.as_raw_fd();
    let streams = rt.run(async move {
      let mut streams = [op::accept_multishot(fd), op::accept_multishot(fd)];
      for stream in &mut streams {
        start(stream.next()).await;
      }
      turns(3).await;
      errno.set(libc::EBADR);
      assert!(op::nop().await.is_err());
      if ended {
        assert!(streams[0].next().await.unwrap().is_err());
      }
      streams
    });
    let mut peers: Vec<_> = (0..6).map(|_| TcpStream::connect(address).unwrap()).collect();
    assert!(!rt.close());
    drop((streams, listener));
    for peer in &mut peers {
      peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
      let end = peer.read(&mut [0]).map_err(|error| error.kind());
      assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
  }
}

#[test]
fn a_descriptor_that_comes_while_a_ring_drains_is_closed_although_others_do_not_end() {
  let _alone = alone();
  let place = folder();
  let path = fifo(&place);
  let (mut ring, errno) = failing(&Options::default());
  let name = [path.as_os_str().as_encoded_bytes(), b"\0"].concat();
  let input = Some(Input::at_addr(name));
  let sqe = Sqe { fd: libc::AT_FDCWD, op_flags: WAITS as u32, ..entry(IORING_OP_OPENAT) };
  push(&mut ring, sqe, input, 1);
  ring.submit(Wait::No);
  errno.set(libc::EBADR);
  ring.submit(Wait::No);
  assert_eq!(results(&mut ring), [(1, -libc::EBADR)]);
  let writer = write_to(&path);
  ring.close(Duration::ZERO, &mut Vec::new());
  until("it is closed", || opened(&path) == 1);
  drop(writer);
}

#[test]
fn the_memory_of_what_has_no_end_is_never_freed() {
  let _alone = alone();
  let freed = Rc::new(Cell::new(0));
  let (reader, _writer) = std::io::pipe().unwrap();
  let (rt, errno) = failing_runtime();
  let (fd, buffer, count) =
    (reader.as_raw_fd(), Watched(vec![0; 64], freed.clone()), freed.clone());
  rt.run(async move {
    let read = start(op::read(fd, buffer, None)).await;
    turns(3).await;
    errno.set(libc::EBADR);
    assert!(op::nop().await.is_err());
    drop(read);
    assert_eq!(count.get(), 0, "the kernel has it");
  });
  assert!(!rt.close());
  drop(rt);
  assert_eq!(freed.get(), 0);
}

fn scripted(entries: usize) -> (Ring, Rc<RefCell<Script>>) {
  let script = Rc::new(RefCell::new(Script::default()));
  let driver = Scripted { script: script.clone(), entries };
  (Ring::new(Box::new(driver), usize::MAX).unwrap(), script)
}

/// A connection whose close(2) waits for its peer, which reads nothing.
#[allow(unsafe_code)]
fn lingering() -> (i32, TcpStream) {
  let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
  let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
  let (peer, _) = listener.accept().unwrap();
  stream.set_nonblocking(true).unwrap();
  while stream.write(&[0; 1 << 16]).is_ok() {}
  let linger = libc::linger { l_onoff: 1, l_linger: 600 };
  let (at, size) = ((&raw const linger).cast(), size_of::<libc::linger>() as u32);
  // SAFETY: I1: the option's struct is this function's own.
  let set =
    unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, size) };
  assert_eq!(set, 0);
  (stream.into_raw_fd(), peer)
}

/// A file that gets this number.
fn reused(place: &Folder, number: i32) -> (Vec<(i32, PathBuf)>, PathBuf) {
  let mut made = Vec::new();
  loop {
    let (fd, path) = descriptor(place, &format!("of {number}, {}", made.len()));
    made.push((fd, path.clone()));
    if fd == number {
      return (made, path);
    }
    assert!(made.len() < 20, "{number} is not free: {made:?}");
  }
}

#[test]
fn closes_that_the_end_of_the_ring_has_cancelled_happen_without_it() {
  let _alone = alone();
  let place = folder();
  let (mut ring, script) = scripted(8);
  let (lingers, peer) = lingering();
  let files = ["mine", "own", "left", "linked", "closed", "ran"];
  let files = files.map(|name| descriptor(&place, name));
  let [mine, own, left, linked, closed, ran] = &files;
  push_close(&mut ring, lingers, 0);
  push_close(&mut ring, ran.0, 5);
  push_close(&mut ring, mine.0, 1);
  ring.close_fd(own.0);
  let sqe = Sqe { fd: left.0, ..entry(IORING_OP_CLOSE) };
  let (held, owner) = (Held::Nothing, Owner::Future);
  let key = ring.push(Entry { sqe, input: None, held, owner });
  ring.abandon(key);
  let chain = [
    Sqe { flags: IOSQE_IO_LINK as u8, ..entry(IORING_OP_NOP) },
    Sqe { fd: linked.0, ..entry(IORING_OP_CLOSE) },
  ];
  let owner = |ticket| Owner::Ticket(ticket);
  let chain = chain.into_iter().zip(2..).map(|(sqe, ticket)| {
    let (input, held) = (None, Held::Nothing);
    Entry { sqe, input, held, owner: owner(ticket) }
  });
  ring.push_chain(chain.collect());
  push_close(&mut ring, closed.0, 4);
  ring.submit(Wait::No);
  close_now(closed.0); // By the kernel, say.
  let again = descriptor(&place, "again");
  assert_eq!(again.0, closed.0, "the number is another file's now");
  close_now(ran.0);
  let taken = script.borrow().taken.iter().map(|(sqe, _)| *sqe).collect::<Vec<_>>();
  assert_eq!(taken.len(), 8);
  for sqe in taken {
    let res = if sqe.fd == closed.0 { 0 } else { -libc::ECANCELED };
    script.borrow_mut().swept.push_back(Cqe { user_data: sqe.user_data, res, flags: 0 });
  }
  let mut events = Vec::new();
  assert!(ring.close(Duration::from_secs(60), &mut events));
  assert!(is_open(mine.0, &mine.1), "the end does not wait for what is closed before it");
  let (made, next) = reused(&place, ran.0);
  drop(peer);
  for (fd, path) in [mine, own, left] {
    until("it is closed", || !is_open(*fd, path));
  }
  until("the thread ends", || threads("ringcore-close").is_empty());
  assert!(is_open(linked.0, &linked.1), "it has not run, and is its caller's");
  assert!(is_open(again.0, &again.1), "closed twice");
  assert!(is_open(ran.0, &next), "the number was free when everything was cancelled");
  let mut ends: Vec<_> = events.iter().map(|event| (event.owner, event.res)).collect();
  ends.sort_unstable_by_key(|(owner, _)| format!("{owner:?}"));
  let cancelled = -libc::ECANCELED;
  let expected = [(0, 0), (1, 0), (2, cancelled), (3, cancelled), (4, 0), (5, 0)];
  assert_eq!(ends, expected.map(|(ticket, res)| (owner(ticket), res)));
  close_now(linked.0);
  close_now(again.0);
  made.into_iter().for_each(|(fd, _)| close_now(fd));
}

#[test]
fn a_close_that_answers_that_it_was_cancelled_has_run() {
  let _alone = alone();
  let place = folder();
  let (mut ring, script) = scripted(8);
  let files = ["mine", "own", "left", "unseen", "unseen own"];
  let files = files.map(|name| descriptor(&place, name));
  let [mine, own, left, unseen, unseen_own] = &files;
  push_close(&mut ring, mine.0, 1);
  ring.close_fd(own.0);
  let sqe = Sqe { fd: left.0, ..entry(IORING_OP_CLOSE) };
  let key = ring.push(Entry { sqe, input: None, held: Held::Nothing, owner: Owner::Future });
  ring.abandon(key);
  push_close(&mut ring, unseen.0, 2);
  ring.close_fd(unseen_own.0);
  ring.submit(Wait::No);
  // The kernel takes the numbers out of the table and then asks the file system, which says so.
  files.iter().for_each(|(fd, _)| close_now(*fd));
  let again = ["a", "b", "c", "d", "e"].map(|name| descriptor(&place, name));
  assert_eq!(again.each_ref().map(|(fd, _)| *fd), files.each_ref().map(|(fd, _)| *fd));
  let taken = script.borrow().taken.iter().map(|(sqe, _)| *sqe).collect::<Vec<_>>();
  assert_eq!(taken.len(), 5);
  let (seen, late): (Vec<_>, Vec<_>) =
    taken.iter().partition(|sqe| ![unseen.0, unseen_own.0].contains(&{ sqe.fd }));
  let answer = |sqe: &Sqe| script.borrow_mut().complete(sqe.user_data, -libc::ECANCELED);
  seen.into_iter().for_each(&answer);
  assert_eq!(results(&mut ring), [(1, -libc::ECANCELED)]);
  ring.submit(Wait::No);
  assert_eq!(script.borrow().taken(IORING_OP_CLOSE).len(), 5, "none is tried again");
  // Reaped only when the ring ends, but before it has cancelled anything.
  late.into_iter().for_each(&answer);
  assert!(ring.close(Duration::from_secs(60), &mut Vec::new()));
  until("no thread closes", || threads("ringcore-close").is_empty());
  for (fd, path) in again {
    assert!(is_open(fd, &path), "{path:?} was closed by another's close");
    close_now(fd);
  }
}

#[test]
fn closes_that_wait_for_the_queue_at_the_end_of_the_bound_happen() {
  let _alone = alone();
  let place = folder();
  let kernel = Kernel::open(&Options { entries: 4, ..Options::default() }).unwrap();
  let mut ring = Ring::new(Box::new(kernel), usize::MAX).unwrap();
  let files: Vec<_> = (0..40).map(|i| descriptor(&place, &format!("file {i}"))).collect();
  files.iter().for_each(|(fd, _)| ring.close_fd(*fd));
  ring.close(Duration::ZERO, &mut Vec::new());
  until("all are closed", || files.iter().all(|(fd, path)| !is_open(*fd, path)));
}

#[test]
fn a_close_that_comes_when_the_ring_has_ended_happens() {
  let _alone = alone();
  let place = folder();
  for poisoned in [true, false] {
    let (mut ring, script) = scripted(8);
    let (fd, path) = descriptor(&place, "file");
    if poisoned {
      script.borrow_mut().enters.push_back(libc::EBADR);
      ring.submit(Wait::No);
    } else {
      ring.close(Duration::ZERO, &mut Vec::new());
    }
    push_close(&mut ring, fd, 1);
    assert!(!is_open(fd, &path));
    assert_eq!(results(&mut ring), [(1, 0)]);
  }
}

#[test]
fn what_completes_for_ever_does_not_keep_a_ring_that_has_ended() {
  let _alone = alone();
  let (rt, errno) = failing_runtime();
  let left = rt.run(async move {
    let mut timer = op::timeout_multishot(Duration::from_nanos(1), 0);
    start(timer.next()).await;
    turns(3).await;
    errno.set(libc::EBADR);
    assert!(op::nop().await.is_err());
    timer
  });
  assert!(!rt.close());
  drop(left);
}
