//! Pair: __test__/messages.spec.ts
mod support;

use ringcore::address::Address;
use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::kernel::{Kernel, Options};
use ringcore::op::{self, rights, rights_control};
use ringcore::ring::Ring;
use ringcore::sqe::*;
use ringcore::{Error, Runtime};
use std::fs::File;
use std::io::{PipeReader, Read, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::{Duration, Instant};
use support::{alone, descriptors, folder, many, runtime, settle, start, text, turns, NO_FD};

/// Sends bytes with descriptors, by the kernel's own call.
fn pass(rt: &Runtime, to: &UnixStream, bytes: &[u8], fds: &[i32]) {
  let sending = op::sendmsg(to.as_raw_fd(), bytes.to_vec(), 0).control(rights_control(fds));
  assert_eq!(rt.run(sending).0, Ok(bytes.len()));
}

#[test]
fn a_message_names_its_receiver_and_tells_its_sender() {
  let _alone = alone();
  let rt = runtime();
  let directory = folder();
  let path = directory.0.join("socket");
  let (udp, client) =
    (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
  let (local, nameless) = (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap());
  let at: Address = udp.local_addr().unwrap().into();
  let from: Address = client.local_addr().unwrap().into();
  let place: Address = path.as_path().into();
  for (sender, receiver, to, from) in [
    (udp.as_raw_fd(), udp.as_raw_fd(), &at, Some(at.clone())),
    (client.as_raw_fd(), udp.as_raw_fd(), &at, Some(from)),
    (local.as_raw_fd(), local.as_raw_fd(), &place, Some(place.clone())),
    (nameless.as_raw_fd(), local.as_raw_fd(), &place, None),
  ] {
    let sending = op::sendmsg(sender, b"message".to_vec(), 0).to(to.clone());
    assert_eq!(rt.run(sending).0, Ok(7));
    let (received, bytes) = rt.run(op::recvmsg(receiver, vec![b'.'; 16], 0));
    let received = received.unwrap();
    assert_eq!(bytes, b"message.........");
    assert_eq!((received.count, received.address), (7, from));
    assert_eq!((received.flags, received.control.len(), received.descriptors.len()), (0, 0, 0));
  }
}

#[test]
fn descriptors_go_over_a_unix_socket_and_are_close_on_exec() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let (mut reader, writer) = std::io::pipe().unwrap();
  let null = File::open("/dev/null").unwrap();
  pass(&rt, &from, b"x", &[writer.as_raw_fd(), null.as_raw_fd()]);
  let (received, _) = rt.run(op::recvmsg(to.as_raw_fd(), vec![0; 1], 0).room(64));
  let received = received.unwrap();
  let raw: Vec<i32> = received.descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
  assert_eq!((received.count, raw.len(), received.flags), (1, 2, 0));
  assert_eq!(rights(&received.control), raw);
  for fd in &raw {
    assert!(![writer.as_raw_fd(), null.as_raw_fd()].contains(fd));
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = i32::from_str_radix(line.trim(), 8).unwrap();
    assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC);
  }
  let mut passed = File::from(received.descriptors.into_iter().next().unwrap());
  passed.write_all(b"through").unwrap();
  let mut bytes = [0; 7];
  reader.read_exact(&mut bytes).unwrap();
  assert_eq!(&bytes, b"through", "it is the same pipe");
}

#[test]
fn control_data_survives_its_way_there_and_back() {
  for fds in [&[][..], &[3], &[3, 4], &[5, 6, 7]] {
    let control = rights_control(fds);
    assert_eq!(control.len() % 8, 0);
    assert_eq!(rights(&control), fds);
    assert_eq!(rights(&[&control[..], &rights_control(&[9])].concat()), [fds, &[9]].concat());
    assert_eq!(rights(&[&control[..], &[0; 40]].concat()), fds, "zeros are its end");
    assert!(rights(&control[..12]).is_empty(), "a head that is cut is none");
    let mut credentials = control.clone();
    credentials[12] = libc::SCM_CREDENTIALS as u8;
    assert!(rights(&credentials).is_empty(), "of another type");
  }
  let mut long = rights_control(&[1]);
  long[..8].fill(0xff);
  assert!(rights(&long).is_empty(), "a length that cannot be ends it");
}

