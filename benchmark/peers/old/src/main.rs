//! The Rust crate that ringcore began as, version 0.1.0. It has no join handles.

use bench_common::peer::{Peer, work};
use bench_common::*;
use ringcore_old::fs::File;
use ringcore_old::{executor, op};
use std::cell::{Cell, RefCell};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

struct Old;

impl Peer for Old {
  type File = File;

  fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let done = Rc::new((Cell::new(false), RefCell::new(None::<Waker>)));
    let told = done.clone();
    executor::spawn(async move {
      task.await;
      told.0.set(true);
      if let Some(waker) = told.1.take() {
        waker.wake();
      }
    });
    std::future::poll_fn(move |context| {
      if done.0.get() {
        return Poll::Ready(());
      }
      done.1.replace(Some(context.waker().clone()));
      Poll::Pending
    })
  }

  async fn open(path: &str, flags: i32) -> File {
    assert_eq!(flags, libc::O_RDONLY, "it opens for reading only");
    File::open(path).await.expect("open")
  }

  async fn read(file: &File, mut buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let read = op::read(file.as_raw_fd(), buffer.as_mut_ptr(), buffer.len() as u32, offset);
    (read.await.expect("read") as usize, buffer)
  }

  async fn write(_file: &File, _buffer: Vec<u8>, _offset: u64) -> (usize, Vec<u8>) {
    panic!("it was opened for reading")
  }

  async fn sync(_file: &File) {
    panic!("it has no fsync")
  }

  async fn close(file: File) {
    file.close().await.expect("close");
  }

  async fn read_file(path: &str, size: usize) -> Vec<u8> {
    let mut file = File::open(path).await.expect("open");
    let mut bytes = vec![0; size + BLOCK];
    let count = file.read(&mut bytes).await.expect("read");
    file.close().await.expect("close");
    bytes.truncate(count);
    bytes
  }
}

fn main() {
  let settings = Settings::new();
  let meter = Arc::new(Meter::new(&settings));
  let shared = meter.clone();
  executor::init(4096, 0).expect("a ring");
  executor::spawn(async move { work::<Old>(&settings, &shared).await });
  executor::run();
  meter.print();
}
