//! What the Rust programs share with the JavaScript ones: the same clock, the same blocks, the same
//! checks, one line of JSON. See ../files/meter.mjs and ../files/blocks.mjs.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::read_to_string;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub const BLOCK: usize = 4096;
pub const O_DIRECT: i32 = libc::O_DIRECT;

/// `PROGRAM FAMILY name=value ...`
pub struct Settings {
  pub family: String,
  values: HashMap<String, String>,
}

impl Settings {
  pub fn new() -> Settings {
    let mut arguments = std::env::args().skip(1);
    let family = arguments.next().expect("FAMILY");
    let pair = |text: String| {
      let (name, value) = text.split_once('=').expect("name=value");
      (name.to_string(), value.to_string())
    };
    Settings { family, values: arguments.map(pair).collect() }
  }

  pub fn text(&self, name: &str) -> &str {
    self.values.get(name).unwrap_or_else(|| panic!("{name}= is missing"))
  }

  pub fn get<T: FromStr<Err: Debug>>(&self, name: &str) -> T {
    self.text(name).parse().unwrap_or_else(|_| panic!("{name}= is wrong"))
  }

  /// A file of the benchmark's folder.
  pub fn path(&self, name: &str) -> String {
    format!("{}/{name}", self.text("dir"))
  }

  /// The paths of the small files.
  pub fn small(&self, size: usize) -> Vec<String> {
    (0..10_000).map(|i| self.path(&format!("small-{size}/{i}"))).collect()
  }

  /// Flags of open(2) for the random reads.
  pub fn direct(&self) -> i32 {
    if self.get("direct") { O_DIRECT } else { 0 }
  }
}

impl Default for Settings {
  fn default() -> Self {
    Settings::new()
  }
}

struct Inner {
  warm: bool,
  step: u64,
  looked: Instant,
  at: Instant,
  cpu_at: Duration,
  spent: Duration,
  cpu_spent: Duration,
  disk: u64,
  paused: bool,
  result: Option<String>,
}

/// The clock; it may be shared by threads.
pub struct Meter {
  /// The operations of one wave, or 0.
  wave: u64,
  next: AtomicU64,
  ops: AtomicU64,
  all: AtomicU64,
  look: AtomicU64,
  ended: AtomicBool,
  inner: Mutex<Inner>,
  warm: Duration,
  run: Duration,
}

impl Meter {
  pub fn new(settings: &Settings) -> Meter {
    let now = Instant::now();
    // From 1 000 in flight on, completions come in waves: only whole waves are measured.
    let wave = settings.values.get("inFlight").and_then(|text| text.parse().ok()).unwrap_or(1);
    let wave: u64 = if wave < 1000 { 0 } else { wave };
    Meter {
      wave,
      next: AtomicU64::new(0),
      ops: AtomicU64::new(0),
      all: AtomicU64::new(0),
      look: AtomicU64::new(wave.max(1)),
      ended: AtomicBool::new(false),
      inner: Mutex::new(Inner {
        warm: true,
        step: wave.max(1),
        looked: now,
        at: now,
        cpu_at: cpu(),
        spent: Duration::ZERO,
        cpu_spent: Duration::ZERO,
        disk: 0,
        paused: false,
        result: None,
      }),
      warm: Duration::from_millis(settings.get("warmMs")),
      run: Duration::from_millis(settings.get("runMs")),
    }
  }

  /// The number of the next operation.
  pub fn index(&self) -> u64 {
    self.next.fetch_add(1, Relaxed)
  }

  /// One more operation is done. False: the time is over.
  pub fn add(&self) -> bool {
    self.all.fetch_add(1, Relaxed);
    let ops = self.ops.fetch_add(1, Relaxed) + 1;
    if ops < self.look.load(Relaxed) {
      return !self.ended.load(Relaxed);
    }
    self.sample()
  }

  /// What follows is set-up, not the operation.
  pub fn pause(&self) {
    let mut inner = self.inner.lock().expect("no thread panicked");
    if !inner.paused {
      inner.paused = true;
      inner.spent = inner.spent + inner.at.elapsed();
      inner.cpu_spent = inner.cpu_spent + (cpu() - inner.cpu_at);
    }
  }

  pub fn resume(&self) {
    let mut inner = self.inner.lock().expect("no thread panicked");
    inner.paused = false;
    (inner.cpu_at, inner.at) = (cpu(), Instant::now());
  }

