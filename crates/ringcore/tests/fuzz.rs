//! Any bytes at all as descriptors and inputs: one completion for each ticket, never a crash.
// PAIR: only-rust fuzz.rs -- TypeScript writes only descriptors that its own checks let through
//!
//! Half of the descriptors are noise, half start well and have some words broken, so that the
//! checks behind the first one are reached. On the kernel this runs in a child process that has
//! shut itself in: whatever a descriptor makes it open, unlink or close is its own.
//! RINGCORE_SEED=n replays one seed.

use ringcore::border::Border;
use ringcore::cqe::*;
use ringcore::kernel::{Kernel, Options};
use ringcore::mock::{Faults, Mock, Random};
use ringcore::ring::{close_now, Driver, Ring};
use ringcore::sqe::*;
use ringcore::table::OPS;
use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WORDS: u32 = DESCRIPTOR_WORDS;
/// Above every opcode that Linux has, and below those that an opcode of 8 bits would wrap to.
const OPCODES: u32 = 70;
/// A descriptor that is never open.
const NO_FD: u32 = 0x7ff_ffff;

struct Fuzz {
  border: Border,
  random: Random,
  /// Descriptors that the program needs: never closed. The first three are never written to.
  kept: Vec<u32>,
  /// Paths may have slashes and sockets an address: nobody outside is reached by either.
  free: bool,
  /// Files are copied. Threads open them: as long as they do no number is closed that was not
  /// opened by a descriptor, and so none at all.
  lane: bool,
  closes: bool,
  /// How many last completions each ticket is owed.
  owed: HashMap<u32, i64>,
  regions: u32,
  answered: u64,
  refused: u64,
}

impl Fuzz {
  fn new(driver: Box<dyn Driver>, protected: i32, seed: u32) -> Fuzz {
    let ring = Ring::new(driver, 8 << 20).unwrap();
    let mut border = Border::new(ring, protected).unwrap();
    let mut regions = 0;
    for class in 1..4 {
      regions += border.grow(class).unwrap().count;
    }
    let (random, owed) = (Random::new(seed), HashMap::new());
    let (kept, free, lane, closes, answered, refused) = (Vec::new(), true, true, true, 0, 0);
    Fuzz { border, random, kept, free, lane, closes, owed, regions, answered, refused }
  }

  /// A number as a fuzzer likes it: small, at an edge, a power of two, or anything.
  fn number(&mut self) -> u32 {
    let any = self.random.next();
    match self.random.below(8) {
      0 => 0,
      1 => any % 16,
      2 => any % 5000,
      3 => 1 << (any % 32),
      4 => u32::MAX - any % 3,
      5 => (1 << (any % 32)) - 1,
      _ => any,
    }
  }

  fn descriptor(&mut self, ticket: u32) -> [u32; WORDS as usize] {
    let mut words = [0; WORDS as usize];
    if self.random.chance(40) {
      words.iter_mut().for_each(|word| *word = self.random.next());
      // Without a known opcode nothing else is looked at.
      if self.random.chance(50) {
        words[D_OPCODE as usize] %= OPCODES;
      }
    } else {
      let mut set = |word: u32, value: u32| words[word as usize] = value;
      set(D_OPCODE, self.random.below(OPCODES));
      if self.random.chance(50) {
        set(D_OPCODE, OPS[self.random.below(OPS.len() as u32) as usize].opcode);
      }
      set(D_FD, self.random.below(40));
      set(D_REGION, self.random.below(self.regions + 2));
      set(D_LENGTH, self.random.below(600));
      for _ in 0..self.random.below(5) {
        let (word, value) = (self.random.below(WORDS), self.number());
        set(word, value);
      }
      if self.random.chance(20) {
        set(D_FD, libc::AT_FDCWD as u32);
      }
      if self.random.chance(20) {
        set(D_REGION, NO_REGION);
      }
    }
    words[D_TICKET as usize] = match self.random.below(20) {
      0 => NO_TICKET,
      1 => self.number(),
      2 => ticket.saturating_sub(self.random.below(8)),
      _ => ticket,
    };
    self.spare(&mut words);
    words
  }

  /// Keeps the program alive: its own descriptors stay open, and its last words readable.
  fn spare(&self, words: &mut [u32; WORDS as usize]) {
    let fd = words[D_FD as usize];
    let closes = words[D_OPCODE as usize] as u8 == IORING_OP_CLOSE as u8;
    if fd < 3 || (closes && (!self.closes || self.kept.contains(&fd))) {
      words[D_FD as usize] = NO_FD;
    }
    if !self.lane && words[D_OPCODE as usize] == LANE_OP_COPY_FILE {
      words[D_OPCODE as usize] = IORING_OP_NOP;
    }
    const SOCKET: u8 = 45;
    if !self.free && words[D_OPCODE as usize] as u8 == SOCKET {
      words[D_OPCODE as usize] = IORING_OP_NOP;
    }
  }