#[test]
fn without_room_for_control_data_descriptors_are_dropped() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  let before = descriptors();
  pass(&rt, &from, b"ab", &[null.as_raw_fd(), null.as_raw_fd()]);
  let (received, _) = rt.run(op::recvmsg(to.as_raw_fd(), vec![0; 2], 0));
  let received = received.unwrap();
  assert_eq!((received.count, received.descriptors.len()), (2, 0));
  assert_eq!(received.flags, libc::MSG_CTRUNC);
  assert_eq!(descriptors(), before);
  // With room for one of two the kernel drops the other.
  pass(&rt, &from, b"ab", &[null.as_raw_fd(), null.as_raw_fd()]);
  let (received, _) = rt.run(op::recvmsg(to.as_raw_fd(), vec![0; 2], 0).room(20));
  let received = received.unwrap();
  assert_eq!((received.descriptors.len(), received.flags), (1, libc::MSG_CTRUNC));
  drop(received);
  assert_eq!(descriptors(), before);
}

#[test]
fn a_message_that_is_longer_than_the_buffer_is_cut_and_says_so() {
  let _alone = alone();
  let rt = runtime();
  let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
  for flags in [0, libc::MSG_TRUNC] {
    udp.send_to(b"long message", udp.local_addr().unwrap()).unwrap();
    let (received, bytes) = rt.run(op::recvmsg(udp.as_raw_fd(), vec![0; 4], flags));
    let received = received.unwrap();
    assert_eq!(bytes, b"long");
    assert_eq!(received.count, if flags == 0 { 4 } else { 12 });
    assert_eq!(received.flags, libc::MSG_TRUNC);
  }
}

#[test]
fn descriptors_of_a_message_that_came_in_parts_are_all_there() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  let before = descriptors();
  for _ in 0..many(20) {
    let fd = to.as_raw_fd();
    let receiving = rt.spawn(op::recvmsg(fd, vec![0; 4], libc::MSG_WAITALL).room(64));
    rt.run(turns(2));
    pass(&rt, &from, b"ab", &[null.as_raw_fd()]);
    (&from).write_all(b"cd").unwrap();
    let (received, _) = rt.run(receiving).unwrap();
    let received = received.unwrap();
    // Where the kernel stops at the descriptors, the rest is another message.
    let left = vec![0; 4 - received.count];
    (&to).read_exact(&mut left.into_boxed_slice()).unwrap();
    assert_eq!(received.descriptors.len(), 1);
  }
  assert_eq!(descriptors(), before);
}

#[test]
fn descriptors_that_came_for_nobody_are_closed() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  let before = descriptors();
  for round in 0..many(200) {
    let (fd, control) = (to.as_raw_fd(), rights_control(&[null.as_raw_fd()]));
    let sender = from.as_raw_fd();
    rt.run(async move {
      let receiving = start(op::recvmsg(fd, vec![0; 1], 0).room(64)).await;
      turns(round % 3).await;
      let sending = start(op::sendmsg(sender, vec![1], 0).control(control)).await;
      turns(round % 2).await;
      drop(receiving);
      assert_eq!(sending.await.0, Ok(1));
      // What it had not taken is there for the next one.
      let next = op::recvmsg(fd, vec![0; 1], libc::MSG_DONTWAIT).room(64).await.0;
      assert!(next.is_err() || next.unwrap().descriptors.len() == 1);
    });
  }
  settle(&rt);
  assert_eq!(descriptors(), before);
}

#[test]
fn what_a_message_cannot_do_fails_with_its_errno() {
  let _alone = alone();
  let rt = runtime();
  let send = |fd| text(rt.run(op::sendmsg(fd, vec![0; 4], 0)).0);
  let receive = |fd| text(rt.run(op::recvmsg(fd, vec![0; 4], 0)).0);
  let (reader, _writer): (PipeReader, _) = std::io::pipe().unwrap();
  let tcp = rt.run(op::socket(libc::AF_INET, libc::SOCK_STREAM, 0)).unwrap();
  let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
  assert_eq!(send(NO_FD), "sendmsg EBADF");
  assert_eq!(receive(NO_FD), "recvmsg EBADF");
  assert_eq!(send(reader.as_raw_fd()), "sendmsg ENOTSOCK");
  assert_eq!(receive(tcp), "recvmsg ENOTCONN");
  assert_eq!(send(udp.as_raw_fd()), "sendmsg EDESTADDRREQ");
  let to = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
  let long = op::sendmsg(udp.as_raw_fd(), vec![0; 70_000], 0).to(to);
  assert_eq!(text(rt.run(long).0), "sendmsg EMSGSIZE 127.0.0.1:9");
  let (one, _other) = UnixStream::pair().unwrap();
  let closed = op::sendmsg(one.as_raw_fd(), vec![0; 4], 0).control(rights_control(&[NO_FD]));
  assert_eq!(text(rt.run(closed).0), "sendmsg EBADF");
  let odd = op::sendmsg(one.as_raw_fd(), vec![0; 4], 0).control(vec![0xff; 16]);
  assert_eq!(text(rt.run(odd).0), "sendmsg EINVAL");
  let zero_copy = op::sendmsg(one.as_raw_fd(), vec![0; 4], libc::MSG_ZEROCOPY);
  assert!(matches!(rt.run(zero_copy).0, Err(Error::Invalid(_))));
  rt.run(op::close(tcp)).unwrap();
}

