//! The floor: the io-uring crate by hand. One thread, one ring, buffers and direct descriptors that
//! are made once, no futures. What a runtime adds is measured against it.

use bench_common::*;
use io_uring::squeue::{Entry, Flags};
use io_uring::{IoUring, opcode, types};
use std::collections::VecDeque;
use std::ffi::CString;
use std::os::fd::RawFd;

/// What one case puts into the ring. An operation has a loop `l` and a number `i`.
trait Work {
  /// Its first entries.
  fn start(&mut self, l: usize, i: u64, queue: &mut Queue);
  /// One entry has ended. True: the operation is done.
  fn end(&mut self, l: usize, i: u64, step: u8, res: i32, queue: &mut Queue) -> bool;
}

/// Entries that wait for room in the ring.
#[derive(Default)]
struct Queue(VecDeque<Entry>);

impl Queue {
  fn push(&mut self, l: usize, step: u8, entry: Entry) {
    self.0.push_back(entry.user_data((l as u64) << 8 | u64::from(step)));
  }
}

fn ring(in_flight: usize) -> IoUring {
  let entries = in_flight.next_power_of_two().clamp(64, 4096) as u32;
  IoUring::builder()
    .setup_single_issuer()
    .setup_defer_taskrun()
    .setup_clamp()
    .setup_cqsize((4 * in_flight).next_power_of_two().clamp(256, 65_536) as u32)
    .build(entries)
    .expect("a ring")
}

fn repeat(mut ring: IoUring, meter: &Meter, in_flight: usize, mut work: impl Work) {
  let mut queue = Queue::default();
  let mut numbers = vec![0; in_flight];
  for (l, number) in numbers.iter_mut().enumerate() {
    *number = meter.index();
    work.start(l, *number, &mut queue);
  }
  let mut left = in_flight;
  let mut ended = Vec::new();
  while left > 0 {
    while !queue.0.is_empty() {
      let room = {
        let submission = ring.submission();
        submission.capacity() - submission.len()
      };
      if room == 0 {
        break;
      }
      let taken: Vec<Entry> = queue.0.drain(..room.min(queue.0.len())).collect();
      // SAFETY: I2, all memory that entries name lives as long as the process.
      unsafe { ring.submission().push_multiple(&taken).expect("there is room") };
    }
    ring.submit_and_wait(1).expect("enter");
    ended.extend(ring.completion().map(|entry| (entry.user_data(), entry.result())));
    for (data, res) in ended.drain(..) {
      let (l, step) = ((data >> 8) as usize, data as u8);
      if !work.end(l, numbers[l], step, res, &mut queue) {
        continue;
      }
      if meter.add() {
        numbers[l] = meter.index();
        work.start(l, numbers[l], &mut queue);
      } else {
        left -= 1;
      }
    }
  }
}

fn checked(res: i32, what: &str) -> usize {
  assert!(res >= 0, "{what}: {}", std::io::Error::from_raw_os_error(-res));
  res as usize
}

fn c_paths(paths: Vec<String>) -> Vec<CString> {
  paths.into_iter().map(|path| CString::new(path).expect("no zero byte")).collect()
}

/// open, read, read once more to see the end, close. Each loop has a direct descriptor. Alone, the
/// steps are one chain; with others they are submissions that are full anyway, and cost less.
struct ReadFile {
  paths: Vec<CString>,
  buffers: Vec<&'static mut [u8]>,
  size: usize,
  counts: Vec<usize>,
  chained: bool,
}

impl ReadFile {
  fn open(&self, l: usize, i: u64) -> Entry {
    let path = &self.paths[i as usize % self.paths.len()];
    let slot = types::DestinationSlot::try_from_slot_target(l as u32).expect("a slot");
    opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr()).file_index(Some(slot)).build()
  }

  /// At the file's position, so that both can be in one chain. The second gets what is left of
  /// the room, which is a block at least.
  fn read(&mut self, l: usize, step: u8) -> Entry {
    let from = if step == 1 { 0 } else { self.size };
    let room = &mut self.buffers[l][from..];
    let (at, len) = (room.as_mut_ptr(), room.len() as u32);
    opcode::Read::new(types::Fixed(l as u32), at, len).offset(u64::MAX).build()
  }

  fn close(&self, l: usize) -> Entry {
    opcode::Close::new(types::Fixed(l as u32)).build()
  }
}

