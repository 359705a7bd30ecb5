//! The cursor of an open file, those who use it, and its end.
//! Pair: __test__/fscursor.spec.ts
mod support;

use ringcore::fs::File;
use ringcore::{op, Error, Options, Runtime};
use std::io::{pipe, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use support::{
  alone, descriptors, folder, many, polled, runtime, runtime_with, settle, start, text, turns,
};

const MIB: usize = 1 << 20;

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

/// Bytes that say where they belong.
fn pattern(len: usize) -> Vec<u8> {
  (0..len).map(|i| (i * 31 + (i >> 8) + (i >> 16)) as u8).collect()
}

/// 64 reads at once, of these sizes in turn, give the file in the order in which they were begun.
fn in_order(rt: &Runtime, sizes: &[usize]) {
  let directory = folder();
  let path = directory.0.join("file");
  let sizes: Vec<usize> = sizes.iter().copied().cycle().take(64).collect();
  let bytes = pattern(sizes.iter().sum::<usize>() - 50);
  std::fs::write(&path, &bytes).unwrap();
  let asked = sizes.clone();
  let got = rt.run(async move {
    let file = File::open(&path).await.unwrap();
    let reads = asked.iter().map(|size| Box::pin(file.read(vec![0; *size])));
    let mut all = Vec::new();
    for (count, mut piece) in ringcore::all(reads.collect()).await {
      piece.truncate(count.unwrap());
      all.push(piece);
    }
    all
  });
  assert!(got.iter().zip(&sizes).take(63).all(|(piece, size)| piece.len() == *size));
  assert!(got.concat() == bytes, "reads of {:?}", &sizes[..2]);
}

#[test]
fn reads_at_the_cursor_come_in_the_order_they_were_begun() {
  let _alone = alone();
  let rt = runtime();
  for size in [100, 4096, 100_000] {
    in_order(&rt, &[size]);
  }
}

#[test]
fn the_order_holds_on_worker_threads_of_the_kernel() {
  let _alone = alone();
  let rt = runtime();
  // Beyond 256 KiB a read leaves the thread, and what comes behind it could overtake it.
  in_order(&rt, &[300_000]);
  in_order(&rt, &[300_000, 100]);
}

#[test]
fn the_order_holds_when_the_kernel_polls_the_queue() {
  let _alone = alone();
  let rt = runtime_with(polled(8, 16));
  in_order(&rt, &[512]);
  in_order(&rt, &[300_000, 512]);
}

#[test]
fn writes_and_reads_share_the_cursor() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"0123456789").unwrap();
  let there = path.clone();
  rt.run(async move {
    let file = File::options().read(true).write(true).open(&there).await.unwrap();
    let first = ringcore::spawn(file.read(vec![0; 2]));
    let second = ringcore::spawn(file.write_all(b"abc".to_vec()));
    let third = ringcore::spawn(file.read_to_end());
    let beside = ringcore::spawn(file.read_at(vec![0; 1], 9));
    assert_eq!(first.await.unwrap().1, b"01");
    assert_eq!(second.await.unwrap().0, Ok(()));
    assert_eq!(third.await.unwrap().unwrap(), b"56789");
    assert_eq!(beside.await.unwrap().1, b"9");
  });
  assert_eq!(std::fs::read(&path).unwrap(), b"01abc56789");
}

#[test]
fn an_abandoned_read_leaves_the_cursor_usable() {
  let _alone = alone();
  let rt = runtime();
  for passing in [0, 1, 2, 5] {
    let (reader, mut writer) = pipe().unwrap();
    rt.run(async move {
      let file = File::from_fd(OwnedFd::from(reader)).unwrap();
      let waits = start(Box::pin(file.read(vec![0; 10]))).await;
      let behind = start(Box::pin(file.read(vec![0; 10]))).await;
      turns(passing).await;
      drop(waits);
      // A read that is not stopped yet would take what is written now.
      turns(3).await;
      writer.write_all(b"hello").unwrap();
      let (count, bytes) = behind.await;
      assert_eq!((count, &bytes[..5]), (Ok(5), &b"hello"[..]), "{passing}");
    });
  }
  settle(&rt);
}

