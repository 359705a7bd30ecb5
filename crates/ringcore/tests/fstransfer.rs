//! Transfers of open files: at offsets, long, short, vectored, appended, without a size.
//! Pair: __test__/fstransfer.spec.ts
mod support;

use ringcore::driver::Driver;
use ringcore::fs::{File, OpenOptions};
use ringcore::kernel::Kernel;
use ringcore::sqe::*;
use ringcore::{Error, Options, Runtime};
use std::cell::RefCell;
use std::io::{pipe, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::drivers::{Between, Passing};
use support::{folder, many, runtime, text};

const MIB: usize = 1 << 20;

fn code<T>(result: Result<T, Error>) -> &'static str {
  result.err().map_or("no error", |error| error.code())
}

/// Bytes that say where they belong.
fn pattern(len: usize) -> Vec<u8> {
  (0..len).map(|i| (i * 31 + (i >> 8) + (i >> 16)) as u8).collect()
}

fn both() -> OpenOptions {
  let mut options = File::options();
  options.read(true).write(true).create(true);
  options
}

/// What the kernel got: how many bytes each write asked for, and the syncs.
#[derive(Default)]
struct Seen {
  writes: Vec<u32>,
  syncs: u32,
  /// Transfers are cut to so many bytes.
  most: Option<u32>,
  /// Transfers that would have to wait answer EAGAIN, as O_NONBLOCK makes them on older kernels.
  nowait: bool,
  polls: Arc<AtomicU32>,
}

/// Transfers that are short.
struct Short(Rc<RefCell<Seen>>);

impl Between for Short {
  fn push(&mut self, kernel: &mut Kernel, sqes: &[Sqe]) -> usize {
    let mut seen = self.0.borrow_mut();
    let mut sqes = sqes.to_vec();
    for sqe in &mut sqes {
      let opcode = sqe.opcode as u32;
      let vector = matches!(opcode, IORING_OP_READV | IORING_OP_WRITEV);
      let own = opcode == IORING_OP_READ && sqe.len == 8;
      let moves = vector || matches!(opcode, IORING_OP_READ | IORING_OP_WRITE);
      if seen.nowait && moves && !own {
        sqe.op_flags |= libc::RWF_NOWAIT as u32;
      }
      seen.polls.fetch_add((opcode == IORING_OP_POLL_ADD) as u32, SeqCst);
      match sqe.opcode as u32 {
        // The executor's own wake-up reads 8 bytes into memory of its own.
        IORING_OP_READ if sqe.len != 8 => sqe.len = sqe.len.min(seen.most.unwrap_or(u32::MAX)),
        IORING_OP_WRITE => {
          sqe.len = sqe.len.min(seen.most.unwrap_or(u32::MAX));
          let len = sqe.len;
          seen.writes.push(len);
        }
        IORING_OP_FSYNC => seen.syncs += 1,
        _ => {}
      }
    }
    kernel.push(&sqes)
  }
}

fn watched(most: Option<u32>) -> (Runtime, Rc<RefCell<Seen>>) {
  let seen = Rc::new(RefCell::new(Seen { most, ..Seen::default() }));
  let kernel = Kernel::open(&Options::default()).unwrap();
  let driver = Passing { kernel, between: Short(seen.clone()) };
  (Runtime::with_driver(Box::new(driver), Options::default()).unwrap(), seen)
}

/// A pipe whose ends must not wait.
fn nonblocking() -> (PipeReader, PipeWriter) {
  let (reader, writer) = pipe().unwrap();
  for fd in [reader.as_raw_fd(), writer.as_raw_fd()] {
    // SAFETY: I1: two numbers, no memory.
    unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) };
  }
  (reader, writer)
}

fn flags(fd: i32) -> i32 {
  // SAFETY: I1: a number, no memory.
  unsafe { libc::fcntl(fd, libc::F_GETFL) }
}

#[test]
fn transfers_at_an_offset_leave_the_cursor_where_it_is() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    file.write_all(b"0123456789".to_vec()).await.0.unwrap();
    assert_eq!(file.read_at(vec![0; 3], 2).await, (Ok(3), b"234".to_vec()));
    assert_eq!(file.write_at(b"ab".to_vec(), 4).await.0, Ok(2));
    assert_eq!(file.read_exact_at(vec![0; 4], 3).await, (Ok(()), b"3ab6".to_vec()));
    file.write_all_at(b"yz".to_vec(), 8).await.0.unwrap();
    let room = vec![vec![0; 1], vec![], vec![0; 2]];
    let (count, parts) = file.readv_at(room, 0).await;
    assert_eq!((count, parts.concat()), (Ok(3), b"012".to_vec()));
    let parts = vec![b"w".to_vec(), b"x".to_vec()];
    assert_eq!(file.writev_at(parts.clone(), 6).await, (Ok(2), parts));
    assert_eq!(file.read(vec![0; 1]).await.0, Ok(0), "the cursor is still at the end");
    let bytes = file.read_exact_at(vec![0; 10], 0).await.1;
    assert_eq!(bytes, b"0123abwxyz");
  });
}

