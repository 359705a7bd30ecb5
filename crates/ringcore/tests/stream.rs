//! Pair: __test__/stream.spec.ts
mod support;

use ringcore::driver::{Driver, Wait};
use ringcore::group::provide;
use ringcore::mock::{Faults, Mock};
use ringcore::stream::{Shot, Stream, BACKLOG};
use ringcore::{op, sleep, Error, Options, Runtime};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::task::Poll;
use std::time::{Duration, Instant};
use support::{alone, descriptors, many, runtime, settle, small, start, turns};

fn listener() -> TcpListener {
  let listener = TcpListener::bind("127.0.0.1:0").unwrap();
  // std listens with 128; the limit is the machine's.
  assert_eq!(unsafe_listen(&listener), 0);
  listener
}

fn unsafe_listen(listener: &TcpListener) -> i32 {
  // SAFETY: I3: the listener's own descriptor, which it keeps.
  unsafe { libc::listen(listener.as_raw_fd(), 4096) }
}

fn owned(fd: i32) -> OwnedFd {
  // SAFETY: I3: the stream has given it to us and to nobody else.
  unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Nothing is there; it is armed.
async fn polled<S: Shot>(stream: &mut Stream<S>) {
  std::future::poll_fn(|cx| {
    assert!(stream.poll_next(cx).is_pending());
    Poll::Ready(())
  })
  .await;
}

/// Arms it, and lets results come for a moment without taking any.
async fn armed<S: Shot>(stream: &mut Stream<S>) {
  polled(stream).await;
  sleep(Duration::from_millis(1)).await;
}

#[test]
fn a_thousand_connections_come_through_one_shot_and_none_is_lost() {
  let _alone = alone();
  let rt = runtime();
  let listener = listener();
  let before = descriptors();
  rt.run(async move {
    let mut stream = op::accept_multishot(listener.as_raw_fd());
    for round in 0..many(10) {
      let address = listener.local_addr().unwrap();
      let mut clients: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
      for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[(round + number) as u8]).unwrap();
      }
      for number in 0..100 {
        let fd = stream.next().await.unwrap().unwrap();
        let mut byte = [0];
        std::fs::File::from(owned(fd)).read_exact(&mut byte).unwrap();
        assert_eq!(byte[0], (round + number) as u8, "in order");
      }
    }
    assert_eq!(stream.key().map(|key| key.generation), Some(1), "it was one shot");
  });
  settle(&rt);
  assert_eq!(descriptors(), before - 1, "the listener went with the task");
}

#[test]
fn a_shot_that_overflows_the_completion_queue_goes_on_and_loses_no_descriptor() {
  let _alone = alone();
  let rt = small(1, 2);
  let listener = listener();
  let address = listener.local_addr().unwrap();
  let before = descriptors();
  rt.run(async move {
    let mut stream = op::accept_multishot(listener.as_raw_fd());
    for _ in 0..many(20) {
      let clients: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
      let mut accepted = Vec::new();
      for _ in &clients {
        accepted.push(owned(stream.next().await.unwrap().unwrap()));
      }
      let ports: Vec<_> = accepted.into_iter().map(|fd| TcpStream::from(fd).peer_addr()).collect();
      let wanted: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
      assert_eq!(ports.into_iter().map(Result::unwrap).collect::<Vec<_>>(), wanted);
    }
    assert!(stream.key().is_none_or(|key| key.generation > 1), "more than one shot");
  });
  assert!(rt.stats().overflows > 0, "the queue overflowed");
  settle(&rt);
  assert_eq!(descriptors(), before - 1);
}

#[test]
fn connections_that_nobody_takes_wait_in_the_kernel_beyond_the_backlog() {
  let _alone = alone();
  let before = descriptors();
  // Faults of the mock would answer errors: this one only waits.
  let faults = Faults { enter: 0, late: 100, error: 0, short: 0 };
  let (mock, world) = Mock::new(1, 8, 4096, faults);
  let rt = Runtime::with_driver(Box::new(mock), Options::default()).unwrap();
  let kernel = world.clone();
  rt.run(async move {
    let mut stream = op::accept_multishot(3);
    polled(&mut stream).await;
    ringcore::yield_now().await;
    let shot = kernel.borrow_mut().running.pop().expect("it is armed");
    for number in 0..BACKLOG as i32 {
      kernel.borrow_mut().open.insert(number);
      kernel.borrow_mut().post_flags(shot.user_data, number, 2);
    }
    kernel.borrow_mut().running.push(shot);
    turns(20).await;
    let cancelled = kernel.borrow().running.iter().all(|sqe| sqe.user_data != shot.user_data);
    assert!(cancelled, "its backlog is full");
    for number in 0..BACKLOG as i32 {
      assert_eq!(stream.next().await, Some(Ok(number)));
      kernel.borrow_mut().open.remove(&number);
    }
    // Armed again, it goes on.
    polled(&mut stream).await;
    ringcore::yield_now().await;
    let shot = kernel.borrow_mut().running.pop().expect("armed again");
    kernel.borrow_mut().open.insert(5000);
    kernel.borrow_mut().post_flags(shot.user_data, 5000, 2);
    kernel.borrow_mut().running.push(shot);
    assert_eq!(stream.next().await, Some(Ok(5000)));
    kernel.borrow_mut().open.remove(&5000);
  });
  drop(rt);
  assert!(world.borrow().open.is_empty(), "no descriptor is left");
  assert_eq!(descriptors(), before);
}