impl Work for ReadFile {
  fn start(&mut self, l: usize, i: u64, queue: &mut Queue) {
    let open = self.open(l, i);
    if !self.chained {
      return queue.push(l, 0, open);
    }
    queue.push(l, 0, open.flags(Flags::IO_LINK));
    for step in [1, 2] {
      // A short read would end an ordinary link.
      let read = self.read(l, step).flags(Flags::IO_HARDLINK);
      queue.push(l, step, read);
    }
    queue.push(l, 3, self.close(l));
  }

  fn end(&mut self, l: usize, i: u64, step: u8, res: i32, queue: &mut Queue) -> bool {
    let value = checked(res, ["open", "read", "read", "close"][step as usize]);
    match step {
      1 => self.counts[l] = value,
      2 => assert_eq!(value, 0, "the end of the file was not seen"),
      _ => {}
    }
    if !self.chained && step < 3 {
      let next = if step < 2 { self.read(l, step + 1) } else { self.close(l) };
      queue.push(l, step + 1, next);
    }
    if step < 3 {
      return false;
    }
    check_small(&self.buffers[l][..self.counts[l]], i, self.size);
    true
  }
}

/// Random blocks.
struct Reads {
  fd: RawFd,
  blocks: u64,
  buffers: Vec<&'static mut [u8]>,
}

impl Work for Reads {
  fn start(&mut self, l: usize, i: u64, queue: &mut Queue) {
    let (at, len) = (self.buffers[l].as_mut_ptr(), self.buffers[l].len() as u32);
    let offset = block_of(i, self.blocks) * BLOCK as u64;
    queue.push(l, 0, opcode::Read::new(types::Fd(self.fd), at, len).offset(offset).build());
  }

  fn end(&mut self, l: usize, i: u64, _step: u8, res: i32, _queue: &mut Queue) -> bool {
    assert_eq!(checked(res, "read"), self.buffers[l].len(), "a read is short");
    check_block(self.buffers[l], i, self.blocks);
    true
  }
}

/// Random blocks, or the next one and fdatasync in one chain.
struct Writes {
  fd: RawFd,
  block: &'static mut [u8],
  sync: bool,
}

impl Work for Writes {
  fn start(&mut self, l: usize, i: u64, queue: &mut Queue) {
    let block = if self.sync { i % 16_384 } else { block_of(i, 16_384) };
    let fd = types::Fd(self.fd);
    let write = opcode::Write::new(fd, self.block.as_ptr(), BLOCK as u32);
    let write = write.offset(block * BLOCK as u64).build();
    if !self.sync {
      return queue.push(l, 0, write);
    }
    let sync = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
    queue.push(l, 1, write.flags(Flags::IO_LINK));
    queue.push(l, 2, sync);
  }

  fn end(&mut self, _l: usize, _i: u64, step: u8, res: i32, _queue: &mut Queue) -> bool {
    let count = checked(res, "write");
    assert_eq!(count, if step == 2 { 0 } else { BLOCK }, "a write is short");
    step != 1
  }
}

/// open, read to the end, close; the file has slot 0.
struct Cat {
  path: CString,
  buffer: &'static mut [u8],
  sum: Sum,
}

impl Cat {
  fn read(&mut self, queue: &mut Queue) {
    let (at, len) = (self.buffer.as_mut_ptr(), self.buffer.len() as u32);
    let read = opcode::Read::new(types::Fixed(0), at, len).offset(self.sum.bytes as u64);
    queue.push(0, 1, read.build());
  }
}

impl Work for Cat {
  fn start(&mut self, l: usize, _i: u64, queue: &mut Queue) {
    self.sum = Sum::default();
    let slot = types::DestinationSlot::try_from_slot_target(0).expect("a slot");
    let open = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), self.path.as_ptr());
    queue.push(l, 0, open.file_index(Some(slot)).build());
  }

  fn end(&mut self, l: usize, _i: u64, step: u8, res: i32, queue: &mut Queue) -> bool {
    let count = checked(res, "cat");
    if step == 1 && count > 0 {
      self.sum.add(&self.buffer[..count]);
    }
    match (step, count) {
      (2, _) => {
        self.sum.check();
        return true;
      }
      (1, 0) => queue.push(l, 2, opcode::Close::new(types::Fixed(0)).build()),
      _ => self.read(queue),
    }
    false
  }
}