#[test]
fn messages_count_among_the_bytes_that_one_enter_moves() {
  let _alone = alone();
  let rt = runtime();
  let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
  let fd = socket.as_raw_fd();
  // Nothing is there to be received, and nowhere to send to: what counts is what could be moved.
  let enters = |bytes: usize, send: bool| {
    let before = rt.stats().enters;
    rt.run(async move {
      if send {
        let all = (0..20).map(|_| op::sendmsg(fd, vec![0; bytes], 0)).collect();
        assert!(ringcore::all(all).await.into_iter().all(|(sent, _)| sent.is_err()));
      } else {
        let receive = || op::recvmsg(fd, vec![0; bytes], libc::MSG_DONTWAIT);
        let received = ringcore::all((0..20).map(|_| receive()).collect()).await;
        assert!(received.into_iter().all(|(received, _)| received.is_err()));
      }
    });
    rt.stats().enters - before
  };
  for send in [false, true] {
    let (long, short) = (enters(200 << 10, send), enters(16, send));
    assert!(long >= short + 3, "{long} enters for 4 MiB, {short} for a few bytes");
  }
}

type Descriptor = [u32; 16];

fn border() -> Border {
  let kernel = Kernel::open(&Options::default()).unwrap();
  let eventfd = kernel.eventfd();
  let mut border = Border::new(Ring::new(Box::new(kernel), usize::MAX).unwrap(), eventfd).unwrap();
  border.grow(2).unwrap();
  border
}

fn descriptor(opcode: u32, ticket: u32, fd: i32, words: &[(u32, u32)]) -> Descriptor {
  let mut list = [0; 16];
  list[D_OPCODE as usize] = opcode;
  list[D_FD as usize] = fd as u32;
  list[D_REGION as usize] = NO_REGION;
  list[D_TICKET as usize] = ticket;
  words.iter().for_each(|(word, value)| list[*word as usize] = *value);
  list
}

fn turn(border: &mut Border, list: &[Descriptor]) {
  for (index, descriptor) in list.iter().enumerate() {
    for (word, value) in descriptor.iter().enumerate() {
      border.set_word(BORDER_DESCRIPTORS / 4 + (index * 16 + word) as u32, *value);
    }
  }
  border.set(H_DESCRIPTORS, list.len() as u32);
  border.set(H_MODE, TURN_ENTER);
  border.turn();
}

/// A word of the completion with this index.
fn completion(border: &Border, index: u32, word: u32) -> u32 {
  border.word(BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS + word)
}

/// Takes turns until so many completions are in the list.
fn completed(border: &mut Border, list: &[Descriptor], count: u32) {
  let watchdog = Instant::now() + Duration::from_secs(20);
  turn(border, list);
  while border.get(H_COMPLETIONS) < count {
    assert!(Instant::now() < watchdog);
    turn(border, &[]);
  }
}

/// A receive with room for control data in this region.
fn receive(ticket: u32, fd: i32, region: u32) -> Descriptor {
  let words = [(D_REGION, region), (D_LENGTH, 1), (D_WORD1, 128), (D_WORD2, 64)];
  descriptor(IORING_OP_RECVMSG, ticket, fd, &words)
}

// PAIR: only-rust -- in TypeScript only the end of a thread leaves completions behind
#[test]
fn descriptors_of_messages_that_nobody_took_at_the_end_are_closed() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  for taken in [0, 1] {
    let before = descriptors();
    let mut border = border();
    let own = descriptors();
    let fd = to.as_raw_fd();
    (0..3).for_each(|_| pass(&rt, &from, b"x", &[null.as_raw_fd()]));
    completed(&mut border, &[receive(0, fd, 0), receive(1, fd, 1), receive(2, fd, 2)], 3);
    assert_eq!(descriptors(), own + 3);
    assert_eq!(completion(&border, 1, C_AUX), 2 + 1, "the region of the second");
    border.set(H_TAKEN, taken);
    // Nobody waits for the first of these, and nobody takes what the second has got by the close.
    turn(&mut border, &[receive(NO_TICKET, fd, 3), receive(7, fd, 4)]);
    (0..2).for_each(|_| pass(&rt, &from, b"x", &[null.as_raw_fd()]));
    assert!(border.close(Duration::from_secs(5)));
    border.abandon_completions();
    border.abandon_completions(); // Once.
    drop(border);
    let waits = rt.run(op::recvmsg(fd, vec![0; 1], libc::MSG_DONTWAIT)).0;
    assert_eq!(text(waits), "recvmsg EAGAIN", "all were received");
    assert_eq!(descriptors(), before + taken as usize, "the callers' own");
  }
}

