//! tokio: its own file functions, and its pool of blocking threads where it has none (positioned
//! reads and writes).

use bench_common::*;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::task::{JoinHandle, spawn_blocking};

type Loops = Vec<JoinHandle<()>>;

fn spawn(meter: &Arc<Meter>, in_flight: usize, mut make: impl FnMut(Arc<Meter>) -> Loop) -> Loops {
  (0..in_flight).map(|_| tokio::spawn(make(meter.clone()))).collect()
}

type Loop = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn readfile(settings: &Settings, meter: &Arc<Meter>) -> Loops {
  let size = settings.get("size");
  let paths: &'static [String] = settings.small(size).leak();
  spawn(meter, settings.get("inFlight"), |meter| {
    Box::pin(looped(meter, async move |i: u64| {
      let bytes = tokio::fs::read(&paths[i as usize % paths.len()]).await.expect("read");
      check_small(&bytes, i, size);
    }))
  })
}

fn reads(settings: &Settings, meter: &Arc<Meter>) -> Loops {
  let blocks = settings.get("blocks");
  let mut options = OpenOptions::new();
  let file = options.read(true).custom_flags(settings.direct()).open(settings.path("blocks"));
  let file: &'static File = Box::leak(Box::new(file.expect("open")));
  spawn(meter, settings.get("inFlight"), |meter| {
    let mut room = Some(aligned(BLOCK));
    Box::pin(looped(meter, async move |i: u64| {
      let buffer = room.take().expect("a buffer");
      let read = move || {
        file.read_exact_at(buffer, block_of(i, blocks) * BLOCK as u64).expect("read");
        buffer
      };
      let buffer = spawn_blocking(read).await.expect("a thread");
      check_block(buffer, i, blocks);
      room = Some(buffer);
    }))
  })
}

fn writes(settings: &Settings, meter: &Arc<Meter>, sync: bool) -> Loops {
  let file = OpenOptions::new().write(true).open(settings.path("target")).expect("open");
  let file: &'static File = Box::leak(Box::new(file));
  spawn(meter, settings.get("inFlight"), |meter| {
    Box::pin(looped(meter, async move |i: u64| {
      let block = if sync { i % 16_384 } else { block_of(i, 16_384) };
      let write = move || {
        file.write_all_at(&[7; BLOCK], block * BLOCK as u64).expect("write");
        if sync {
          file.sync_data().expect("sync");
        }
      };
      spawn_blocking(write).await.expect("a thread");
    }))
  })
}

fn cat(settings: &Settings, meter: &Arc<Meter>) -> Loops {
  let path: &'static str = settings.path("big").leak();
  let chunk: usize = settings.get("chunk");
  spawn(meter, 1, |meter| {
    let mut buffer = vec![0; chunk];
    Box::pin(looped(meter, async move |_| {
      let mut sum = Sum::default();
      let mut file = tokio::fs::File::open(path).await.expect("open");
      file.set_max_buf_size(chunk);
      loop {
        let count = file.read(&mut buffer).await.expect("read");
        if count == 0 {
          break;
        }
        sum.add(&buffer[..count]);
      }
      sum.check();
    }))
  })
}

fn stat(settings: &Settings, meter: &Arc<Meter>) -> Loops {
  let paths: &'static [String] = settings.small(1024).leak();
  spawn(meter, settings.get("inFlight"), |meter| {
    Box::pin(looped(meter, async move |i: u64| {
      let found = tokio::fs::metadata(&paths[i as usize % paths.len()]).await.expect("stat");
      assert_eq!(found.len(), 1024);
    }))
  })
}

async fn copy(settings: &Settings, meter: &Meter) {
  let (source, target) = (settings.path("source"), settings.path("copied-tokio"));
  let expected = tokio::fs::read(&source).await.expect("read");
  let over: bool = settings.get("over");
  tokio::fs::copy(&source, &target).await.expect("copy");
  loop {
    meter.pause();
    if !over {
      tokio::fs::remove_file(&target).await.expect("remove");
    }
    meter.resume();
    tokio::fs::copy(&source, &target).await.expect("copy");
    let more = meter.add();
    meter.pause();
    assert!(expected == tokio::fs::read(&target).await.expect("read"));
    meter.resume();
    if !more {
      break;
    }
  }
  tokio::fs::remove_file(&target).await.expect("remove");
}

async fn work(settings: &Settings, meter: &Arc<Meter>) {
  let loops = match settings.family.as_str() {
    "readfile" => readfile(settings, meter),
    "reads" => reads(settings, meter),
    "pwrite" => writes(settings, meter, false),
    "fsync" => writes(settings, meter, true),
    "cat" => cat(settings, meter),
    "stat" => stat(settings, meter),
    "copy" => return copy(settings, meter).await,
    other => panic!("no family {other}"),
  };
  for handle in loops {
    handle.await.expect("a loop");
  }
}

fn main() {
  let settings = Settings::new();
  let meter = Arc::new(Meter::new(&settings));
  let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("tokio");
  runtime.block_on(work(&settings, &meter));
  meter.print();
}
