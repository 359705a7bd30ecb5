//! Pair: __test__/group.spec.ts
mod support;

use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::group::provide;
use ringcore::mock::{Faults, Mock};
use ringcore::ring::Ring;
use ringcore::sqe::*;
use ringcore::stream::{Shot, Stream};
use ringcore::{op, sleep, Error, Options, Runtime};
use std::future::Future;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::Duration;
use support::{alone, descriptors, many, mappings, runtime, settle};

/// Nothing is there; it is armed.
async fn polled<S: Shot>(stream: &mut Stream<S>) {
  std::future::poll_fn(|cx| {
    assert!(stream.poll_next(cx).is_pending());
    Poll::Ready(())
  })
  .await;
}

/// Two connected sockets that keep the bounds of messages.
fn packets() -> (OwnedFd, OwnedFd) {
  let mut fds = [0; 2];
  // SAFETY: I3: the call writes two new descriptors, which are ours.
  let result =
    unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, fds.as_mut_ptr()) };
  assert_eq!(result, 0);
  // SAFETY: I3: as above.
  fds.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).into()
}

/// The peer was closed with bytes unread.
fn reset() -> Error {
  Error::Os { errno: libc::ECONNRESET, syscall: "recv", path: None, dest: None }
}

/// A ring of the mock kernel with one group, and an operation that may get a buffer of it.
fn mocked() -> (Border, std::rc::Rc<std::cell::RefCell<ringcore::mock::World>>) {
  let faults = Faults { enter: 0, late: 100, error: 0, short: 0 };
  let (mock, world) = Mock::new(1, 8, 64, faults);
  let border = Border::new(Ring::new(Box::new(mock), usize::MAX).unwrap(), 999_999).unwrap();
  (border, world)
}

/// One descriptor through the border; the result of ticket 0.
fn descriptor(border: &mut Border, words: &[(u32, u32)]) -> i32 {
  for word in 0..DESCRIPTOR_WORDS {
    border.set_word(BORDER_DESCRIPTORS / 4 + word, 0);
  }
  for (word, value) in words {
    border.set_word(BORDER_DESCRIPTORS / 4 + word, *value);
  }
  border.set(H_DESCRIPTORS, 1);
  border.set(H_MODE, TURN_ENTER);
  border.turn();
  assert_eq!(border.get(H_COMPLETIONS), 1);
  border.set(H_COMPLETIONS, 0);
  border.word(BORDER_COMPLETIONS / 4 + C_RES) as i32
}

fn give(border: &mut Border, group: u32, buffer: u32) -> i32 {
  descriptor(border, &[(D_OPCODE, BORDER_RETURN), (D_REGION, group), (D_LENGTH, buffer)])
}

#[test]
fn what_comes_arrives_whole_and_in_order() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(8, 100).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let writer = std::thread::spawn(move || {
      for number in 0..many(2000) as u32 {
        far.write_all(&number.to_ne_bytes()).unwrap();
      }
    });
    let mut stream = op::recv_multishot(near.as_raw_fd(), &group);
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
      bytes.extend_from_slice(&chunk.unwrap());
    }
    writer.join().unwrap();
    let numbers = bytes.chunks(4).map(|four| u32::from_ne_bytes(four.try_into().unwrap()));
    assert!(numbers.eq(0..many(2000) as u32));
    assert_eq!(group.available(), 8);
  });
}

#[test]
fn four_buffers_and_a_hundred_packets_unread_lose_nothing() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    for _ in 0..many(5) {
      let group = provide(4, 64).unwrap();
      let (near, far) = packets();
      let mut stream = op::recv_multishot(near.as_raw_fd(), &group);
      polled(&mut stream).await;
      let mut far = std::fs::File::from(far);
      for number in 0..100 {
        far.write_all(&[number; 3]).unwrap();
      }
      sleep(Duration::from_millis(1)).await;
      assert_eq!(group.available(), 0, "four wait in their buffers, the others in the socket");
      for number in 0..100 {
        let chunk = stream.next().await.unwrap().unwrap();
        assert_eq!(*chunk, [number; 3]);
      }
      drop(far);
      assert!(stream.next().await.is_none());
      assert_eq!(group.available(), 4);
    }
  });
}