  fn sample(&self) -> bool {
    let mut inner = self.inner.lock().expect("no thread panicked");
    if self.ended.load(Relaxed) {
      return false;
    }
    let now = Instant::now();
    if self.wave == 0 && now - inner.looked < Duration::from_micros(250) {
      inner.step = (inner.step * 2).min(4096);
    }
    inner.looked = now;
    let ops = self.ops.load(Relaxed);
    self.look.store(ops + inner.step, Relaxed);
    let running = if inner.paused { Duration::ZERO } else { now - inner.at };
    let elapsed = inner.spent + running;
    if inner.warm {
      if elapsed >= self.warm {
        inner.warm = false;
        self.ops.store(0, Relaxed);
        self.look.store(inner.step, Relaxed);
        (inner.spent, inner.cpu_spent) = (Duration::ZERO, Duration::ZERO);
        (inner.disk, inner.cpu_at, inner.at) = (disk_bytes(), cpu(), now);
      }
    } else if elapsed >= self.run && ops >= 3 {
      self.ended.store(true, Relaxed);
      let used = if inner.paused { Duration::ZERO } else { cpu() - inner.cpu_at };
      let per = |time: Duration| time.as_nanos() as f64 / ops as f64;
      let (ns, cpu) = (per(elapsed), per(inner.cpu_spent + used));
      let disk = disk_bytes() - inner.disk;
      inner.result = Some(format!(r#""ns":{ns},"cpu":{cpu},"ops":{ops},"disk":{disk}"#));
    }
    !self.ended.load(Relaxed)
  }

  pub fn print(&self) {
    let inner = self.inner.lock().expect("no thread panicked");
    let result = inner.result.as_ref().expect("something was measured");
    println!("{{{result},\"all\":{}}}", self.all.load(Relaxed));
  }
}

/// All threads of the process, io-wq's among them.
fn cpu() -> Duration {
  // SAFETY: I9, zeros are a valid rusage; the call fills it and opens nothing.
  let usage = unsafe {
    let mut usage: libc::rusage = std::mem::zeroed();
    libc::getrusage(libc::RUSAGE_SELF, &mut usage);
    usage
  };
  let time = |t: libc::timeval| {
    Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
  };
  time(usage.ru_utime) + time(usage.ru_stime)
}

/// Bytes that this process has had from a disk.
fn disk_bytes() -> u64 {
  let text = read_to_string("/proc/self/io").unwrap_or_default();
  let line = text.lines().find_map(|line| line.strip_prefix("read_bytes: "));
  line.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The block of operation i, as `blockOf` in blocks.mjs.
pub fn block_of(i: u64, blocks: u64) -> u64 {
  let mut hash = (i as u32).wrapping_add(1).wrapping_mul(0x9e37_79b1);
  hash ^= hash >> 15;
  hash = hash.wrapping_mul(0x85eb_ca6b);
  hash ^= hash >> 13;
  u64::from(hash) % blocks
}

/// File i of the small ones is filled with the byte i % 251.
pub fn check_small(bytes: &[u8], i: u64, size: usize) {
  let expected = (i % 10_000 % 251) as u8;
  assert_eq!(bytes.len(), size, "a file has another length");
  assert!(bytes[0] == expected && bytes[size - 1] == expected, "this is another file");
}

/// Block k is filled with the byte k & 255.
pub fn check_block(bytes: &[u8], i: u64, blocks: u64) {
  let expected = block_of(i, blocks) as u8;
  let last = bytes[bytes.len() - 1];
  assert!(bytes[0] == expected && last == expected, "this is another block");
}

/// What `cat` has read so far, as `Sum` in cat.mjs.
#[derive(Default)]
pub struct Sum {
  pub bytes: usize,
}

impl Sum {
  pub fn add(&mut self, chunk: &[u8]) {
    let last = self.bytes + chunk.len() - 1;
    assert_eq!(chunk[0], (self.bytes >> 12) as u8, "the chunk begins with another block");
    assert_eq!(chunk[chunk.len() - 1], (last >> 12) as u8, "the chunk ends with another block");
    self.bytes += chunk.len();
  }

  pub fn check(&self) {
    assert_eq!(self.bytes, 100 << 20, "the file has another length");
  }
}

/// Memory at an address that O_DIRECT takes, for the life of the process.
pub fn aligned(len: usize) -> &'static mut [u8] {
  let room = vec![0; len + BLOCK].leak();
  let from = room.as_ptr().align_offset(BLOCK);
  &mut room[from..from + len]
}

/// One loop: operation after operation until the time is over. `one` gets the operation's number.
pub async fn looped(meter: std::sync::Arc<Meter>, mut one: impl AsyncFnMut(u64)) {
  loop {
    one(meter.index()).await;
    if !meter.add() {
      return;
    }
  }
}

pub mod peer;

#[cfg(test)]
mod tests {
  /// The same figures are in __test__/bench.spec.ts: all programs draw the same blocks.
  #[test]
  fn the_blocks_are_those_of_javascript() {
    let drawn = [0, 1, 2, 99_999].map(|i| super::block_of(i, 65_536));
    assert_eq!(drawn, [48_644, 57_509, 7_438, 44_364]);
  }
}