// PAIR: only-rust -- in TypeScript only the end of a thread leaves completions behind
#[test]
fn descriptors_of_messages_that_the_list_had_no_room_for_are_closed() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  let (before, fd) = (descriptors(), to.as_raw_fd());
  let mut border = border();
  // Nobody takes from the list, and it is full.
  let refused = descriptor(IORING_OP_NOP, 100, -1, &[(D_SQE_FLAGS, 1 << 8)]);
  completed(&mut border, &[refused; 1024], 1024);
  for quarter in 2..=4 {
    completed(&mut border, &[refused; 1024], 1024 * quarter);
  }
  assert_eq!(border.get(H_COMPLETIONS), MAX_COMPLETIONS);
  let own = descriptors();
  (0..3).for_each(|_| pass(&rt, &from, b"x", &[null.as_raw_fd(), null.as_raw_fd()]));
  turn(&mut border, &[receive(0, fd, 0), receive(1, fd, 1), receive(2, fd, 2)]);
  assert!(border.close(Duration::from_secs(5)));
  assert_eq!(descriptors(), own + 6 - 2, "they came, and the ring and its eventfd went");
  border.abandon_completions();
  border.abandon_completions(); // Once.
  drop(border);
  assert_eq!(descriptors(), before);
}

// PAIR: only-rust -- TypeScript refuses these flags before there is a descriptor
#[test]
fn no_flag_of_a_message_leaves_its_memory_with_the_network() {
  let _alone = alone();
  let (one, _other) = UnixStream::pair().unwrap();
  let mut border = border();
  let opcodes =
    [IORING_OP_SEND, IORING_OP_SEND_ZC, IORING_OP_RECV, IORING_OP_SENDMSG, IORING_OP_RECVMSG];
  for opcode in opcodes {
    // MSG_ZEROCOPY, MSG_SPLICE_PAGES, MSG_CMSG_COMPAT; then vectors and bundles in ioprio.
    for flags in [1 << 26, 1 << 27, 1 << 31, u32::MAX] {
      let words = [(D_REGION, 0), (D_LENGTH, 8), (D_WORD0, flags)];
      turn(&mut border, &[descriptor(opcode, 1, one.as_raw_fd(), &words)]);
      assert_eq!(completion(&border, 0, C_RES) as i32, -libc::EINVAL, "{opcode} {flags:#x}");
      border.set(H_COMPLETIONS, 0);
    }
    for ioprio in [1 << 3, 1 << 4, 1 << 5, 0xffff] {
      let words = [(D_REGION, 0), (D_LENGTH, 8), (D_IOPRIO, ioprio)];
      turn(&mut border, &[descriptor(opcode, 1, one.as_raw_fd(), &words)]);
      assert_eq!(completion(&border, 0, C_RES) as i32, -libc::EINVAL, "{opcode} {ioprio:#x}");
      border.set(H_COMPLETIONS, 0);
    }
  }
  assert_eq!(border.get(H_SUBMITTED), 0, "the kernel saw none of them");
  assert!(border.close(Duration::from_secs(5)));
}

// PAIR: only-rust -- TypeScript never reuses a region before it has read the message
#[test]
fn a_region_that_held_descriptors_gives_none_to_the_next_message() {
  let _alone = alone();
  let rt = runtime();
  let (from, to) = UnixStream::pair().unwrap();
  let null = File::open("/dev/null").unwrap();
  let mut border = border();
  pass(&rt, &from, b"x", &[null.as_raw_fd()]);
  let before = descriptors();
  completed(&mut border, &[receive(0, to.as_raw_fd(), 5)], 1);
  border.set(H_TAKEN, 1);
  assert_eq!(descriptors(), before + 1, "it is the caller's now");
  for ticket in [NO_TICKET, 1] {
    (&from).write_all(b"y").unwrap();
    turn(&mut border, &[receive(ticket, to.as_raw_fd(), 5)]);
    turn(&mut border, &[]);
    assert_eq!(descriptors(), before + 1, "and stays open");
  }
  assert_eq!(border.get(H_COMPLETIONS), 2);
  let ring = 2; // The ring and its eventfd.
  assert!(border.close(Duration::from_secs(5)));
  border.abandon_completions();
  drop(border);
  assert_eq!(descriptors(), before + 1 - ring);
}
