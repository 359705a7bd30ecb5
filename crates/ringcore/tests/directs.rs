//! Pair: __test__/directs.spec.ts
mod support;

use ringcore::address::Address;
use ringcore::group::provide;
use ringcore::op::OpenHow;
use ringcore::{op, Direct, Error, Runtime};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use support::{alone, descriptors, folder, many, runtime, settle, start, turns, Folder};

/// An abstract name that nobody else has.
fn name() -> Address {
  static NEXT: AtomicU32 = AtomicU32::new(0);
  let number = NEXT.fetch_add(1, Ordering::Relaxed);
  Address::Abstract(format!("ringcore-directs-{}-{number}", std::process::id()).into_bytes())
}

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

/// Slots that are not free, when everything that was asked for has happened.
fn used(rt: &Runtime) -> usize {
  settle(rt);
  rt.run(turns(3));
  settle(rt);
  rt.directs()
}

/// A socket in a slot.
async fn socket() -> Direct {
  let direct = op::direct().unwrap();
  op::socket_direct(libc::AF_UNIX, libc::SOCK_STREAM, 0, &direct).await.unwrap();
  direct
}

/// One that listens, on a name of its own.
async fn listener() -> (Direct, Address) {
  let (direct, name) = (socket().await, name());
  op::bind(&direct, name.clone()).await.unwrap();
  op::listen(&direct, 16).await.unwrap();
  (direct, name)
}

/// Both ends of a connection.
async fn connection() -> (Direct, Direct) {
  let (listening, name) = listener().await;
  let (client, server) = (socket().await, op::direct().unwrap());
  op::connect(&client, name).await.unwrap();
  op::accept_direct(&listening, 0, &server).await.unwrap();
  (client, server)
}

/// Two files with different bytes.
fn files() -> (Folder, [PathBuf; 2]) {
  let folder = folder();
  let paths = ["a", "b"].map(|name| folder.0.join(name));
  std::fs::write(&paths[0], [b'a'; 100]).unwrap();
  std::fs::write(&paths[1], [b'b'; 100]).unwrap();
  (folder, paths)
}

fn open(path: &PathBuf, direct: &Direct) -> op::Op<op::Fields<()>> {
  op::openat_direct(libc::AT_FDCWD, path, libc::O_RDWR, 0, direct)
}

