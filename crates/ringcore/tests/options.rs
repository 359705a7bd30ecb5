//! Options of a runtime: what was named holds, shared and limited workers, the allow list.
//! Pair: __test__/options.spec.ts

mod support;

use ringcore::cqe::Cqe;
use ringcore::kernel::{setup, step_down, Kernel};
use ringcore::ring::{close_now, Driver, Wait};
use ringcore::setup::{blame, check_credentials, refusal_of};
use ringcore::sqe::*;
use ringcore::{op, sleep, Allow, Error, MaxWorkers, Options, Runtime, Sqpoll};
use std::ffi::CString;
use std::io;
use std::time::{Duration, Instant};
use support::{folder, polled, pollers, runtime_with, thread_id, threads, until, Folder, POLL};

fn refused(errno: i32) -> io::Error {
  io::Error::from_raw_os_error(errno)
}

fn entry(opcode: u32) -> Sqe {
  Sqe { opcode: opcode as u8, fd: -1, ..Sqe::default() }
}

fn nop(result: i32) -> Sqe {
  Sqe { op_flags: IORING_NOP_INJECT_RESULT, len: result as u32, ..entry(IORING_OP_NOP) }
}

fn path_of(folder: &Folder, name: &str) -> CString {
  CString::new(folder.0.join(name).into_os_string().into_encoded_bytes()).expect("no NUL")
}

/// A FIFO that nobody has open: to open it for reading blocks a worker.
#[allow(unsafe_code)]
fn fifo(folder: &Folder) -> CString {
  let path = path_of(folder, "fifo");
  // SAFETY: I1: the path is alive for the whole call.
  assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
  path
}

#[test]
fn wrong_options_are_typed_errors_at_the_call() {
  let none = Options::default();
  for options in [
    Options { entries: 0, ..none },
    Options { entries: 32769, ..none },
    Options { sqpoll: Some(Sqpoll { idle_ms: 0, cpu: None }), ..none },
    Options { max_workers: Some(MaxWorkers { bounded: 0, unbounded: 1 }), ..none },
    Options { max_workers: Some(MaxWorkers { bounded: 1, unbounded: 0 }), ..none },
  ] {
    let error = Runtime::new(options).err().expect("it is refused");
    assert_eq!(error.code(), "ERR_OUT_OF_RANGE", "{options:?}");
  }
  for name in ["", "Read", "link", "sqpoll"] {
    assert_eq!(Allow::of(&[name]).unwrap_err().code(), "ERR_OUT_OF_RANGE", "{name}");
  }
}

#[test]
fn a_named_flag_that_the_kernel_refuses_is_an_error_with_its_name() {
  let options = Options { sqpoll: Some(Sqpoll { cpu: Some(65535), ..POLL }), ..Options::default() };
  let Some(Error::Unavailable { reason, advice }) = Runtime::new(options).err() else {
    panic!("a CPU that is not there");
  };
  assert!(reason.contains("SQ_AFF") && reason.contains("EINVAL"), "{reason}");
  assert!(advice.contains("CPU"), "{advice}");
}

// PAIR: only-rust -- TypeScript cannot be the kernel that refuses
#[test]
fn what_was_named_is_never_stepped_down_from() {
  let kernel = Kernel::open(&polled(8, 0)).unwrap();
  let options = Options {
    sqpoll: Some(Sqpoll { cpu: Some(0), ..POLL }),
    attach: Some(kernel.fd()),
    allow: Some(Allow::of(&[]).unwrap()),
    ..Options::default()
  };
  for flag in ["SQ_AFF", "ATTACH_WQ", "SQPOLL", "R_DISABLED"] {
    for errno in [libc::EINVAL, libc::EPERM] {
      let without =
        |entries, cq, flags: ringcore::kernel::SetupFlags| match flags.names().contains(&flag) {
          true => Err(refused(errno)),
          false => setup(entries, cq, flags),
        };
      let error = step_down(&options, without).err().expect("it is refused");
      assert_eq!(error.raw_os_error(), Some(errno));
      assert_eq!(blame(&options, without), Some(flag));
      assert!(refusal_of(flag, errno).to_string().contains(flag));
    }
  }
  let never = |_, _, _| -> io::Result<()> { Err(refused(libc::EPERM)) };
  assert_eq!(blame(&options, never), None, "it is not the flags");
  // Flags of our own are stepped down from beside it.
  let (_ring, flags) = step_down(&options, |entries, cq, flags| {
    match flags.submit_all || flags.no_sqarray || flags.clamp {
      true => Err(refused(libc::EINVAL)),
      false => setup(entries, cq, flags),
    }
  })
  .expect("an old kernel polls as well");
  assert_eq!(flags.names(), ["SQPOLL", "SQ_AFF", "ATTACH_WQ", "R_DISABLED"]);
}

