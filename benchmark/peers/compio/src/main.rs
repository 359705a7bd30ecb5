//! compio.

use bench_common::peer::{Peer, work};
use bench_common::*;
use compio::BufResult;
use compio::fs::{File, OpenOptions};
use compio::io::{AsyncReadAt, AsyncWriteAt};
use std::sync::Arc;

struct Compio;

impl Peer for Compio {
  type File = File;

  fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    let handle = compio::runtime::spawn(task);
    async { handle.await.expect("a loop") }
  }

  async fn open(path: &str, flags: i32) -> File {
    let mut options = OpenOptions::new();
    let writes = flags & libc::O_WRONLY != 0;
    options.read(!writes).write(writes).custom_flags(flags & O_DIRECT);
    options.open(path).await.expect("open")
  }

  async fn read(file: &File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let BufResult(count, buffer) = file.read_at(buffer, offset).await;
    (count.expect("read"), buffer)
  }

  async fn write(file: &File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let mut file = file;
    let BufResult(count, buffer) = file.write_at(buffer, offset).await;
    (count.expect("write"), buffer)
  }

  async fn sync(file: &File) {
    file.sync_data().await.expect("sync");
  }

  async fn close(file: File) {
    file.close().await.expect("close");
  }

  async fn read_file(path: &str, _size: usize) -> Vec<u8> {
    compio::fs::read(path).await.expect("read")
  }

  async fn len(path: &str) -> u64 {
    compio::fs::metadata(path).await.expect("stat").len()
  }
}

fn main() {
  let settings = Settings::new();
  let meter = Arc::new(Meter::new(&settings));
  let runtime = compio::runtime::Runtime::new().expect("a ring");
  runtime.block_on(work::<Compio>(&settings, &meter));
  meter.print();
}