#[test]
fn a_stream_that_finds_no_buffer_goes_on_when_another_one_returns_them() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(2, 64).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let (other, mut peer) = UnixStream::pair().unwrap();
    let mut greedy = op::recv_multishot(near.as_raw_fd(), &group);
    let mut kept = Vec::new();
    for byte in [b"a", b"b"] {
      far.write_all(byte).unwrap();
      kept.push(greedy.next().await.unwrap().unwrap());
    }
    assert_eq!(group.available(), 0);
    peer.write_all(b"c").unwrap();
    let mut starved = op::recv_multishot(other.as_raw_fd(), &group);
    polled(&mut starved).await;
    sleep(Duration::from_millis(2)).await;
    polled(&mut starved).await;
    let handle = ringcore::spawn(async move { starved.next().await.unwrap().unwrap().to_vec() });
    sleep(Duration::from_millis(2)).await;
    assert!(!handle.finished());
    kept.pop();
    assert_eq!(handle.await.unwrap(), b"c");
    assert_eq!(*kept[0], *b"a", "the other one is untouched");
  });
}

#[test]
fn a_single_receive_takes_one_buffer() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(1, 4).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    far.write_all(b"hello").unwrap();
    let lent = op::recv_buffer(near.as_raw_fd(), &group).await.unwrap().unwrap();
    assert_eq!(*lent, *b"hell");
    let error = op::recv_buffer(near.as_raw_fd(), &group).await.unwrap_err();
    assert_eq!(error.code(), "ENOBUFS");
    drop(lent);
    assert_eq!(*op::recv_buffer(near.as_raw_fd(), &group).await.unwrap().unwrap(), *b"o");
    drop(far);
    assert!(op::recv_buffer(near.as_raw_fd(), &group).await.unwrap().is_none());
    let error = op::recv_buffer(support::NO_FD, &group).await.unwrap_err();
    assert_eq!(error.code(), "EBADF");
  });
}

#[test]
fn an_abandoned_receive_returns_its_buffer() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(4, 16).unwrap();
    for round in 0..many(100) {
      let (near, mut far) = UnixStream::pair().unwrap();
      let mut receive = Box::pin(op::recv_buffer(near.as_raw_fd(), &group));
      std::future::poll_fn(|cx| {
        assert!(receive.as_mut().poll(cx).is_pending());
        Poll::Ready(())
      })
      .await;
      if round % 2 == 0 {
        ringcore::yield_now().await;
      }
      far.write_all(b"x").unwrap();
      if round % 3 == 0 {
        ringcore::yield_now().await;
      }
      drop(receive);
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(group.available(), 4);
  });
  settle(&rt);
}

#[test]
fn a_thousand_resets_leave_every_buffer() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(4, 16).unwrap();
    let mut resets = 0;
    for _ in 0..many(1000) {
      let (mut near, mut far) = UnixStream::pair().unwrap();
      let mut stream = op::recv_multishot(near.as_raw_fd(), &group);
      polled(&mut stream).await;
      far.write_all(b"x").unwrap();
      near.write_all(b"unread").unwrap();
      drop(far);
      while let Some(chunk) = stream.next().await {
        resets += chunk.is_err_and(|error| error == reset()) as usize;
      }
    }
    assert_eq!(resets, many(1000), "ECONNRESET, every time");
    assert_eq!(group.available(), 4);
  });
}

// PAIR: only-rust -- no kernel does it on demand; the decision is Rust's alone
#[test]
fn an_error_that_names_a_buffer_returns_it() {
  let _alone = alone();
  let (mut border, world) = mocked();
  let group = border.provide(4, 64).unwrap().id;
  for round in 0..many(1000) as u32 {
    let (group, buffer) = (group as u32, round % 4);
    let words = [
      (D_OPCODE, IORING_OP_RECV),
      (D_FD, 3),
      (D_REGION, NO_REGION),
      (D_IOPRIO, group << 16),
      (D_SQE_FLAGS, IOSQE_BUFFER_SELECT),
    ];
    words.iter().for_each(|(word, value)| border.set_word(BORDER_DESCRIPTORS / 4 + word, *value));
    border.set_word(BORDER_DESCRIPTORS / 4 + D_TICKET, 0);
    border.set(H_DESCRIPTORS, 1);
    border.set(H_MODE, 0);
    border.turn();
    border.ring.submit(ringcore::ring::Wait::No);
    let sqe = world.borrow_mut().running.pop().expect("it waits");
    let flags = IORING_CQE_F_BUFFER | buffer << 16;
    world.borrow_mut().post_flags(sqe.user_data, -libc::ECONNRESET, flags);
    border.set(H_MODE, TURN_ENTER);
    border.turn();
    assert_eq!(border.get(H_COMPLETIONS), 1);
    border.set(H_COMPLETIONS, 0);
    let flags = border.word(BORDER_COMPLETIONS / 4 + C_FLAGS);
    assert_eq!(flags, 0, "nobody else is to return it");
    assert_eq!(border.ring.groups.available(group as u16), 4);
  }
}

