//! ringcore's Rust twin: the same runtime without Node.

use bench_common::peer::{Peer, work};
use bench_common::*;
use ringcore::kernel::Options;
use ringcore::op;
use ringcore::runtime::Runtime;
use std::sync::Arc;

struct Twin;

impl Peer for Twin {
  type File = i32;

  fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let handle = ringcore::spawn(task);
    async { handle.await.expect("a loop") }
  }

  async fn open(path: &str, flags: i32) -> i32 {
    op::openat(libc::AT_FDCWD, path, flags, 0).await.expect("open")
  }

  async fn read(file: &i32, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let (count, buffer) = op::read(*file, buffer, Some(offset)).await;
    (count.expect("read"), buffer)
  }

  async fn write(file: &i32, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let (count, buffer) = op::write(*file, buffer, Some(offset)).await;
    (count.expect("write"), buffer)
  }

  async fn sync(file: &i32) {
    op::fdatasync(*file).await.expect("sync");
  }

  async fn close(file: i32) {
    op::close(file).await.expect("close");
  }

  async fn read_file(path: &str, size: usize) -> Vec<u8> {
    let file = Twin::open(path, libc::O_RDONLY).await;
    let (count, mut bytes) = Twin::read(&file, vec![0; size + BLOCK], 0).await;
    let (more, _) = Twin::read(&file, vec![0; 1], count as u64).await;
    assert_eq!(more, 0, "the end of the file was not seen");
    Twin::close(file).await;
    bytes.truncate(count);
    bytes
  }
}

fn main() {
  let settings = Settings::new();
  let meter = Arc::new(Meter::new(&settings));
  let runtime = Runtime::new(Options::default()).expect("a ring");
  let shared = meter.clone();
  runtime.run(async move { work::<Twin>(&settings, &shared).await });
  meter.print();
}
