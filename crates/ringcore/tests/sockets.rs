//! Pair: __test__/sockets.spec.ts
mod support;

use ringcore::address::Address;
use ringcore::cqe::{Cqe, IORING_CQE_F_MORE, IORING_CQE_F_NOTIF};
use ringcore::ring::{Entry, Ring};
use ringcore::slot::{Held, Owner};
use ringcore::sqe::*;
use ringcore::{op, Error};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use support::drivers::{Script, Scripted};
use support::{
  alone, descriptors, folder, many, runtime, settle, start, text, turns, Watched, NO_FD,
};

/// An abstract name that nobody else has.
fn name() -> Address {
  static NEXT: AtomicU32 = AtomicU32::new(0);
  let number = NEXT.fetch_add(1, Ordering::Relaxed);
  Address::Abstract(format!("ringcore-tests-{}-{number}", std::process::id()).into_bytes())
}

fn loopback(port: u16) -> Address {
  SocketAddr::from(([127, 0, 0, 1], port)).into()
}

/// A socket that listens, on a name of its own.
async fn listener() -> (i32, Address) {
  let fd = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
  let name = name();
  op::bind(fd, name.clone()).await.unwrap();
  op::listen(fd, 511).await.unwrap();
  (fd, name)
}

/// Both ends of a connection.
async fn connection() -> (i32, i32) {
  let (listening, where_) = listener().await;
  let client = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
  op::connect(client, where_).await.unwrap();
  let server = op::accept(listening, 0).await.unwrap();
  op::close(listening).await.unwrap();
  (client, server)
}

/// Both ends of a connection over TCP.
async fn tcp() -> (i32, i32) {
  let listener = TcpListener::bind("127.0.0.1:0").unwrap();
  let client = op::socket(libc::AF_INET, libc::SOCK_STREAM, 0).await.unwrap();
  op::connect(client, listener.local_addr().unwrap()).await.unwrap();
  (client, op::accept(listener.as_raw_fd(), 0).await.unwrap())
}

async fn close(fds: &[i32]) {
  for fd in fds {
    op::close(*fd).await.unwrap();
  }
}

#[test]
fn a_connection_carries_bytes_both_ways_until_it_is_shut_down() {
  let _alone = alone();
  let rt = runtime();
  let directory = folder();
  let path: Address = directory.0.join("socket").as_path().into();
  let six = "[::1]:0".parse::<SocketAddr>().unwrap().into();
  for at in [loopback(0), six, path, name()] {
    rt.run(async move {
      let domain = match &at {
        Address::Inet(SocketAddr::V4(_)) => libc::AF_INET,
        Address::Inet(SocketAddr::V6(_)) => libc::AF_INET6,
        _ => libc::AF_UNIX,
      };
      let listening = op::socket(domain, libc::SOCK_STREAM, 0).await.unwrap();
      op::bind(listening, at.clone()).await.unwrap();
      op::listen(listening, 511).await.unwrap();
      let accepting = start(op::accept(listening, 0)).await;
      let client = op::socket(domain, libc::SOCK_STREAM, 0).await.unwrap();
      op::connect(client, place(listening, at)).await.unwrap();
      let server = accepting.await.unwrap();
      assert_eq!(op::send(client, b"question".to_vec(), 0).await.0, Ok(8));
      let (count, bytes) = op::recv(server, vec![0; 16], 0).await;
      assert_eq!((count, &bytes[..8]), (Ok(8), &b"question"[..]));
      assert_eq!(op::send(server, b"answer".to_vec(), 0).await.0, Ok(6));
      assert_eq!(op::recv(client, vec![0; 16], libc::MSG_PEEK).await.0, Ok(6));
      let (count, bytes) = op::recv(client, bytes, 0).await;
      assert_eq!((count, &bytes[..8]), (Ok(6), &b"answeron"[..]));
      op::shutdown(client, libc::SHUT_WR).await.unwrap();
      assert_eq!(op::recv(server, vec![0; 16], 0).await.0, Ok(0), "the end");
      op::shutdown(server, libc::SHUT_RDWR).await.unwrap();
      assert_eq!(text(op::send(server, vec![0; 16], 0).await.0), "send EPIPE");
      close(&[server, client, listening]).await;
    });
  }
}