// PAIR: only-rust -- the TypeScript mock plays no multishot kernel; Stream.complete says the same
#[test]
fn a_cancelled_shot_that_ends_as_before_linux_6_5_is_no_error() {
  let _alone = alone();
  for errno in [libc::ENOENT, libc::ENOBUFS, libc::ECANCELED] {
    let faults = Faults { enter: 0, late: 100, error: 0, short: 0 };
    let (mock, world) = Mock::new(1, 8, 4096, faults);
    let rt = Runtime::with_driver(Box::new(mock), Options::default()).unwrap();
    let kernel = world.clone();
    rt.run(async move {
      let mut stream = op::accept_multishot(3);
      polled(&mut stream).await;
      ringcore::yield_now().await;
      let shot = kernel.borrow_mut().running.pop().expect("it is armed");
      for number in 0..BACKLOG as i32 {
        kernel.borrow_mut().post_flags(shot.user_data, number, 2);
      }
      turns(20).await;
      // The cancel found nothing: the old kernel ended the shot in its own words.
      kernel.borrow_mut().post_flags(shot.user_data, -errno, 0);
      for number in 0..BACKLOG as i32 {
        assert_eq!(stream.next().await, Some(Ok(number)));
      }
      polled(&mut stream).await;
    });
  }
}

#[test]
fn a_stream_that_is_closed_in_any_state_leaves_no_descriptor() {
  let _alone = alone();
  let rt = runtime();
  let listener = listener();
  let address = listener.local_addr().unwrap();
  let before = descriptors();
  for round in 0..many(50) {
    let fd = listener.as_raw_fd();
    let clients: Vec<_> = (0..round % 5).map(|_| TcpStream::connect(address).unwrap()).collect();
    rt.run(async move {
      let mut stream = op::accept_multishot(fd);
      match round % 4 {
        0 => {}
        1 => armed(&mut stream).await,
        2 => {
          if round % 5 > 0 {
            drop(owned(stream.next().await.unwrap().unwrap()));
          }
        }
        _ => {
          armed(&mut stream).await;
          turns(3).await;
        }
      }
      drop(stream);
    });
    drop(clients);
    // What the stream did not take waits in the listen queue.
    listener.set_nonblocking(true).unwrap();
    while listener.accept().is_ok() {}
    listener.set_nonblocking(false).unwrap();
  }
  settle(&rt);
  assert_eq!(descriptors(), before);
}

#[test]
fn poll_tells_each_time_that_bytes_have_come() {
  let _alone = alone();
  let rt = runtime();
  let (near, mut far) = UnixStream::pair().unwrap();
  rt.run(async move {
    let mut stream = op::poll_multishot(near.as_raw_fd(), libc::POLLIN as u32);
    for _ in 0..many(20) {
      far.write_all(b"x").unwrap();
      let events = stream.next().await.unwrap().unwrap();
      assert_eq!(events & libc::POLLIN as u32, libc::POLLIN as u32);
    }
    drop(far);
    let events = stream.next().await.unwrap().unwrap();
    assert_ne!(events & libc::POLLHUP as u32, 0);
  });
}

#[test]
fn the_timer_ticks_as_often_as_it_was_asked_and_never_early() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let start = Instant::now();
    let mut stream = op::timeout_multishot(Duration::from_millis(2), 5);
    for tick in 1..=5 {
      assert_eq!(stream.next().await, Some(Ok(tick)));
      assert!(start.elapsed() >= Duration::from_millis(2) * tick);
    }
    assert_eq!(stream.next().await, None);
    assert_eq!(stream.next().await, None);
    let mut endless = op::timeout_multishot(Duration::from_millis(1), 0);
    for tick in 1..=10 {
      assert_eq!(endless.next().await, Some(Ok(tick)));
    }
  });
  settle(&rt);
}

#[test]
fn ticks_that_overflow_the_completion_queue_are_all_counted() {
  let _alone = alone();
  let rt = small(1, 2);
  rt.run(async {
    let mut stream = op::timeout_multishot(Duration::from_micros(100), 50);
    assert_eq!(stream.next().await, Some(Ok(1)));
    // Nobody reaps while this thread sleeps: ticks pile up in the kernel.
    std::thread::sleep(Duration::from_millis(5));
    for tick in 2..=50 {
      assert_eq!(stream.next().await, Some(Ok(tick)));
    }
    assert_eq!(stream.next().await, None);
  });
}

