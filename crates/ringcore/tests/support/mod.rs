// What the scenario tests share: a runtime, counts, one test at a time where a process is measured.
#![allow(dead_code)]

use ringcore::{op, yield_now, Options, Runtime};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

/// A descriptor that is never open.
pub const NO_FD: i32 = 0x7ff_ffff;

/// Ten times as many rounds under RINGCORE_STRESS=1.
pub fn many(count: usize) -> usize {
  let stress = std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1");
  count * if stress { 10 } else { 1 }
}

pub fn runtime() -> Runtime {
  Runtime::new(Options::default()).expect("this machine has io_uring")
}

pub fn small(entries: u32, cq_entries: u32) -> Runtime {
  let options = Options { entries, cq_entries, ..Options::default() };
  Runtime::new(options).expect("this machine has io_uring")
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