/// Where a socket really is, which was bound to port 0.
#[allow(unsafe_code)]
fn place(fd: i32, at: Address) -> Address {
  use std::os::fd::FromRawFd;
  let Address::Inet(_) = at else {
    return at;
  };
  // SAFETY: I3: the descriptor is the caller's, and forgotten here before it would be closed.
  let listener = std::mem::ManuallyDrop::new(unsafe { TcpListener::from_raw_fd(fd) });
  listener.local_addr().unwrap().into()
}

#[test]
fn new_sockets_are_close_on_exec_and_may_be_non_blocking() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let flags = |fd: i32| {
      let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
      let line = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
      let all = i32::from_str_radix(line.trim(), 8).unwrap();
      (all & libc::O_CLOEXEC != 0, all & libc::O_NONBLOCK != 0)
    };
    let (listening, where_) = listener().await;
    let plain = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    let other = op::socket(libc::AF_UNIX, kind, 0).await.unwrap();
    assert_eq!((flags(plain), flags(other)), ((true, false), (true, true)));
    op::connect(plain, where_.clone()).await.unwrap();
    op::connect(other, where_).await.unwrap();
    let first = op::accept(listening, 0).await.unwrap();
    let second = op::accept(listening, libc::SOCK_NONBLOCK).await.unwrap();
    assert_eq!((flags(first), flags(second)), ((true, false), (true, true)));
    close(&[first, second, plain, other, listening]).await;
  });
}

#[test]
fn accept_tells_who_connected_when_it_is_asked() {
  let _alone = alone();
  let rt = runtime();
  let listener = TcpListener::bind("127.0.0.1:0").unwrap();
  let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
  let (fd, address) = rt.run(op::accept_from(listener.as_raw_fd(), 0)).unwrap();
  assert_eq!(address, Some(client.local_addr().unwrap().into()));
  rt.run(async move {
    close(&[fd]).await;
    let (local, where_) = self::listener().await;
    for mine in [Address::Unnamed, name()] {
      let other = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
      if mine != Address::Unnamed {
        op::bind(other, mine.clone()).await.unwrap();
      }
      op::connect(other, where_.clone()).await.unwrap();
      let (fd, address) = op::accept_from(local, 0).await.unwrap();
      assert_eq!(address, Some(mine));
      close(&[fd, other]).await;
    }
    close(&[local]).await;
  });
}

#[test]
fn datagrams_go_to_the_address_that_they_name() {
  let _alone = alone();
  let rt = runtime();
  let (one, other) =
    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
  for socket in [&one, &other] {
    let to = socket.local_addr().unwrap();
    let sending = op::send(one.as_raw_fd(), b"datagram".to_vec(), 0).to(to);
    assert_eq!(rt.run(sending).0, Ok(8));
    let (count, bytes) = rt.run(op::recv(socket.as_raw_fd(), vec![0; 8], 0));
    assert_eq!((count, &bytes[..]), (Ok(8), &b"datagram"[..]));
    assert_eq!(rt.run(op::send(one.as_raw_fd(), Vec::new(), 0).to(to)).0, Ok(0));
    let (count, _) = rt.run(op::recv(socket.as_raw_fd(), bytes, 0));
    assert_eq!(count, Ok(0), "an empty one arrives as well");
  }
}