  /// Noise, with texts between NULs in half of it, so that some paths are paths.
  fn inputs(&mut self) {
    let start = BORDER_INPUTS / 4;
    for word in start..start + 256 {
      let noise = self.random.next();
      let text = [b'a' + (noise % 3) as u8, b'.', b"/xy"[noise as usize / 3 % 3], 0];
      let mut bytes = if self.random.chance(50) { text } else { noise.to_ne_bytes() };
      // What the mock takes for memory that is free.
      bytes.iter_mut().filter(|byte| **byte == 0xaa).for_each(|byte| *byte = 0xab);
      if !self.free {
        bytes.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'_');
      }
      self.border.set_word(word, u32::from_ne_bytes(bytes));
    }
  }

  fn turn(&mut self, first_ticket: u32) {
    self.inputs();
    let most = if self.random.chance(2) { MAX_DESCRIPTORS } else { 40 };
    let count = self.random.below(most + 1);
    for index in 0..count {
      let words = self.descriptor(first_ticket + index);
      for (word, value) in (0..).zip(words) {
        let at = BORDER_DESCRIPTORS / 4 + index * WORDS + word;
        self.border.set_word(at, value);
      }
      if words[D_TICKET as usize] != NO_TICKET {
        *self.owed.entry(words[D_TICKET as usize]).or_default() += 1;
      }
    }
    self.border.set(H_DESCRIPTORS, count);
    let mode = [0, TURN_ENTER, TURN_ENTER | TURN_PARK, TURN_PARK][self.random.below(4) as usize];
    self.border.set(H_MODE, mode);
    self.border.turn();
    assert_eq!(self.border.get(H_FATAL), 0, "the ring is beyond use");
    if self.random.chance(60) {
      self.take();
    }
  }

  fn take(&mut self) {
    let count = self.border.get(H_COMPLETIONS);
    assert!(count <= MAX_COMPLETIONS);
    for index in 0..count {
      let at = BORDER_COMPLETIONS / 4 + index * COMPLETION_WORDS;
      let word = |word: u32| self.border.word(at + word);
      let (ticket, res, flags) = (word(C_TICKET), word(C_RES) as i32, word(C_FLAGS));
      assert!(res >= -4095, "{res} is no errno");
      if word(C_AUX) == 1 && res >= 0 {
        close_now(res);
      }
      if flags & IORING_CQE_F_MORE == 0 {
        self.answered += 1;
        self.refused += u64::from(res == -libc::EINVAL);
        let owed = self.owed.get_mut(&ticket);
        let owed = owed.unwrap_or_else(|| panic!("ticket {ticket} is nobody's: {res}"));
        *owed -= 1;
        assert!(*owed >= 0, "ticket {ticket} was answered twice");
      }
    }
    self.border.set(H_COMPLETIONS, 0);
  }

  /// What runs for years ends with the ring; then every ticket has its answer.
  fn finish(mut self) -> (u64, u64) {
    assert!(self.border.close(Duration::from_secs(10)), "it did not drain");
    self.take();
    while self.border.get(H_MORE) == 1 {
      self.border.turn();
      self.take();
    }
    self.owed.retain(|_, owed| *owed != 0);
    assert!(self.owed.is_empty(), "without an answer: {:?}", self.owed);
    assert_eq!(self.border.get(H_STALE), 0);
    (self.answered, self.refused)
  }
}

fn stress() -> u32 {
  if std::env::var("RINGCORE_STRESS").is_ok_and(|value| value == "1") {
    10
  } else {
    1
  }
}

/// The seeds of a run, or the one to replay.
fn seeds(count: u32) -> std::ops::RangeInclusive<u32> {
  match std::env::var("RINGCORE_SEED") {
    Ok(seed) => {
      let seed = seed.parse().expect("RINGCORE_SEED is a number");
      seed..=seed
    }
    Err(_) => 1..=count * stress(),
  }
}

/// Names the seed of a run that panics.
struct Seed(u32);

impl Drop for Seed {
  fn drop(&mut self) {
    if std::thread::panicking() {
      eprintln!("failing seed, replay it with RINGCORE_SEED={}", self.0);
    }
  }
}

/// Both kinds of ends must occur: a fuzz that is always refused has tested one line.
fn both_kinds((answered, refused): (u64, u64)) {
  assert!(refused > answered / 20, "only {refused} of {answered} were refused");
  assert!(answered - refused > answered / 20, "{refused} of {answered} were refused");
}

#[test]
fn any_descriptors_on_the_mock_are_answered_once_each() {
  let mut total = (0, 0);
  for seed in seeds(100) {
    let _named = Seed(seed);
    let (sq, cq) = [(1, 2), (8, 16), (64, 256)][seed as usize % 3];
    let faults = Faults { enter: 0, ..Faults::default() };
    let (mock, _world) = Mock::new(seed, sq, cq, faults);
    let mut fuzz = Fuzz::new(Box::new(mock), -1, seed);
    for turn in 0..50 {
      fuzz.turn(turn * MAX_DESCRIPTORS);
    }
    let (answered, refused) = fuzz.finish();
    total = (total.0 + answered, total.1 + refused);
  }
  both_kinds(total);
}

// --- on the kernel, in a child ------------------------------------------------------------------

const CHILD: &str = "RINGCORE_FUZZ_CHILD";