#[test]
fn an_exact_read_fills_the_buffer_or_says_how_far_it_came() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"abcdef").unwrap();
  rt.run(async move {
    let file = File::open(&path).await.unwrap();
    assert_eq!(file.read_exact(vec![0; 4]).await, (Ok(()), b"abcd".to_vec()));
    assert_eq!(file.read_exact(Vec::new()).await, (Ok(()), Vec::new()));
    let (result, bytes) = file.read_exact(vec![0; 4]).await;
    assert_eq!((code(result), &bytes[..]), ("ERR_RINGCORE_UNEXPECTED_END", &b"ef\0\0"[..]));
    let (result, _) = file.read_exact_at(vec![0; 7], 0).await;
    assert_eq!(text(result), "the file ended after 6 bytes");
    let (result, _) = file.read_exact_at(vec![0; 1], 1 << 40).await;
    assert_eq!(text(result), "the file ended after 0 bytes");
  });
}

#[test]
fn long_transfers_go_on_at_the_right_offset() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let bytes = pattern(3 * MIB + 333);
    let file = both().open(&path).await.unwrap();
    assert_eq!(file.write(bytes.clone()).await.0, Ok(MIB), "one write is at most 1 MiB");
    file.write_all_at(bytes.clone(), 5).await.0.unwrap();
    let (result, back) = file.read_exact_at(vec![0; bytes.len()], 5).await;
    assert!(result.is_ok() && back == bytes);
    file.truncate(0).await.unwrap();
    let file = both().open(&path).await.unwrap();
    file.write_all(bytes.clone()).await.0.unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes);
    let file = File::open(&path).await.unwrap();
    assert_eq!(file.read(vec![0; 2 * MIB]).await.0, Ok(MIB));
    assert!(file.read_to_end().await.unwrap() == bytes[MIB..]);
    let file = File::open(&path).await.unwrap();
    let (result, back) = file.read_exact(vec![0; bytes.len()]).await;
    assert!(result.is_ok() && back == bytes);
  });
}

#[test]
fn short_reads_and_writes_go_on_at_the_right_offset() {
  for most in [1, 7, 4096, 99_999] {
    let (rt, _) = watched(Some(most));
    let directory = folder();
    let path = directory.0.join("file");
    rt.run(async move {
      let bytes = pattern((most as usize * 50).min(500_000) + 3);
      let file = both().open(&path).await.unwrap();
      assert_eq!(file.write(bytes.clone()).await.0, Ok(most as usize));
      file.write_all_at(bytes.clone(), 2).await.0.unwrap();
      assert!(std::fs::read(&path).unwrap()[2..] == bytes);
      let file = both().open(&path).await.unwrap();
      file.write_all(bytes.clone()).await.0.unwrap();
      file.append(bytes.clone()).await.0.unwrap();
      file.append_durable(bytes.clone()).await.0.unwrap();
      let all = [&bytes[..], &bytes[bytes.len() - 2..], &bytes, &bytes].concat();
      assert!(std::fs::read(&path).unwrap() == all);
      let (result, back) = file.read_exact_at(vec![0; all.len()], 0).await;
      assert!(result.is_ok() && back == all);
      let file = File::open(&path).await.unwrap();
      let (result, back) = file.read_exact(vec![0; 5]).await;
      assert!(result.is_ok() && back == all[..5]);
      assert!(file.read_to_end().await.unwrap() == all[5..]);
    });
  }
}

#[test]
fn a_write_that_moves_nothing_is_an_error_and_no_endless_loop() {
  let (rt, _) = watched(Some(0));
  let directory = folder();
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    assert_eq!(text(file.write_all(vec![1; 9]).await.0), "EIO: input/output error, write");
    assert_eq!(code(file.write_all_at(vec![1; 9], 0).await.0), "EIO");
    assert_eq!(code(file.append(vec![1; 9]).await.0), "EIO");
    assert_eq!(code(file.append_durable(vec![1; 9]).await.0), "EIO");
    assert_eq!(file.write(vec![1; 9]).await.0, Ok(0), "one write says what there was");
    assert_eq!(file.write_all(Vec::new()).await.0, Ok(()), "nothing is all there is to write");
  });
}