#[test]
fn errors_of_sockets_are_those_of_node() {
  let _alone = alone();
  let rt = runtime();
  let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
  let held = UdpSocket::bind(taken).unwrap();
  rt.run(async move {
    let client = op::socket(libc::AF_INET, libc::SOCK_STREAM, 0).await.unwrap();
    let refused = text(op::connect(client, loopback(1)).await);
    assert_eq!(refused, "connect ECONNREFUSED 127.0.0.1:1");
    let local = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    let missing: Address = std::path::Path::new("/nobody/is/here").into();
    assert_eq!(text(op::connect(local, missing).await), "connect ENOENT /nobody/is/here");
    let second = op::socket(libc::AF_INET, libc::SOCK_DGRAM, 0).await.unwrap();
    let error = op::bind(second, held.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("bind EADDRINUSE {taken}"));
    assert_eq!(error.code(), "EADDRINUSE");
    close(&[client, local, second]).await;
  });
}

#[test]
fn what_a_socket_cannot_do_fails_with_its_errno() {
  let _alone = alone();
  let rt = runtime();
  let (reader, _writer) = std::io::pipe().unwrap();
  rt.run(async move {
    let bytes = || vec![0; 4];
    let fd = op::socket(libc::AF_INET, libc::SOCK_STREAM, 0).await.unwrap();
    let file = reader.as_raw_fd();
    let made = op::socket(12345, libc::SOCK_STREAM, 0).await;
    assert_eq!(text(made), "socket EAFNOSUPPORT");
    assert_eq!(text(op::listen(file, 1).await), "listen ENOTSOCK");
    assert_eq!(text(op::accept(fd, 0).await), "accept EINVAL");
    assert_eq!(text(op::accept_from(fd, 0).await), "accept EINVAL");
    assert_eq!(text(op::send(fd, bytes(), 0).await.0), "send EPIPE");
    assert_eq!(text(op::recv(fd, bytes(), 0).await.0), "recv ENOTCONN");
    assert_eq!(text(op::shutdown(fd, libc::SHUT_RD).await), "shutdown ENOTCONN");
    assert_eq!(text(op::send(file, bytes(), 0).await.0), "send ENOTSOCK");
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9));
    assert_eq!(text(op::bind(fd, elsewhere).await), "bind EADDRNOTAVAIL 192.0.2.1:9");
    assert_eq!(text(op::listen(NO_FD, 1).await), "listen EBADF");
    assert_eq!(text(op::accept(NO_FD, 0).await), "accept EBADF");
    assert_eq!(text(op::shutdown(NO_FD, 0).await), "shutdown EBADF");
    assert_eq!(text(op::send(NO_FD, bytes(), 0).await.0), "send EBADF");
    assert_eq!(text(op::recv(NO_FD, bytes(), 0).await.0), "recv EBADF");
    assert_eq!(text(op::send_zc(NO_FD, bytes(), 0).await.0), "send EBADF");
    assert_eq!(text(op::bind(NO_FD, loopback(0)).await), "bind EBADF 127.0.0.1");
    assert_eq!(text(op::connect(NO_FD, loopback(7)).await), "connect EBADF 127.0.0.1:7");
    let (client, server) = tcp().await;
    op::send(client, bytes(), 0).await.0.unwrap();
    close(&[server]).await; // With unread bytes its close is a reset.
    assert_eq!(text(op::recv(client, bytes(), 0).await.0), "recv ECONNRESET");
    close(&[client, fd]).await;
  });
}

#[test]
fn only_a_flag_of_the_operation_gives_eagain_which_is_passed_on() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let (client, server) = connection().await;
    let waiting = op::recv(client, vec![0; 4], libc::MSG_DONTWAIT).await.0;
    assert_eq!(text(waiting), "recv EAGAIN");
    // The ring waits for a socket with O_NONBLOCK as for any other.
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
    let listening = op::socket(libc::AF_UNIX, kind, 0).await.unwrap();
    let where_ = name();
    op::bind(listening, where_.clone()).await.unwrap();
    op::listen(listening, 0).await.unwrap();
    let accepting = start(op::accept(listening, 0)).await;
    turns(3).await;
    let other = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    op::connect(other, where_).await.unwrap();
    let accepted = accepting.await.unwrap();
    close(&[client, server, listening, other, accepted]).await;
  });
}

