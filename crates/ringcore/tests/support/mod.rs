// What the scenario tests share: a runtime, counts, one test at a time where a process is measured.
#![allow(dead_code)]

pub mod drivers;

use ringcore::buffer::IoBuf;
use ringcore::{op, yield_now, Error, Options, Runtime, Sqpoll};
use std::cell::Cell;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Poll;
use std::time::{Duration, Instant};

/// A descriptor that is never open.
pub const NO_FD: i32 = 0x7ff_ffff;

/// Ten times as many rounds under RINGCORE_STRESS=1.
pub fn many(count: usize) -> usize {
  let stress = std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1");
  count * if stress { 10 } else { 1 }
}

pub fn runtime() -> Runtime {
  runtime_with(Options::default())
}

pub fn small(entries: u32, cq_entries: u32) -> Runtime {
  let options = Options { entries, cq_entries, ..Options::default() };
  runtime_with(options)
}

/// Lets the runtime take turns until nothing is in flight; the task itself holds nothing.
pub fn settle(rt: &Runtime) {
  while rt.in_flight() > 0 {
    rt.run(op::nop()).expect("a nop");
  }
}

/// A few turns.
pub async fn turns(count: usize) {
  for _ in 0..count {
    yield_now().await;
  }
}

/// Tests that count what belongs to the process take turns.
pub fn alone() -> MutexGuard<'static, ()> {
  static TURN: Mutex<()> = Mutex::new(());
  TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub fn descriptors() -> usize {
  std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

pub fn mappings() -> usize {
  std::fs::read_to_string("/proc/self/maps").expect("/proc").lines().count()
}

/// A folder that is removed with the value.
pub struct Folder(pub PathBuf);

pub fn folder() -> Folder {
  static NEXT: AtomicU32 = AtomicU32::new(0);
  let number = NEXT.fetch_add(1, Ordering::Relaxed);
  let name = format!("ringcore-{}-{number}", std::process::id());
  let path = std::env::temp_dir().join(name);
  std::fs::create_dir(&path).expect("a new folder");
  Folder(path)
}

impl Drop for Folder {
  fn drop(&mut self) {
    let _ = std::fs::remove_dir_all(&self.0);
  }
}

pub fn runtime_with(options: Options) -> Runtime {
  Runtime::new(options).expect("this machine has io_uring")
}

/// Polls once and gives the operation back, as an executor would leave it.
pub async fn start<F: Future + Unpin>(mut future: F) -> F {
  std::future::poll_fn(|cx| {
    let _ = Pin::new(&mut future).poll(cx);
    Poll::Ready(())
  })
  .await;
  future
}

/// The text of an error.
pub fn text<T>(result: Result<T, Error>) -> String {
  result.err().map_or("no error".into(), |error| error.to_string())
}

pub const POLL: Sqpoll = Sqpoll { idle_ms: 20, cpu: None };

pub fn polled(entries: u32, cq_entries: u32) -> Options {
  Options { entries, cq_entries, sqpoll: Some(POLL), ..Options::default() }
}

#[allow(unsafe_code)]
pub fn thread_id() -> i32 {
  // SAFETY: I1: no argument, no failure.
  unsafe { libc::gettid() }
}

/// The threads of this process with this name, by their ids.
pub fn threads(name: &str) -> Vec<i32> {
  let tasks = std::fs::read_dir("/proc/self/task").expect("/proc").flatten();
  let named = tasks.filter(|task| {
    let comm = std::fs::read_to_string(task.path().join("comm"));
    comm.is_ok_and(|comm| comm.trim() == name)
  });
  named.map(|task| task.file_name().to_string_lossy().parse().expect("a number")).collect()
}

/// Polling threads of rings that this thread made.
pub fn pollers() -> Vec<i32> {
  threads(&format!("iou-sqp-{}", thread_id()))
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
  let start = Instant::now();
  while !done() {
    assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
    std::thread::sleep(Duration::from_millis(2));
  }
}

/// A buffer that tells when it is freed.
#[derive(Default)]
pub struct Watched(pub Vec<u8>, pub Rc<Cell<u32>>);

impl Drop for Watched {
  fn drop(&mut self) {
    self.1.set(self.1.get() + !self.0.is_empty() as u32);
  }
}

// SAFETY: I2: a vector's bytes are on the heap, wherever the vector itself is moved to.
#[allow(unsafe_code)]
unsafe impl IoBuf for Watched {
  fn address(&mut self) -> *mut u8 {
    self.0.as_mut_ptr()
  }

  fn length(&self) -> usize {
    self.0.len()
  }
}