#[test]
fn sqpoll_is_refused_to_a_process_whose_effective_user_is_another_one() {
  assert!(check_credentials((1000, 1000), (1000, 1000)).is_ok());
  for effective in [(0, 1000), (1000, 0), (0, 0)] {
    let error = check_credentials((1000, 1000), effective).unwrap_err();
    assert_eq!(error.code(), "ERR_RINGCORE_UNAVAILABLE");
    assert!(error.to_string().contains("SQPOLL"), "{error}");
  }
}

#[allow(unsafe_code)]
fn pipe() -> [i32; 2] {
  let mut fds = [0; 2];
  // SAFETY: I3: two new descriptors, this test's to close.
  assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
  fds
}

/// Blocks `count` workers on the open of a FIFO, one after the other as far as the limit allows.
fn blocked_opens(rt: &Runtime, path: &CString, count: usize) {
  let path = path.to_str().unwrap().to_string();
  for _ in 0..count {
    let path = path.clone();
    rt.spawn(async move {
      // Only opens that may create go to a worker at once; others would not block.
      if let Ok(fd) = op::openat(libc::AT_FDCWD, path, libc::O_CREAT, 0o600).await {
        op::close(fd).await.unwrap();
      }
    });
  }
  rt.run(sleep(Duration::from_millis(150)));
}

/// Lets every blocked open end.
fn release(path: &CString, rts: &[&Runtime]) {
  let path = path.to_str().unwrap();
  let _both = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("the FIFO");
  for rt in rts {
    until("opens end", || {
      rt.run(op::nop()).unwrap();
      rt.in_flight() <= 1
    });
  }
}

#[test]
fn max_workers_keeps_the_number_of_worker_threads() {
  let workers = |of: i32| threads(&format!("iou-wrk-{of}")).len();
  let folder = folder();
  let path = fifo(&folder);
  let limited = |bounded| Some(MaxWorkers { bounded, unbounded: 5 });
  for (max_workers, most) in [(limited(2), 2), (limited(7), 7), (None, 7)] {
    let rt = runtime_with(Options { max_workers, ..Options::default() });
    blocked_opens(&rt, &path, 20);
    // The defaults, 4, do not replace what was named for this thread.
    until("as many workers as are allowed", || workers(thread_id()) >= most);
    rt.run(sleep(Duration::from_millis(50)));
    assert_eq!(workers(thread_id()), most);
    release(&path, &[&rt]);
    drop(rt);
    until("workers end", || workers(thread_id()) <= 2);
  }
}

#[test]
fn max_workers_keeps_the_number_of_threads_for_what_may_wait_for_ever() {
  // Workers belong to the thread: each limit has one of its own.
  for unbounded in [1, 3, 6] {
    std::thread::spawn(move || {
      let max_workers = Some(MaxWorkers { bounded: 2, unbounded });
      let rt = runtime_with(Options { max_workers, ..Options::default() });
      let workers = || threads(&format!("iou-wrk-{}", thread_id())).len();
      let ([from, feed], [drain, to]) = (pipe(), pipe());
      // A splice out of an empty pipe waits in its worker, and in one of those for no file.
      let splice = || op::splice(from, None, to, None, 1, 0);
      let all: Vec<_> = (0..12).map(|_| rt.spawn(splice())).collect();
      until("as many workers as are allowed", || {
        rt.run(sleep(Duration::from_millis(1)));
        workers() >= unbounded as usize
      });
      rt.run(sleep(Duration::from_millis(50)));
      assert_eq!(workers(), unbounded as usize);
      assert_eq!(rt.run(op::write(feed, vec![b'x'; 12], None)).0, Ok(12));
      all.into_iter().for_each(|one| assert_eq!(rt.run(one).unwrap(), Ok(1)));
      [from, feed, drain, to].into_iter().for_each(close_now);
    })
    .join()
    .unwrap();
  }
}