#[test]
fn a_receive_that_polls_first_gets_what_comes_later() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let (client, server) = tcp().await;
    let receiving = start(op::recv(client, vec![0; 6], libc::MSG_WAITALL).poll_first()).await;
    turns(3).await;
    assert_eq!(op::send(server, b"abc".to_vec(), 0).poll_first().await.0, Ok(3));
    assert_eq!(op::send(server, b"def".to_vec(), 0).await.0, Ok(3));
    let (count, bytes) = receiving.await;
    assert_eq!((count, &bytes[..]), (Ok(6), &b"abcdef"[..]));
    close(&[client, server]).await;
  });
}

#[test]
fn a_send_without_copies_ends_when_the_network_has_done_with_the_bytes() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let (client, server) = tcp().await;
    for round in 0..many(50) {
      let receiving = start(op::recv(server, vec![0; 20_000], libc::MSG_WAITALL)).await;
      let (count, sent) = op::send_zc(client, vec![round as u8; 20_000], 0).await;
      assert_eq!(count, Ok(20_000));
      let (count, got) = receiving.await;
      assert_eq!((count, got), (Ok(20_000), sent));
    }
    let (local, other) = connection().await;
    assert_eq!(text(op::send_zc(local, vec![0; 8], 0).await.0), "send EOPNOTSUPP");
    op::shutdown(client, libc::SHUT_RDWR).await.unwrap();
    assert_eq!(text(op::send_zc(client, vec![0; 8], 0).await.0), "send EPIPE");
    close(&[client, server, local, other]).await;
  });
  assert_eq!(rt.in_flight(), 0);
}

#[test]
fn an_abandoned_send_without_copies_keeps_its_memory_until_its_notification() {
  let _alone = alone();
  let rt = runtime();
  let (client, server) = rt.run(tcp());
  // Until nothing more fits, or hardly anything: what is sent from here on waits.
  let fill = || {
    let more = || rt.run(op::send(client, vec![0; 1 << 20], libc::MSG_DONTWAIT)).0;
    while more().is_ok() {}
  };
  fill();
  for round in 0..many(6) {
    let freed = Rc::new(Cell::new(0));
    let bytes = || Watched(vec![0; 4096], freed.clone());
    let sends: Vec<_> = (0..8).map(|_| op::send_zc(client, bytes(), 0)).collect();
    rt.run(async move {
      let mut started = Vec::new();
      for send in sends {
        started.push(start(send).await);
      }
      turns(round % 3).await;
    });
    // Those that the network has taken in part end when the other side reads.
    let read = || rt.run(op::recv(server, vec![0; 1 << 20], libc::MSG_DONTWAIT)).0;
    while rt.in_flight() > 0 || read().is_ok() {
      let _ = read();
    }
    assert_eq!(freed.get(), 8);
    fill();
  }
  assert_eq!(rt.stats().stale, 0);
  rt.run(async move { close(&[client, server]).await });
}

#[test]
fn what_was_sent_without_copies_arrives_as_it_was_although_its_ring_was_closed() {
  let _alone = alone();
  let other = runtime();
  let (client, server) = other.run(tcp());
  let freed = Rc::new(Cell::new(0));
  let rt = runtime();
  // More than both ends have room for, and nobody reads: the rest is in the sender's queue.
  let sends: Vec<_> = (1..=200)
    .map(|byte| op::send_zc(client, Watched(vec![byte; 60_000], freed.clone()), 0))
    .collect();
  rt.run(async move {
    let mut started = Vec::new();
    for send in sends {
      started.push(start(send).await);
    }
    turns(10).await;
  });
  assert!(rt.close(), "what is left is the network's");
  drop(rt);
  assert!(freed.get() < 200, "the network reads some of it, and may for ever");
  let spray: Vec<_> = (0..400).map(|_| vec![0xff_u8; 60_000]).collect();
  other.run(op::shutdown(client, libc::SHUT_WR)).unwrap();
  let (mut last, mut all) = (1, 0);
  loop {
    let (count, bytes) = other.run(op::recv(server, vec![0; 1 << 20], 0));
    let got = &bytes[..count.unwrap()];
    if got.is_empty() {
      break;
    }
    for byte in got {
      assert!((last..=200).contains(byte), "{byte} behind {last}");
      last = *byte;
    }
    all += got.len();
  }
  assert!(all > 60_000, "{all} bytes");
  drop(spray);
  other.run(async move { close(&[client, server]).await });
}