#[test]
fn the_next_read_waits_until_an_abandoned_one_has_ended() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, pattern(MIB)).unwrap();
  for round in 0..many(50) {
    let path = path.clone();
    rt.run(async move {
      let file = File::open(&path).await.unwrap();
      // On a worker thread: it may be too late to stop it.
      let lost = start(Box::pin(file.read(vec![0; 400_000]))).await;
      turns(round % 3).await;
      drop(lost);
      // This one does not leave the thread: it would come first.
      let (count, bytes) = file.read(vec![0; 100]).await;
      // The lost one took its bytes along, or nothing: never a part, and nobody reads the same.
      let from = if bytes == pattern(100) { 0 } else { 400_000 };
      assert_eq!(count, Ok(100));
      let rest = file.read_to_end().await.unwrap();
      let all = [bytes, rest].concat();
      assert!(all == pattern(MIB)[from..], "{round}: {from}, {}", all.len());
    });
  }
  settle(&rt);
}

#[test]
fn a_place_in_line_that_is_given_up_holds_nobody_up() {
  let _alone = alone();
  let rt = runtime();
  let (reader, mut writer) = pipe().unwrap();
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    let first = start(Box::pin(file.read(vec![0; 1]))).await;
    let second = start(Box::pin(file.read(vec![0; 1]))).await;
    let third = start(Box::pin(file.read_to_end())).await;
    drop(second);
    writer.write_all(b"ab").unwrap();
    drop(writer);
    assert_eq!(first.await.1, b"a");
    assert_eq!(third.await.unwrap(), b"b");
  });
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, pattern(MIB)).unwrap();
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    let first = ringcore::spawn(file.read(vec![0; 300_000]));
    turns(1).await;
    let second = start(Box::pin(file.read(vec![0; 100]))).await;
    let third = start(Box::pin(file.read(vec![0; 100]))).await;
    let fourth = start(Box::pin(file.read(vec![0; 100]))).await;
    drop(third);
    assert_eq!(second.await.1, pattern(MIB)[300_000..300_100], "nor does it let anybody pass");
    assert_eq!(fourth.await.1, pattern(MIB)[300_100..300_200]);
    assert_eq!(first.await.unwrap().0, Ok(300_000));
  });
}

#[test]
fn abandoned_transfers_write_to_nobodys_memory() {
  let _alone = alone();
  let rt = runtime();
  let (reader, mut writer) = pipe().unwrap();
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    for round in 0..many(20) {
      let lost = start(Box::pin(file.read_exact(vec![1; 3000]))).await;
      turns(round % 4).await;
      drop(lost);
      let spray: Vec<Vec<u8>> = (0..16).map(|_| vec![0x55; 3000]).collect();
      writer.write_all(&[0xaa; 3000]).unwrap();
      turns(3).await;
      assert!(spray.iter().flatten().all(|byte| *byte == 0x55));
      // What was written is still there, unless the read was faster than its end.
      let left = ringcore::timeout(file.read(vec![0; 4000]), std::time::Duration::from_millis(5));
      if let Ok((count, bytes)) = left.await {
        assert!(bytes[..count.unwrap()].iter().all(|byte| *byte == 0xaa));
      }
    }
  });
  settle(&rt);
}

#[test]
fn close_waits_for_what_is_in_flight() {
  let _alone = alone();
  let rt = runtime();
  let (reader, mut writer) = pipe().unwrap();
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    let fd = file.fd().unwrap();
    let reads = ringcore::spawn(file.read(vec![0; 1]));
    let behind = ringcore::spawn(file.read(vec![0; 9]));
    turns(2).await;
    let closes = ringcore::spawn(file.close());
    let again = ringcore::spawn(file.close());
    turns(3).await;
    assert!(!closes.finished() && !again.finished());
    assert_eq!(code(file.read(vec![0]).await.0), "EBADF", "nobody may begin any more");
    assert_eq!(file.fd(), Some(fd), "it is open as long as somebody reads");
    writer.write_all(b"ab").unwrap();
    assert_eq!(reads.await.unwrap().0, Ok(1));
    assert_eq!(behind.await.unwrap().0, Ok(1));
    assert_eq!((closes.await.unwrap(), again.await.unwrap()), (Ok(()), Ok(())));
    assert_eq!((file.fd(), file.close().await), (None, Ok(())));
    // The pipe has no reader any more.
    assert_eq!(writer.write(b"x").unwrap_err().raw_os_error(), Some(libc::EPIPE));
  });
}

#[test]
fn a_close_that_nobody_waits_for_closes_all_the_same() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"abc").unwrap();
  let before = descriptors();
  for passing in [0, 1, 2] {
    let path = path.clone();
    rt.run(async move {
      let file = File::open(&path).await.unwrap();
      let reads = start(Box::pin(file.read(vec![0; 3]))).await;
      let closes = start(Box::pin(file.close())).await;
      turns(passing).await;
      drop(closes);
      assert_eq!(reads.await.0, Ok(3));
      assert_eq!(code(file.read(vec![0]).await.0), "EBADF");
    });
    settle(&rt);
    rt.run(turns(3));
    assert_eq!(descriptors(), before, "{passing}");
  }
}

