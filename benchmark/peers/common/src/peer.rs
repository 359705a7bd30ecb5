//! The cases for runtimes of one thread whose buffers go in and come back: ringcore's Rust twin,
//! monoio, compio, the old crate. A runtime says how it does each step; the loops are the same.

use crate::*;
use std::sync::Arc;

/// The number of blocks of the file that is written to.
const TARGET_BLOCKS: u64 = 16_384;

#[allow(async_fn_in_trait)] // Nobody else implements it, and none of the futures leaves its thread.
pub trait Peer: 'static {
  type File: 'static;

  /// Runs a loop to its end beside the others.
  fn spawn(task: impl Future<Output = ()> + 'static) -> impl Future<Output = ()>;
  /// O_RDONLY, O_WRONLY and O_DIRECT are asked for.
  async fn open(path: &str, flags: i32) -> Self::File;
  async fn read(file: &Self::File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>);
  async fn write(file: &Self::File, buffer: Vec<u8>, offset: u64) -> (usize, Vec<u8>);
  /// fdatasync.
  async fn sync(file: &Self::File);
  async fn close(file: Self::File);
  /// The whole file.
  async fn read_file(path: &str, size: usize) -> Vec<u8>;
  /// A file's length.
  async fn len(path: &str) -> u64 {
    panic!("{path}: this runtime has no stat")
  }
}

async fn start<L: Future<Output = ()> + 'static, P: Peer>(
  meter: &Arc<Meter>,
  in_flight: usize,
  mut make: impl FnMut(Arc<Meter>) -> L,
) {
  let loops: Vec<_> = (0..in_flight).map(|_| P::spawn(make(meter.clone()))).collect();
  for one in loops {
    one.await;
  }
}

/// A buffer at an address for O_DIRECT. It must never be dropped.
fn aligned_vec(len: usize) -> Vec<u8> {
  let bytes = aligned(len);
  // SAFETY: I1, leaked memory that is its own; the allocator never sees this vector again, since
  // `kept` forgets it.
  unsafe { Vec::from_raw_parts(bytes.as_mut_ptr(), len, len) }
}

struct Kept(Option<Vec<u8>>);

impl Drop for Kept {
  fn drop(&mut self) {
    std::mem::forget(self.0.take());
  }
}

async fn readfile<P: Peer>(settings: &Settings, meter: &Arc<Meter>) {
  let size = settings.get("size");
  let paths: &'static [String] = settings.small(size).leak();
  let make = |meter| {
    looped(meter, async move |i: u64| {
      check_small(&P::read_file(&paths[i as usize % paths.len()], size).await, i, size);
    })
  };
  start::<_, P>(meter, settings.get("inFlight"), make).await;
}

async fn reads<P: Peer>(settings: &Settings, meter: &Arc<Meter>, len: usize) {
  let blocks = if len == BLOCK { settings.get("blocks") } else { 65_536 };
  let direct = if len == BLOCK { settings.direct() } else { 0 };
  let file = P::open(&settings.path("blocks"), libc::O_RDONLY | direct).await;
  let file: &'static P::File = Box::leak(Box::new(file));
  let make = |meter| {
    // 100 000 pages would measure memory, not reads.
    let mut room = Kept(Some(if len < BLOCK { vec![0; len] } else { aligned_vec(len) }));
    looped(meter, async move |i: u64| {
      let buffer = room.0.take().expect("a buffer");
      let offset = block_of(i, blocks) * BLOCK as u64;
      let (count, buffer) = P::read(file, buffer, offset).await;
      assert_eq!(count, len, "a read is short");
      check_block(&buffer, i, blocks);
      room.0 = Some(buffer);
    })
  };
  start::<_, P>(meter, settings.get("inFlight"), make).await;
}

async fn writes<P: Peer>(settings: &Settings, meter: &Arc<Meter>, sync: bool) {
  let file = P::open(&settings.path("target"), libc::O_WRONLY).await;
  let file: &'static P::File = Box::leak(Box::new(file));
  let make = |meter| {
    let mut room = Some(vec![7; BLOCK]);
    looped(meter, async move |i: u64| {
      let buffer = room.take().expect("a buffer");
      let block = if sync { i % TARGET_BLOCKS } else { block_of(i, TARGET_BLOCKS) };
      let (count, buffer) = P::write(file, buffer, block * BLOCK as u64).await;
      assert_eq!(count, BLOCK, "a write is short");
      if sync {
        P::sync(file).await;
      }
      room = Some(buffer);
    })
  };
  start::<_, P>(meter, settings.get("inFlight"), make).await;
}

async fn cat<P: Peer>(settings: &Settings, meter: &Arc<Meter>) {
  let path: &'static str = settings.path("big").leak();
  let chunk: usize = settings.get("chunk");
  let make = |meter| {
    let mut room = Some(vec![0; chunk]);
    looped(meter, async move |_| {
      let mut sum = Sum::default();
      let mut buffer = room.take().expect("a buffer");
      let file = P::open(path, libc::O_RDONLY).await;
      loop {
        let count;
        (count, buffer) = P::read(&file, buffer, sum.bytes as u64).await;
        if count == 0 {
          break;
        }
        sum.add(&buffer[..count]);
      }
      P::close(file).await;
      sum.check();
      room = Some(buffer);
    })
  };
  start::<_, P>(meter, 1, make).await;
}

async fn stat<P: Peer>(settings: &Settings, meter: &Arc<Meter>) {
  let paths: &'static [String] = settings.small(1024).leak();
  let make = |meter| {
    looped(meter, async move |i: u64| {
      assert_eq!(P::len(&paths[i as usize % paths.len()]).await, 1024);
    })
  };
  start::<_, P>(meter, settings.get("inFlight"), make).await;
}

/// Runs the family that the settings name.
pub async fn work<P: Peer>(settings: &Settings, meter: &Arc<Meter>) {
  match settings.family.as_str() {
    "readfile" => readfile::<P>(settings, meter).await,
    "reads" => reads::<P>(settings, meter, BLOCK).await,
    "inflight" => reads::<P>(settings, meter, 64).await,
    "pwrite" => writes::<P>(settings, meter, false).await,
    "fsync" => writes::<P>(settings, meter, true).await,
    "cat" => cat::<P>(settings, meter).await,
    "stat" => stat::<P>(settings, meter).await,
    other => panic!("no family {other}"),
  }
}