#[test]
fn a_connect_and_a_send_in_one_chain() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let (listening, where_) = listener().await;
    let client = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    let sending = op::send(client, b"linked".to_vec(), libc::MSG_WAITALL);
    let (connected, (count, _)) = op::link((op::connect(client, where_), sending)).await;
    assert_eq!((connected, count), (Ok(()), Ok(6)));
    let server = op::accept(listening, 0).await.unwrap();
    assert_eq!(op::recv(server, vec![0; 8], 0).await.0, Ok(6));
    let other = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
    let nobody = Address::Abstract(b"nobody is here".to_vec());
    let sending = op::send(other, vec![0; 8], 0);
    let (connected, (sent, _)) = op::link((op::connect(other, nobody), sending)).await;
    assert_eq!(connected.unwrap_err().code(), "ECONNREFUSED");
    assert_eq!(sent, Err(Error::Abort));
    close(&[listening, client, server, other]).await;
  });
}

#[test]
fn abandoned_operations_on_sockets_leave_no_descriptor() {
  let _alone = alone();
  let before = descriptors();
  let rt = runtime();
  for round in 0..many(500) {
    rt.run(async move {
      let (listening, where_) = listener().await;
      let client = op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0).await.unwrap();
      let made = start(op::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)).await;
      let accepting = start(op::accept(listening, 0)).await;
      let other = start(op::accept_from(listening, 0)).await;
      let connecting = start(op::connect(client, where_)).await;
      turns(round % 3).await;
      drop((made, accepting, other, connecting));
      close(&[listening, client]).await;
    });
  }
  settle(&rt);
  drop(rt);
  assert_eq!(descriptors(), before);
}

#[test]
fn a_receive_that_was_abandoned_never_writes_into_memory_of_others() {
  let _alone = alone();
  let rt = runtime();
  let listener = TcpListener::bind("127.0.0.1:0").unwrap();
  let mut server = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
  let (mut client, _) = listener.accept().unwrap();
  rt.run(async move {
    for _ in 0..many(200) {
      let receiving = start(op::recv(client.as_raw_fd(), vec![0; 4096], 0)).await;
      turns(2).await;
      drop(receiving);
      let spray: Vec<Vec<u8>> = (0..16).map(|_| vec![0x55; 4096]).collect();
      // Before the cancel reaches the kernel there is something to receive.
      server.write_all(&[0xaa; 4096]).unwrap();
      turns(3).await;
      assert!(spray.iter().flatten().all(|byte| *byte == 0x55));
      client.set_nonblocking(true).unwrap();
      let _ = client.read(&mut [0; 8192]);
      client.set_nonblocking(false).unwrap();
    }
  });
}

// PAIR: only-rust -- the memory of TypeScript's operations is the ring's
#[test]
fn the_buffer_of_an_abandoned_operation_is_freed_after_its_end_and_not_before() {
  let _alone = alone();
  let rt = runtime();
  let (one, _other) = UnixStream::pair().unwrap();
  let fd = one.as_raw_fd();
  let freed = Rc::new(Cell::new(0));
  let buffer = || Watched(vec![0; 64], freed.clone());
  let (first, second) = (op::recv(fd, buffer(), 0), op::recvmsg(fd, buffer(), 0));
  let count = freed.clone();
  rt.run(async move {
    let pair = (start(first).await, start(second).await);
    turns(2).await;
    drop(pair);
    assert_eq!(count.get(), 0, "the kernel has them");
  });
  settle(&rt);
  assert_eq!(freed.get(), 2);
}