#[test]
fn sockets_connections_and_files_are_opened_into_slots() {
  let _alone = alone();
  let (_folder, [a, _]) = files();
  let rt = runtime();
  assert_eq!(used(&rt), 0);
  let before = descriptors();
  let rounds = many(300);
  rt.run(async move {
    for round in 0..rounds {
      let (listening, name) = listener().await;
      let (client, server) = (socket().await, op::direct().unwrap());
      // Close-on-exec is for descriptors of the process, and means nothing here.
      op::connect(&client, name).await.unwrap();
      if round % 2 == 0 {
        op::accept_direct(&listening, libc::SOCK_CLOEXEC, &server).await.unwrap();
      } else {
        let (_, address) = op::accept_from_direct(&listening, 0, &server).await.unwrap();
        assert_eq!(address, Some(Address::Unnamed));
      }
      assert_eq!(op::send(&client, b"question".to_vec(), 0).await.0, Ok(8));
      let (count, bytes) = op::recv(&server, vec![0; 20], 0).await;
      assert_eq!((count, &bytes[..8]), (Ok(8), &b"question"[..]));
      let file = op::direct().unwrap();
      let how = OpenHow { flags: libc::O_CLOEXEC as u64, ..OpenHow::default() };
      op::openat2_direct(libc::AT_FDCWD, &a, how, &file).await.unwrap();
      assert_eq!(op::read(&file, vec![0; 3], Some(9)).await, (Ok(3), b"aaa".to_vec()));
      assert_eq!(descriptors(), before);
      // Closed by hand, or dropped.
      op::close(&client).await.unwrap();
      op::close(&file).await.unwrap();
      assert_eq!(op::recv(&server, vec![0; 20], 0).await.0, Ok(0), "the client's end is closed");
    }
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

#[test]
fn what_fails_leaves_the_slot_as_it_was() {
  let _alone = alone();
  let (_folder, [a, _]) = files();
  let rt = runtime();
  let before = descriptors();
  rt.run(async move {
    let slot = op::direct().unwrap();
    open(&a, &slot).await.unwrap();
    for _ in 0..many(100) {
      let how = OpenHow { resolve: libc::RESOLVE_BENEATH, ..OpenHow::default() };
      let beneath = op::openat2_direct(libc::AT_FDCWD, "/etc/passwd", how, &slot);
      assert_eq!(code(beneath.await), "EXDEV");
      let missing = op::openat2_direct(libc::AT_FDCWD, "/no/file", OpenHow::default(), &slot);
      assert_eq!(code(missing.await), "ENOENT");
      let socket = op::socket_direct(libc::AF_UNIX, 77, 0, &slot);
      assert!(["EINVAL", "ESOCKTNOSUPPORT"].contains(&code(socket.await)));
      assert_eq!(code(op::accept_direct(&slot, 0, &slot).await), "ENOTSOCK");
      assert_eq!(code(op::accept_from_direct(0x7ff_ffff, 0, &slot).await), "EBADF");
      assert_eq!(op::read(&slot, vec![0; 1], Some(0)).await, (Ok(1), b"a".to_vec()));
    }
    // What is opened into a slot that is full takes the place of what was there.
    op::socket_direct(libc::AF_UNIX, libc::SOCK_STREAM, 0, &slot).await.unwrap();
    assert_eq!(code(op::fsync(&slot).await), "EINVAL");
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

#[test]
fn an_accept_that_is_abandoned_leaves_its_slot_to_be_closed() {
  let _alone = alone();
  let rt = runtime();
  let before = descriptors();
  let rounds = many(200);
  rt.run(async move {
    for round in 0..rounds {
      let (listening, name) = listener().await;
      let server = op::direct().unwrap();
      let client = socket().await;
      let accept = start(op::accept_direct(&listening, 0, &server)).await;
      if round % 2 == 0 {
        turns(round % 3).await;
      }
      // Its connection comes before it is abandoned, at the same time, or after.
      let connecting = op::connect(&client, name);
      if round % 3 == 0 {
        connecting.await.unwrap();
        drop(accept);
      } else {
        let connecting = ringcore::spawn(connecting);
        turns(round % 2).await;
        drop(accept);
        connecting.await.unwrap().unwrap();
      }
      // The handle is the caller's still: what came is closed with it, and with the listener.
      drop(server);
      drop(listening);
      let (ended, _) = op::recv(&client, vec![0; 1], 0).await;
      assert!(matches!(code(ended.clone()), "ECONNRESET") || ended == Ok(0), "{ended:?}");
    }
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

#[test]
fn streams_work_on_a_slot() {
  let _alone = alone();
  let rt = runtime();
  let before = descriptors();
  rt.run(async {
    for _ in 0..many(20) {
      let (listening, name) = listener().await;
      let mut connections = op::accept_multishot(&listening);
      for _ in 0..3 {
        let client = socket().await;
        op::connect(&client, name.clone()).await.unwrap();
        let fd = connections.next().await.unwrap().unwrap();
        op::close(fd).await.unwrap();
        assert_eq!(op::recv(&client, vec![0; 1], 0).await.0, Ok(0));
      }
      let (client, server) = connection().await;
      let group = provide(4, 64).unwrap();
      let mut polls = op::poll_multishot(&server, libc::POLLIN as u32);
      let mut chunks = op::recv_multishot(&server, &group);
      for text in ["one", "two"] {
        assert_eq!(op::send(&client, text.as_bytes().to_vec(), 0).await.0, Ok(3));
        assert_eq!(polls.next().await.unwrap().unwrap() & libc::POLLIN as u32, 1);
        assert_eq!(&chunks.next().await.unwrap().unwrap()[..], text.as_bytes());
      }
      op::close(&client).await.unwrap();
      assert!(chunks.next().await.is_none(), "the peer has ended");
    }
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

#[test]
fn a_stream_goes_on_when_its_slot_is_closed_and_cannot_start_any_more() {
  let _alone = alone();
  let rt = runtime();
  let before = descriptors();
  let (stream, late) = rt.run(async {
    let (listening, name) = listener().await;
    let mut stream = op::accept_multishot(&listening);
    let late = op::accept_multishot(&listening);
    for round in 0..2 {
      let client = socket().await;
      let connecting = ringcore::spawn(op::connect(&client, name.clone()));
      op::close(stream.next().await.unwrap().unwrap()).await.unwrap();
      connecting.await.unwrap().unwrap();
      if round == 0 {
        op::close(&listening).await.unwrap();
      }
    }
    (stream, late)
  });
  settle_but(&rt, 1);
  assert_eq!(rt.directs(), 1, "closed, and not free: its file is in use");
  drop(stream);
  assert_eq!(used(&rt), 0);
  rt.run(async move {
    let (_next, _) = listener().await;
    let mut late = late;
    let error = late.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "EBADF", "it would take connections of the slot's next file");
    assert!(late.next().await.is_none());
  });
  assert_eq!((used(&rt), descriptors()), (0, before));
}

/// Lets everything end but so many operations.
fn settle_but(rt: &Runtime, count: usize) {
  while rt.in_flight() > count {
    rt.run(op::nop()).unwrap();
  }
  rt.run(turns(3));
}

#[test]
fn a_cancel_by_a_slot_that_was_closed_reaches_nothing_of_its_next_file() {
  let _alone = alone();
  let rt = runtime();
  let other = runtime();
  rt.run(async {
    let (client, old) = connection().await;
    let late = op::cancel_fd(&old);
    op::close(&old).await.unwrap();
    op::close(&client).await.unwrap();
    let (_, name) = listener().await;
    drop(name);
    let (client, server) = connection().await;
    let reading = ringcore::spawn(op::recv(&server, vec![0; 5], 0));
    let writing = ringcore::spawn(op::recv(&client, vec![0; 5], 0));
    turns(3).await;
    assert_eq!(code(late.await), "EBADF");
    assert_eq!(code(op::cancel_fd(&old).await), "EBADF");
    op::send(&client, b"to it".to_vec(), 0).await.0.unwrap();
    op::send(&server, b"back!".to_vec(), 0).await.0.unwrap();
    assert_eq!(reading.await.unwrap(), (Ok(5), b"to it".to_vec()), "nobody cancelled it");
    assert_eq!(writing.await.unwrap(), (Ok(5), b"back!".to_vec()));
    // One that is open is cancelled, in flight and in a chain that has not started.
    let waiting = ringcore::spawn(op::recv(&server, vec![0; 5], 0));
    turns(3).await;
    assert_eq!(op::cancel_fd(&server).await, Ok(1));
    assert_eq!(waiting.await.unwrap().0, Err(Error::Abort));
  });
  assert_eq!(used(&rt), 0);
  let mine = rt.run(async { op::direct().unwrap() });
  assert_eq!(other.run(op::cancel_fd(&mine)), Err(Error::WrongRuntime));
}

// PAIR: only-rust -- in TypeScript splice and tee take numbers only
#[test]
fn a_splice_out_of_a_slot_keeps_it_and_one_that_was_closed_gives_nothing() {
  let _alone = alone();
  let (_folder, [a, b]) = files();
  let rt = runtime();
  let other = runtime();
  rt.run(async move {
    let (mut from, to) = std::io::pipe().unwrap();
    let old = op::direct().unwrap();
    open(&a, &old).await.unwrap();
    let to = to.as_raw_fd();
    assert_eq!(op::splice(&old, Some(0), to, None, 3, 0).await, Ok(3));
    let mut bytes = [0; 3];
    from.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"aaa");
    let late = op::splice(&old, Some(0), to, None, 3, 0);
    let tee = op::tee(&old, to, 3, 0);
    // One that starts when the slot's next file would be there.
    let (gate, mut opener) = std::io::pipe().unwrap();
    let waits = op::poll_add(gate.as_raw_fd(), libc::POLLIN as u32);
    let chain = op::hardlink((waits, op::splice(&old, Some(0), to, None, 3, 0)));
    let chain = ringcore::spawn(chain);
    turns(3).await;
    op::close(&old).await.unwrap();
    let next = op::direct().unwrap();
    open(&b, &next).await.unwrap();
    opener.write_all(b"x").unwrap();
    assert_eq!(code(chain.await.unwrap().1), "EBADF");
    drop(next);
    turns(3).await;
    // Now it is another's.
    let next = op::direct().unwrap();
    open(&b, &next).await.unwrap();
    let again = op::direct().unwrap();
    open(&b, &again).await.unwrap();
    assert_eq!(code(late.await), "EBADF");
    assert_eq!(code(tee.await), "EBADF");
    // The bit that makes a slot of a number is no flag of the caller's.
    let flag = 1 << 31;
    let raw = op::splice(0, Some(0), to, None, 3, flag).await;
    assert!(matches!(raw, Err(Error::Invalid(_))), "{raw:?}");
    assert!(matches!(op::tee(0, to, 3, flag).await, Err(Error::Invalid(_))));
  });
  assert_eq!(used(&rt), 0);
  let mine = rt.run(async { op::direct().unwrap() });
  let foreign = op::splice(&mine, Some(0), 1, None, 3, 0);
  assert_eq!(other.run(foreign), Err(Error::WrongRuntime));
  // Two slots of two rings are nobody's.
  let theirs = other.run(async { op::direct().unwrap() });
  assert_eq!(rt.run(op::accept_direct(&theirs, 0, &mine)), Err(Error::WrongRuntime));
  assert_eq!(other.run(op::accept_direct(&theirs, 0, &mine)), Err(Error::WrongRuntime));
}
