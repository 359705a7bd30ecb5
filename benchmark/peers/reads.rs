//! Warm random reads of 4 KiB through the Rust runtime: `reads IN_FLIGHT FILE`.
//!
//! The twin of the `tasks` variant of benchmark/cases/reads.mjs: the same loops, the same sequence
//! of blocks, the same median over slices of time, one JSON line.

use ringcore::kernel::Options;
use ringcore::op;
use ringcore::runtime::Runtime;
use std::cell::RefCell;
use std::fs::{read_to_string, File};
use std::io::{Error, Read};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

const BLOCK: u64 = 4096;
const WARM: Duration = Duration::from_millis(250);
const SLICE: Duration = Duration::from_millis(1);

/// As `Meter` in meter.mjs.
struct Meter {
  ops: u64,
  step: u64,
  look: u64,
  warm: bool,
  begun: Instant,
  slice_at: Instant,
  slice_ops: u64,
  slices: Vec<f64>,
  cpu: Duration,
  disk: u64,
  run: Duration,
  ended: bool,
}

impl Meter {
  fn new(run: Duration) -> Meter {
    let now = Instant::now();
    Meter {
      ops: 0,
      step: 1,
      look: 1,
      warm: true,
      begun: now,
      slice_at: now,
      slice_ops: 0,
      slices: Vec::new(),
      cpu: Duration::ZERO,
      disk: 0,
      run,
      ended: false,
    }
  }

  /// One more operation. False: the time is over.
  fn add(&mut self) -> bool {
    self.ops += 1;
    if self.ops < self.look || self.ended {
      return !self.ended;
    }
    let now = Instant::now();
    let elapsed = now - self.slice_at;
    if elapsed < SLICE / 2 {
      self.step *= 2;
    }
    self.look = self.ops + self.step;
    if elapsed < SLICE {
      return true;
    }
    if !self.warm {
      let ops = (self.ops - self.slice_ops) as f64;
      self.slices.push(elapsed.as_nanos() as f64 / ops);
    }
    (self.slice_at, self.slice_ops) = (now, self.ops);
    if self.warm && now - self.begun >= WARM {
      (self.warm, self.begun) = (false, now);
      (self.ops, self.slice_ops, self.look) = (0, 0, self.step);
      (self.cpu, self.disk) = (cpu(), disk_bytes());
    } else if !self.warm && now - self.begun >= self.run {
      self.ended = true;
    }
    !self.ended
  }

  fn print(&mut self) {
    let cpu = (cpu() - self.cpu).as_nanos() as f64 / self.ops as f64;
    self.slices.sort_by(f64::total_cmp);
    let ns = self.slices[self.slices.len() / 2];
    let (ops, disk) = (self.ops, disk_bytes() - self.disk);
    println!(r#"{{"ns":{ns},"cpu":{cpu},"ops":{ops},"disk":{disk}}}"#);
  }
}

/// Processor time of all threads, io-wq's among them: the scheduler's own nanoseconds of each. A
/// thread that has ended is missing, and the ring's end only after the measurement.
fn cpu() -> Duration {
  let tasks = std::fs::read_dir("/proc/self/task").expect("procfs is mounted");
  let nanoseconds = tasks.filter_map(|task| {
    let text = read_to_string(task.ok()?.path().join("schedstat")).ok()?;
    text.split(' ').next()?.parse::<u64>().ok()
  });
  Duration::from_nanos(nanoseconds.sum())
}

/// Bytes that this process has had from a disk; a warm read must leave it alone.
fn disk_bytes() -> u64 {
  let text = read_to_string("/proc/self/io").unwrap_or_default();
  let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
  line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// As `offsets` in reads.mjs.
fn next(state: &mut u32, blocks: u64) -> u64 {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  (*state as u64 % blocks) * BLOCK
}

fn main() -> Result<(), Error> {
  let mut arguments = std::env::args().skip(1);
  let in_flight: u32 = arguments.next().and_then(|n| n.parse().ok()).expect("IN_FLIGHT");
  let path = arguments.next().expect("FILE");
  let mut file = File::open(path)?;
  let blocks = file.metadata()?.len() / BLOCK;
  let mut buffer = vec![0; 1 << 20];
  while file.read(&mut buffer)? > 0 {}

  let run = std::env::var("RINGCORE_BENCH_MS").ok().and_then(|ms| ms.parse().ok());
  let meter = Rc::new(RefCell::new(Meter::new(Duration::from_millis(run.unwrap_or(400)))));
  let runtime = Runtime::new(Options::default()).expect("a ring");
  let fd = file.as_raw_fd();
  let loops = (0..in_flight).map(|seed| {
    let meter = meter.clone();
    runtime.spawn(async move {
      let mut state = (seed + 1).wrapping_mul(0x9e37_79b1);
      let mut buffer = vec![0; BLOCK as usize];
      loop {
        let offset = next(&mut state, blocks);
        let (read, back) = op::read(fd, buffer, Some(offset)).await;
        assert_eq!(read.expect("a read"), BLOCK as usize);
        buffer = back;
        if !meter.borrow_mut().add() {
          return;
        }
      }
    })
  });
  let loops: Vec<_> = loops.collect();
  runtime.run(async {
    for handle in loops {
      handle.await.expect("a loop");
    }
  });
  meter.borrow_mut().print();
  Ok(())
}
