//! monoio.

use bench_common::peer::{Peer, work};
use bench_common::*;
use monoio::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

struct Monoio;

impl Peer for Monoio {
  type File = File;

  fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()> {
    monoio::spawn(task)
  }

  async fn open(path: &str, flags: i32) -> File {
    let mut options = monoio::fs::OpenOptions::new();
    let writes = flags & libc::O_WRONLY != 0;
    options.read(!writes).write(writes).custom_flags(flags & O_DIRECT);
    options.open(path).await.expect("open")
  }

  async fn read(file: &File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let (count, buffer) = file.read_at(buffer, offset).await;
    (count.expect("read"), buffer)
  }

  async fn write(file: &File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>) {
    let (count, buffer) = file.write_at(buffer, offset).await;
    (count.expect("write"), buffer)
  }

  async fn sync(file: &File) {
    file.sync_data().await.expect("sync");
  }

  async fn close(file: File) {
    file.close().await.expect("close");
  }

  async fn read_file(path: &str, _size: usize) -> Vec<u8> {
    monoio::fs::read(path).await.expect("read")
  }
}

fn main() {
  let settings = Settings::new();
  let meter = Arc::new(Meter::new(&settings));
  let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
    .with_entries(4096)
    .build()
    .expect("a ring");
  runtime.block_on(work::<Monoio>(&settings, &meter));
  meter.print();
}