#[test]
fn a_thousand_forgotten_files_leave_no_descriptor() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"abc").unwrap();
  let before = descriptors();
  rt.run(async move {
    for _ in 0..1000 {
      let file = File::open(&path).await.unwrap();
      assert_eq!(file.read(vec![0; 3]).await.0, Ok(3));
      assert!(descriptors() < before + 20);
    }
    turns(3).await;
  });
  settle(&rt);
  rt.run(turns(3));
  assert_eq!(descriptors(), before);
}

#[test]
fn a_file_that_is_forgotten_in_flight_is_closed_afterwards() {
  let _alone = alone();
  let rt = runtime();
  let (reader, mut writer) = pipe().unwrap();
  let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    let reads = start(Box::pin(file.read_exact(vec![0; 4]))).await;
    drop(file);
    turns(3).await;
    assert!(std::fs::exists(&path).unwrap(), "the read still needs it");
    writer.write_all(b"ab").unwrap();
    turns(3).await;
    writer.write_all(b"cd").unwrap();
    assert_eq!(reads.await.1, b"abcd");
    turns(5).await;
    assert!(writer.write(b"x").is_err(), "the pipe has no reader any more");
  });
}

#[test]
fn files_of_a_runtime_that_closes_are_closed() {
  let _alone = alone();
  let directory = folder();
  let path = directory.0.join("file");
  std::fs::write(&path, b"abc").unwrap();
  let before = descriptors();
  for passing in [0, 1, 3] {
    let rt = runtime();
    let (reader, writer) = pipe().unwrap();
    let there = path.clone();
    let kept = rt.run(async move {
      let idle = File::open(&there).await.unwrap();
      let waits = File::from_fd(OwnedFd::from(reader)).unwrap();
      ringcore::spawn(async move {
        let opened = File::open(&there).await.unwrap();
        let _ = waits.read(vec![0; 9]).await;
        unreachable!("nobody writes, {:?}", opened.fd());
      });
      turns(passing).await;
      idle
    });
    drop(rt);
    let failed = text(runtime().run(kept.read(vec![0])).0.map(drop));
    assert_eq!(failed, "this belongs to another runtime");
    drop((kept, writer));
    assert_eq!(descriptors(), before, "{passing}");
  }
}

#[test]
fn a_file_belongs_to_the_runtime_that_opened_it() {
  let _alone = alone();
  let (rt, other, directory) = (runtime(), runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"abc").unwrap();
  let file = rt.run(async move { File::open(&path).await.unwrap() });
  assert_eq!(code(other.run(file.read(vec![0])).0), "ERR_RINGCORE_WRONG_RUNTIME");
  assert_eq!(code(other.run(file.stat())), "ERR_RINGCORE_WRONG_RUNTIME");
  assert_eq!(code(other.run(file.close())), "ERR_RINGCORE_WRONG_RUNTIME");
  let outside = File::from_fd(OwnedFd::from(pipe().unwrap().0));
  assert_eq!(code(outside), "ERR_RINGCORE_WRONG_RUNTIME", "no runtime polls here");
  assert_eq!(rt.run(file.read_to_end()), Ok(b"abc".to_vec()));
}

#[test]
fn an_open_that_is_abandoned_leaves_no_descriptor() {
  let _alone = alone();
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"abc").unwrap();
  let before = descriptors();
  for round in 0..many(40) {
    let path = path.clone();
    rt.run(async move {
      let mut opens: Pin<Box<dyn std::future::Future<Output = _>>> = Box::pin(File::open(path));
      opens = start(opens).await;
      turns(round % 4).await;
      drop(opens);
      op::nop().await.unwrap();
    });
  }
  settle(&rt);
  rt.run(turns(3));
  assert_eq!(descriptors(), before);
}

#[test]
fn a_read_is_stopped_by_a_time_limit() {
  let _alone = alone();
  let rt = runtime_with(Options::default());
  let (reader, mut writer) = pipe().unwrap();
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    let limit = std::time::Duration::from_millis(20);
    let late = ringcore::timeout(file.read(vec![0; 4]), limit).await;
    assert_eq!(late.map(drop), Err(Error::Timeout));
    let late = ringcore::timeout(file.read_exact(vec![0; 4]), limit).await;
    assert_eq!(late.map(drop), Err(Error::Timeout));
    turns(3).await;
    writer.write_all(b"next").unwrap();
    assert_eq!(file.read(vec![0; 9]).await.0, Ok(4));
  });
}