#[test]
fn a_timer_that_is_closed_while_it_fires_ends() {
  let _alone = alone();
  let rt = runtime();
  for round in 0..many(100) {
    rt.run(async move {
      let mut stream = op::timeout_multishot(Duration::from_micros(100), 0);
      assert_eq!(stream.next().await, Some(Ok(1)));
      std::thread::sleep(Duration::from_micros(round as u64 % 10 * 20));
    });
    // Its cancel may have come between two ticks.
    let deadline = Instant::now() + Duration::from_secs(10);
    while rt.in_flight() > 0 {
      rt.run(op::timeout(Duration::from_micros(50))).unwrap();
      assert!(Instant::now() < deadline, "it ticks for ever");
    }
  }
}

#[test]
fn an_error_ends_a_stream() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let mut stream = op::accept_multishot(support::NO_FD);
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.to_string().contains("accept")), ("EBADF", true));
    assert_eq!(stream.next().await, None);
    let (near, _far) = UnixStream::pair().unwrap();
    let error = op::accept_multishot(near.as_raw_fd()).next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "EINVAL", "it does not listen");
  });
}

#[test]
fn a_stream_that_nobody_polls_does_nothing() {
  let _alone = alone();
  let rt = runtime();
  let listener = listener();
  let stream = op::accept_multishot(listener.as_raw_fd());
  rt.run(turns(3));
  assert_eq!(rt.in_flight(), 0);
  assert!(stream.key().is_none());
}

#[test]
fn a_next_that_is_left_loses_nothing() {
  let _alone = alone();
  let rt = runtime();
  let (near, mut far) = UnixStream::pair().unwrap();
  rt.run(async move {
    let mut stream = op::poll_multishot(near.as_raw_fd(), libc::POLLIN as u32);
    armed(&mut stream).await;
    far.write_all(b"x").unwrap();
    assert!(stream.next().await.unwrap().unwrap() & 1 == 1);
  });
}

#[test]
fn a_value_that_came_for_who_has_left_is_given_to_the_next() {
  let _alone = alone();
  let rt = runtime();
  rt.run(async {
    let group = provide(4, 64).unwrap();
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut chunks = op::recv_multishot(near.as_raw_fd(), &group);
    {
      let _left = start(chunks.next()).await;
      far.write_all(b"one").unwrap();
      while group.available() == 4 {
        turns(1).await;
      }
    }
    far.write_all(b"two").unwrap();
    for text in [b"one", b"two"] {
      assert_eq!(&chunks.next().await.unwrap().unwrap()[..], text);
    }
    drop(chunks);
    turns(3).await;
    assert_eq!(group.available(), 4);
  });
}

#[test]
fn a_cancel_from_outside_ends_a_stream_with_an_abort_error() {
  let _alone = alone();
  let rt = runtime();
  let listener = listener();
  rt.run(async move {
    let mut stream = op::accept_multishot(listener.as_raw_fd());
    armed(&mut stream).await;
    op::cancel(stream.key()).await.unwrap();
    assert_eq!(stream.next().await, Some(Err(Error::Abort)));
    assert_eq!(stream.next().await, None);
  });
}

#[test]
fn closing_the_runtime_ends_its_streams() {
  let _alone = alone();
  let before = descriptors();
  {
    let rt = runtime();
    let listener = listener();
    let address = listener.local_addr().unwrap();
    let fd = listener.as_raw_fd();
    let handle = rt.spawn(async move {
      let mut stream = op::accept_multishot(fd);
      drop(owned(stream.next().await.unwrap().unwrap()));
      std::future::pending::<()>().await;
      drop(stream);
    });
    let clients: Vec<_> = (0..5).map(|_| TcpStream::connect(address).unwrap()).collect();
    rt.run(sleep(Duration::from_millis(5)));
    assert!(!handle.finished());
    drop(clients);
  }
  assert_eq!(descriptors(), before);
}

// PAIR: only-rust -- the mock's own part; the TypeScript mock plays no multishot kernel
#[test]
fn the_mock_posts_what_the_test_says() {
  let _alone = alone();
  let (mut mock, world) = Mock::new(1, 2, 2, Faults { enter: 0, late: 0, error: 0, short: 0 });
  world.borrow_mut().post_flags(7, 1, 2);
  mock.submit(Wait::No).unwrap();
  let mut out = [ringcore::cqe::Cqe::default()];
  assert_eq!(mock.reap(&mut out), 1);
  assert_eq!((out[0].user_data, out[0].res, out[0].flags), (7, 1, 2));
}