#[test]
fn several_buffers_go_in_and_come_back_in_order() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    let parts = vec![b"one ".to_vec(), vec![], b"two".to_vec()];
    assert_eq!(file.writev(parts.clone()).await, (Ok(7), parts));
    assert_eq!(file.writev(vec![b"!".to_vec()]).await.0, Ok(1));
    let file = File::open(&path).await.unwrap();
    let (count, parts) = file.readv(vec![vec![0; 3], vec![0; 2]]).await;
    assert_eq!((count, parts), (Ok(5), vec![b"one".to_vec(), b" t".to_vec()]));
    assert_eq!(file.readv(vec![vec![0; 9]]).await.0, Ok(3));
    assert_eq!(file.readv(Vec::<Vec<u8>>::new()).await.0, Ok(0));
  });
}

#[test]
fn bytes_are_appended_at_the_end_wherever_the_cursor_is() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  std::fs::write(&path, b"0123").unwrap();
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    assert_eq!(file.read(vec![0; 1]).await.0, Ok(1));
    file.append(b"ab".to_vec()).await.0.unwrap();
    assert_eq!(file.read(vec![0; 1]).await.0, Ok(0), "the cursor is behind what was appended");
    file.write_all_at(b"X".to_vec(), 0).await.0.unwrap();
    file.append(b"c".to_vec()).await.0.unwrap();
    file.append_durable(b"d".to_vec()).await.0.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"X123abcd");
  });
}

#[test]
fn two_writers_that_append_lose_nothing() {
  let (rt, directory) = (runtime(), folder());
  let path = directory.0.join("file");
  let there = path.clone();
  let rounds = many(40);
  rt.run(async move {
    let writers = ['a', 'b'].map(|name| {
      let there = there.clone();
      ringcore::spawn(async move {
        let file = File::options().append(true).create(true).open(&there).await.unwrap();
        for round in 0..rounds {
          let line = format!("{name} {round} {}\n", "-".repeat(round * 97 % 3000));
          match round % 2 {
            0 => file.append(line.into_bytes()).await.0.unwrap(),
            _ => file.write_all(line.into_bytes()).await.0.unwrap(),
          }
        }
      })
    });
    for writer in writers {
      writer.await.unwrap();
    }
  });
  let content = std::fs::read_to_string(&path).unwrap();
  for name in ["a ", "b "] {
    let rounds: Vec<usize> = content
      .lines()
      .filter_map(|line| line.strip_prefix(name))
      .map(|line| {
        let (round, rest) = line.split_once(' ').unwrap();
        let round: usize = round.parse().unwrap();
        assert_eq!(rest.len(), round * 97 % 3000);
        round
      })
      .collect();
    assert_eq!(rounds, (0..rounds.len()).collect::<Vec<_>>());
    assert_eq!(rounds.len(), self::many(40));
  }
}

#[test]
fn a_durable_append_is_a_write_and_a_sync_in_one_submission() {
  let (rt, seen) = watched(None);
  let directory = folder();
  let path = directory.0.join("file");
  let there = path.clone();
  rt.run(async move {
    let file = both().open(&path).await.unwrap();
    let bytes = pattern(2 * MIB + 5);
    file.append_durable(b"log".to_vec()).await.0.unwrap();
    assert_eq!((seen.borrow().writes.clone(), seen.borrow().syncs), (vec![3], 1));
    file.append_durable(bytes.clone()).await.0.unwrap();
    let whole = MIB as u32;
    assert_eq!(seen.borrow().writes[1..], [whole, whole, 5], "windows of 1 MiB");
    assert_eq!(seen.borrow().syncs, 2, "one sync, behind the last of them");
    file.append(b".".to_vec()).await.0.unwrap();
    assert_eq!(seen.borrow().syncs, 2, "not durable");
    file.append_durable(Vec::new()).await.0.unwrap();
    assert_eq!(seen.borrow().syncs, 3, "what was written before is on the disk as well");
  });
  assert_eq!(std::fs::metadata(there).unwrap().len() as usize, 2 * MIB + 9);
}