#[test]
fn attached_rings_together_keep_to_max_workers() {
  let folder = folder();
  let path = fifo(&folder);
  let max_workers = Some(MaxWorkers { bounded: 3, unbounded: 2 });
  let first = runtime_with(Options { max_workers, ..polled(32, 0) });
  assert_eq!(first.run(op::nop()), Ok(0));
  let attach = first.ring_fd();
  let rts: Vec<Runtime> =
    (0..8).map(|_| runtime_with(Options { attach, ..polled(32, 0) })).collect();
  for rt in &rts {
    blocked_opens(rt, &path, 4);
  }
  let poller = pollers()[0];
  let found = threads(&format!("iou-wrk-{poller}")).len();
  assert!((2..=3).contains(&found), "{found} workers");
  release(&path, &rts.iter().collect::<Vec<_>>());
}

#[test]
fn an_operation_that_is_not_allowed_is_refused_with_its_name_and_the_list() {
  let allow = Allow::of(&["openat", "acceptMultishot"]).unwrap();
  let rt = runtime_with(Options { allow: Some(allow), ..Options::default() });
  let fd = rt.run(op::openat(libc::AT_FDCWD, "/dev/null", 0, 0)).expect("it is allowed");
  let (result, buffer) = rt.run(op::read(fd, vec![7u8; 10], None));
  assert_eq!(buffer, [7; 10]);
  let error = result.expect_err("it is not");
  assert_eq!(error.code(), "EACCES");
  let text = error.to_string();
  assert!(text.contains("read is not in the runtime's allow list"), "{text}");
  assert!(text.contains("openat") && text.contains("accept"), "{text}");
  // What the runtime needs for itself is allowed to everybody.
  assert_eq!(rt.run(op::close(fd)), Ok(()));
  rt.run(sleep(Duration::from_millis(1)));
  // A wake-up from another thread is a read of the runtime's own.
  let (sender, receiver) = futures();
  std::thread::spawn(move || {
    std::thread::sleep(Duration::from_millis(20));
    sender();
  });
  rt.run(receiver);
  assert!(rt.close());
}

/// A future that another thread completes.
fn futures() -> (impl FnOnce() + Send, impl std::future::Future<Output = ()>) {
  use std::sync::{Arc, Mutex};
  use std::task::{Poll, Waker};
  let shared: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
  let other = shared.clone();
  let send = move || {
    let mut state = other.lock().unwrap();
    state.0 = true;
    if let Some(waker) = state.1.take() {
      waker.wake();
    }
  };
  let receive = std::future::poll_fn(move |cx| {
    let mut state = shared.lock().unwrap();
    if state.0 {
      return Poll::Ready(());
    }
    state.1 = Some(cx.waker().clone());
    Poll::Pending
  });
  (send, receive)
}

// PAIR: only-rust -- TypeScript's descriptors never reach the kernel when they are not allowed
#[test]
fn the_kernel_itself_refuses_what_is_not_allowed() {
  let allow = Some(Allow::of(&["pollAdd"]).unwrap());
  for sqpoll in [None, Some(POLL)] {
    let mut kernel = Kernel::open(&Options { allow, sqpoll, ..Options::default() }).unwrap();
    assert!(kernel.flags().names().contains(&"R_DISABLED"));
    let pipe = pipe();
    let fsync = Sqe { fd: pipe[0], user_data: 1, ..entry(IORING_OP_FSYNC) };
    let poll = Sqe { fd: pipe[0], op_flags: 1, user_data: 2, ..entry(IORING_OP_POLL_ADD) };
    kernel.push(&[fsync, Sqe { user_data: 3, ..nop(5) }, poll]);
    let mut found = Vec::new();
    let start = Instant::now();
    while found.len() < 2 && start.elapsed() < Duration::from_secs(30) {
      kernel.submit(Wait::For(Duration::from_millis(100))).ok();
      let mut cqes = [Cqe::default(); 8];
      let count = kernel.reap(&mut cqes);
      found.extend(cqes[..count].iter().map(|cqe| (cqe.user_data, cqe.res)));
    }
    assert_eq!(found, [(1, -libc::EACCES), (3, 5)]);
    // Calls that the runtime makes later: the poll is cancelled by SYNC_CANCEL.
    assert!(kernel.cancel_all());
    let mut cqes = [Cqe::default(); 8];
    until("the poll ends", || {
      kernel.submit(Wait::No).unwrap();
      kernel.reap(&mut cqes) == 1
    });
    assert_eq!((cqes[0].user_data, cqes[0].res), (2, -libc::ECANCELED));
    pipe.into_iter().for_each(close_now);
  }
}