#[test]
fn a_return_of_what_is_not_lent_is_refused_and_has_no_effect() {
  let _alone = alone();
  let (mut border, world) = mocked();
  let group = border.provide(4, 64).unwrap().id as u32;
  let other = border.provide(4, 64).unwrap().id as u32;
  for buffer in [0, 3, 4, 0xffff, 0x10000, u32::MAX] {
    assert_eq!(give(&mut border, group, buffer), -libc::EINVAL, "{buffer} is the kernel's");
  }
  assert_eq!(give(&mut border, 7, 0), -libc::EINVAL, "no such group");
  assert_eq!(give(&mut border, u32::MAX, 0), -libc::EINVAL);
  // Buffer 2 is lent.
  border.set_word(BORDER_DESCRIPTORS / 4 + D_TICKET, 0);
  for (word, value) in [
    (D_OPCODE, IORING_OP_RECV),
    (D_FD, 3),
    (D_REGION, NO_REGION),
    (D_LENGTH, 0),
    (D_IOPRIO, group << 16),
    (D_SQE_FLAGS, IOSQE_BUFFER_SELECT),
  ] {
    border.set_word(BORDER_DESCRIPTORS / 4 + word, value);
  }
  border.set(H_DESCRIPTORS, 1);
  border.set(H_MODE, 0);
  border.turn();
  border.ring.submit(ringcore::ring::Wait::No);
  let sqe = world.borrow_mut().running.pop().expect("late is 100 percent");
  world.borrow_mut().post_flags(sqe.user_data, 5, IORING_CQE_F_BUFFER | 2 << 16);
  border.set(H_MODE, TURN_ENTER);
  border.turn();
  border.set(H_COMPLETIONS, 0);
  let left = |border: &mut Border| border.ring.groups.available(group as u16);
  assert_eq!(left(&mut border), 3);
  assert_eq!(give(&mut border, other, 2), -libc::EINVAL, "of another group");
  assert!(border.ring.groups.show(group as u16, 2).is_some());
  assert!(border.ring.groups.show(group as u16, 2).is_none(), "shown once");
  assert_eq!(give(&mut border, group, 2), -libc::EINVAL, "JavaScript has a view of it");
  border.ring.groups.hide(group as u16, 2);
  assert_eq!(left(&mut border), 3);
  assert_eq!(give(&mut border, group, 2), 0);
  assert_eq!(left(&mut border), 4);
  assert_eq!(give(&mut border, group, 2), -libc::EINVAL, "a second time");
  assert_eq!(left(&mut border), 4);
}

#[test]
fn a_group_that_is_closed_stays_as_long_as_somebody_uses_it() {
  let _alone = alone();
  let rt = Runtime::new(Options { memory_limit: 1 << 20, ..Options::default() }).unwrap();
  rt.run(async {
    let size = (1 << 19) as u32; // Two of them and their ring do not fit twice.
    for _ in 0..many(20) {
      let group = provide(1, size).unwrap();
      assert_eq!(provide(1, size).err().unwrap().code(), "ERR_RINGCORE_MEMORY");
      let (near, mut far) = UnixStream::pair().unwrap();
      far.write_all(b"bytes").unwrap();
      let mut stream = op::recv_multishot(near.as_raw_fd(), &group);
      let lent = stream.next().await.unwrap().unwrap();
      drop(group);
      drop(stream);
      assert_eq!(*lent, *b"bytes");
      assert_eq!(provide(1, size).err().unwrap().code(), "ERR_RINGCORE_MEMORY");
      drop(lent);
      // The shot's own end is waited for.
      ringcore::yield_now().await;
      sleep(Duration::from_micros(100)).await;
    }
  });
  settle(&rt);
  drop(rt);
}