#[test]
fn a_durable_append_that_fails_says_so() {
  let rt = runtime();
  rt.run(async move {
    let full = File::options().write(true).open("/dev/full").await.unwrap();
    let (result, bytes) = full.append_durable(b"log".to_vec()).await;
    assert_eq!(text(result), "ENOSPC: no space left on device, write");
    assert_eq!(bytes, b"log", "it comes back");
    assert_eq!(code(full.append(b"log".to_vec()).await.0), "ENOSPC");
    assert_eq!(code(full.write_all(b"log".to_vec()).await.0), "ENOSPC");
    // /dev/null takes every byte and has no disk: the sync's own result is looked at.
    let null = File::options().write(true).open("/dev/null").await.unwrap();
    assert_eq!(
      text(null.append_durable(b"log".to_vec()).await.0),
      "EINVAL: invalid argument, fdatasync"
    );
    assert_eq!(null.append(b"log".to_vec()).await.0, Ok(()));
    let file = File::open("/proc/self/exe").await.unwrap();
    assert_eq!(code(file.append_durable(b"log".to_vec()).await.0), "EBADF", "only to be read");
  });
}

#[test]
fn a_durable_append_that_is_cut_short_goes_on() {
  let (rt, seen) = watched(None);
  seen.borrow_mut().nowait = true;
  let (mut reader, writer) = nonblocking();
  let bytes = pattern(300_000);
  let expected = bytes.clone();
  let drain = std::thread::spawn(move || {
    let (mut got, mut room) = (Vec::new(), vec![0; 10_000]);
    while got.len() < 300_000 {
      match reader.read(&mut room) {
        Ok(count) => got.extend_from_slice(&room[..count]),
        Err(_) => std::thread::sleep(std::time::Duration::from_millis(1)),
      }
    }
    got
  });
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(writer)).unwrap();
    // All bytes are out, and then a pipe cannot be synced.
    assert_eq!(text(file.append_durable(bytes).await.0), "EINVAL: invalid argument, fdatasync");
  });
  assert!(drain.join().unwrap() == expected);
  assert!(seen.borrow().polls.load(SeqCst) > 0);
}

#[test]
fn what_has_no_size_is_read_to_its_end() {
  let (rt, directory) = (runtime(), folder());
  let fifo = directory.0.join("fifo");
  let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
  assert!(made.success());
  let there = fifo.clone();
  let feed = std::thread::spawn(move || {
    let mut fifo = std::fs::File::options().write(true).open(there).unwrap();
    for piece in pattern(200_000).chunks(7777) {
      fifo.write_all(piece).unwrap();
    }
  });
  let bytes = rt.run(async move { File::open(&fifo).await.unwrap().read_to_end().await });
  feed.join().unwrap();
  assert!(bytes.unwrap() == pattern(200_000));
  let maps = rt.run(async { File::open("/proc/self/maps").await.unwrap().read_to_string().await });
  let maps = maps.unwrap();
  assert!(maps.ends_with('\n') && maps.lines().count() > 20);
  assert!(maps.contains("[stack]") && maps.contains("[vdso]"), "from the first to the last");
  let zeros = rt.run(async { File::open("/dev/null").await.unwrap().read_to_end().await });
  assert_eq!(zeros, Ok(Vec::new()));
}

#[test]
fn a_descriptor_that_must_not_wait_is_polled_and_keeps_its_flags() {
  let (rt, seen) = watched(None);
  seen.borrow_mut().nowait = true;
  let (reader, mut writer) = nonblocking();
  let (other, full) = nonblocking();
  let (first, second) = (reader.as_raw_fd(), full.as_raw_fd());
  let polls = seen.borrow().polls.clone();
  let (written, done) = std::sync::mpsc::channel();
  let feed = std::thread::spawn(move || {
    // Whoever works beside this waits already, each time.
    let polled = |times: u32| {
      let start = Instant::now();
      while polls.load(SeqCst) < times && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
      }
    };
    polled(1);
    writer.write_all(b"late").unwrap();
    polled(2);
    let mut room = vec![0; 100_000];
    let mut other = other;
    let mut drained = 0;
    while drained < 1_000_000 {
      drained += other.read(&mut room).unwrap_or(0);
    }
    done.recv().unwrap();
    std::thread::sleep(Duration::from_millis(20));
    drop(writer);
    drop(other);
  });
  rt.run(async move {
    let file = File::from_fd(OwnedFd::from(reader)).unwrap();
    assert_eq!(file.read(vec![0; 9]).await, (Ok(4), b"late\0\0\0\0\0".to_vec()));
    let full = File::from_fd(OwnedFd::from(full)).unwrap();
    full.write_all(pattern(1_000_000)).await.0.unwrap();
    written.send(()).unwrap();
    assert_eq!(file.readv(vec![vec![0; 9]]).await.0, Ok(0), "nobody writes any more");
    for fd in [first, second] {
      assert_ne!(flags(fd) & libc::O_NONBLOCK, 0);
    }
  });
  feed.join().unwrap();
  assert!(seen.borrow().polls.load(SeqCst) >= 3);
}