#[test]
fn any_descriptors_on_the_kernel_are_answered_once_each() {
  if let Ok(folder) = std::env::var(CHILD) {
    return shut_in(&folder);
  }
  let name = format!("ringcore-fuzz-{}", std::process::id());
  let folder = std::env::temp_dir().join(name);
  std::fs::create_dir(&folder).expect("a new folder");
  let own = "any_descriptors_on_the_kernel_are_answered_once_each";
  let mut child = Command::new(std::env::current_exe().unwrap())
    .args([own, "--exact", "--nocapture", "--test-threads=1"])
    .env(CHILD, &folder)
    // LeakSanitizer looks into /proc, which is not there for one with a root folder of its own.
    .env("ASAN_OPTIONS", "detect_leaks=0")
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::inherit())
    .spawn()
    .expect("this program can be started again");
  let limit = Instant::now() + Duration::from_secs(60 * u64::from(stress()));
  let status = loop {
    if let Some(status) = child.try_wait().unwrap() {
      break Some(status);
    }
    if Instant::now() > limit {
      child.kill().unwrap();
      child.wait().unwrap();
      break None;
    }
    std::thread::sleep(Duration::from_millis(20));
  };
  std::fs::remove_dir_all(&folder).expect("it is this test's");
  let status = status.expect("the child did not come to an end");
  assert!(status.success(), "the child ended with {status}");
}

/// As few rights as this process can take from itself: a root folder of its own, no network, few
/// descriptors, small files. Whether paths are free to have a slash.
#[allow(unsafe_code)]
fn shut(folder: &str) -> bool {
  let path = std::ffi::CString::new(folder).unwrap();
  let limit = |resource, most| {
    let limits = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: I1: a struct of this function's own, read during the call.
    assert_eq!(unsafe { libc::setrlimit(resource, &limits) }, 0);
  };
  limit(libc::RLIMIT_FSIZE, 1 << 20);
  limit(libc::RLIMIT_NOFILE, 256);
  limit(libc::RLIMIT_CORE, 0);
  // SAFETY: I6: nothing but this process is changed, and no memory named but the path, which lives
  // here. A signal for a file that is too long would end it, where EFBIG is wanted.
  unsafe {
    libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    let root = libc::geteuid() == 0 || libc::unshare(libc::CLONE_NEWUSER) == 0;
    let alone = root && libc::unshare(libc::CLONE_NEWNET) == 0;
    let inside = libc::chroot(path.as_ptr()) == 0;
    assert_eq!(libc::chdir(if inside { c"/".as_ptr() } else { path.as_ptr() }), 0);
    alone && inside
  }
}

#[allow(unsafe_code)]
fn is_open(fd: u32) -> bool {
  // SAFETY: I3: asks about a number and changes nothing.
  unsafe { libc::fcntl(fd as i32, libc::F_GETFD) != -1 }
}

#[allow(unsafe_code)]
fn is_ring(fd: u32) -> bool {
  // SAFETY: I1: it submits nothing, waits for nothing and names no memory.
  let entered = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, 0, 0, 0, 0, 0) };
  entered >= 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EOPNOTSUPP)
}

fn all_open() -> Vec<u32> {
  (0..256).filter(|fd| is_open(*fd)).collect()
}

fn shut_in(folder: &str) {
  use std::os::fd::AsRawFd;
  let free = shut(folder);
  // Something to read and to write, at numbers that the descriptors hit.
  let file = std::fs::File::create("file").unwrap();
  let (reader, writer) = std::io::pipe().unwrap();
  let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
  let fds = [file.as_raw_fd(), reader.as_raw_fd(), writer.as_raw_fd(), one.as_raw_fd()];
  assert!(fds.iter().all(|fd| *fd < 40) && two.as_raw_fd() < 40);
  let mut total = (0, 0);
  let start = all_open();
  for seed in seeds(60) {
    let _named = Seed(seed);
    let before = all_open();
    let entries = [1, 8, 256][seed as usize % 3];
    let kernel = Kernel::open(&Options { entries, ..Options::default() }).unwrap();
    let eventfd = kernel.eventfd();
    let mut fuzz = Fuzz::new(Box::new(kernel), eventfd, seed);
    fuzz.kept = all_open();
    fuzz.free = free;
    fuzz.lane = seed % 4 == 0;
    fuzz.closes = !fuzz.lane;
    for turn in 0..30 {
      fuzz.turn(turn * MAX_DESCRIPTORS);
    }
    let (answered, refused) = fuzz.finish();
    total = (total.0 + answered, total.1 + refused);
    let others = |fds: Vec<u32>| fds.into_iter().filter(|fd| !is_ring(*fd)).collect::<Vec<_>>();
    assert_eq!(others(all_open()), others(before), "descriptors of seed {seed}");
  }
  // Threads of the lane have a ring each, for a second.
  let limit = Instant::now() + Duration::from_secs(10);
  while all_open() != start && Instant::now() < limit {
    std::thread::sleep(Duration::from_millis(20));
  }
  assert_eq!(all_open(), start);
  both_kinds(total);
}