/// The kernel hands each of them to a thread: no floor at all, but what a ring has to offer.
struct Stats {
  paths: Vec<CString>,
  results: Vec<&'static mut [libc::statx]>,
}

impl Work for Stats {
  fn start(&mut self, l: usize, i: u64, queue: &mut Queue) {
    let path = self.paths[i as usize % self.paths.len()].as_ptr();
    let result = self.results[l].as_mut_ptr().cast();
    let stat = opcode::Statx::new(types::Fd(libc::AT_FDCWD), path, result);
    queue.push(l, 0, stat.mask(libc::STATX_BASIC_STATS | libc::STATX_BTIME).build());
  }

  fn end(&mut self, l: usize, _i: u64, _step: u8, res: i32, _queue: &mut Queue) -> bool {
    checked(res, "statx");
    assert_eq!(self.results[l][0].stx_size, 1024);
    true
  }
}

fn opened(path: String, flags: i32) -> RawFd {
  let path = CString::new(path).expect("no zero byte");
  // SAFETY: I3, a descriptor of this program's own, open until its end.
  let fd = unsafe { libc::open(path.as_ptr(), flags) };
  checked(if fd < 0 { -1 } else { fd }, "open") as RawFd
}

fn buffers(count: usize, len: usize) -> Vec<&'static mut [u8]> {
  (0..count).map(|_| aligned(len)).collect()
}

fn zeroed(count: usize) -> Vec<&'static mut [libc::statx]> {
  // SAFETY: I2, a statx of zeros is one; leaked, it lives as long as the process.
  (0..count).map(|_| &mut *vec![unsafe { std::mem::zeroed() }].leak()).collect()
}

fn main() {
  let settings = Settings::new();
  let meter = Meter::new(&settings);
  let in_flight = match settings.family.as_str() {
    "cat" => 1,
    _ => settings.get("inFlight"),
  };
  let ring = ring(in_flight);
  match settings.family.as_str() {
    "readfile" => {
      let size = settings.get("size");
      ring.submitter().register_files_sparse(in_flight as u32).expect("slots");
      let work = ReadFile {
        paths: c_paths(settings.small(size)),
        buffers: buffers(in_flight, size + BLOCK),
        size,
        counts: vec![0; in_flight],
        chained: in_flight == 1,
      };
      repeat(ring, &meter, in_flight, work);
    }
    "reads" => {
      let fd = opened(settings.path("blocks"), libc::O_RDONLY | settings.direct());
      let work = Reads { fd, blocks: settings.get("blocks"), buffers: buffers(in_flight, BLOCK) };
      repeat(ring, &meter, in_flight, work);
    }
    "inflight" => {
      let fd = opened(settings.path("blocks"), libc::O_RDONLY);
      let room: &'static mut [u8] = vec![0; in_flight * 64].leak();
      let work = Reads { fd, blocks: 65_536, buffers: room.chunks_mut(64).collect() };
      repeat(ring, &meter, in_flight, work);
    }
    family @ ("pwrite" | "fsync") => {
      let fd = opened(settings.path("target"), libc::O_WRONLY);
      let block = aligned(BLOCK);
      block.fill(7);
      repeat(ring, &meter, in_flight, Writes { fd, block, sync: family == "fsync" });
    }
    "cat" => {
      ring.submitter().register_files_sparse(1).expect("slots");
      let path = CString::new(settings.path("big")).expect("no zero byte");
      let buffer = aligned(settings.get("chunk"));
      repeat(ring, &meter, 1, Cat { path, buffer, sum: Sum::default() });
    }
    "stat" => {
      let work = Stats { paths: c_paths(settings.small(1024)), results: zeroed(in_flight) };
      repeat(ring, &meter, in_flight, work);
    }
    other => panic!("no family {other}"),
  }
  meter.print();
}