#[test]
fn groups_count_against_the_memory_limit() {
  let _alone = alone();
  let before = mappings();
  let rt = Runtime::new(Options { memory_limit: 100 << 10, ..Options::default() }).unwrap();
  rt.run(async {
    let group = provide(16, 4096).unwrap();
    let error = provide(16, 4096).err().unwrap();
    assert_eq!(error.code(), "ERR_RINGCORE_MEMORY");
    drop(group);
    for _ in 0..many(100) {
      provide(16, 4096).unwrap();
    }
  });
  drop(rt);
  // A leak would be one each; a sanitizer maps some for itself.
  assert!(mappings() <= before + 10, "{before} -> {}", mappings());
}

#[test]
fn impossible_sizes_and_counts_are_refused() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    for (count, size) in [(0, 1), (3, 1), (65536, 1), (4, 0), (4, (1 << 20) + 1)] {
      assert_eq!(provide(count, size).err().unwrap().code(), "ERR_OUT_OF_RANGE", "{count} {size}");
    }
    assert_eq!(provide(32768, 1).unwrap().available(), 32768);
    assert_eq!(provide(1, 1 << 20).unwrap().size(), 1 << 20);
  });
}

#[test]
fn a_group_belongs_to_its_runtime() {
  let _alone = alone();
  let (rt, other) = (runtime(), runtime());
  let group = rt.run(async { provide(1, 16).unwrap() });
  let (near, _far) = UnixStream::pair().unwrap();
  let fd = near.as_raw_fd();
  let mine = group.clone();
  let error = other.run(async move { op::recv_buffer(fd, &mine).await.unwrap_err() });
  assert_eq!(error.code(), "ERR_RINGCORE_WRONG_RUNTIME");
  let mine = group.clone();
  let error =
    other.run(async move { op::recv_multishot(fd, &mine).next().await.unwrap().unwrap_err() });
  assert_eq!(error.code(), "ERR_RINGCORE_WRONG_RUNTIME");
}

#[test]
fn descriptors_that_name_no_group_end_with_einval() {
  let _alone = alone();
  let (mut border, _world) = mocked();
  let group = border.provide(1, 64).unwrap().id as u32;
  let select = |border: &mut Border, opcode: u32, group: u32, ioprio: u32| {
    let flags = (D_SQE_FLAGS, IOSQE_BUFFER_SELECT);
    let words =
      [(D_OPCODE, opcode), (D_IOPRIO, group << 16 | ioprio), flags, (D_REGION, NO_REGION)];
    descriptor(border, &words)
  };
  for other in [group + 1, 100, 0xffff] {
    for opcode in [IORING_OP_RECV, IORING_OP_READ] {
      assert_eq!(select(&mut border, opcode, other, 0), -libc::EINVAL, "{other}");
    }
  }
  // Bundles take more than one buffer, which nothing here counts.
  assert_eq!(select(&mut border, IORING_OP_RECV, group, 1 << 4), -libc::EINVAL);
  let close = [(D_OPCODE, BORDER_CLOSE_GROUP), (D_REGION, group)];
  assert_eq!(descriptor(&mut border, &close), 0);
  assert_eq!(descriptor(&mut border, &close), -libc::EINVAL, "closed");
  assert_eq!(select(&mut border, IORING_OP_RECV, group, 0), -libc::EINVAL, "closed");
  // In a chain they mean nothing.
  let linked = [(D_OPCODE, BORDER_CLOSE_GROUP), (D_SQE_FLAGS, IOSQE_IO_LINK)];
  assert_eq!(descriptor(&mut border, &linked), -libc::EINVAL);
}

#[test]
fn closing_the_runtime_with_buffers_out_and_a_shot_armed_is_safe() {
  let _alone = alone();
  let before = descriptors();
  for round in 0..many(50) {
    let rt = runtime();
    let lent = rt.run(async move {
      let group = provide(4, 1000).unwrap();
      let (near, mut far) = UnixStream::pair().unwrap();
      far.write_all(&[round as u8; 900]).unwrap();
      let fd = near.as_raw_fd();
      let mut stream = op::recv_multishot(fd, &group);
      let lent = stream.next().await.unwrap().unwrap();
      far.write_all(b"queued").unwrap();
      ringcore::spawn(async move {
        std::future::pending::<()>().await;
        drop((stream, near, far, group));
      });
      sleep(Duration::from_micros(100)).await;
      lent
    });
    if round % 2 == 0 {
      rt.close();
      assert_eq!(*lent, [round as u8; 900]);
      drop(rt);
      assert_eq!(lent.len(), 900);
    } else {
      drop(rt);
      assert_eq!(*lent, [round as u8; 900]);
    }
  }
  assert_eq!(descriptors(), before);
}