// PAIR: only-rust -- what ends a send_zc is decided below the border
#[test]
fn the_memory_of_a_send_without_copies_is_free_at_its_notification_and_once() {
  let more = IORING_CQE_F_MORE;
  let notified = (0, IORING_CQE_F_NOTIF);
  let endings: [&[(i32, u32)]; 4] = [
    &[(100, more), notified],
    &[(-libc::EPIPE, more), notified],
    &[(-libc::EPIPE, 0)],
    &[(0, more), notified],
  ];
  for (ending, abandoned) in endings.iter().flat_map(|ending| [(ending, false), (ending, true)]) {
    let script = Rc::new(RefCell::new(Script::default()));
    let driver = Scripted { script: script.clone(), entries: 64 };
    let mut ring = Ring::new(Box::new(driver), usize::MAX).unwrap();
    ring.regions.grow(1).unwrap();
    ring.regions.hold(0, 0, 100).unwrap();
    let sqe = Sqe { opcode: IORING_OP_SEND_ZC as u8, ..Sqe::default() };
    let (held, owner) = (Held::Region(0), Owner::Ticket(9));
    let key = ring.push(Entry { sqe, input: None, held, owner });
    if abandoned {
      ring.abandon(key);
    }
    let mut events = Vec::new();
    for (index, (res, flags)) in ending.iter().enumerate() {
      assert_eq!((ring.in_flight(), events.len()), (1, 0), "completion {index} of {ending:?}");
      assert!(ring.regions.hold(0, 0, 100).is_none(), "the network reads it");
      let cqe = Cqe { user_data: key.user_data(), res: *res, flags: *flags };
      script.borrow_mut().cq.push_back(cqe);
      ring.reap(&mut events, 64);
    }
    assert_eq!(ring.in_flight(), 0);
    assert!(ring.regions.hold(0, 0, 100).is_some(), "it is free");
    ring.regions.release(0);
    let got: Vec<_> = events.iter().map(|event| (event.res, event.flags & more)).collect();
    assert_eq!(got, if abandoned { vec![] } else { vec![(ending[0].0, 0)] }, "{ending:?}");
    // A late one finds nothing (I4).
    script.borrow_mut().cq.push_back(Cqe { user_data: key.user_data(), res: 0, flags: 8 });
    ring.reap(&mut events, 64);
    assert_eq!(ring.stats.stale, 1);
  }
}

fn is_mapped(address: usize) -> bool {
  let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
  maps.lines().filter_map(|line| line.split_once(' ')?.0.split_once('-')).any(|(from, to)| {
    let place = |text| usize::from_str_radix(text, 16).unwrap();
    (place(from)..place(to)).contains(&address)
  })
}

// PAIR: only-rust -- what a close leaves mapped is the border's to know
#[test]
fn a_ring_whose_sends_are_the_networks_gives_its_memory_back() {
  let _alone = alone();
  for (taken, drained) in [(true, true), (false, false)] {
    let script = Rc::new(RefCell::new(Script::default()));
    let driver = Scripted { script: script.clone(), entries: 64 };
    let mut ring = Ring::new(Box::new(driver), usize::MAX).unwrap();
    let base = ring.regions.grow(8).unwrap().slab.base() as usize;
    ring.regions.hold(0, 0, 100).unwrap();
    let sqe = Sqe { opcode: IORING_OP_SEND_ZC as u8, ..Sqe::default() };
    let (held, owner) = (Held::Region(0), Owner::Ticket(9));
    let key = ring.push(Entry { sqe, input: None, held, owner });
    if taken {
      let cqe = Cqe { user_data: key.user_data(), res: 100, flags: IORING_CQE_F_MORE };
      script.borrow_mut().cq.push_back(cqe);
    }
    let mut events = Vec::new();
    assert_eq!(ring.close(Duration::from_millis(20), &mut events), drained);
    let results: Vec<_> = events.iter().map(|event| (event.owner, event.res)).collect();
    assert_eq!(results, if taken { vec![(owner, 100)] } else { vec![] });
    drop(ring);
    assert_eq!(is_mapped(base), !drained, "what the kernel may write to stays");
  }
}
